"""`last`: selected instances, and then the machine that runs rollout, restart after all others."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.app import plan_check
from rollout.core.planning import planner
from rollout.core.planning.narrowing import Narrowing, Pattern
from rollout.model import selector
from rollout.model.gate import ExecGate
from rollout.model.instance import Instance, Status
from rollout.model.plan import Identity, Plan, RegionKey
from rollout.model.spec import LAST, Budget, Last, Spec, WaveGate, WaveKind, WaveSpec, parse_amount
from tests.core import samples
from tests.core.world import Script, World
from tests.fuzz import cases

BASTIONS = Last(selector.parse("role=bastion"), reason="others need them")
KEYS = tuple(
    RegionKey(samples.ACCOUNT, name, True, samples.FINGERPRINT) for name in samples.REGIONS
)


def planned(
    rows: list[Instance],
    wanted: Spec,
    own: str = "",
    narrowing: Narrowing = Narrowing(),  # noqa: B008
) -> Plan:
    """The plan over these rows, made on the instance `own`; its fields are consistent."""
    identity = (Identity(samples.ACCOUNT, "acs:ram::1:user/ops", "env"),)
    context = planner.PlanContext("test", identity, KEYS, own=own, narrowing=narrowing)
    plan = planner.make_plan(wanted, samples.inventory(rows), {}, samples.NOW, context)
    assert not list(plan_check.contradictions(plan))
    return plan


def fleet(roles: list[str], stopped: set[int] = frozenset()) -> list[Instance]:  # type: ignore[assignment]
    """One instance for each role, in two regions."""
    return [
        samples.instance(
            number,
            region=samples.REGIONS[number % 2],
            tags=(("role", role),),
            status=Status.STOPPED if number in stopped else Status.RUNNING,
        )
        for number, role in enumerate(roles)
    ]


def order(plan: Plan) -> list[tuple[str, list[str]]]:
    """The names of the waves, each with its targets."""
    return [(wave.name, [one.instance for one in samples.targets_of(wave)]) for wave in plan.waves]


def codes(plan: Plan) -> list[str]:
    """The codes of the plan's warnings."""
    return [warning.code for warning in plan.warnings]


@given(
    st.lists(st.sampled_from(("web", "web", "bastion")), min_size=1, max_size=12),
    st.sets(st.integers(0, 11), max_size=3),
    st.none() | st.integers(0, 11),
    st.sampled_from(("1", "50%", "100%")),
    st.sampled_from((samples.REST, (samples.CANARY, *samples.REST))),
)
def test_last_targets_restart_after_all_others_and_one_at_a_time(
    roles: list[str], stopped: set[int], own: int | None, cap: str, waves: tuple[WaveSpec, ...]
) -> None:
    """I-83: In a run without faults every target is rotated; those of `last` begin when all others
    have finished, a second one when the first serves again, and the own machine is the very last.
    """
    rows = fleet(roles, stopped)
    spec = samples.spec(
        last=(BASTIONS,),
        budgets=(Budget("fleet", parse_amount(cap), int("%" in cap)),),
        waves=waves,
    )
    mine = f"i-{own:04d}" if own is not None else ""
    plan = planned(rows, spec, mine)
    script = Script()
    world = World(plan, rows, script).start().go()
    world.check_end()
    assert world.classes["done"] == len(rows)

    begun = {row.id: world.machines[row.id].restarts for row in rows}
    singles = [row.id for row in rows if ("role", "bastion") in row.tags or row.id == mine]
    others = [begun[row.id][-1] for row in rows if row.id not in singles]
    assert min((begun[one][0] for one in singles), default=world.now) >= max(others, default=0)
    running = sorted(begun[row.id][0] for row in rows if row.id in singles and row.id[2:] not in
                     {f"{number:04d}" for number in stopped})  # fmt: skip
    assert all(later - earlier >= script.boot_ms for earlier, later in pairwise(running))
    if mine in begun:
        assert [one.instance for one in plan.targets()][-1] == mine
        assert begun[mine][0] == max(times[0] for times in begun.values())
        assert "R0370" in codes(plan)


@cases(20)
@given(st.integers(2, 8), st.integers(0, 7))
def test_one_that_stays_down_keeps_the_others_up(size: int, stuck: int) -> None:
    """I-83: After a bastion that does not boot, no other bastion restarts."""
    rows = fleet(["bastion"] * size)
    plan = planned(rows, samples.spec(last=(BASTIONS,)))
    bad = f"i-{stuck % size:04d}"
    world = World(plan, rows, Script(stuck=(bad,))).start().go()
    world.check_end()

    restarted = [one for one, machine in world.machines.items() if machine.restarts]
    assert bad in restarted
    assert world.classes["done"] == len(restarted) - 1


def test_the_group_and_the_waves_of_last() -> None:
    """The targets of `last` and the own machine share a group with the cap 1, each in its batch."""
    rows = fleet(["bastion", "web", "bastion", "web"])
    plan = planned(rows, samples.spec(last=(BASTIONS,)), "i-0001")

    assert order(plan) == [
        ("all", ["i-0003"]),
        ("last", ["i-0000", "i-0002"]),
        ("last-self", ["i-0001"]),
    ]
    assert [(group.key, group.cap, group.members) for group in plan.groups] == [
        ("fleet", 2, 4),
        (LAST, 1, 3),
    ]
    assert [one.groups for one in plan.targets()] == [(0,), (0, 1), (0, 1), (0, 1)]
    assert all(len(b.targets) == 1 for w in plan.waves for c in w.cells for b in c.batches)
    assert plan.budgets[-1].by == LAST


@pytest.mark.parametrize(
    "own, names", [("", ["all"]), ("i-9999", ["all"]), ("i-0001", ["all", "last-self"])]
)
def test_the_own_machine_is_last_without_a_rule(own: str, names: list[str]) -> None:
    """A single last target needs no group. A machine that is no target changes nothing."""
    plan = planned(fleet(["web"] * 3), samples.spec(), own)

    assert [name for name, _ in order(plan)] == names
    assert len(plan.groups) == 1
    assert ("R0370" in codes(plan)) is (len(names) > 1)


def test_a_rule_without_target_is_a_warning() -> None:
    """R0371 names the rule; instances that are excluded do not count."""
    wrong = Last(selector.parse("role=bastian"))
    plan = planned(fleet(["web", "bastion"]), samples.spec(last=(BASTIONS, wrong)))

    (warning,) = (one for one in plan.warnings if one.code == "R0371")
    assert warning.text.startswith("last[1] ")


def test_gates_are_asked_before_the_last_wave() -> None:
    """The last wave of the spec keeps its bake and its gate if targets follow; otherwise not."""
    gates = (ExecGate(argv=("true",), timeout_ms=1000, every_ms=0, wait_ms=0),)
    waves = (WaveSpec("all", WaveKind.REST, bake_ms=60_000),)
    spec = samples.spec(last=(BASTIONS,), waves=waves, gates=gates)

    with_last, without = (
        planned(fleet(["web", "web", "bastion"]), spec),
        planned(fleet(["web"] * 2), spec),
    )

    assert [(one.bake_ms, one.gates) for one in with_last.waves] == [(60_000, (0,)), (0, ())]
    assert [wave.gated for wave in without.waves] == [False]


def test_a_wave_of_the_spec_may_have_the_name() -> None:
    """Names of waves are unique in the plan, also for specs that use `last` already."""
    waves = (samples.CANARY, WaveSpec("last", WaveKind.REST, gate=WaveGate.MANUAL))
    plan = planned(fleet(["web", "web", "bastion"]), samples.spec(last=(BASTIONS,), waves=waves))

    assert [name for name, _ in order(plan)] == ["canary", "last", "last-x"]


@pytest.mark.parametrize(
    "narrowing, expected",
    [
        (Narrowing(wave="last"), [("last", ["i-0001", "i-0002"])]),
        (Narrowing(wave="all"), [("all", ["i-0000"])]),
        (
            Narrowing(exclude=(Pattern("x", frozenset({"i-0003"})),), max_down=1),
            [("all", ["i-0000"]), ("last", ["i-0001", "i-0002"])],
        ),
    ],
)
def test_narrowing_keeps_the_order(
    narrowing: Narrowing, expected: list[tuple[str, list[str]]]
) -> None:
    """A narrowed plan has no warning about an own machine that is left out."""
    rows = fleet(["web", "bastion", "bastion", "web"])
    plan = planned(rows, samples.spec(last=(BASTIONS,)), "i-0003", narrowing)

    assert [(name, sorted(ids)) for name, ids in order(plan)] == expected
    assert "R0370" not in codes(plan)


def test_ids_and_tags_select() -> None:
    """A rule names ids, or selects by tags."""
    by_id = msgspec.structs.replace(BASTIONS, select=None, instances=frozenset({"i-0000"}))

    assert by_id.matches("i-0000", ()) and not by_id.matches("i-0001", (("role", "bastion"),))
    assert BASTIONS.matches("i-0001", (("role", "bastion"),))
