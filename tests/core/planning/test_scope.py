"""Plans of a part of a fleet, with a wanted key for each instance: the plans of undo and retry."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.app import plan_check
from rollout.core.planning import planner, scope
from rollout.core.planning.scope import Scope
from rollout.errors import PlanError
from rollout.model.plan import (
    Identity,
    Origin,
    OriginKind,
    Plan,
    Reason,
    RegionKey,
    WantedKey,
    public_key_digest,
)
from rollout.model.spec import Amount, Budget, Spec, WaveKind, WaveSpec
from tests.core import samples
from tests.core.samples import ACCOUNT, NEW_KEY, NOW, REGIONS

ORIGIN = Origin(OriginKind.UNDO, "r-1", "sha256:0")
SHARES = (
    WaveSpec("canary", WaveKind.AMOUNT, Amount(share_ppm=10_000)),
    WaveSpec("rest", WaveKind.REST),
)


def wanted(name: str) -> WantedKey:
    """A key pair that exists in both regions."""
    public_key = f"ssh-ed25519 {name}"
    regions = tuple(RegionKey(ACCOUNT, one, present=True, fingerprint=name) for one in REGIONS)
    return WantedKey(name, public_key, public_key_digest(public_key), regions)


def scoped(size: int, key_of: dict[str, int], spec: Spec | None = None) -> Plan:
    """A plan of the instances in `key_of` among so many that have the run's key."""
    rows = samples.fleet(size, regions=2, key_pair=NEW_KEY)
    rows.sort(key=lambda one: (one.region, one.id))
    out = {row.id: (Reason.OUTSIDE_RUN, "done") for row in rows if row.id not in key_of}
    made = Scope(tuple(map(wanted, ("ops-a", "ops-b", "ops-c"))), key_of, out, ORIGIN)
    identity = (Identity(ACCOUNT, "acs:ram::1:user/ops", "env"),)
    context = planner.PlanContext("rollout test", identity, scope=made)
    return planner.make_plan(spec or samples.spec(), samples.inventory(rows), {}, NOW, context)


@given(st.dictionaries(st.integers(0, 59), st.integers(0, 2), min_size=1))
def test_each_instance_of_the_scope_gets_its_own_key(chosen: dict[int, int]) -> None:
    """The targets are the scope's instances with their keys, all others are excluded with the
    scope's reason, the plan is consistent, and its base is still the whole fleet.
    """
    key_of = {f"i-{number:04d}": key for number, key in chosen.items()}

    plan = scoped(60, key_of, samples.spec(waves=SHARES))

    assert {target.instance: target.key for target in plan.targets()} == key_of
    assert all(target.attach and target.former_key == NEW_KEY for target in plan.targets())
    assert {out.reason for out in plan.exclusions} <= {Reason.OUTSIDE_RUN}
    assert plan.counts.found == 60 == plan.groups[0].members
    assert list(plan_check.contradictions(plan)) == []
    assert plan.origin == ORIGIN


def test_a_wave_of_a_percentage_takes_at_least_one_instance() -> None:
    """One percent of three instances is one: a small undo is not refused for the run's canary."""
    plan = scoped(60, {"i-0000": 0, "i-0001": 1, "i-0002": 2}, samples.spec(waves=SHARES))

    assert [len(samples.targets_of(wave)) for wave in plan.waves] == [1, 2]


def test_a_plan_of_a_spec_still_refuses_an_empty_percentage() -> None:
    """Without a scope the operator writes a count instead."""
    with pytest.raises(PlanError, match="R0312"):
        samples.make_plan(samples.fleet(3), samples.spec(waves=SHARES))


def test_a_budget_keeps_its_base() -> None:
    """Five percent of sixty are three, also if only two instances are left to rotate."""
    spec = samples.spec(budgets=(Budget("fleet", Amount(share_ppm=50_000)),))

    plan = scoped(60, {"i-0000": 0, "i-0001": 1}, spec)

    assert (plan.groups[0].cap, plan.groups[0].others) == (3, 58)


def test_a_plan_without_an_origin_has_the_bytes_of_before() -> None:
    """Fields that only undo and retry set are not in other plans."""
    spec = samples.spec()
    assert scope.of_spec(spec).keys[0].name == NEW_KEY
    raw = msgspec.json.decode(msgspec.json.encode(samples.make_plan(samples.fleet(3), spec)))
    assert not {"origin", "former_keys"} & raw.keys()
