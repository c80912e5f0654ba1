"""When failures stop a run: after a wave, and within a later one."""

from __future__ import annotations

import pytest

from rollout.core.running import decide_instances, thresholds
from rollout.model import event as ev
from rollout.model.command import Attach, ObserveInstances, ObserveKeyPair, RestartCall
from rollout.model.outcome import Refused, RetryClass
from rollout.model.spec import Amount, WaveKind, WaveSpec
from rollout.sim.check.stations import misplaced
from tests.core import samples
from tests.core.scenarios import commands, halt_of, named, world
from tests.core.world import Script, World

FACT = Refused("OperationDenied.NoStock", RetryClass.FACT)
LATER = (samples.CANARY, *samples.REST)


def ids(*numbers: int) -> tuple[str, ...]:
    """Instance ids of the sample fleet."""
    return tuple(f"i-{number:04d}" for number in numbers)


def waves(size: int, script: Script, *, cap: int = 3, canary: int = 1) -> World:
    """A started run of a canary and the rest."""
    rows = samples.fleet(size)
    first = WaveSpec("canary", WaveKind.AMOUNT, Amount(count=canary))
    wanted = samples.capped(cap, waves=(first, *samples.REST))
    return World(samples.make_plan(rows, wanted), rows, script).start()


def touched(story: World) -> set[str]:
    """Instances that any intent named."""
    calls = [*named(story, Attach), *named(story, RestartCall)]
    return {instance for call in calls for instance in call}


def test_a_failed_canary_halts_the_run_before_the_next_wave() -> None:
    """A canary that does not come back stops the run: exit 5, and no later instance is touched."""
    story = waves(6, Script(stuck=ids(0))).go()

    assert halt_of(story) == ("failures", "R0504", 5)
    assert touched(story) == set(ids(0))
    assert "i-0000" in story.run.halted.detail  # type: ignore[union-attr]
    assert "wave canary" in story.run.halted.detail  # type: ignore[union-attr]


def test_a_canary_in_doubt_halts_the_run_before_the_next_wave() -> None:
    """A canary whose restart is neither proved nor disproved is no success."""
    story = waves(6, Script(calls={2: "lost_before"})).go()

    assert halt_of(story) == ("failures", "R0504", 5)
    assert touched(story) == set(ids(0))


def test_a_stranded_canary_halts_the_run_before_the_next_wave() -> None:
    """A canary whose restart is refused keeps the key attached and not in force."""
    story = waves(6, Script())
    story.at(story.now + 1_500, lambda: story.script.refuse.update({"i-0000": FACT}))
    story.go()

    assert story.classes["stranded"] == 1
    assert halt_of(story) == ("failures", "R0504", 5)
    assert touched(story) == set(ids(0))


def test_resume_accepts_the_failures_and_continues() -> None:
    """The journal says who accepted which instances, and the next wave starts."""
    story = waves(6, Script(stuck=ids(0))).go().resume().go()
    story.check_end()

    assert story.events(ev.FailuresAccepted) == [
        ev.FailuresAccepted("failures", 0, (0,), samples.ACTOR)
    ]
    assert (story.classes["failed"], story.classes["done"]) == (1, 5)
    assert story.run.closed is not None
    assert story.run.closed.exit == 3


def test_resume_accepts_a_canary_in_doubt() -> None:
    """The instance is observed again first; without new evidence the next wave starts."""
    story = waves(6, Script(calls={2: "lost_before"}, start_time_moves=False)).go().resume().go()
    story.check_end()

    assert [e.ordinals for e in story.events(ev.FailuresAccepted)] == [(0,)]
    assert story.classes["done"] == 5
    assert halt_of(story) == ("in_doubt", "R0501", 5)


def test_a_resume_after_a_crash_accepts_nothing() -> None:
    """Only a resume after this halt is an acceptance: a killed run still halts at its canary."""
    story = waves(6, Script(stuck=ids(0)))
    story.go(until=story.now + 20_000)
    story.resume().go()

    assert not story.events(ev.FailuresAccepted)
    assert halt_of(story) == ("failures", "R0504", 5)
    assert touched(story) == set(ids(0))


def test_only_new_failures_halt_again() -> None:
    """An accepted failure never halts the run a second time."""
    story = waves(9, Script(stuck=ids(0, 1, 2, 3)), cap=8).go().resume().go()
    assert halt_of(story) == ("failures", "R0504", 5)
    assert "wave all" in story.run.halted.detail  # type: ignore[union-attr]
    story.resume().go()
    story.check_end()

    accepted = [(event.wave, event.ordinals) for event in story.events(ev.FailuresAccepted)]
    assert accepted == [(0, (0,)), (1, (1, 2, 3))]
    assert story.run.closed is not None


def test_three_failures_halt_a_later_wave_at_once() -> None:
    """Three of twelve failed, which is more than 1 %: nothing new starts, open calls settle."""
    story = waves(40, Script(refuse=dict.fromkeys(ids(5, 6, 7), FACT)), cap=4).go()

    assert halt_of(story) == ("failures", "R0504", 5)
    assert story.run.wave_open == 1
    assert not story.run.open_calls
    assert story.classes["done"] < 30


def test_two_failures_of_a_later_wave_do_not_halt() -> None:
    """Two failures stay below the limit; after the last wave there is no wave to protect."""
    story = waves(20, Script(refuse=dict.fromkeys(ids(5, 6), FACT))).go()
    story.check_end()

    assert story.run.closed is not None
    assert (story.classes["failed"], story.run.closed.exit) == (2, 3)


def test_three_failures_below_one_percent_do_not_halt() -> None:
    """Three of 400 are less than 1 %, four are not less."""
    few = waves(401, Script(refuse=dict.fromkeys(ids(5, 6, 7), FACT)), cap=400).go()
    assert few.run.closed is not None

    many = waves(401, Script(refuse=dict.fromkeys(ids(5, 6, 7, 8), FACT)), cap=400).go()
    assert halt_of(many) == ("failures", "R0504", 5)


def test_the_first_of_several_waves_is_finished() -> None:
    """All instances of a canary are tried, because it measures how many fail."""
    story = waves(12, Script(), canary=5)
    canary = [target.instance for target in story.run.layout.targets[:5]]
    story.script.refuse.update(dict.fromkeys(canary[:3], FACT))
    story.go()

    assert halt_of(story) == ("failures", "R0504", 5)
    assert (story.classes["failed"], story.classes["done"]) == (3, 2)


def test_a_single_wave_halts_at_three_failures() -> None:
    """Where the first wave is the whole fleet there is no canary to finish."""
    rows = samples.fleet(40)
    script = Script(refuse=dict.fromkeys(ids(3, 4, 5), FACT))
    story = World(samples.make_plan(rows, samples.capped(4)), rows, script).start().go()

    assert halt_of(story) == ("failures", "R0504", 5)


def test_released_members_of_an_earlier_wave_finish_before_a_later_one_starts() -> None:
    """After a resume the held canary is worked on alone: no cell of the next wave opens before."""
    story = waves(6, Script(calls={2: "lost_before"})).go()
    story.boot(story.machines["i-0000"])
    story.resume().go()
    story.check_end()

    started = next(e for e in story.events(ev.WaveStarted) if e.wave == 1)
    done = next(e for e in story.events(ev.Moved) if e.trigger == "observed_running")
    assert done.ordinals == (0,)
    assert story.journal.index(done) < story.journal.index(started)
    assert story.classes["done"] == 6


def test_nothing_of_an_open_wave_begins_while_an_earlier_one_has_work() -> None:
    """A run that stopped within its second wave observes the held canary first."""
    story = waves(8, Script(calls={2: "lost_before"}), cap=3).go().resume()
    while not any(e.command.ordinals[0] > 0 for e in commands(story, RestartCall)):  # type: ignore[union-attr]
        story.go(until=story.now + 1_000)
    story.decider.drain("SIGTERM", "signal", story.now)
    story.go()
    assert story.run.wave_open == 1
    story.boot(story.machines["i-0000"])
    before = len(story.journal)
    story.resume().go()
    story.check_end()

    later = story.journal[before:]
    finished = next(n for n, e in enumerate(later) if isinstance(e, ev.Moved) and 0 in e.ordinals)
    issued = [n for n, e in enumerate(later) if isinstance(e, ev.Issued)]
    assert issued
    assert finished < issued[0]
    assert story.classes["done"] == 8


def test_a_stalled_earlier_wave_lets_no_planned_instance_of_a_later_one_begin(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only restarts of what is attached already can give permits back; new attaches cannot."""
    story = waves(8, Script(calls={2: "lost_before"}), cap=3).go().resume()
    while story.run.wave_open != 1:
        story.go(until=story.now + 1)
    waiting, run = story.decider.waiting, story.run
    key = ObserveKeyPair(run.layout.sites[0])
    story.decider.key_pair_observed(key, samples.PUBLIC_KEY, samples.FINGERPRINT, story.now)
    story.decider.put(ev.Released((0,), "resolved"), story.now)
    for ordinal in tuple(waiting.permits.checking):
        waiting.permits.uncheck(ordinal)  # so that the budget has room for others
    monkeypatch.setattr(type(waiting), "stalled", property(lambda _: True))
    assert run.left_before == 0 and any(waiting.queued.values())

    looks = [
        one
        for one in decide_instances.decide(waiting, story.now).observations
        if isinstance(one, ObserveInstances)
    ]
    assert not looks


def test_a_stalled_earlier_wave_lets_no_checked_instance_of_a_later_one_be_attached(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A batch that was compared before the earlier wave got work again is compared again later."""
    story = waves(8, Script(calls={2: "lost_before"}), cap=3).go().resume()
    waiting = story.decider.waiting
    while story.run.wave_open != 1 or not waiting.permits.checking:
        story.go(until=story.now + 1)
    site, ordinals = story.run.layout.sites[0], tuple(waiting.permits.checking)
    names = tuple(story.run.layout.targets[ordinal].instance for ordinal in ordinals)
    story.decider.instances_observed(
        ObserveInstances(site, ordinals, names),
        [story.machines[name].now for name in names],
        story.now,
        story.now,
        story.now,
    )
    key = ObserveKeyPair(site)
    story.decider.key_pair_observed(key, samples.PUBLIC_KEY, samples.FINGERPRINT, story.now)
    story.decider.put(ev.Released((0,), "resolved"), story.now)
    monkeypatch.setattr(type(waiting), "stalled", property(lambda _: True))
    waiting.advance(story.now)

    assert not decide_instances.decide(waiting, story.now).events
    assert not any(waiting.checked.values()) and not waiting.permits.checking
    assert not list(misplaced(waiting))


@pytest.mark.parametrize(
    "reason, waits",
    [
        ("failures", True),
        ("foreign_key", True),
        ("elsewhere", True),
        ("drift", True),
        ("input", True),
        ("unknown_code", True),
        ("protocol_anomaly", True),
        ("unreachable", False),
        ("key_pair", False),
        ("in_doubt", False),
    ],
)
def test_only_some_halts_wait_for_an_operator(reason: str, *, waits: bool) -> None:
    """A resume checks the other reasons again, and an abort leaves nothing to decide."""
    run = world(2, 1).run
    run.halted = ev.Halted(reason, "R0000", 5, "")
    assert thresholds.waits_for_operator(run) is waits

    run.aborted = ev.OperatorCommand(
        "1", ev.OperatorVerb.ABORT, samples.ACTOR, samples.NOW, "command line"
    )
    assert not thresholds.waits_for_operator(run)
