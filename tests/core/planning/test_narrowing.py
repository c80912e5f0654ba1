"""Narrowing: a plan with fewer targets, never with more, and never with a larger cap."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.app import plan_check
from rollout.core.planning import planner
from rollout.core.planning.narrowing import Narrowing, Pattern
from rollout.errors import RolloutError
from rollout.model import plan as plans
from rollout.model import selector
from rollout.model.instance import Instance, MissingInstance, Status
from rollout.model.plan import Identity, Plan, Reason, RegionKey
from rollout.model.spec import Amount, Budget, Restart, Spec, Stopped, WaveKind, WaveSpec
from tests.core import samples
from tests.core.samples import ACCOUNT, NOW, REGIONS

WAVES = (
    samples.CANARY,
    WaveSpec("early", WaveKind.AMOUNT, Amount(share_ppm=200_000)),
    WaveSpec("all", WaveKind.REST),
)


def ids(*numbers: int) -> Pattern:
    """A pattern of ids."""
    return Pattern("@ids", frozenset(f"i-{number:04d}" for number in numbers))


def made(rows: list[Instance], wanted: Spec, narrowing: Narrowing = Narrowing()) -> Plan:  # noqa: B008
    """A plan over these rows with two regions; its fields are consistent."""
    keys = tuple(RegionKey(ACCOUNT, name, present=True) for name in REGIONS)
    context = planner.PlanContext("test", (Identity(ACCOUNT, "arn", "env"),), keys)
    context = msgspec.structs.replace(context, narrowing=narrowing)
    found = planner.make_plan(wanted, samples.inventory(rows), {}, NOW, context)
    assert not list(plan_check.contradictions(found))
    return found


def refused(narrowing: Narrowing, wanted: Spec | None = None) -> str:
    """The code of the refusal."""
    with pytest.raises(RolloutError) as caught:
        made(samples.fleet(10), wanted or samples.capped(3, waves=WAVES), narrowing)
    return caught.value.problems[0].code


@given(
    st.integers(5, 60),
    st.sets(st.integers(0, 59)),
    st.sets(st.integers(0, 59)),
    st.sampled_from(["", "canary", "early", "all"]),
    st.integers(0, 3),
    st.sets(st.integers(0, 59)),
)
def test_a_narrowed_plan_only_loses_targets_and_room(
    size: int, limit: set[int], exclude: set[int], wave: str, cap: int, stopped: set[int]
) -> None:
    """Targets keep their wave, the rest is excluded as narrowed, and no group's cap grows."""
    states = [Status.STOPPED if n in stopped else Status.RUNNING for n in range(size)]
    rows = [samples.instance(n, region=REGIONS[n % 2], status=one) for n, one in enumerate(states)]
    running = size - len(stopped & set(range(size)))
    if running < 3:
        return
    wanted = samples.capped(3, waves=WAVES, restart=Restart(stopped=Stopped.START))
    limits = (ids(*limit),) if limit & set(range(size)) else ()
    excludes = (ids(*exclude),) if exclude & set(range(size)) else ()

    whole = made(rows, wanted)
    narrowed = made(rows, wanted, Narrowing(limits, excludes, wave, cap))

    before = {t.instance: (w.name, t) for w in whole.waves for t in samples.targets_of(w)}
    after = {t.instance: (w.name, t) for w in narrowed.waves for t in samples.targets_of(w)}
    kept = {
        one
        for one, (name, _) in before.items()
        if (not limits or one in limits[0].instances)
        and not (excludes and one in excludes[0].instances)
        and wave in ("", name)
    }
    out = {one.instance for one in narrowed.exclusions if one.reason is Reason.NARROWED}
    assert after.keys() == kept and out == before.keys() - kept
    assert all(after[one][0] == before[one][0] for one in kept)
    assert narrowed.groups[0].cap == whole.groups[0].cap
    assert narrowed.groups[0].members == whole.groups[0].members
    assert [group.cap for group in narrowed.groups[1:]] == ([cap] if cap else [])
    assert all(
        len(batch.targets) <= (cap or 50) for _, cell in narrowed.cells() for batch in cell.batches
    )


def test_without_options_a_plan_keeps_its_bytes() -> None:
    """A plan that is not narrowed has no field for it."""
    assert b"narrowed" not in plans.encode(made(samples.fleet(10), samples.spec()))


def test_the_plan_records_what_was_typed() -> None:
    """The saved plan names the options, and reads back equal."""
    pattern = Pattern("i-000*", globs=("i-000*",))
    narrowing = Narrowing((pattern,), (Pattern("i-0002", frozenset({"i-0002"})),), "all", 2)

    plan = made(samples.fleet(30), samples.capped(3, waves=WAVES), narrowing)

    again = plans.decode(plans.encode(plan))
    assert again == plan and again.narrowed
    assert again.narrowed.options() == [
        "--limit 'i-000*'", "--exclude i-0002", "--wave all", "--max-down 2",
    ]  # fmt: skip
    assert {one.detail for one in plan.exclusions} == {"--limit", "--exclude i-0002", "--wave"}


def test_selectors_match_tags() -> None:
    """A selector keeps the instances with these tags."""
    rows = samples.fleet(6)
    rows[2] = samples.instance(2, tags=(("tier", "web"),))
    pattern = Pattern("tier=web", selectors=(selector.parse("tier=web"),))

    plan = made(rows, samples.capped(1), Narrowing(limit=(pattern,)))

    assert [one.instance for one in plan.targets()] == ["i-0002"]
    assert not pattern.matches(MissingInstance("i-x", ACCOUNT, REGIONS[0]))


def test_warnings_and_estimate_are_about_the_targets_that_stay() -> None:
    """Counts of warnings and calls leave out what was narrowed away; no wave is called empty."""
    rows = samples.fleet(30)
    rows[3] = samples.instance(3, status=Status.STOPPED)
    wanted = samples.capped(3, waves=WAVES, restart=Restart(stopped=Stopped.START))

    plan = made(rows, wanted, Narrowing(limit=(ids(4),)))

    assert not {"R0302", "R0316"} & {one.code for one in plan.warnings}
    assert plan.estimate.calls["AttachKeyPair"] == 1
    assert plan.counts.targets == 1 and plan.counts.found == 30


def test_what_matches_nothing_is_refused() -> None:
    """A misspelled pattern or wave never passes in silence."""
    assert refused(Narrowing(exclude=(ids(4), Pattern("i-x", frozenset({"i-x"}))))) == "R0017"
    assert refused(Narrowing(limit=(Pattern("i-x", frozenset({"i-x"})),))) == "R0017"
    assert refused(Narrowing(wave="cannary")) == "R0017"


@pytest.mark.parametrize(
    "narrowing, effect",
    [
        (Narrowing(limit=(Pattern("i-x", frozenset({"i-x"})),)), "would be left out"),
        (Narrowing(exclude=(Pattern("i-x", frozenset({"i-x"})),)), "would be rotated"),
    ],
)
def test_the_help_says_what_a_wrong_pattern_does(narrowing: Narrowing, effect: str) -> None:
    """A pattern of --limit leaves instances out, and one of --exclude rotates them."""
    with pytest.raises(RolloutError) as caught:
        made(samples.fleet(5), samples.capped(1), narrowing)

    assert effect in (caught.value.problems[0].help or "")


def test_a_larger_cap_is_refused() -> None:
    """--max-down never loosens: neither above the spec's cap nor above the fleet."""
    zones = samples.spec(budgets=(Budget("fleet", Amount(count=3)),))

    assert refused(Narrowing(max_down=4)) == "R0018"
    assert refused(Narrowing(max_down=11), zones) == "R0018"
    assert made(samples.fleet(10), zones, Narrowing(max_down=3)).groups[-1].cap == 3


def test_a_plan_cannot_hide_what_narrowed_it() -> None:
    """A plan with narrowed instances but without the options contradicts itself."""
    plan = made(samples.fleet(5), samples.capped(2), Narrowing(limit=(ids(1),)))

    forged = msgspec.structs.replace(plan, narrowed=msgspec.UNSET)

    assert any("narrowed" in text for text in plan_check.contradictions(forged))
