"""Rows of a fleet file: their fields, and the loader that adds them to a fleet.

Called by the reader of fleet files. Shapes, tags and key pairs that rows share are created once.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from operator import attrgetter
from typing import Annotated, Final

import msgspec

from rollout.ecs import wire
from rollout.emulator.cloud import regions
from rollout.emulator.cloud.fleet import FleetBuilder
from rollout.emulator.cloud.keypairs import NONE, body_is_legal, fingerprint
from rollout.emulator.cloud.lifecycle import MINUTE_MS, BaseStatus, OperationLock
from rollout.emulator.cloud.regions import EmulatedRegion
from rollout.emulator.cloud.shapes import FAR_EXPIRY, Image, Shape
from rollout.emulator.fleet import synthetic

_ID: Final = re.compile(r"[A-Za-z0-9-]{1,64}")
_HOUR_MS: Final = 3_600_000
_MONTH_MS: Final = 30 * 24 * _HOUR_MS

BOOTS_MAX: Final = 60_000
"""Boots are counted in two bytes; this leaves room for the boots of a run."""


class FleetRow(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """One instance, or `count` equal ones; with count 0 only the key pair.

    Absent fields have a plain default.

    `key_pair` null (empty in CSV) = none; absent = the former key pair of the region, on Linux.
    `public_key` is the OpenSSH line of `key_pair`; absent = that of an earlier row of the region,
    or a made-up one. `key_in_force` absent = `key_pair`.
    `start_time` is `2026-01-02T03:04Z`, else an hour ago.
    In CSV `tags` is `app=cart;tier=web` and `locks` is `financial;security`.
    """

    instance: str | None = None
    region: str = regions.DEFAULT[0]
    zone: str = ""
    name: str | None = None
    os_type: str = "linux"
    os_name: str | None = None
    image: str | None = None
    status: str = "Running"
    key_pair: str | msgspec.UnsetType | None = msgspec.UNSET
    public_key: str | None = None
    key_in_force: str | msgspec.UnsetType | None = msgspec.UNSET
    boots: Annotated[int, msgspec.Meta(ge=0, le=BOOTS_MAX)] = 1
    start_time: str | None = None
    tags: dict[str, str] = msgspec.field(default_factory=dict)
    locks: tuple[str, ...] = ()
    io_optimized: bool = True
    instance_type: str = "ecs.g7.large"
    charge_type: str = "PostPaid"
    spot_strategy: str = "NoSpot"
    expired_time: str = FAR_EXPIRY
    vpc: str = ""
    vswitch: str = ""
    security_group: str = ""
    resource_group: str = ""
    deployment_set: str = ""
    login_user: str = "root"
    count: Annotated[int, msgspec.Meta(ge=0)] = 1


class Loader:
    """Fills a fleet row by row. The first row of a region opens it."""

    def __init__(self, seed: int, now: int) -> None:
        self.builder = FleetBuilder(now)
        self._seed = seed
        self._now = now
        self._region = EmulatedRegion("", "", "", ())
        self._shapes: dict[tuple[object, ...], int] = {}

    def add(self, row: FleetRow) -> None:
        """Add the instances of one row. Errors: ValueError for invalid values."""
        if row.region != self._region.name:
            self._region = self.builder.open_region(row.region)
        if row.instance is not None and (row.count != 1 or not _ID.fullmatch(row.instance)):
            raise ValueError(f"not an instance id: {row.instance!r}")
        start_ms = self._now - _HOUR_MS if row.start_time is None else _instant(row.start_time)
        standard = None if row.os_type.lower() == "windows" else synthetic.FORMER_KEY_PAIR
        name = _or(row.key_pair, standard)
        record = self._key(name) if row.public_key is None else self._given(name, row.public_key)
        guest = self._key(_or(row.key_in_force, name))
        shape, tags = self._shape_number(row), self.builder.tags(tuple(row.tags.items()))
        status, lock = _status(row.status), _lock(row.locks)
        for _ in range(row.count):
            self.builder.add(
                shape,
                tags,
                status=status,
                record=record,
                guest=guest,
                lock=lock,
                start_ms=start_ms,
                created_minute=max(start_ms - _MONTH_MS, 0) // MINUTE_MS,
                instance=row.instance,
                name=row.name,
                boots=row.boots,
            )

    def _given(self, name: str | None, line: str) -> int:
        """Return the number of a key pair whose public key the row contains."""
        if not name:
            raise ValueError("public_key without a key_pair")
        body = line.strip()
        if not body_is_legal(body, ed25519=True):
            raise ValueError("public_key is not one line of an OpenSSH public key")
        pair = self.builder.key_pair(name, body)
        if fingerprint(pair.body) != fingerprint(body):
            raise ValueError(f"key pair {name!r} has another public key in an earlier row")
        return pair.number

    def _key(self, name: str | None) -> int:
        """Return the number of a key pair; each key pair of a row has its own public key."""
        if not name:
            return NONE
        region = self._region.name
        if pair := self.builder.pairs.find(region, name):
            return pair.number
        if name == synthetic.FORMER_KEY_PAIR:
            body = synthetic.former_public_key(self._seed, region)
        else:
            private = synthetic.former_private_key(self._seed, f"{region}/{name}")
            body = synthetic.ed25519_line(private, name)
        return self.builder.key_pair(name, body).number

    def _shape_number(self, row: FleetRow) -> int:
        key = _shape_key(row)
        if key not in self._shapes:
            self._shapes[key] = self.builder.shape(_shape(self._region, row))
        return self._shapes[key]


_shape_key: Final = attrgetter(
    "region",
    "zone",
    "os_type",
    "os_name",
    "image",
    "io_optimized",
    "instance_type",
    "charge_type",
    "spot_strategy",
    "expired_time",
    "vpc",
    "vswitch",
    "security_group",
    "resource_group",
    "deployment_set",
    "login_user",
)


def _or(name: str | msgspec.UnsetType | None, standard: str | None) -> str | None:
    """Return a value of a row, or the default if it is absent; null is a value."""
    return standard if name is msgspec.UNSET else name


@lru_cache(maxsize=4096)
def _instant(text: str) -> int:
    instant = wire.parse_iso(text)
    if instant is None:
        raise ValueError(f"not an instant: {text!r}")
    return instant


@lru_cache(maxsize=64)
def _status(text: str) -> BaseStatus:
    status = BaseStatus.__members__.get(text.upper())
    if status is None or status is BaseStatus.RELEASED:
        raise ValueError(f"not a status: {text!r}")
    return status


def _lock(names: Iterable[str]) -> OperationLock:
    lock = OperationLock.NONE
    for name in names:
        if name.upper() not in OperationLock.__members__:
            raise ValueError(f"not a lock reason: {name!r}")
        lock |= OperationLock[name.upper()]
    return lock


def _shape(region: EmulatedRegion, row: FleetRow) -> Shape:
    standard = (
        synthetic.WINDOWS_IMAGE if row.os_type.lower() == "windows" else synthetic.LINUX_IMAGES[0]
    )
    image = Image(
        standard.image_id if row.image is None else row.image,
        row.os_type,
        standard.os_name if row.os_name is None else row.os_name,
        row.login_user,
    )
    return Shape(
        region=region,
        zone=row.zone or region.zones[0],
        image=image,
        instance_type=row.instance_type,
        vpc=row.vpc or f"vpc-{region.prefix}emulator",
        vswitch=row.vswitch or f"vsw-{region.prefix}emulator",
        security_group=row.security_group or f"sg-{region.prefix}emulator",
        charge_type=row.charge_type,
        spot_strategy=row.spot_strategy,
        io_optimized=row.io_optimized,
        resource_group=row.resource_group,
        deployment_set=row.deployment_set,
        expired_time=row.expired_time,
    )
