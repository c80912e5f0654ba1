"""Convert rows in the form of DescribeInstances to instances, with checks.

Used by the readers of files. An id is enough for a row: the other fields are read from the service,
except with `--offline`.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from typing import Annotated, Any, Generic, TypeVar

import msgspec

from rollout.ecs import wire
from rollout.inventory import forms
from rollout.model import instance, region_names, regions
from rollout.model.instance import Instance, OsFamily, Status, Tags
from rollout.model.phrase import Wording, say
from rollout.model.printable import escaped
from rollout.model.time import Instant

_QUOTED_MAX = 70
"""Maximum characters of a malformed value in a message. An id has at most 64."""
MEMO_MAX = 65_536
"""Maximum distinct values of a field that are cached. A fleet has few."""

_IDS = re.compile(f"(?:{instance.ID_PATTERN} )*", re.ASCII)
_SILENT = (b"", b"null", b"{}", b'""')
_UNLOCKED = msgspec.Raw(b'{"LockReason":[]}')
"""The value in nearly every row: comparing it costs a fifth of a cache lookup."""

ValueT = TypeVar("ValueT")


class RowError(ValueError):
    """A row is refused: code, message, fix, and the field by its name in `columns`. The field is
    empty if the error is about the whole row.
    """

    def __init__(self, code: str, message: Wording, hint: Wording = "", field: str = "") -> None:
        super().__init__(code, message, hint)
        self.field = field


class Row(msgspec.Struct, frozen=True, gc=False):
    """An instance in JSON: only the fields that planning needs.

    `region_id` and `region_name` are other names of the region, used if RegionId is empty. Decoding
    fails for a row with a field of the type UnsetType: it is a page, or has other names for tags,
    locks or expiry, so the value-by-value reader must read it.
    """

    id: str = msgspec.field(name="InstanceId")
    region: str | None = msgspec.field(name="RegionId", default=None)
    zone: str | None = msgspec.field(name="ZoneId", default=None)
    os: str | None = msgspec.field(name="OSType", default=None)
    os_name: str | None = msgspec.field(name="OSName", default=None)
    status: str | None = msgspec.field(name="Status", default=None)
    key_pair: str | None = msgspec.field(name="KeyPairName", default=None)
    image: str | None = msgspec.field(name="ImageId", default=None)
    started: str | None = msgspec.field(name="StartTime", default=None)
    expires: str | None = msgspec.field(name="ExpiredTime", default=None)
    io_optimized: bool | str | None = msgspec.field(name="IoOptimized", default=None)
    locks: msgspec.Raw = msgspec.field(name="OperationLocks", default=msgspec.Raw())
    tags: msgspec.Raw = msgspec.field(name="Tags", default=msgspec.Raw())
    resource_group: str | None = msgspec.field(name="ResourceGroupId", default=None)
    deployment_set: str | None = msgspec.field(name="DeploymentSetId", default=None)
    instance_type: str | None = msgspec.field(name="InstanceType", default=None)
    region_id: Any = None
    region_name: Any = msgspec.field(name="region", default=None)
    page: msgspec.UnsetType = msgspec.field(name="Instances", default=msgspec.UNSET)
    tags_1: msgspec.UnsetType = msgspec.field(name="tags", default=msgspec.UNSET)
    tags_2: msgspec.UnsetType = msgspec.field(name="Tag", default=msgspec.UNSET)
    locks_1: msgspec.UnsetType = msgspec.field(name="operationLocks", default=msgspec.UNSET)
    locks_3: msgspec.UnsetType = msgspec.field(name="locks", default=msgspec.UNSET)


class _Tag(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    key: Annotated[str, msgspec.Meta(min_length=1)] = msgspec.field(name="TagKey")
    value: str = msgspec.field(name="TagValue", default="")


class _Tags(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """Exactly the form of DescribeInstances. `forms` reads all others."""

    rows: list[_Tag] = msgspec.field(name="Tag")


class Memo(dict[Any, ValueT], Generic[ValueT]):
    """A cache of converted values: fleets repeat values, and equal texts share memory."""

    def __init__(self, make: Callable[[Any], ValueT]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, key: object) -> ValueT:
        if len(self) >= MEMO_MAX:
            self.clear()
        made = self[key] = self._make(key)
        return made


class Maker:
    """Makes instances of one account from rows. `region` is the region of rows without one.

    With `live`, only the id and the region of a row are used.
    """

    def __init__(self, account: str, region: str = "", *, live: bool = False) -> None:
        self.live = live
        self._make = (_namer if live else _maker)(account, region)

    def named(self, text: str) -> Instance:
        """Return an instance of which only the id is known."""
        return self.one(Row(text))

    def one(self, row: Row) -> Instance:
        """Return the instance of a row. Errors: RowError if it is refused."""
        if not instance.is_id(row.id):
            hint = say("an id is written like `i-bp1legacy0001`, one per row")
            raise RowError(
                "R0203", say("a malformed instance id: {text}", text=_quoted(row.id)), hint, "id"
            )
        return self._make([row])[0]

    def many(self, rows: list[Row]) -> dict[str, Instance]:
        """Return the instances of many rows by id. Errors: RowError if a row is refused, or if two
        have the same id. Call `one` for each row to find out which.
        """
        made = {each.id: each for each in self._make(rows)}
        if not _IDS.fullmatch(" ".join(made) + " ") or len(made) < len(rows):
            raise RowError("R0203", say("a malformed or duplicate instance id"))
        return made


def _namer(account: str, default: str) -> Callable[[list[Row]], list[Instance]]:
    """Return the function that makes instances of which only id and region are known."""
    regions_ = Memo[str](lambda text: _region(text or default))

    def make(rows: list[Row]) -> list[Instance]:
        return [
            Instance(row.id, account, regions_[row.region or _region_text(row)]) for row in rows
        ]

    return make


def _maker(account: str, default: str) -> Callable[[list[Row]], list[Instance]]:
    """Return the function that makes instances. Its caches are local names, for speed."""
    regions_ = Memo[str](lambda text: _region(text or default))
    homes = Memo[str | None](_home)
    texts = Memo[str](lambda text: text or "")
    families = Memo[OsFamily](lambda text: instance.os_family(text or ""))
    statuses = Memo[Status](lambda text: instance.status_of(text or ""))
    instants = Memo[Instant](lambda text: wire.parse_iso(text) or 0 if text else 0)
    expiries, optimized = Memo[Instant](_expiry), Memo[bool](_io_optimized)
    locks, tags = Memo[tuple[str, ...]](_locks), Memo[Tags](_tags)

    def make(rows: list[Row]) -> list[Instance]:
        made = []
        for row in rows:
            region = regions_[row.region or _region_text(row)]
            home, io = homes[row.zone], row.io_optimized
            if home is not region and home is not None:
                message = say("the zone is not in the region of the row")
                raise RowError("R0204", message, say("correct one of the two"), "zone")
            made.append(
                Instance(
                    row.id,
                    account,
                    region,
                    texts[row.zone],
                    families[row.os],
                    texts[row.os_name],
                    statuses[row.status],
                    texts[row.key_pair],
                    texts[row.image],
                    instants[row.started],
                    expiries[row.expires],
                    io is True or optimized[io],
                    () if row.locks == _UNLOCKED else locks[bytes(row.locks)],
                    tags[bytes(row.tags)],
                    texts[row.resource_group],
                    texts[row.deployment_set],
                    texts[row.instance_type],
                )
            )
        return made

    return make


_REGIONS = {region: region for region in regions.KNOWN}
"""One object per region, so that regions are compared by identity."""


def _region_text(row: Row) -> str:
    """Return the region of a row without RegionId: another field, its zone or an empty text."""
    text = row.region_id or row.region_name or _home(row.zone) or ""
    if not isinstance(text, str):
        raise RowError("R0201", say("the row's region is not text"))
    return text


def _region(text: str) -> str:
    """Return the region with this id, or with this name in consoles."""
    if not text:
        hint = say("add a column or field for it, or give the source a `region`")
        raise RowError("R0204", say("the row names no region"), hint, "region")
    if text in _REGIONS:
        return _REGIONS[text]
    named = region_names.region_of(text)
    if not named and regions.is_name(text):
        return sys.intern(text)
    if not named:
        advice = regions.advice(text[:40])
        raise RowError("R0204", say("unknown region {text}", text=_quoted(text)), advice, "region")
    return _REGIONS[named]


def _home(zone: str | None) -> str | None:
    """Return the region of a zone, an empty text if it is unknown, or None without a zone id.

    A name such as `杭州 可用区 K`, which consoles print, is not a zone id.
    """
    if not zone or not zone.isascii():
        return None
    return max((each for each in regions.KNOWN if zone.startswith(each)), key=len, default="")


def _locks(raw: bytes) -> tuple[str, ...]:
    """Return the reasons in `OperationLocks`. Errors: RowError if its form is unknown."""
    if raw in _SILENT:
        return ()
    return _formed(forms.locks, raw, "OperationLocks")


def _tags(raw: bytes) -> Tags:
    """Return the keys and values in `Tags`, in order. Errors: RowError if its form is unknown."""
    if raw in _SILENT:
        return ()
    try:
        rows = _TAGS.decode(raw).rows
    except msgspec.MsgspecError:
        return _formed(forms.tags, raw, "Tags")
    found = tuple([(row.key, row.value) for row in rows])
    return (
        found if len({key for key, _ in found}) == len(found) else _formed(forms.tags, raw, "Tags")
    )


_TAGS = msgspec.json.Decoder(_Tags)


def _formed(read: Callable[[Any], ValueT], raw: bytes, name: str) -> ValueT:
    value = json.loads(raw)
    try:
        return read(value)
    except forms.FormError as error:
        message, hint = error.args
        text = value if isinstance(value, str) else raw.decode()
        field = "tags" if name == "Tags" else "locks"
        raise RowError(
            "R0217",
            say("`{name}`: {message}: {text}", name=name, message=message, text=_quoted(text)),
            hint,
            field,
        ) from None


def _quoted(text: str) -> str:
    """Return the start of a value, escaped."""
    return f"`{escaped(text[:_QUOTED_MAX])}{'…' if len(text) > _QUOTED_MAX else ''}`"


def _expiry(text: str | None) -> Instant:
    """Return the instant at which a subscription ends, or 0."""
    if not text or text.strip().lower() in forms.NOTHING:
        return 0
    found = wire.parse_iso(text.strip())
    if found is None:
        hint = say("write it like `2026-01-02T03:04Z`, or omit the field")
        message = say("`ExpiredTime` has an unknown form: {text}", text=_quoted(text))
        raise RowError("R0217", message, hint, "expiredTime")
    return found


_OPTIMIZED = {"true": True, "optimized": True, "": True, "false": False, "none": False}


def _io_optimized(value: bool | str | None) -> bool:  # noqa: FBT001 - the value in the row
    """Return whether the instance is I/O optimized. Default: yes, as all current instance types."""
    if value is None or isinstance(value, bool):
        return value is not False
    try:
        return _OPTIMIZED[value.strip().lower()]
    except KeyError:
        raise RowError(
            "R0217", say("`IoOptimized` has an unknown form"), say("write true or false")
        ) from None
