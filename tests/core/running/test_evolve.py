"""The fold, and what must hold over hundreds of random runs, crashes included."""

from __future__ import annotations

import msgspec
import pytest

from rollout.core.invariant import Bug
from rollout.core.running.evolve import evolve
from rollout.core.running.state import Run
from rollout.model import event as ev
from rollout.model import limits
from rollout.model.command import Attach
from rollout.model.instance import Status
from rollout.model.observation import Observed, gather
from rollout.model.outcome import Done, Refused, RetryClass
from rollout.model.site import Lane
from rollout.model.spec import Calls, OnUnknown, Restart, WaveKind, WaveSpec
from rollout.model.time import SECOND
from tests.core import samples
from tests.core.world import Crash, Machine, Probed, Script, World, photo

SEEDS = 300
FAULTS = {"throttled": 0.1, "lost_before": 0.07, "lost_after": 0.1, "late": 0.05}


def scenario(seed: int, *, photos: bool = False, calm: bool = False) -> World:
    """A random small fleet, budget, spec and script, all from the seed."""
    rows = samples.fleet(6 + seed % 7, regions=1 + seed % 2)
    if seed % 3 == 0:
        rows[2] = msgspec.structs.replace(rows[2], status=Status.STOPPED)
    if seed % 4 == 1:
        rows[3] = msgspec.structs.replace(rows[3], key_pair=samples.NEW_KEY)
    wanted = samples.capped(
        1 + seed % 5,
        waves=(samples.CANARY, *samples.REST) if seed % 2 else (COVER, *samples.REST),
        restart=Restart(calls=Calls.BATCH if seed % 6 == 0 else Calls.SINGLE),
        on_unknown=OnUnknown.RETRY_ONCE if seed % 11 == 0 else OnUnknown.HOLD,
        limits=msgspec.structs.replace(samples.spec().limits, exposed_max=2 + seed % 9),
    )
    script = Script(
        odds={} if calm else FAULTS,
        look_odds={} if calm else {"lost": 0.05, **({"stale": 0.1} if seed % 5 == 0 else {})},
        start_time_moves=seed % 7 != 0,
        boot_ms=800 if seed % 4 == 2 else 15 * SECOND,
        stuck=("i-0001",) if seed % 13 == 0 and not calm else (),
        refuse={"i-0004": FACT} if seed % 8 == 3 and not calm else {},
    )
    plan = samples.make_plan(rows, wanted, present=seed % 9 != 0)
    world = World(plan, rows, script, seed=seed, photos=photos)
    if seed % 9 == 0:
        world.keys.clear()
    if seed % 10 == 7 and not calm:
        world.machines["i-0005"].gone = True
    if seed % 5 == 2 and not calm:
        other = world.machines["i-0000"]
        world.at(world.now + seed * 97 % 20_000, lambda: meddle(world, other))
    return world.start()


def test_throttled_lanes_are_those_of_this_process() -> None:
    """Slowed until recovered; reports of an earlier process are dropped on resume."""
    world = scenario(0)
    slowed = ev.LaneSlowed("1", "cn-hangzhou", "RebootInstance", 60, 1, 0)
    other = ev.LaneSlowed("1", "cn-hangzhou", "AttachKeyPair", 30, 4, 0)
    for event in (slowed, other, ev.LaneRecovered("1", "cn-hangzhou", "AttachKeyPair")):
        evolve(world.decider.run, event)
    assert list(world.decider.run.slowed.values()) == [slowed]
    evolve(world.decider.run, ev.Resumed(2, samples.ACTOR, world.now))
    assert world.decider.run.slowed == {}


def meddle(world: World, machine: Machine) -> None:
    """Somebody else reboots it, where it is up; it may be taken for our own late restart."""
    world.meddled = True
    if machine.now.status is Status.RUNNING:
        world.boot(machine)


COVER = WaveSpec("cover", WaveKind.COVER)
FACT = Refused("OperationDenied.NoStock", RetryClass.FACT)


@pytest.mark.parametrize("block", range(6))
def test_random_runs_keep_every_rule(block: int) -> None:
    """Whatever goes wrong: budgets hold at every instant, turns settle, nobody waits for nobody."""
    for seed in range(block, SEEDS, 6):
        world = scenario(seed).go()
        world.check_end(restarts_max=2 if seed % 11 == 0 else 1)
        assert world.run.closed or world.run.halted


def test_the_fold_of_every_prefix_is_the_state_that_was_live_then() -> None:
    """`evolve` reads nothing but the event: folding the journal gives every state again."""
    for seed in range(0, 60, 3):
        world = scenario(seed, photos=True).go()
        assert isinstance(world.decider, Probed)
        again = Run.of(world.plan)
        for event, live in zip(world.journal, world.decider.photos, strict=True):
            evolve(again, event)
            assert photo(again) == live


@pytest.mark.parametrize("seed", [2, 3, 6, 9])
def test_a_crash_after_any_event_costs_nothing_but_time(seed: int) -> None:
    """Resumed from every prefix, the run ends in the same classes, one restart an instance."""
    whole = scenario(seed, calm=True).go()
    assert whole.classes["done"] == whole.plan.counts.targets
    for k in range(1, len(whole.journal)):
        world = scenario(seed, calm=True)
        world.crash_at = k
        with pytest.raises(Crash):
            world.go()
        world.resume().go()
        while world.run.halted and world.run.halted.reason == "in_doubt" and world.run.epoch < 4:
            world.resume().go()
        world.check_end()
        if world.run.closed:
            assert world.classes == whole.classes
        else:
            assert world.classes["in_doubt"]


def test_a_crash_with_calls_on_their_way_restarts_nobody_twice() -> None:
    """Killed at random instants, effects under way or not: never a second restart."""
    for seed in range(40):
        world = scenario(seed * 11 + 1, calm=seed % 2 == 0)
        for _ in range(3):
            world.go(until=world.now + (1 + seed % 17) * SECOND)
            if not world.run.stopping:
                world.resume()
        world.go()
        world.check_end()


def test_asking_more_often_decides_nothing_else() -> None:
    """Turns between the wakes find nothing to do: the journal is the same."""
    for seed in range(1, 60, 3):
        plain, restless = scenario(seed), scenario(seed)
        restless.restless = True

        assert restless.go().journal == plain.go().journal


def test_the_whole_journal_survives_its_encoding() -> None:
    """What is written is what is folded: events come back from JSON as they were."""
    world = scenario(3).go()
    encoded = msgspec.json.encode(world.journal)

    assert msgspec.json.decode(encoded, type=list[ev.AnyEvent]) == world.journal


def started(size: int = 3, cap: int = 2) -> Run:
    """A folded run with its first cell open and its key there."""
    run = Run.of(samples.make_plan(samples.fleet(size), samples.capped(cap)))
    site = (samples.ACCOUNT, samples.REGIONS[0])
    for event in (
        ev.RunStarted(ev.FORMAT_VERSION, "run-1", "", "", "", 1, samples.ACTOR, samples.NOW),
        ev.WaveStarted(0, "all"),
        ev.CellOpened(0),
        ev.KeyReady(*site, "f"),
    ):
        evolve(run, event)
    return run


def attach(run: Run, *ordinals: int, n: int = 1, epoch: int = 1, key: str = "") -> ev.Issued:
    """An attach intent of these ordinals."""
    ids = tuple(run.layout.targets[ordinal].instance for ordinal in ordinals)
    sight = Observed(Status.RUNNING, key or samples.OLD_KEY, samples.NOW, samples.NOW)
    command = Attach(ordinals, ids)
    return ev.Issued(n, command, samples.NOW + SECOND, gather([sight] * len(ordinals)), epoch)


@pytest.mark.parametrize(
    "change, rule",
    [
        ({"n": 2}, "I-02"),
        ({"epoch": 2}, "I-02"),
        ({"key": "theirs"}, "I-07"),
    ],
)
def test_an_intent_that_breaks_a_rule_is_refused_by_the_fold(
    change: dict[str, object], rule: str
) -> None:
    """The fold checks again what the decision respected."""
    run = started()
    with pytest.raises(Bug, match=rule):
        evolve(run, attach(run, 0, **change))  # type: ignore[arg-type]


def test_an_id_twice_in_one_call_is_refused_by_the_fold() -> None:
    """Ids of one call are unique."""
    run = started()
    with pytest.raises(Bug, match="I-03"):
        evolve(run, attach(run, 0, 0))


def test_an_intent_after_a_drain_is_refused_by_the_fold() -> None:
    """After a drain nothing begins."""
    run = started()
    evolve(run, ev.Drained("SIGTERM", "signal"))
    with pytest.raises(Bug, match="I-38"):
        evolve(run, attach(run, 0))


def test_the_epoch_rises_by_one() -> None:
    """A resume that skips or repeats an epoch is refused."""
    run = started()
    with pytest.raises(Bug, match="I-40"):
        evolve(run, ev.Resumed(3, samples.ACTOR, samples.NOW))


def test_a_settled_twice_changes_nothing() -> None:
    """The first durable outcome wins."""
    run = started()
    evolve(run, attach(run, 0))
    evolve(run, ev.Settled(1, samples.NOW, Done()))
    before = photo(run)
    evolve(run, ev.Settled(1, samples.NOW, FACT))

    assert photo(run) == before


def test_only_what_is_held_is_released() -> None:
    """A second release would count an instance twice among those that are left."""
    run = started()
    evolve(run, ev.Held((0,), "unproven"))
    evolve(run, ev.Released((0,), "start_time_trusted"))
    with pytest.raises(Bug, match="held"):
        evolve(run, ev.Released((0,), "start_time_trusted"))


def test_nothing_follows_the_close() -> None:
    """An event after RunClosed is a defect."""
    world = scenario(3, calm=True).go()
    with pytest.raises(Bug, match="RunClosed"):
        evolve(world.run, ev.Drained("SIGTERM", "signal"))


def test_a_torn_tail_lets_no_restart_begin_within_the_settle_window() -> None:
    """What a cut line asked is not known: the first restart waits a settle window."""
    run = started()
    evolve(run, ev.TornTail(10, ""))
    evolve(run, ev.Resumed(2, samples.ACTOR, samples.NOW))

    assert run.not_before == samples.NOW + run.plan.restart.settle_window_ms


def test_three_unknown_codes_halt() -> None:
    """A service that answers in a language nobody knows is left alone."""
    run = started()
    odd = Refused("Strange", RetryClass.ODD)
    for n in range(limits.UNKNOWN_CODES_MAX):
        assert run.alarm is None
        evolve(run, attach(run, n, n=n + 1))
        evolve(run, ev.Settled(n + 1, samples.NOW, odd))

    assert run.alarm is not None and run.alarm.code == "R0502"
    assert run.alarm.detail == "AttachKeyPair: Strange: "


def test_a_denied_call_is_named_in_the_halt() -> None:
    """Whoever reads the halt knows which permission is missing."""
    run = started()
    evolve(run, attach(run, 0, n=1))
    denied = Refused("Forbidden.RAM", RetryClass.DENIED, "not authorized", "REQ-1")

    evolve(run, ev.Settled(1, samples.NOW, denied))

    assert run.alarm is not None and run.alarm.code == "R0403"
    assert run.alarm.detail == ("AttachKeyPair: Forbidden.RAM: not authorized (RequestId REQ-1)")


def test_throttling_halves_the_lane_and_answers_widen_it() -> None:
    """Calls let into a lane: half after a throttle, one more after each answer."""
    run = started()
    site = run.layout.sites[0]
    evolve(run, attach(run, 0))
    evolve(run, ev.Settled(1, samples.NOW, Refused("Throttling", RetryClass.THROTTLED)))
    assert run.lane_use(Lane(site, "AttachKeyPair")).window == limits.LANE_CALLS_START // 2
    evolve(run, attach(run, 0, n=2))
    evolve(run, ev.Settled(2, samples.NOW, Done()))

    assert run.lane_use(Lane(site, "AttachKeyPair")).window == limits.LANE_CALLS_START // 2 + 1
