"""An instance as the service shows it, and a dated reading of many: the inventory.

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
    """What `OSType` says, in any case; everything else is unknown and never rotated."""

    LINUX = "linux"
    WINDOWS = "windows"
    UNKNOWN = "unknown"


class Status(enum.StrEnum):
    """The five states of the API, and `UNKNOWN` for silence or a word nobody knows."""

    PENDING = "Pending"
    STARTING = "Starting"
    RUNNING = "Running"
    STOPPING = "Stopping"
    STOPPED = "Stopped"
    UNKNOWN = "unknown"


Tags = tuple[tuple[str, str], ...]

ID_PATTERN = "i-[0-9a-z]{1,62}"
"""Form of an instance id: the API's own are `i-` and 8 to 20 letters of the region and digits."""

is_id = re.compile(ID_PATTERN, re.ASCII).fullmatch
"""Truthy where the whole text has that form; anything else never reaches the API."""


def os_family(word: str) -> OsFamily:
    """The family of that `OSType`, in any case; `UNKNOWN` for silence and everything else."""
    return _FAMILIES.get(word.lower(), OsFamily.UNKNOWN)


def status_of(word: str) -> Status:
    """The state of that word, in any case; `UNKNOWN` for silence and words nobody knows."""
    return _STATUSES.get(word.lower(), Status.UNKNOWN)


_FAMILIES = {family.value: family for family in OsFamily}
_STATUSES = {status.value.lower(): status for status in Status}


class Instance(msgspec.Struct, frozen=True, gc=False):
    """One instance at one instant. `started_at` has the minute's precision; 0 = never said."""

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


class MissingInstance(msgspec.Struct, frozen=True, gc=False):
    """An id that a source named and the service did not show."""

    id: str
    account: str
    region: str


class Inventory(msgspec.Struct, frozen=True):
    """All instances in scope, read at `as_of`, each id once.

    `live` is false where nothing was asked of the service (`--offline`). `merged` counts rows
    that named an id again. `notes` are warnings as (code, text) for the plan.
    """

    instances: tuple[Instance, ...]
    as_of: Instant
    live: bool = True
    lost: tuple[MissingInstance, ...] = ()
    merged: int = 0
    calls: int = 0
    notes: tuple[tuple[str, str], ...] = ()

    def pages(self) -> Iterator[tuple[Instance, ...]]:
        """The instances in order, so many at a time that a page fits the processor's cache.

        Instances lie in memory as they were read, not as they are sorted: to fetch one costs as
        much as to work on it. Who has several things to do with each does them page by page.
        """
        for start in range(0, len(self.instances), _PAGE):
            yield self.instances[start : start + _PAGE]


class Digest:
    """sha256 over the canonical bytes of every instance in order, then of the lost ids."""

    def __init__(self) -> None:
        self._sha = hashlib.sha256()

    def add(self, rows: Sequence[Instance | MissingInstance]) -> None:
        """The next rows: one object behind the other, nothing between (JSON holds no line feed)."""
        self._sha.update(_ENCODER.encode_lines(rows).replace(b"\n", b""))

    def text(self) -> str:
        """`sha256:…` of all rows so far."""
        return f"sha256:{self._sha.hexdigest()}"


_ENCODER = msgspec.json.Encoder()
_PAGE = 512


class Proof(msgspec.Struct, frozen=True, gc=False):
    """What an earlier run proved of an instance: this key was in force when it was last seen."""

    key_pair: str
    public_key_digest: str
    run: str


Proofs = dict[str, Proof]
"""Instance id to proof. Folded from the journals of earlier runs, an input of the planner."""
