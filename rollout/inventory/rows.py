"""Rows as DescribeInstances prints them → instances; many of them fast, and each one checked.

Used by the readers of files. A row that only names an instance is enough: the rest is asked of
the service, except with `--offline`.
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
from rollout.model.printable import escaped
from rollout.model.time import Instant

_SHOWN_MAX = 70
"""Characters of a malformed value that are shown: an id has at most 64."""
MEMO_MAX = 65_536
"""Different values of a field that are remembered: a fleet has few, but nobody promised."""

_IDS = re.compile(f"(?:{instance.ID_PATTERN} )*", re.ASCII)
_SILENT = (b"", b"null", b"{}", b'""')
_UNLOCKED = msgspec.Raw(b'{"LockReason":[]}')
"""What nearly every row says: to compare costs a fifth of asking the memo."""

ValueT = TypeVar("ValueT")


class RowError(ValueError):
    """A row cannot be taken: our code, the sentence, the fix, and the field of it, as `columns`
    calls it; empty where it is about the whole row.
    """

    def __init__(self, code: str, message: str, hint: str = "", field: str = "") -> None:
        super().__init__(code, message, hint)
        self.field = field


class Row(msgspec.Struct, frozen=True, gc=False):
    """One instance on the wire: the fields that planning needs, the others are passed over.

    `region_id` and `region_name` are what else a row may call its region, heeded where RegionId is
    silent. A field of the type UnsetType has no JSON value: where a row has it, it is a page, or it
    spells tags, locks or expiry in another way, and the value-by-value reader must read it.
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
    """The form of DescribeInstances exactly; `forms` reads all others."""

    rows: list[_Tag] = msgspec.field(name="Tag")


class Memo(dict[Any, ValueT], Generic[ValueT]):
    """Remembers what was made of a value: fleets repeat themselves; equal texts share memory."""

    def __init__(self, make: Callable[[Any], ValueT]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, key: object) -> ValueT:
        if len(self) >= MEMO_MAX:
            self.clear()
        made = self[key] = self._make(key)
        return made


class Maker:
    """Makes instances of one account out of rows. `region` is that of rows that name none.

    With `live` a row only says which instance: the service is asked for everything but id and
    region, so all other fields are passed over.
    """

    def __init__(self, account: str, region: str = "", *, live: bool = False) -> None:
        self.live = live
        self._make = (_namer if live else _maker)(account, region)

    def named(self, text: str) -> Instance:
        """An instance of which only the id is known."""
        return self.one(Row(text))

    def one(self, row: Row) -> Instance:
        """The instance of a row. RowError where it cannot be taken."""
        if not instance.is_id(row.id):
            hint = "an id is written like `i-bp1legacy0001`, one a row"
            raise RowError("R0203", f"a malformed instance id: {_shown(row.id)}", hint, "id")
        return self._make([row])[0]

    def many(self, rows: list[Row]) -> dict[str, Instance]:
        """The instances of many rows by id. RowError where a row cannot be taken, or where two
        have one id: which of them, `one` tells."""
        made = {each.id: each for each in self._make(rows)}
        if not _IDS.fullmatch(" ".join(made) + " ") or len(made) < len(rows):
            raise RowError("R0203", "a malformed or doubled instance id")
        return made


def _namer(account: str, default: str) -> Callable[[list[Row]], list[Instance]]:
    """The function that makes instances of which only id and region are known."""
    regions_ = Memo[str](lambda word: _region(word or default))

    def make(rows: list[Row]) -> list[Instance]:
        return [
            Instance(row.id, account, regions_[row.region or _region_word(row)]) for row in rows
        ]

    return make


def _maker(account: str, default: str) -> Callable[[list[Row]], list[Instance]]:
    """The function that makes instances; its memos are local names, since a million rows pass."""
    regions_ = Memo[str](lambda word: _region(word or default))
    homes = Memo[str | None](_home)
    texts = Memo[str](lambda word: word or "")
    families = Memo[OsFamily](lambda word: instance.os_family(word or ""))
    statuses = Memo[Status](lambda word: instance.status_of(word or ""))
    instants = Memo[Instant](lambda text: wire.parse_iso(text) or 0 if text else 0)
    expiries, optimized = Memo[Instant](_expiry), Memo[bool](_io_optimized)
    locks, tags = Memo[tuple[str, ...]](_locks), Memo[Tags](_tags)

    def make(rows: list[Row]) -> list[Instance]:
        made = []
        for row in rows:
            region = regions_[row.region or _region_word(row)]
            home, io = homes[row.zone], row.io_optimized
            if home is not region and home is not None:
                message = "the zone lies in another region than the row says"
                raise RowError("R0204", message, "correct one of the two", "zone")
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
                )
            )
        return made

    return make


_REGIONS = {region: region for region in regions.KNOWN}
"""Every region as one object, so that two of them are compared by identity."""


def _region_word(row: Row) -> str:
    """The region of a row without RegionId: by another name, or by its zone; empty for silence."""
    word = row.region_id or row.region_name or _home(row.zone) or ""
    if not isinstance(word, str):
        raise RowError("R0201", "the row's region is no text")
    return word


def _region(word: str) -> str:
    """The region of that name: by its id, or by a name that consoles print."""
    if not word:
        hint = "add a column or field for it, or give the source a `region`"
        raise RowError("R0204", "the row names no region", hint, "region")
    if word in _REGIONS:
        return _REGIONS[word]
    named = region_names.region_of(word)
    if not named and regions.is_name(word):
        return sys.intern(word)
    if not named:
        hint = regions.advice(word[:40])
        raise RowError("R0204", f"unknown region {_shown(word)}", hint, "region")
    return _REGIONS[named]


def _home(zone: str | None) -> str | None:
    """The region that a zone lies in, empty where none is known; None for silence.

    A name such as `杭州 可用区 K`, which consoles print, says nothing: it is no zone id.
    """
    if not zone or not zone.isascii():
        return None
    return max((each for each in regions.KNOWN if zone.startswith(each)), key=len, default="")


def _locks(raw: bytes) -> tuple[str, ...]:
    """Reasons of `OperationLocks`. RowError where the form is not known."""
    if raw in _SILENT:
        return ()
    return _formed(forms.locks, raw, "OperationLocks")


def _tags(raw: bytes) -> Tags:
    """Keys and values of `Tags`, in their order. RowError where the form is not known."""
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
        raise RowError("R0217", f"`{name}`: {message}: {_shown(text)}", hint, field) from None


def _shown(text: str) -> str:
    """The beginning of a value, escaped."""
    return f"`{escaped(text[:_SHOWN_MAX])}{'…' if len(text) > _SHOWN_MAX else ''}`"


def _expiry(text: str | None) -> Instant:
    """The instant a subscription ends, 0 where none is said."""
    if not text or text.strip().lower() in forms.NOTHING:
        return 0
    found = wire.parse_iso(text.strip())
    if found is None:
        hint = "write it like `2026-01-02T03:04Z`, or leave the field out"
        message = f"`ExpiredTime` has no known form: {_shown(text)}"
        raise RowError("R0217", message, hint, "expiredTime")
    return found


_OPTIMIZED = {"true": True, "optimized": True, "": True, "false": False, "none": False}


def _io_optimized(value: bool | str | None) -> bool:  # noqa: FBT001 - as the row says it
    """Whether the instance is I/O optimized. Silence means yes: all but retired ones are."""
    if value is None or isinstance(value, bool):
        return value is not False
    try:
        return _OPTIMIZED[value.strip().lower()]
    except KeyError:
        raise RowError("R0217", "`IoOptimized` has no known form", "write true or false") from None
