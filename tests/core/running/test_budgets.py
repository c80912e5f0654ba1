"""Several budgets in one run: no cap is exceeded, and no free permit stays unused."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rollout.model.instance import Instance
from rollout.model.spec import Budget, parse_amount
from tests.core import samples
from tests.core.world import Script, World

BUDGETS = ("1", "2", "3", "5", "30%")


@st.composite
def fleets(draw: st.DrawFn) -> list[Instance]:
    """Instances of a few zones, quorums and applications; some have no tag."""
    size = draw(st.integers(1, 14))
    rows = []
    for number in range(size):
        quorum, app = draw(st.integers(0, 4)), draw(st.integers(0, 2))
        tags = [("quorum", str(quorum))] if quorum else []
        tags += [("app", str(app))] if app else []
        zone, region = draw(st.sampled_from("ab")), samples.REGIONS[draw(st.integers(0, 1))]
        rows.append(samples.instance(number, zone=zone, region=region, tags=tuple(tags)))
    return rows


@st.composite
def budgets(draw: st.DrawFn) -> tuple[Budget, ...]:
    """A budget of the fleet and up to three of its parts."""
    parts = draw(st.lists(st.sampled_from(("zone", "region", "tag:quorum", "tag:app")), max_size=3))
    made = [Budget("fleet", parse_amount(draw(st.sampled_from(("100%", "50%")))), 1)]
    for by in parts:
        most = draw(st.sampled_from(BUDGETS))
        made.append(Budget(by, parse_amount(most), int("%" in most)))
    return tuple(made)


@given(fleets(), budgets(), st.sampled_from((1, 3, 10, 1000)))
def test_every_instance_is_rotated_within_every_cap(
    rows: list[Instance], wanted: tuple[Budget, ...], exposed_max: int
) -> None:
    """Without faults every instance is started in the end, and after each turn no group has more
    members down than its cap (checked by the world).
    """
    spec = samples.exposing(exposed_max, budgets=wanted)
    world = World(samples.make_plan(rows, spec), rows).start().go()
    world.check_end()

    assert world.classes["done"] == len(rows)


@given(fleets(), budgets(), st.integers(0, 10_000))
def test_a_member_that_stays_down_keeps_its_permits_alone(
    rows: list[Instance], wanted: tuple[Budget, ...], seed: int
) -> None:
    """Whichever instances fail to boot, the run closes; those with a free permit in all groups are
    rotated, and those skipped for a budget name a member that keeps a permit of one of its groups.
    """
    stuck = tuple(rows[number % len(rows)].id for number in (seed % 13, seed % 17))  # 3 halt
    spec = samples.spec(budgets=wanted)
    world = World(samples.make_plan(rows, spec), rows, Script(stuck=stuck)).start().go()
    world.check_end()

    run = world.run
    targets = run.layout.targets
    groups = {one.instance: set(one.groups) for one in targets}
    for ordinal, target in enumerate(targets):
        cause = run.causes.get(ordinal, "")
        if cause.startswith("budget_held by i-"):
            keeper = cause.removeprefix("budget_held by ")
            assert groups[keeper] & groups[target.instance]
        elif target.instance not in stuck:
            assert run.phase(ordinal).label == "done", cause
