"""Small fleets and their plans, made by the real planner."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from rollout.core.planning import planner
from rollout.model.event import Actor
from rollout.model.instance import Instance, Inventory, OsFamily, Proofs, Status
from rollout.model.plan import Identity, Plan, RegionKey, Target, Wave
from rollout.model.spec import (
    Amount,
    Budget,
    EcsSource,
    KeyPairSpec,
    Limits,
    Spec,
    WaveKind,
    WaveSpec,
)
from rollout.model.time import MINUTE, SECOND

NOW = 1_795_400_000_000
ACCOUNT = "1234567890123456"
REGIONS = ("cn-hangzhou", "cn-shanghai")
NEW_KEY, OLD_KEY = "ops-new", "ops-old"
PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0 test"
FINGERPRINT = "89f0"
ACTOR = Actor("ops", "acs:ram::1:user/ops", "desk", 7, "rollout test")
REST = (WaveSpec("all", WaveKind.REST),)
CANARY = WaveSpec("canary", WaveKind.AMOUNT, Amount(count=1))


def instance(number: int, **changes: object) -> Instance:
    """A Running Linux instance on the former key, unless `changes` say otherwise."""
    plain = Instance(
        f"i-{number:04d}",
        ACCOUNT,
        REGIONS[0],
        zone="a",
        os=OsFamily.LINUX,
        status=Status.RUNNING,
        key_pair=OLD_KEY,
        image="m-1",
        started_at=NOW // MINUTE * MINUTE - 60 * MINUTE,
    )
    return msgspec.structs.replace(plain, **changes)


def fleet(size: int, *, regions: int = 1, **changes: object) -> list[Instance]:
    """`size` similar instances over the first regions in turn."""
    return [instance(n, region=REGIONS[n % regions], **changes) for n in range(size)]


def inventory(rows: Sequence[Instance]) -> Inventory:
    """These instances as one reading."""
    return Inventory(tuple(rows), as_of=NOW)


def spec(**changes: object) -> Spec:
    """One wave, at most half of the fleet down, unless `changes` say otherwise."""
    plain = Spec(
        name="fleet",
        key_pair=KeyPairSpec(NEW_KEY, PUBLIC_KEY),
        inventory=(EcsSource(REGIONS),),
        text="apiVersion: rollout/v1\n",
        budgets=(Budget("fleet", Amount(share_ppm=500_000)),),
        waves=REST,
    )
    return msgspec.structs.replace(plain, **changes)


def capped(cap: int, **changes: object) -> Spec:
    """A spec with an absolute budget."""
    return spec(budgets=(Budget("fleet", Amount(count=cap)),), **changes)


def exposing(exposed_max: int, **changes: object) -> Spec:
    """A spec that exposes at most so many at once."""
    return spec(limits=Limits(exposed_max=exposed_max), **changes)


def make_plan(
    rows: Sequence[Instance],
    wanted: Spec | None = None,
    *,
    proofs: Proofs | None = None,
    present: bool = True,
) -> Plan:
    """The plan over these rows; `present`: every region has the key pair already."""
    keys = tuple(
        RegionKey(ACCOUNT, region, present=present, fingerprint=FINGERPRINT if present else "")
        for region in REGIONS
    )
    identity = (Identity(ACCOUNT, "acs:ram::1:user/ops", "env"),)
    context = planner.PlanContext("rollout test", identity, keys, boot_time_ms=20 * SECOND)
    return planner.make_plan(wanted or spec(), inventory(rows), proofs or {}, NOW, context)


def targets_of(wave: Wave) -> list[Target]:
    """The wave's targets in ordinal order."""
    return [target for cell in wave.cells for target in cell.targets()]
