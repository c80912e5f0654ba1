"""Groups with caps, and the cut into waves, cells and batches."""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from rollout.app import plan_check
from rollout.core.planning import planner
from rollout.core.planning.narrowing import Narrowing
from rollout.errors import PlanError
from rollout.model import limits, selector
from rollout.model.instance import Instance, MissingInstance, OsFamily, Proof, Status
from rollout.model.plan import OUT_OF_BASE, Identity, Plan, RestartKind, public_key_digest
from rollout.model.spec import PPM, Amount, Budget, Exclude, WaveKind, WaveSpec, parse_amount
from rollout.model.time import MINUTE
from tests.core import samples

PERCENT = WaveSpec("tenth", WaveKind.AMOUNT, Amount(share_ppm=100_000))
COVER = WaveSpec("cover", WaveKind.COVER)


def sizes(plan: Plan) -> list[int]:
    """Targets of each wave."""
    return [len(samples.targets_of(wave)) for wave in plan.waves]


def test_a_count_a_percent_and_the_rest() -> None:
    """Each wave takes its amount of all targets; the last one takes what is left."""
    waves = (samples.CANARY, PERCENT, *samples.REST)
    plan = samples.make_plan(samples.fleet(40), samples.spec(waves=waves))

    assert [wave.name for wave in plan.waves] == ["canary", "tenth", "all"]
    assert sizes(plan) == [1, 4, 35]


def test_a_cover_wave_holds_one_of_each_kind() -> None:
    """The first of every image, zone and tier, and nothing more."""
    rows = [
        samples.instance(
            n,
            image=f"m-{n % 2}",
            zone="ab"[n % 3 == 0],
            tags=(("tier", "web"),) if n % 5 == 0 else (),
        )
        for n in range(60)
    ]
    plan = samples.make_plan(rows, samples.spec(waves=(COVER, *samples.REST)))
    kinds = {(row.image, row.zone, row.tags) for row in rows}

    assert sizes(plan) == [len(kinds), 60 - len(kinds)]
    by_id = {row.id: row for row in rows}
    covered = [by_id[target.instance] for target in samples.targets_of(plan.waves[0])]
    assert {(row.image, row.zone, row.tags) for row in covered} == kinds


def test_a_wave_takes_its_share_of_every_region() -> None:
    """A percent wave is an even stride through each region, however the inventory is ordered."""
    rows = samples.fleet(40, regions=2)
    plan = samples.make_plan(rows, samples.spec(waves=(PERCENT, *samples.REST)))
    taken = {cell.region: [len(b.targets) for b in cell.batches] for cell in plan.waves[0].cells}

    assert taken == {region: [2] for region in samples.REGIONS}


def test_waves_that_come_out_empty_are_left_out() -> None:
    """Where the canary is the whole fleet there is one wave."""
    plan = samples.make_plan(
        samples.fleet(1), samples.capped(1, waves=(samples.CANARY, *samples.REST))
    )

    assert sizes(plan) == [1]
    assert [(one.code, one.count) for one in plan.warnings if one.code == "R0316"] == [("R0316", 1)]
    assert any("all" in one.text for one in plan.warnings if one.code == "R0316")


@given(st.integers(1, 160), st.integers(1, 80), st.integers(1, 90), st.integers(1, 2))
def test_batches_fit_one_call_the_budget_and_exposure(
    size: int, cap: int, exposed_max: int, regions: int
) -> None:
    """A batch may be down together: at most 50 ids, the cap, the exposure; each target once."""
    cap = min(cap, size)
    wanted = samples.exposing(
        exposed_max, budgets=(Budget("fleet", Amount(count=cap)),), waves=(COVER, *samples.REST)
    )
    plan = samples.make_plan(samples.fleet(size, regions=regions), wanted)
    cells = [cell for wave in plan.waves for cell in wave.cells]
    batches = [batch for cell in cells for batch in cell.batches]
    ids = [target.instance for batch in batches for target in batch.targets]

    bound = min(limits.ATTACH_IDS_MAX, cap, exposed_max)
    assert all(0 < len(batch.targets) <= bound for batch in batches)
    assert sorted(ids) == sorted(row.id for row in samples.fleet(size))


def test_cells_are_pages_of_one_region() -> None:
    """A cell has one account and region and at most 1,000 targets, of nearly equal length."""
    plan = samples.make_plan(samples.fleet(2_500))
    pages = [sum(len(batch.targets) for batch in cell.batches) for cell in plan.waves[0].cells]

    assert sum(pages) == 2_500 and max(pages) <= limits.CELL_INSTANCES_MAX
    assert max(pages) - min(pages) <= 1


@pytest.mark.parametrize(
    "amount, word", [(Amount(share_ppm=10_000), "comes to 0"), (Amount(count=11), "more than")]
)
def test_a_budget_that_means_nothing_is_refused(amount: Amount, word: str) -> None:
    """A budget of nobody, or of more than there are, is an error and never a silent wait."""
    with pytest.raises(PlanError, match=word) as caught:
        samples.make_plan(samples.fleet(10), samples.spec(budgets=(Budget("fleet", amount),)))

    assert caught.value.problems[0].code == "R0312"


def test_a_wave_without_targets_is_refused() -> None:
    """One percent of ten comes to 0."""
    wave = WaveSpec("one", WaveKind.AMOUNT, Amount(share_ppm=10_000))
    with pytest.raises(PlanError) as caught:
        samples.make_plan(samples.fleet(10), samples.spec(waves=(wave, *samples.REST)))

    assert caught.value.problems[0].code == "R0312"


def test_stopped_instances_are_no_members_of_a_group() -> None:
    """A Stopped instance is out of the base of a percent, and is to be started."""
    rows = [
        samples.instance(n, status=Status.STOPPED if n < 4 else Status.RUNNING) for n in range(8)
    ]
    plan = samples.make_plan(rows)

    assert (plan.groups[0].members, plan.groups[0].cap) == (4, 2)
    kinds = [target.restart for target in samples.targets_of(plan.waves[0])]
    assert kinds.count(RestartKind.START) == 4


NEIGHBORS: list[dict[str, object]] = [
    {"os": OsFamily.WINDOWS},
    {"os": OsFamily.UNKNOWN},
    {"os_name": "Windows Server 2022"},
    {"status": Status.STOPPED, "os": OsFamily.WINDOWS},
    {"tags": (("role", "bastion"),)},
    {"tags": (("role", "bastion"),), "locks": ("security",)},
]
"""Instances that the spec does not cover."""
IN_SCOPE: list[dict[str, object]] = [
    {"locks": ("financial",)},
    {"key_pair": ""},
    {"expires_at": 1},
    {"io_optimized": False},
    {"status": Status.STARTING},
    {"key_pair": samples.NEW_KEY},
]
"""Instances of the same groups that are no targets and serve; the last one is already done."""


@given(
    st.integers(1, 40),
    st.lists(st.sampled_from(IN_SCOPE), max_size=20),
    st.lists(st.sampled_from(NEIGHBORS), max_size=60),
    st.integers(0, 3),
    st.integers(10_000, 1_000_000),
)
def test_a_share_of_the_fleet_does_not_depend_on_its_neighbors(
    targets: int,
    in_scope: list[dict[str, object]],
    neighbors: list[dict[str, object]],
    lost: int,
    share: int,
) -> None:
    """A cap is at most its share of what the spec covers, with or without Windows instances,
    excluded and lost ones around them.
    """
    changes = [*({} for _ in range(targets)), *in_scope, *neighbors]
    rows = [samples.instance(number, **change) for number, change in enumerate(changes)]
    rule = Exclude("by hand", select=selector.parse("role=bastion"))
    wanted = samples.spec(budgets=(Budget("fleet", Amount(share_ppm=share)),), exclude=(rule,))
    proof = Proof(samples.NEW_KEY, public_key_digest(samples.PUBLIC_KEY), "run-0")
    proofs = {one.id: proof for one in rows}
    gone = tuple(
        MissingInstance(f"i-gone{n}", samples.ACCOUNT, samples.REGIONS[0]) for n in range(lost)
    )
    inventory = msgspec.structs.replace(samples.inventory(rows), lost=gone)
    base = targets + len(in_scope)
    assume(base * share >= 1_000_000)

    plan = planner.make_plan(wanted, inventory, proofs, samples.NOW, planner.PlanContext("rollout"))

    assert plan.groups[0].members == base
    assert plan.groups[0].others == len(in_scope)
    assert plan.groups[0].cap == base * share // 1_000_000


def test_a_count_above_the_base_is_refused_in_any_fleet() -> None:
    """Windows instances do not make room for more instances that are down."""
    rows = [samples.instance(n, os=OsFamily.WINDOWS) for n in range(5, 20)]

    with pytest.raises(PlanError, match="maxDown 6 is more than 5"):
        samples.make_plan([*samples.fleet(5), *rows], samples.capped(6))


def test_a_fleet_of_stopped_instances_needs_no_budget() -> None:
    """Nothing has to be rebooted: a budget that comes to 0 hinders nobody."""
    plan = samples.make_plan(samples.fleet(3, status=Status.STOPPED))

    assert plan.groups[0].cap == 0 and sizes(plan) == [3]


def budget(by: str, most: str, at_least: int = 0) -> Budget:
    """A budget as written in a spec."""
    return Budget(by, parse_amount(most), at_least)


def tagged(number: int, value: str, **changes: object) -> Instance:
    """An instance with a value of the tag `quorum`."""
    return samples.instance(number, tags=(("quorum", value),), **changes)


def test_each_value_is_a_group_with_its_own_cap() -> None:
    """A target lists a group of each budget, in ascending order; a group's base is its members
    that the spec covers, targets or not.
    """
    rows = [tagged(n, "ab"[n % 2], zone="xy"[n // 4]) for n in range(8)]
    rows += [tagged(8, "a", zone="x", locks=("financial",)), samples.instance(9, zone="y")]
    budgets = (budget("tag:quorum", "1"), budget("fleet", "50%"), budget("zone", "60%"))
    plan = samples.make_plan(rows, samples.spec(budgets=budgets))
    sizes = {group.key: (group.cap, group.members, group.others) for group in plan.groups}

    assert sizes == {
        "fleet": (5, 10, 1),
        "tag:quorum=a": (1, 5, 1),
        "tag:quorum=b": (1, 4, 0),
        "zone:x": (3, 5, 1),
        "zone:y": (3, 5, 0),
    }
    by_id = {target.instance: target for target in samples.targets_of(plan.waves[0])}
    keys = [[plan.groups[group].key for group in by_id[f"i-000{n}"].groups] for n in (0, 9)]
    assert keys == [["fleet", "tag:quorum=a", "zone:x"], ["fleet", "zone:y"]]
    assert not list(plan_check.contradictions(plan))


def test_the_service_names_groups_too() -> None:
    """Resource groups and deployment sets are ids of the record, scaling groups a tag that Auto
    Scaling sets; an instance without one is in no group of that budget.
    """
    scaling = (("acs:autoscaling:scalingGroupId", "asg-1"),)
    rows = [
        samples.instance(0, resource_group="rg-1", deployment_set="ds-1", tags=scaling),
        samples.instance(1, resource_group="rg-1"),
    ]
    kinds = ("resourceGroup", "deploymentSet", "scalingGroup")
    budgets = (budget("fleet", "50%"), *(budget(by, "1") for by in kinds))
    plan = samples.make_plan(rows, samples.spec(budgets=budgets))

    keys = ["fleet", "resourceGroup:rg-1", "deploymentSet:ds-1", "scalingGroup:asg-1"]
    assert [group.key for group in plan.groups] == keys
    assert [target.groups for target in samples.targets_of(plan.waves[0])] == [(0, 1, 2, 3), (0, 1)]
    assert not list(plan_check.contradictions(plan))


def test_a_rate_alone_does_not_limit_how_many_are_down() -> None:
    """Another budget must have `maxDown`; the group of a rate has room for all its members."""
    rate = Budget("fleet", None, restarts_per_10m=3)
    with pytest.raises(PlanError, match="no budget limits how many of 4 targets are down"):
        samples.make_plan(samples.fleet(4), samples.spec(budgets=(rate,)))
    plan = samples.make_plan(samples.fleet(7), samples.spec(budgets=(budget("zone", "2"), rate)))

    assert [(one.key, one.cap, one.rate) for one in plan.groups] == [
        ("fleet", 7, 3),
        ("zone:a", 2, 0),
    ]
    assert plan.estimate.duration_ms == 20 * MINUTE
    assert not list(plan_check.contradictions(plan))


def test_a_share_that_comes_to_0_names_the_group_and_its_size() -> None:
    """Each group without a permit is a problem of its own, and `atLeast` solves it."""
    rows = [tagged(n, "large" if n < 20 else f"small-{n % 2}") for n in range(24)]
    budgets = (budget("fleet", "50%"), budget("tag:quorum", "10%"))
    with pytest.raises(PlanError) as caught:
        samples.make_plan(rows, samples.spec(budgets=budgets))

    assert [one.code for one in caught.value.problems] == ["R0312", "R0312"]
    assert "maxDown 10% of the 2 members of tag:quorum=small-0 comes to 0" in str(caught.value)
    budgets = (budget("fleet", "50%"), budget("tag:quorum", "10%", at_least=1))
    plan = samples.make_plan(rows, samples.spec(budgets=budgets))
    assert [group.cap for group in plan.groups] == [12, 2, 1, 1]


def test_a_target_without_any_budget_is_refused() -> None:
    """Where all budgets are by tag, an instance without these tags would have no limit: R0327."""
    rows = [tagged(0, "a"), samples.instance(1), samples.instance(2)]
    with pytest.raises(PlanError, match="limits how many of 2 targets are down") as caught:
        samples.make_plan(rows, samples.spec(budgets=(budget("tag:quorum", "1"),)))

    assert caught.value.problems[0].code == "R0327"


def test_a_budget_without_members_is_a_warning() -> None:
    """A misspelled tag limits nothing: the plan warns with R0328 and names the budget."""
    budgets = (budget("fleet", "50%"), budget("tag:qourum", "1"))
    plan = samples.make_plan([tagged(n, "a") for n in range(4)], samples.spec(budgets=budgets))

    [warning] = [one for one in plan.warnings if one.code == "R0328"]
    assert "tag:qourum" in warning.text


@given(
    st.lists(st.integers(0, 12), min_size=1, max_size=150),
    st.integers(1, 3),
    st.integers(1, 60),
)
def test_batches_hold_at_most_the_cap_of_each_group(
    values: list[int], cap: int, exposed_max: int
) -> None:
    """Each target is in one batch, no batch exceeds a cap, and instances without a group fill
    whole batches: a small cap does not shrink the batches of others.
    """
    rows = [tagged(n, str(value)) if value else samples.instance(n) for n, value in
            enumerate(values)]  # fmt: skip
    budgets = (budget("fleet", "100%"), budget("tag:quorum", str(cap)))
    plan = samples.make_plan(rows, samples.exposing(exposed_max, budgets=budgets))
    batches = [batch for cell in plan.waves[0].cells for batch in cell.batches]
    size = min(limits.ATTACH_IDS_MAX, exposed_max, len(rows))
    groups = [Counter(group for one in batch.targets for group in one.groups if group)
              for batch in batches]  # fmt: skip

    assert sorted(one.instance for batch in batches for one in batch.targets) == sorted(
        one.id for one in rows
    )
    assert all(len(batch.targets) <= size for batch in batches)
    assert all(count <= cap for counts in groups for count in counts.values())
    largest = max(Counter(value for value in values if value).values(), default=0)
    assert len(batches) <= -(-len(rows) // size) + -(-largest // cap)


@st.composite
def mixed(draw: st.DrawFn) -> list[Instance]:
    """Targets and other instances of two zones and three applications."""
    kinds = draw(st.lists(st.sampled_from(({}, {}, *NEIGHBORS, *IN_SCOPE)), min_size=1))
    rows = [samples.instance(0)]
    for number, change in enumerate(kinds, 1):
        app = draw(st.sampled_from(("", "a", "b")))
        one = samples.instance(number, **{**change, "zone": draw(st.sampled_from("xy"))})
        tags = (*one.tags, ("app", app)) if app else one.tags
        rows.append(msgspec.structs.replace(one, tags=tags))
    return rows


@given(mixed(), st.sets(st.sampled_from(("zone", "tag:app"))), st.integers(0, 1))
def test_an_excluded_instance_is_a_member_of_the_groups_of_targets(
    rows: list[Instance], parts: set[str], max_down: int
) -> None:
    """An instance that was not Stopped is a member of each group of its zone or tag that has a
    target to reboot; of the fleet only if the spec covers it. A further cap has the same members.
    """
    bastion = Exclude("by hand", select=selector.parse("role=bastion"))
    fleet = Budget("fleet", Amount(share_ppm=PPM))
    spec = samples.spec(
        budgets=(fleet, *(Budget(by, Amount(count=1)) for by in sorted(parts))), exclude=(bastion,)
    )
    identity = (Identity(samples.ACCOUNT, "arn", "env"),)
    context = planner.PlanContext("test", identity, narrowing=Narrowing(max_down=max_down))
    plan = planner.make_plan(spec, samples.inventory(rows), {}, samples.NOW, context)
    by_id = {row.id: row for row in rows}
    targets = {target.instance: target for target in plan.targets()}

    def keys(one: Instance) -> set[str]:
        return {f"zone:{one.zone}", *(f"tag:{key}={value}" for key, value in one.tags)}

    used = {number for one in targets.values() for number in one.groups}
    for out in plan.exclusions:
        one = by_id[out.instance]
        expected = {
            number
            for number in used
            for key in (plan.groups[number].key,)
            if (key == "fleet" and out.reason not in OUT_OF_BASE) or key in keys(one)
        }
        assert set(out.groups or ()) == (set() if one.status is Status.STOPPED else expected)
    assert not [text for text in plan_check.contradictions(plan) if "group" in text]
