"""Rates: restarts begun in any ten minutes, whatever the speed of the process."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.core.invariant import Bug
from rollout.core.running.layout import Layout
from rollout.core.running.rates import Rates
from rollout.core.running.view import view
from rollout.core.running.windows import Offset
from rollout.model import event as ev
from rollout.model import limits
from rollout.model.command import RestartCall
from rollout.model.instance import Status
from rollout.model.outcome import Answer, Unknown
from rollout.model.spec import Amount, Budget
from rollout.model.time import MINUTE, SECOND, Instant
from tests.core import samples
from tests.core.scenarios import commands
from tests.core.world import Crash, Script, World

WINDOW = limits.RATE_WINDOW_MS


def rates(size: int, *caps: int) -> Rates:
    """Rates over similar instances that are all members of every group; 0 is a group without."""
    budgets = tuple(Budget("fleet", Amount(count=size), 0, cap) for cap in caps)
    plan = samples.make_plan(samples.fleet(size), samples.spec(budgets=budgets))
    return Rates.of(Layout(plan), plan)


def begun(world: World) -> list[Instant]:
    """The instants at which machines were restarted, in order."""
    return sorted(at for machine in world.machines.values() for at in machine.restarts)


def most_in_a_window(instants: list[Instant]) -> int:
    """The greatest number of these in any ten minutes."""
    return max(
        (sum(first <= at < first + WINDOW for at in instants) for first in instants), default=0
    )


def test_a_restart_counts_from_its_intent_until_ten_minutes_after_its_reply() -> None:
    """While the call is open no time passes it; a refused one never began."""
    book = rates(3, 2, 0)
    book.begin(0, 0)
    assert book.left(0, 0) == 1 and book.frees_at(0, 0) is None
    assert book.left(0, 10 * WINDOW) == 1
    book.end(0, 5 * SECOND)
    book.begin(1, 10 * SECOND)
    assert book.left(0, 10 * SECOND) == 0 and book.frees_at(0, 10 * SECOND) == WINDOW + 5 * SECOND
    with pytest.raises(Bug, match="I-32"):
        book.begin(2, WINDOW)
    assert book.left(0, WINDOW + 5 * SECOND) == 1
    book.end(1, None)
    assert book.left(0, 10 * SECOND) == 1
    assert list(book.groups_of(0)) == [0]


def test_a_line_that_was_lost_counts_as_all_that_may_begin() -> None:
    """An unknown number of restarts may have begun: none begins for ten minutes."""
    book = rates(3, 2)
    book.shut(MINUTE)

    assert book.left(0, MINUTE + WINDOW - 1) == 0 and book.frees_at(0, 0) == MINUTE + WINDOW
    assert book.left(0, MINUTE + WINDOW) == 2


@given(
    st.lists(
        st.tuples(
            st.integers(0, 20 * MINUTE),
            st.integers(0, 90 * SECOND),
            st.sampled_from(("accepted", "refused", "lost")),
        ),
        max_size=40,
    ),
    st.integers(1, 5),
    st.randoms(use_true_random=False),
)
def test_no_ten_minutes_hold_more_restarts_than_the_rate(
    attempts: list[tuple[int, int, str]], rate: int, random: Random
) -> None:
    """Whenever a restart really began between its intent and its last possible instant."""
    book = rates(1, rate)
    settle_ms, now = 60 * SECOND, 0
    really: list[Instant] = []
    ends: list[tuple[Instant, Instant | None]] = []
    for pause, lasts, how in attempts:
        now += pause
        for end in [one for one in ends if one[0] <= now]:
            ends.remove(end)
            book.end(0, end[1])
        if book.left(0, now) <= 0:
            continue
        book.begin(0, now)
        begun_by = now + lasts + (settle_ms if how == "lost" else 0)
        ends.append((now + lasts, None if how == "refused" else begun_by))
        if how != "refused":
            really.append(random.randint(now, begun_by))

    assert most_in_a_window(really) <= rate


@pytest.mark.parametrize("boot_ms", [800, 15 * SECOND, 40 * SECOND])
def test_a_faster_fleet_is_not_disrupted_faster(boot_ms: int) -> None:
    """A-09: however fast instances boot, the same number of restarts begins in ten minutes."""
    rows = samples.fleet(14)
    wanted = samples.spec(budgets=(Budget("fleet", Amount(count=4), 0, 3),))
    world = World(samples.make_plan(rows, wanted), rows, Script(boot_ms=boot_ms)).start().go()

    assert world.run.closed and world.run.closed.counts["done"] == 14
    assert most_in_a_window(begun(world)) == 3
    assert [sum(WINDOW * n <= at - begun(world)[0] < WINDOW * (n + 1) for at in begun(world))
            for n in range(4)] == [3, 3, 3, 3]  # fmt: skip


def test_starts_count_and_the_most_restrictive_rate_wins() -> None:
    """A stopped instance takes no permit of `maxDown`, but its start is a restart."""
    rows = samples.fleet(6, status=Status.STOPPED)
    rows = [msgspec.structs.replace(one, zone="ab"[n % 2]) for n, one in enumerate(rows)]
    budgets = (Budget(), Budget("fleet", None, 0, 4), Budget("zone", None, 0, 1))
    world = World(samples.make_plan(rows, samples.spec(budgets=budgets)), rows).start().go()

    zones = [[at for one in world.machines.values() if one.now.zone == zone for at in one.restarts]
             for zone in "ab"]  # fmt: skip
    assert [most_in_a_window(sorted(zone)) for zone in zones] == [1, 1]
    assert world.run.closed and world.run.closed.counts["done"] == 6


def test_the_count_survives_a_crash_and_lost_replies() -> None:
    """Another process counts what the journal holds, and lost restarts as begun."""
    for seed in range(8):
        rows = samples.fleet(8)
        wanted = samples.spec(budgets=(Budget("fleet", Amount(count=4), 0, 2),))
        script = Script(odds={"lost_after": 0.3, "throttled": 0.1, "lost_before": 0.1})
        world = World(samples.make_plan(rows, wanted), rows, script, seed=seed)
        world.crash_at = 25 + 5 * seed
        with pytest.raises(Crash):
            world.start().go()
        world.resume().go()
        assert most_in_a_window(begun(world)) <= 2
        assert all(e.at <= e.not_after for e in commands(world, RestartCall))
        assert len(world.events(ev.Resumed)) >= 1


def test_a_lost_restart_counts_by_the_clock_of_the_service_while_this_one_is_behind() -> None:
    """A virtual machine that was paused shows an old time; the next process, with a clock that was
    set right, still counts what began ten minutes ago by the service's clock.
    """
    rows = samples.fleet(4)
    plan = samples.make_plan(rows, samples.spec(budgets=(Budget("fleet", Amount(count=4), 0, 2),)))
    story = World(plan, rows, Script()).start()
    while not commands(story, RestartCall):
        story.go(until=story.now + 1)
    behind = 10 * MINUTE
    story.decider.watching.offset = Offset(behind, behind + SECOND, known=True)
    n = commands(story, RestartCall)[0].n
    story.decider.call_ended(n, Answer(Unknown("cut_off")), story.now)

    (settled,) = [one for one in story.events(ev.Settled) if one.n == n]
    assert settled.service_at == settled.at + behind + SECOND
    settle = plan.restart.settle_window_ms
    assert settled.service_at + settle + WINDOW in story.run.rates.until[0]


def test_status_names_the_rate_and_the_next_restart() -> None:
    """Between two restarts the attached instances wait for the rate, and the instant is shown."""
    rows = samples.fleet(4)
    wanted = samples.spec(budgets=(Budget("fleet", Amount(count=4), 0, 2),))
    world = World(samples.make_plan(rows, wanted), rows).start().go(until=samples.NOW + 3 * MINUTE)

    (waits,) = [why for why in view(world.run).waiting if "rate" in why]
    assert waits.startswith("for the rate of fleet (2 restarts in ten minutes, next at 20")
    world.go()
    assert world.run.closed and not view(world.run).waiting


def test_waiting_instances_wake_at_the_instant_at_which_the_rate_has_room() -> None:
    """No turn is needed in between: the wake time of the run is that instant."""
    rows = samples.fleet(3)
    wanted = samples.spec(budgets=(Budget("fleet", Amount(count=3), 0, 1),))
    world = World(samples.make_plan(rows, wanted), rows).start().go()

    gaps = [after - before for before, after in pairwise(begun(world))]
    assert all(WINDOW <= gap <= WINDOW + 10 * SECOND for gap in gaps) and len(gaps) == 2
