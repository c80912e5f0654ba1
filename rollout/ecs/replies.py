"""Read replies of Describe actions and of GetCallerIdentity into the model.

Called by the client and by the simulator. Pure. An unreadable reply is `Unknown`, never an empty
list. The typed decoders are fast; documents that they refuse (XML, other spelling, numbers as text)
are read by the tolerant decoder, with the same result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Final, TypeVar

import msgspec

from rollout.ecs import contract, verdict, wire
from rollout.model.instance import Instance, OsFamily, Status
from rollout.model.observation import Described, KeyDescribed, StatusesDescribed
from rollout.model.outcome import Done, Refused, Unknown
from rollout.model.time import Instant

DRY_RUN_IGNORED: Final = "dry_run_ignored"
"""`why` of a dry run whose reply is that of the call itself."""

T = TypeVar("T")
RowT = TypeVar("RowT", bound=msgspec.Struct)


class Region(msgspec.Struct, frozen=True):
    """A region of the account and the host that serves it."""

    id: str
    endpoint: str


class ListedKeyPair(msgspec.Struct, frozen=True):
    """A key pair of a region."""

    name: str
    fingerprint: str
    created_at: Instant


class KeyPairPage(msgspec.Struct, frozen=True):
    """A page of a region's key pairs. `total` counts the key pairs of all pages."""

    key_pairs: tuple[ListedKeyPair, ...]
    total: int


class CallerIdentity(msgspec.Struct, frozen=True):
    """The owner of the credentials. `kind` is `Account`, `RAMUser` or `AssumedRoleUser`."""

    account: str
    arn: str
    kind: str = ""


class _Lock(msgspec.Struct, frozen=True, gc=False):
    reason: str | None = msgspec.field(name="LockReason", default=None)


class _Locks(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    rows: list[_Lock] | None = msgspec.field(name="LockReason", default=None)


class _Tag(msgspec.Struct, frozen=True, gc=False):
    key: str | None = msgspec.field(name="TagKey", default=None)
    value: str | None = msgspec.field(name="TagValue", default=None)


class _Tags(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    rows: list[_Tag] | None = msgspec.field(name="Tag", default=None)


class _Row(msgspec.Struct, frozen=True, gc=False):
    """One instance of DescribeInstances: the fields that the planner and the run need."""

    id: str = msgspec.field(name="InstanceId")
    status: str = msgspec.field(name="Status")
    region: str | None = msgspec.field(name="RegionId", default=None)
    zone: str | None = msgspec.field(name="ZoneId", default=None)
    os: str | None = msgspec.field(name="OSType", default=None)
    os_name: str | None = msgspec.field(name="OSName", default=None)
    os_name_en: str | None = msgspec.field(name="OSNameEn", default=None)
    key_pair: str | None = msgspec.field(name="KeyPairName", default=None)
    image: str | None = msgspec.field(name="ImageId", default=None)
    started: str | None = msgspec.field(name="StartTime", default=None)
    expires: str | None = msgspec.field(name="ExpiredTime", default=None)
    io_optimized: bool | str | None = msgspec.field(name="IoOptimized", default=None)
    locks: _Locks | None = msgspec.field(name="OperationLocks", default=None)
    tags: _Tags | None = msgspec.field(name="Tags", default=None)
    resource_group: str | None = msgspec.field(name="ResourceGroupId", default=None)
    deployment_set: str | None = msgspec.field(name="DeploymentSetId", default=None)
    instance_type: str | None = msgspec.field(name="InstanceType", default=None)


class _Rows(msgspec.Struct, frozen=True, gc=False):
    rows: list[_Row] = msgspec.field(name="Instance")


class _Page(msgspec.Struct, frozen=True, gc=False):
    instances: _Rows = msgspec.field(name="Instances")
    request_id: str = msgspec.field(name="RequestId")
    next_token: str | None = msgspec.field(name="NextToken", default=None)
    total: int | str | None = msgspec.field(name="TotalCount", default=None)


class _Key(msgspec.Struct, frozen=True, gc=False):
    name: str = msgspec.field(name="KeyPairName")
    fingerprint: str | None = msgspec.field(name="KeyPairFingerPrint", default=None)
    public_key: str | None = msgspec.field(name="PublicKey", default=None)
    created: str | None = msgspec.field(name="CreationTime", default=None)


class _KeyTags(msgspec.Struct, frozen=True, gc=False):
    name: str = msgspec.field(name="KeyPairName")
    tags: object = msgspec.field(name="Tags", default=None)


class _StatusRow(msgspec.Struct, frozen=True, gc=False):
    id: str = msgspec.field(name="InstanceId")
    status: str = msgspec.field(name="Status")


class _RegionRow(msgspec.Struct, frozen=True, gc=False):
    id: str = msgspec.field(name="RegionId")
    endpoint: str | None = msgspec.field(name="RegionEndpoint", default=None)


class _IdentityRow(msgspec.Struct, frozen=True, gc=False):
    account: str = msgspec.field(name="AccountId")
    arn: str = msgspec.field(name="Arn")
    kind: str | None = msgspec.field(name="IdentityType", default=None)


_PAGE = msgspec.json.Decoder(_Page)
_STATUSES = {status.value: status for status in Status}
_STATUSES_FOLDED = {status.value.lower(): status for status in Status}
_NOT_OPTIMIZED = (False, "false", "False", "none")
"""A missing value means true: all but the oldest, retired types are I/O optimized."""
_FAMILIES = {family.value: family for family in OsFamily}


def described(
    reply: verdict.JudgedReply, account: str, region: str
) -> Described | Refused | Unknown:
    """Read DescribeInstances. Rows without a region get the region of the request."""

    def read(at: Instant) -> Described:
        page = _page(reply.body)
        rows = tuple([_instance(row, account, region) for row in page.instances.rows])
        total = _count(page.total)
        return Described(rows, at, page.next_token or "", page.request_id, reply.left_at, total)

    return _read(reply, read)


def key_described(reply: verdict.JudgedReply, name: str) -> KeyDescribed | Refused | Unknown:
    """Read DescribeKeyPairs. The service matches by wildcard, so the name is compared again."""

    def read(at: Instant) -> KeyDescribed:
        for row in _rows(wire.decode(reply.body), "keypairs", "keypair", _Key):
            if row.name == name:
                return KeyDescribed(row.public_key or "", row.fingerprint or "", at)
        return KeyDescribed("", "", at, found=False)

    return _read(reply, read)


def key_pair_tags(reply: verdict.JudgedReply, name: str) -> dict[str, str] | Refused | Unknown:
    """Read the tags of one key pair in DescribeKeyPairs; tags without a key are left out."""

    def read(_: Instant) -> dict[str, str]:
        for row in _rows(wire.decode(reply.body), "keypairs", "keypair", _KeyTags):
            if row.name == name:
                tags = [_convert(tag, _Tag) for tag in _form(row.tags, "tag")]
                return {tag.key: tag.value or "" for tag in tags if tag.key}
        return {}

    return _read(reply, read)


def key_pairs(reply: verdict.JudgedReply) -> KeyPairPage | Refused | Unknown:
    """Read a page of DescribeKeyPairs."""

    def read(_: Instant) -> KeyPairPage:
        document = wire.decode(reply.body)
        rows = _rows(document, "keypairs", "keypair", _Key)
        pairs = [
            ListedKeyPair(row.name, row.fingerprint or "", _instant(row.created)) for row in rows
        ]
        total = document.get("totalcount")
        return KeyPairPage(tuple(pairs), _count(total if isinstance(total, int | str) else None))

    return _read(reply, read)


def statuses(reply: verdict.JudgedReply) -> StatusesDescribed | Refused | Unknown:
    """Read DescribeInstanceStatus."""

    def read(at: Instant) -> StatusesDescribed:
        rows = _rows(wire.decode(reply.body), "instancestatuses", "instancestatus", _StatusRow)
        return StatusesDescribed({row.id: _status(row.status) for row in rows}, at)

    return _read(reply, read)


def regions(reply: verdict.JudgedReply) -> tuple[Region, ...] | Refused | Unknown:
    """Read DescribeRegions."""

    def read(_: Instant) -> tuple[Region, ...]:
        rows = _rows(wire.decode(reply.body), "regions", "region", _RegionRow)
        return tuple(Region(row.id, row.endpoint or "") for row in rows)

    return _read(reply, read)


def identity(reply: verdict.JudgedReply) -> CallerIdentity | Refused | Unknown:
    """Read GetCallerIdentity. An account id of digits may come as a number."""

    def read(_: Instant) -> CallerIdentity:
        row = _convert(wire.decode(reply.body), _IdentityRow)
        return CallerIdentity(row.account, row.arn, row.kind or "")

    return _read(reply, read)


def dry_run(reply: verdict.JudgedReply) -> Done | Refused | Unknown:
    """Read a dry run. It passes with an error code; a success proves nothing about permission."""
    failure = reply.failure
    if failure is None:
        code, _, request_id = verdict.error_fields(reply.body)
        why = DRY_RUN_IGNORED if request_id else verdict.PROXY
        failure = Unknown(why, reply.trace, reply.api_time)
    else:
        code = failure.code if isinstance(failure, Refused) else failure.why
        request_id = failure.request_id
    if request_id and contract.error_class(code) is contract.ErrorClass.DRY_RUN_PASSED:
        return Done(request_id, reply.api_time)
    return failure


def permission(reply: verdict.JudgedReply) -> Done | Refused | Unknown:
    """Read the dry run of a restart: `Done` if it proves that the caller may restart.

    A refusal may prove it too: some codes come only after the service checked permission.
    """
    outcome = dry_run(reply)
    if isinstance(outcome, Refused) and outcome.code in contract.PROVES_PERMISSION:
        return Done(outcome.request_id, outcome.api_time)
    return outcome


def only(rows: Sequence[Instance], ids: Sequence[str]) -> tuple[Instance, ...]:
    """Return the requested rows, each id once; ids with contradictory rows are left out."""
    wanted = set(ids)
    kept: dict[str, Instance | None] = {}
    for row in rows:
        if row.id in wanted:
            kept[row.id] = row if kept.get(row.id, row) == row else None
    return tuple(row for row in kept.values() if row is not None)


def _read(reply: verdict.JudgedReply, read: Callable[[Instant], T]) -> T | Refused | Unknown:
    """Run the reader on a 2xx reply; an unreadable one is `Unknown`."""
    if reply.failure is not None:
        return reply.failure
    try:
        return read(reply.api_time)
    except (wire.MalformedError, msgspec.MsgspecError):
        return Unknown(verdict.PROXY, reply.trace, reply.api_time)


def _page(body: bytes) -> _Page:
    """Decode a page the fast way, or the tolerant one."""
    try:
        return _PAGE.decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        document = wire.decode(body)
    if "instances" not in document:
        raise wire.MalformedError("no instances")
    rows = [_row(row) for row in wire.items(document["instances"], "instance")]
    head = {name: document.get(name.lower()) for name in ("RequestId", "NextToken", "TotalCount")}
    return msgspec.structs.replace(
        msgspec.convert({**head, "Instances": {"Instance": []}}, _Page), instances=_Rows(rows)
    )


def _row(row: object) -> _Row:
    """Build a row from folded names."""
    if not isinstance(row, dict):
        raise wire.MalformedError("no instance")
    locks = _form(row.pop("operationlocks", None), "lockreason")
    tags = _form(row.pop("tags", None), "tag")
    return msgspec.structs.replace(
        _convert(row, _Row),
        locks=_Locks([_convert(lock, _Lock) for lock in locks]),
        tags=_Tags([_convert(tag, _Tag) for tag in tags]),
    )


def _form(parent: object, singular: str) -> list[object]:
    """Read a list that decisions depend on. MalformedError if it has another form."""
    if isinstance(parent, Mapping) and parent.keys() - {singular}:
        raise wire.MalformedError(f"no list of {singular}")
    return wire.items(parent, singular)


def _rows(
    document: Mapping[str, object], plural: str, singular: str, kind: type[RowT]
) -> list[RowT]:
    """Read a list out of a folded document; a missing list is malformed, not empty."""
    if plural not in document:
        raise wire.MalformedError(f"no {plural}")
    return [_convert(row, kind) for row in wire.items(document[plural], singular)]


def _convert(row: object, kind: type[RowT]) -> RowT:
    """Build a flat struct from folded names; a number where a text belongs becomes one."""
    if not isinstance(row, Mapping):
        raise wire.MalformedError("no row")
    known = {
        field.encode_name: str(value) if type(value) is int else value
        for field in _fields(kind)
        if (value := row.get(field.encode_name.lower())) is not None
    }
    return msgspec.convert(known, kind)


@lru_cache(maxsize=16)
def _fields(kind: type[msgspec.Struct]) -> tuple[msgspec.structs.FieldInfo, ...]:
    """The fields of a struct; cached, since msgspec reads the annotations at each call."""
    return msgspec.structs.fields(kind)


def _instance(row: _Row, account: str, region: str) -> Instance:
    """Turn a row into the model's instance. Unknown values become `UNKNOWN`."""
    return Instance(
        row.id,
        account,
        row.region or region,
        row.zone or "",
        _FAMILIES.get(row.os or "") or _family(row.os),
        row.os_name or row.os_name_en or "",
        _STATUSES.get(row.status) or _status(row.status),
        row.key_pair or "",
        row.image or "",
        _instant(row.started),
        _instant(row.expires),
        row.io_optimized not in _NOT_OPTIMIZED,
        _locks(row.locks) if row.locks is not None else (),
        _tags(row.tags) if row.tags is not None else (),
        row.resource_group or "",
        row.deployment_set or "",
        row.instance_type or "",
    )


def _count(total: int | str | None) -> int:
    """Return TotalCount as a number; some replies have it as text."""
    if isinstance(total, str):
        return int(total) if total.isascii() and total.isdigit() and len(total) < 18 else 0
    return total or 0


def _family(text: str | None) -> OsFamily:
    """Return `OSType`, spelled in any case."""
    return _FAMILIES.get((text or "").lower(), OsFamily.UNKNOWN)


def _status(text: str) -> Status:
    """Return a status, spelled in any case."""
    return _STATUSES_FOLDED.get(text.lower(), Status.UNKNOWN)


def _locks(locks: _Locks) -> tuple[str, ...]:
    """Return the reasons of all locks; a lock without a reason counts too."""
    return tuple([row.reason or "no reason given" for row in locks.rows or ()])


def _tags(tags: _Tags) -> tuple[tuple[str, str], ...]:
    """Tags in the service's order. MalformedError where one has no key: rules depend on tags."""
    rows = tags.rows or ()
    if not all(row.key for row in rows):
        raise wire.MalformedError("a tag without a key")
    return tuple([(row.key or "", row.value or "") for row in rows])


@lru_cache(maxsize=65_536)
def _instant(text: str | None) -> Instant:
    """Parse a time of a row, 0 if there is none; cached, since instances share their minutes."""
    return wire.parse_iso(text) or 0 if text else 0
