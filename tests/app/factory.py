"""Plans and inventories for tests, created by the planner."""

from __future__ import annotations

import msgspec

from rollout.core.planning import planner
from rollout.model.instance import Instance, Inventory, OsFamily, Status
from rollout.model.plan import Identity, Plan, RegionKey
from rollout.model.spec import (
    Amount,
    Budget,
    EcsSource,
    Exclude,
    KeyPairSpec,
    Spec,
    WaveKind,
    WaveSpec,
)
from rollout.model.time import SECOND

NOW = 1_795_400_000_000
ACCOUNT = "1234567890123456"
PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0 test"


def instance(number: int, **changes: object) -> Instance:
    """A Running Linux instance on the former key, unless `changes` say otherwise."""
    region = ("cn-hangzhou", "cn-shanghai")[number % 2]
    plain = Instance(
        f"i-{number:04d}",
        ACCOUNT,
        region,
        zone=f"{region}-a",
        os=OsFamily.LINUX,
        status=Status.RUNNING,
        key_pair="ops-old",
        image="m-1",
        started_at=NOW - 3_600 * SECOND,
    )
    return msgspec.structs.replace(plain, **changes)


def inventory(size: int = 100) -> Inventory:
    """A mixed fleet: every tenth Windows, Stopped, keyless or locked."""
    odd: dict[int, dict[str, object]] = {
        0: {"os": OsFamily.WINDOWS},
        1: {"status": Status.STOPPED},
        2: {"key_pair": ""},
        3: {"locks": ("financial",)},
        4: {"tags": (("role", "bastion"),)},
    }
    rows = tuple(instance(number, **odd.get(number % 20, {})) for number in range(size))
    return Inventory(rows, as_of=NOW, calls=2)


def spec() -> Spec:
    """A spec with an exclusion rule, a budget of 5 % and two waves."""
    bastions = frozenset(f"i-{number:04d}" for number in range(4, 1000, 20))
    return Spec(
        name="fleet",
        key_pair=KeyPairSpec("ops-new", PUBLIC_KEY),
        inventory=(EcsSource(("cn-hangzhou", "cn-shanghai")),),
        text="apiVersion: rollout/v1\n",
        exclude=(Exclude("break-glass", instances=bastions),),
        budgets=(Budget("fleet", Amount(share_ppm=50_000)),),
        waves=(
            WaveSpec("canary", WaveKind.AMOUNT, Amount(count=2)),
            WaveSpec("rest", WaveKind.REST),
        ),
    )


def plan(size: int = 100, *, emulator: bool = False) -> Plan:
    """A plan over `inventory(size)`."""
    identity = Identity(ACCOUNT, f"acs:ram::{ACCOUNT}:user/ops", "env", emulator)
    keys = tuple(
        RegionKey(ACCOUNT, region, present=True, fingerprint="89f0") for region in
        ("cn-hangzhou", "cn-shanghai")
    )  # fmt: skip
    context = planner.PlanContext("rollout 0.1.0", (identity,), keys)
    return planner.make_plan(spec(), inventory(size), {}, NOW, context)
