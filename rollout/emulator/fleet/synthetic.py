"""Synthetic fleets: the same seed, size and regions give the same fleet.

Called by the command line, the tests and the simulator. Every region has a former key pair, and
Linux and Windows, Running and Stopped, keyless and locked instances. Three plain targets of each
image come first, so that the absence of a reboot can be proved there. Only faults cause failures.
"""

import base64
import hashlib
from collections.abc import Sequence
from typing import Final

from rollout.emulator.cloud import regions as region_table
from rollout.emulator.cloud.fleet import Fleet, FleetBuilder
from rollout.emulator.cloud.keypairs import NONE
from rollout.emulator.cloud.lifecycle import MINUTE_MS, BaseStatus, OperationLock
from rollout.emulator.cloud.regions import EmulatedRegion
from rollout.emulator.cloud.shapes import Image, Shape

FORMER_KEY_PAIR: Final = "fleet-former"

LINUX_IMAGES: Final = (
    Image(
        "aliyun_3_x64_20G_alibase_20250629.vhd", "linux", "Alibaba Cloud Linux  3.2104 LTS 64 bit"
    ),
    Image("ubuntu_22_04_x64_20G_alibase_20250623.vhd", "linux", "Ubuntu  22.04 64 bit"),
    Image("debian_12_10_x64_20G_alibase_20250617.vhd", "linux", "Debian  12.10 64 bit", "ecs-user"),
)
WINDOWS_IMAGE: Final = Image(
    "win2022_21H2_x64_dtc_en-us_40G_alibase_20250618.vhd",
    "windows",
    "Windows Server  2022 Datacenter Edition 64 bit English Edition",
)

_TYPES: Final = (("ecs.g7.large", 2, 8192), ("ecs.c7.xlarge", 4, 8192), ("ecs.r7.large", 2, 16384))
_OLD_TYPE: Final = ("ecs.t1.small", 1, 1024)  # retired generation, not I/O optimised
_APPS: Final = ("cart", "search", "payments", "catalog", "login", "mail", "reports", "gateway")
_TIERS: Final = ("web", "app", "data")
_ENVIRONMENTS: Final = ("prod", "prod", "prod", "staging")
_RESOURCE_GROUPS: Final = ("rg-front", "rg-back", "rg-data")  # one for each type
_APP_INSTANCES: Final = 40
_QUORUM_MEMBERS: Final = 3
_QUORUM_EVERY: Final = 12  # one of this many instances belongs to a quorum

_HOUR_MINUTES: Final = 60
_DAY_MINUTES: Final = 24 * 60
_MONTH_MINUTES: Final = 30 * _DAY_MINUTES

# What one random byte makes of an instance; the first share above it applies.
_KINDS: Final = (
    (18, "windows"),
    (21, "windows stopped"),
    (41, "keyless"),
    (47, "locked for payment"),
    (51, "locked for security"),
    (52, "not optimized"),
    (80, "stopped"),
    (256, "running"),
)

# The first instances of each region for any seed: one of each kind, then plain targets.
_ROLL_CALL: Final = (
    "windows",
    "keyless",
    "stopped",
    "locked for security",
    "locked for payment",
    "windows stopped",
)


def build(
    *,
    size: int,
    seed: int,
    now: int,
    regions: Sequence[str] = region_table.DEFAULT,
) -> Fleet:
    """Return a fleet of `size` instances, spread evenly over `regions`.

    Units: `now` in UTC milliseconds; every instance was last started at least an hour before.
    Errors: ValueError for a negative size or a region named twice.
    """
    if size < 0:
        raise ValueError("the size of a fleet is not negative")
    builder = FleetBuilder(now)
    for index, name in enumerate(regions):
        region = builder.open_region(name)
        former = builder.key_pair(FORMER_KEY_PAIR, former_public_key(seed, name))
        count = size // len(regions) + (index < size % len(regions))
        _Region(builder, region, seed, now, former.number).fill(count)
    return builder.finish(seed, list(region_table.KNOWN.values()))


def former_private_key(seed: int, region: str) -> bytes:
    """Return the 32 private bytes of a region's former ed25519 key, for logins in tests."""
    return hashlib.blake2b(f"former/{seed}/{region}".encode(), digest_size=32).digest()


def former_public_key(seed: int, region: str) -> str:
    """Return the OpenSSH line of that key."""
    return ed25519_line(former_private_key(seed, region), f"former@{region}")


def ed25519_line(private: bytes, comment: str) -> str:
    """Return the OpenSSH public line of an ed25519 private key of 32 bytes."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    public = Ed25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()
    name = b"ssh-ed25519"
    blob = len(name).to_bytes(4, "big") + name + len(public).to_bytes(4, "big") + public
    return f"ssh-ed25519 {base64.b64encode(blob).decode()} {comment}"


class _Region:
    """Fills one region."""

    def __init__(
        self, builder: FleetBuilder, region: EmulatedRegion, seed: int, now: int, former: int
    ) -> None:
        self._builder = builder
        self._region = region
        self._seed = seed
        self._now_minute = now // MINUTE_MS
        self._former = former
        self._shapes: dict[tuple[int, int, int, str], int] = {}
        self._tags: dict[tuple[int, int, int, int], int] = {}

    def fill(self, count: int) -> None:
        """Add `count` instances: one of each kind, plain targets of each image, random ones."""
        plain = len(_ROLL_CALL) + 3 * len(LINUX_IMAGES)
        chance = self._chance(count)
        for index in range(count):
            luck = chance[8 * index : 8 * index + 8]
            if index < len(_ROLL_CALL):
                kind = _ROLL_CALL[index]
            elif index < plain:
                kind = "running"
            else:
                kind = next(name for share, name in _KINDS if luck[0] < share)
            # Images in turn, so that each has plain targets and a third of the rest.
            self._add(kind, index, index % len(LINUX_IMAGES), luck)

    def _chance(self, count: int) -> bytes:
        """Return eight random bytes for each instance."""
        name = f"fleet/{self._seed}/{self._region.name}"
        return hashlib.shake_128(name.encode()).digest(8 * count)

    def _add(self, kind: str, index: int, image: int, luck: bytes) -> None:
        minutes = _HOUR_MINUTES + int.from_bytes(luck[4:6], "big") % _MONTH_MINUTES
        started = self._now_minute - minutes
        stopped = kind in {"stopped", "windows stopped", "locked for payment"}
        windows = kind.startswith("windows")
        self._builder.add(
            self._shape(luck[1], image, luck[2], "windows" if windows else kind),
            self._tag_set(index, luck[3]),
            status=BaseStatus.STOPPED if stopped else BaseStatus.RUNNING,
            record=NONE if windows or kind == "keyless" else self._former,
            lock=_LOCKS.get(kind, OperationLock.NONE),
            start_ms=started * MINUTE_MS,
            created_minute=started - _MONTH_MINUTES - luck[6] * _DAY_MINUTES,
        )

    def _shape(self, zone: int, image: int, size: int, kind: str) -> int:
        zone %= len(self._region.zones)
        size %= len(_TYPES)
        group = kind if kind in {"windows", "not optimized", "locked for payment"} else "plain"
        key = (zone, image, size, group)
        if key not in self._shapes:
            self._shapes[key] = self._builder.shape(self._new_shape(*key))
        return self._shapes[key]

    def _new_shape(self, zone: int, image: int, size: int, group: str) -> Shape:
        name = self._region.zones[zone]
        prefix = f"{self._region.prefix}{zone}"
        kind, cpu, memory_mb = _OLD_TYPE if group == "not optimized" else _TYPES[size]
        return Shape(
            region=self._region,
            zone=name,
            image=WINDOWS_IMAGE if group == "windows" else LINUX_IMAGES[image],
            instance_type=kind,
            cpu=cpu,
            memory_mb=memory_mb,
            vpc=f"vpc-{self._region.prefix}emulator",
            vswitch=f"vsw-{prefix}emulator",
            security_group=f"sg-{self._region.prefix}emulator",
            io_optimized=group != "not optimized",
            charge_type="PrePaid" if group == "locked for payment" else "PostPaid",
            resource_group=_RESOURCE_GROUPS[size],
            **({"expired_time": "2025-01-01T16:00Z"} if group == "locked for payment" else {}),
        )

    def _tag_set(self, index: int, luck: int) -> int:
        """Return tags: applications of about 40 neighbors, for some a quorum of three."""
        app = index // _APP_INSTANCES
        tier, environment = luck % len(_TIERS), app % len(_ENVIRONMENTS)
        quorum = index // _QUORUM_EVERY // _QUORUM_MEMBERS if index % _QUORUM_EVERY == 0 else -1
        key = (app, tier, environment, quorum)
        if key not in self._tags:
            self._tags[key] = self._builder.tags(self._new_tags(*key))
        return self._tags[key]

    def _new_tags(
        self, app: int, tier: int, environment: int, quorum: int
    ) -> tuple[tuple[str, str], ...]:
        name = _APPS[app % len(_APPS)]
        number = app // len(_APPS)
        role = "member" if quorum >= 0 else "worker"
        tags = (
            ("app", f"{name}-{number}" if number else name),
            ("tier", _TIERS[tier]),
            ("env", _ENVIRONMENTS[environment]),
            ("role", role),
        )
        return (*tags, ("quorum", f"{self._region.name}-{quorum}")) if quorum >= 0 else tags


_LOCKS: Final = {
    "locked for payment": OperationLock.FINANCIAL,
    "locked for security": OperationLock.SECURITY,
}
