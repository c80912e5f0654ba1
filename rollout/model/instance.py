"""An instance as the service describes it, and the inventory: all instances at one time.

Filled by `inventory` and `ecs.verdict`, read by the planner and the run.
"""

from __future__ import annotations

import enum
import hashlib
import re
from collections.abc import Iterator, Sequence

import msgspec

from rollout.model.time import Instant


class OsFamily(enum.StrEnum):
    """The values of `OSType`; instances of any other are never rotated."""

    LINUX = "linux"
    WINDOWS = "windows"
    UNKNOWN = "unknown"


class Status(enum.StrEnum):
    """The five states of the API, and `UNKNOWN` for a missing or unknown value."""

    PENDING = "Pending"
    STARTING = "Starting"
    RUNNING = "Running"
    STOPPING = "Stopping"
    STOPPED = "Stopped"
    UNKNOWN = "unknown"


Tags = tuple[tuple[str, str], ...]

ID_PATTERN = "i-[0-9a-z]{1,62}"
"""Form of an instance id: the API's own are `i-` and 8 to 20 lower-case characters and digits."""

is_id = re.compile(ID_PATTERN, re.ASCII).fullmatch
"""Truthy if the whole text has that form; other ids are never sent to the API."""


def os_family(text: str) -> OsFamily:
    """Return the family of an `OSType` in any case; `UNKNOWN` for a missing or other value."""
    return _FAMILIES.get(text.lower(), OsFamily.UNKNOWN)


def status_of(text: str) -> Status:
    """Return the state of a value in any case; `UNKNOWN` for a missing or unknown value."""
    return _STATUSES.get(text.lower(), Status.UNKNOWN)


_FAMILIES = {family.value: family for family in OsFamily}
_STATUSES = {status.value.lower(): status for status in Status}


class Instance(msgspec.Struct, frozen=True, gc=False):
    """One instance at one instant. `started_at` has the precision of a minute; 0 = unknown.
    `resource_group` and `deployment_set` are ids, empty where the source has none.
    """

    id: str
    account: str
    region: str
    zone: str = ""
    os: OsFamily = OsFamily.UNKNOWN
    os_name: str = ""
    status: Status = Status.UNKNOWN
    key_pair: str = ""
    image: str = ""
    started_at: Instant = 0
    expires_at: Instant = 0
    io_optimized: bool = True
    locks: tuple[str, ...] = ()
    tags: Tags = ()
    resource_group: str = ""
    deployment_set: str = ""
    instance_type: str = ""


class MissingInstance(msgspec.Struct, frozen=True, gc=False):
    """An id that a source named and the service did not list."""

    id: str
    account: str
    region: str


class Inventory(msgspec.Struct, frozen=True):
    """All instances in scope, read at `as_of`, each id once.

    `live` is false if no API call was made (`--offline`). `merged` counts rows that repeat an id.
    `notes` are warnings as (code, text) for the plan.
    """

    instances: tuple[Instance, ...]
    as_of: Instant
    live: bool = True
    lost: tuple[MissingInstance, ...] = ()
    merged: int = 0
    calls: int = 0
    notes: tuple[tuple[str, str], ...] = ()

    def pages(self) -> Iterator[tuple[Instance, ...]]:
        """Yield the instances in order, in pages that fit the processor's cache.

        Instances are in memory in the order of reading, not of sorting: fetching one costs as much
        as processing it. So code with several steps for each instance runs them page by page.
        """
        for start in range(0, len(self.instances), _PAGE):
            yield self.instances[start : start + _PAGE]


class Digest:
    """sha256 over the canonical bytes of every instance in order, then of the lost ids."""

    def __init__(self) -> None:
        self._sha = hashlib.sha256()

    def add(self, rows: Sequence[Instance | MissingInstance]) -> None:
        """Add rows: their JSON objects without separators, without an empty instance type, and then
        without ids of groups if both are empty, so that the digest is that of earlier versions.
        """
        raw = _ENCODER.encode_lines(rows).replace(_NO_TYPE, b"}").replace(_NO_GROUPS, b"}")
        self._sha.update(raw.replace(b"\n", b""))

    def text(self) -> str:
        """Return `sha256:…` of all rows so far."""
        return f"sha256:{self._sha.hexdigest()}"


_ENCODER = msgspec.json.Encoder()
_NO_TYPE = b',"instance_type":""}'
_NO_GROUPS = b',"resource_group":"","deployment_set":""}'
"""They cannot be part of a text: quotes inside a text are escaped."""
_PAGE = 512


class Proof(msgspec.Struct, frozen=True, gc=False):
    """Proof of an earlier run: this key was in force when the instance was last observed."""

    key_pair: str
    public_key_digest: str
    run: str


Proofs = dict[str, Proof]
"""Proof by instance id. Folded from the journals of earlier runs; an input of the planner."""
