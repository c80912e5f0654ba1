"""The decider against a simulated service: one scenario for each protected behavior."""

from __future__ import annotations

from typing import NoReturn

import pytest

from rollout.core.running import decide_instances
from rollout.core.running.decider import Decider
from rollout.core.running.key_comparisons import Comparison
from rollout.core.running.stations import Station
from rollout.core.running.step import OBSERVATIONS_OPEN_MAX
from rollout.core.running.view import view
from rollout.model import event as ev
from rollout.model import limits
from rollout.model.command import Attach, ObserveInstances, ObserveKeyPair, RestartCall
from rollout.model.instance import OsFamily, Status
from rollout.model.outcome import Answer, Done, Refused, RetryClass, Unknown
from rollout.model.plan import RestartKind
from rollout.model.site import KeySite
from rollout.model.spec import OnUnknown
from rollout.model.time import SECOND
from tests.core import samples
from tests.core.scenarios import commands, halt_of, named, world
from tests.core.world import Script, World

STATE = Refused("IncorrectInstanceStatus", RetryClass.STATE)
FACT = Refused("InvalidOperation.Locked", RetryClass.FACT)


class Unread(list[int]):
    """A list that must not be read from."""

    def __getitem__(self, index: object) -> NoReturn:
        raise AssertionError("read though the site is full")


# the good day


def test_the_happy_path_attaches_reads_back_restarts_and_is_done() -> None:
    """Every instance is attached, read back, rebooted once and seen to have booted."""
    story = world(6, 3).go()
    story.check_end()

    moves = [event.trigger for event in story.journal if isinstance(event, ev.Moved)]

    assert story.classes["done"] == 6
    assert story.run.closed is not None and story.run.closed.exit == 0
    assert moves.index(ev.Trigger.OBSERVED_ATTACHED) < moves.index(ev.Trigger.OBSERVED_BOOTED)
    assert all(len(machine.restarts) == 1 for machine in story.machines.values())


def test_a_stopped_instance_is_started_and_takes_no_permit() -> None:
    """A Stopped instance is started, never rebooted, and counts in no budget."""
    rows = [samples.instance(0, status=Status.STOPPED), samples.instance(1)]
    story = World(samples.make_plan(rows, samples.capped(1)), rows).start().go()
    story.check_end()

    restarts = [event.command for event in story.events(ev.Issued)]
    kinds = {c.instances[0]: c.kind for c in restarts if isinstance(c, RestartCall)}

    assert kinds == {"i-0000": RestartKind.START, "i-0001": RestartKind.REBOOT}
    assert story.classes["done"] == 2


def test_instances_that_wait_for_a_full_lane_are_not_read() -> None:
    """A turn costs the same however many instances wait for a lane without room."""
    story = world(40, 40)
    while len(commands(story, RestartCall)) < limits.LANE_CALLS_START:
        story.go(until=story.now + 100)
    waiting, site = story.decider.waiting, story.run.layout.sites[0]
    ready = waiting.ready[site][RestartKind.REBOOT]
    assert len(ready) == 40 - limits.LANE_CALLS_START

    waiting.ready[site][RestartKind.REBOOT] = Unread(ready)
    assert not decide_instances.decide(waiting, story.now).events


def test_a_stopped_instance_does_not_wait_for_a_permit_that_is_kept() -> None:
    """A start needs no permit: a budget of one that is kept for good holds back only reboots."""
    rows = [samples.instance(0), samples.instance(1, status=Status.STOPPED), samples.instance(2)]
    script = Script(calls={2: "lost_before", 3: "lost_before"}, start_time_moves=False)
    story = World(samples.make_plan(rows, samples.capped(1)), rows, script).start().go()
    story.check_end()

    assert story.run.phase(1).label == "done"
    assert story.run.causes[2] == "budget_held by i-0000"


def test_an_instance_already_on_the_key_is_only_restarted() -> None:
    """An instance with the key attached and no proved boot is restarted without an attach."""
    rows = [samples.instance(0, key_pair=samples.NEW_KEY), samples.instance(1)]
    story = World(samples.make_plan(rows, samples.capped(2)), rows).start().go()
    story.check_end()

    assert named(story, Attach) == [("i-0001",)]
    assert story.classes["done"] == 2


# refusals


def test_refused_items_do_not_touch_their_neighbours() -> None:
    """Of 50 ids of one call 46 are done, 3 refused by a fact and 1 lost to a fact of its own."""
    rows = samples.fleet(50)
    bad = ("i-0007", "i-0021", "i-0033", "i-0049")
    script = Script(refuse=dict.fromkeys(bad, FACT))
    story = World(samples.make_plan(rows, samples.capped(50)), rows, script).start().go()
    story.resume().go()  # four of 50 halt the wave; open calls continue
    story.check_end()

    assert (story.classes["done"], story.classes["failed"]) == (46, 4)
    assert len(commands(story, Attach)) == 1
    assert {story.run.causes[int(name[2:])] for name in bad} == {FACT.code}


def test_a_batch_refused_for_a_windows_instance_is_halved_until_it_is_found() -> None:
    """A Windows instance that the inventory calls Linux fails alone, not with its batch."""
    rows = samples.fleet(16)
    story = World(samples.make_plan(rows, samples.capped(16)), rows)
    true_windows = story.machines["i-0005"]
    true_windows.change(story.now, os=OsFamily.WINDOWS)
    true_windows.past[:] = [(10**15, rows[5])]
    story.start().go()

    assert (story.classes["done"], story.classes["failed"]) == (15, 1)
    assert story.run.causes[5] == "DependencyViolation.WindowsInstance"
    assert len(story.events(ev.Split)) == 8


def test_throttling_is_no_attempt() -> None:
    """Five throttled refusals in a row delay an instance and count as no attempt."""
    story = world(1, 1, Script(calls=dict.fromkeys(range(1, 6), "throttled"))).go()
    story.check_end()

    assert story.classes["done"] == 1
    assert story.run.restart_tries[0] == 1
    assert max(e.attempt for e in commands(story, Attach)) == 1


# lost replies


def test_a_lost_attach_reply_is_read_back_not_repeated() -> None:
    """The attach happened although its reply was lost: one observation shows it."""
    story = world(2, 2, Script(calls={1: "lost_after"})).go()
    story.check_end()

    assert story.classes["done"] == 2
    assert len(commands(story, Attach)) == 1


def test_an_attach_that_never_arrived_is_made_again() -> None:
    """The record still shows the former key, so the attach is made a second time."""
    story = world(2, 2, Script(calls={1: "lost_before"})).go()
    story.check_end()

    assert story.classes["done"] == 2
    assert len(commands(story, Attach)) == 2


def test_a_lost_reboot_reply_means_one_restart_only() -> None:
    """The reboot happened although its reply was lost: StartTime shows it, nothing is repeated."""
    story = world(2, 2, Script(calls={2: "lost_after"})).go()
    story.check_end()

    assert story.classes["done"] == 2
    assert all(len(machine.restarts) == 1 for machine in story.machines.values())


def test_a_lost_reboot_waits_for_trust_in_start_time_and_is_then_made_again() -> None:
    """A lost reboot counts as not done only after clean reboots moved StartTime in this region."""
    story = world(3, 3, Script(calls={2: "lost_before"})).go()
    story.check_end()

    again = [event for event in commands(story, RestartCall) if event.attempt == 2]

    assert story.classes["done"] == 3
    assert len(again) == 1
    first = next(event for event in story.events(ev.Settled) if event.n == 2)
    assert again[0].not_after - first.at > story.plan.restart.settle_window_ms


def test_a_lost_reboot_without_trust_is_held_in_doubt_and_keeps_its_permit() -> None:
    """No clean reboot ever moved StartTime: the run halts in doubt, exit 5, the permit stays."""
    script = Script(calls={2: "lost_before"}, start_time_moves=False)
    story = world(2, 2, script).go()
    story.check_end()

    assert halt_of(story) == ("in_doubt", "R0501", 5)
    assert story.classes["in_doubt"] == 1 and story.run.ledger.kept == [1]
    assert len(commands(story, RestartCall)) == 2


def test_retry_once_restarts_a_second_time_and_no_third() -> None:
    """`retryOnce` makes one more restart after the settle window; then it is held."""
    script = Script(calls={2: "lost_before", 3: "lost_before"})
    story = world(1, 1, script, on_unknown=OnUnknown.RETRY_ONCE).go()

    assert len(commands(story, RestartCall)) == 2
    assert halt_of(story) == ("in_doubt", "R0501", 5)


def test_refusals_of_a_busy_instance_use_up_no_attempt() -> None:
    """Two refusals because the instance is busy leave `retryOnce` its second restart."""
    script = Script(calls={2: "conflict", 3: "conflict", 4: "lost_before"})
    story = world(1, 1, script, on_unknown=OnUnknown.RETRY_ONCE).go()

    assert len(commands(story, RestartCall)) == 4
    assert story.classes["done"] == 1


def test_a_resume_gives_no_further_attempt() -> None:
    """Attempts count per run: an instance restarted three times is held again by every resume."""
    rows = [*samples.fleet(6), samples.instance(6, image="m-2")]
    script = Script(calls=dict.fromkeys((2, 8, 9, 10), "lost_before"))
    story = World(samples.make_plan(rows, samples.capped(7)), rows, script).start().go()
    assert halt_of(story) == ("in_doubt", "R0501", 5)
    assert story.run.causes[0] == "attempts"

    story.resume().go()

    calls = [event.command for event in commands(story, RestartCall)]
    tried = [call for call in calls if isinstance(call, RestartCall) and 0 in call.ordinals]
    assert len(tried) == limits.ATTEMPTS_MAX
    assert story.run.causes[0] == "attempts" and story.classes["stranded"] == 1


@pytest.mark.parametrize("moves", [True, False])
def test_an_accepted_restart_is_never_repeated(*, moves: bool) -> None:
    """The service accepted it and nothing shows it: in doubt, whatever `onUnknown` says and also
    where StartTime is trusted. It may only be late.
    """
    script = Script(calls={4: "ignored"}, start_time_moves=moves)
    story = world(4, 4, script, on_unknown=OnUnknown.RETRY_ONCE).go()
    story.check_end()

    assert len(commands(story, RestartCall)) == 4
    assert (story.classes["done"], story.classes["in_doubt"]) == (3, 1)
    story.resume().go()
    assert len(commands(story, RestartCall)) == 4


def test_assume_done_is_unverified_and_frees_the_permit() -> None:
    """`assumeDone` gives the class unverified, never done, and the next instance continues."""
    script = Script(calls={2: "lost_before"})
    story = world(1, 1, script, on_unknown=OnUnknown.ASSUME_DONE).go()

    assert story.classes["unverified"] == 1 and story.run.ledger.used == [0]
    assert story.run.closed is not None


def test_a_late_reboot_inside_the_settle_window_is_never_doubled() -> None:
    """A reboot that arrives long after its caller gave up is seen, and not made a second time."""
    story = world(2, 2, Script(calls={2: "late"}, late_ms=90 * SECOND)).go()
    story.check_end()

    assert story.classes["done"] == 2


# budgets


def test_a_kept_permit_outlives_waves() -> None:
    """A canary in doubt keeps its permit: with a cap of 1 nobody else is restarted in any wave."""
    rows = samples.fleet(3)
    wanted = samples.capped(1, waves=(samples.CANARY, *samples.REST))
    script = Script(calls={2: "lost_before"})
    story = World(samples.make_plan(rows, wanted), rows, script).start().go().resume().go()
    story.check_end()

    assert len(story.run.layout.waves) == 2
    assert len(commands(story, RestartCall)) == 1
    assert {story.run.causes[o] for o in (1, 2)} == {"budget_held by i-0000"}


def test_a_kept_permit_outlives_the_process() -> None:
    """A resume observes again, finds no proof, and the permit stays taken."""
    story = world(2, 1, Script(calls={2: "lost_before"})).go().resume().go()
    story.check_end()

    assert story.run.ledger.kept == [1]
    assert len(commands(story, RestartCall)) == 1


def test_failed_and_down_keeps_its_permit() -> None:
    """An instance that never came back is down: its permit is not given to the next one."""
    story = world(3, 1, Script(stuck=("i-0000",))).go()
    story.check_end()

    assert (story.classes["failed"], story.classes["skipped"]) == (1, 2)
    assert story.run.ledger.kept == [1]
    assert story.run.closed is not None and story.run.closed.exit == 3


def test_a_cap_of_one_reserves_before_the_attach() -> None:
    """Where one may be down, nothing is attached that could not be restarted at once."""
    story = world(3, 1)
    most = 0
    while story.run.closed is None:
        story.go(until=story.now + SECOND)
        most = max(most, story.run.ledger.exposed)

    assert most == 1


def test_exposure_full_of_doubt_ends_the_run_and_names_the_holder() -> None:
    """A limit of exposed instances that is used up by restarts in doubt ends the run."""
    rows = samples.fleet(10)
    script = Script(calls={2: "lost_before"}, start_time_moves=False)
    story = World(samples.make_plan(rows, samples.exposing(1)), rows, script).start().go()

    assert halt_of(story) == ("in_doubt", "R0501", 5)
    assert {story.run.causes[ordinal] for ordinal in range(1, 10)} == {"budget_held by i-0000"}


def test_parked_instances_do_not_repeat_a_turn_while_observations_are_full() -> None:
    """An instance that cannot be observed yet claims no permit, so that no turn repeats."""
    story = world(4, 1)
    story.turn()
    waiting, site = story.decider.waiting, story.run.layout.sites[0]
    waiting.watching.keys.good[KeySite(site, 0)] = Comparison(story.now, 0, last=False)
    attached = ev.Moved(ev.Trigger.OBSERVED_ATTACHED, (0, 1), "key_pair", story.now)
    story.decider.put(attached, story.now)
    for ordinal in (0, 1):
        waiting.leave(ordinal)
        waiting.stations.column[ordinal] = Station.READY
    ready = waiting.ready[site][RestartKind.REBOOT]
    ready[:] = [0, 1]
    waiting.watching.open[site] = OBSERVATIONS_OPEN_MAX
    story.decider.turn(story.now)

    assert ready == [0, 1] and not waiting.permits.parked
    waiting.watching.open[site] = 0
    (look,) = decide_instances.decide(waiting, story.now).observations
    assert isinstance(look, ObserveInstances) and look.ordinals == (0,)


# stopping


def test_a_drain_starts_nothing_new() -> None:
    """After a drain no intent is made; open calls are awaited, and then the run is idle."""
    story = world(6, 2)
    story.go(until=story.now + 3 * SECOND)
    story.decider.drain("SIGTERM", "signal", story.now)
    before = len(story.events(ev.Issued))
    story.go()

    assert len(story.events(ev.Issued)) == before
    assert story.decider.idle and story.run.closed is None
    assert story.decider.turn(story.now).wake is None


@pytest.mark.parametrize("public_key", [samples.PUBLIC_KEY, "", "ssh-ed25519 AAAA another"])
def test_a_key_that_is_seen_after_a_drain_changes_nothing(public_key: str) -> None:
    """An observation of the key pair that was on its way neither opens the site, nor halts the
    run, nor imports a key."""
    story = world(2, 1)
    [look] = story.decider.turn(story.now).observations
    assert isinstance(look, ObserveKeyPair)
    story.decider.drain("SIGTERM", "signal", story.now)
    before = len(story.journal)

    story.decider.key_pair_observed(look, public_key, samples.FINGERPRINT, story.now)

    assert len(story.journal) == before
    assert not story.run.keys and not story.decider.watching.keys.good


def test_a_drained_run_is_resumed_and_finishes() -> None:
    """A drained run continues under the next epoch, with one restart of each instance."""
    story = world(6, 2)
    story.go(until=story.now + 3 * SECOND)
    story.decider.drain("SIGTERM", "signal", story.now)
    story.go().resume().go()
    story.check_end()

    assert story.classes["done"] == 6 and story.run.epoch == 2


def test_an_answer_applied_twice_changes_nothing() -> None:
    """The first durable outcome counts; a second one is journaled and changes nothing."""
    story = world(4, 4)
    answered = story.decider.call_ended

    def twice(n: int, answer: Answer, now: int) -> None:
        answered(n, answer, now)
        answered(n, Answer(Unknown("again")), now)

    story.decider.call_ended = twice  # type: ignore[method-assign]
    story.go()
    story.check_end()

    assert story.classes["done"] == 4
    settled = story.events(ev.Settled)
    assert len(settled) == 2 * len({event.n for event in settled})


def test_no_event_follows_the_close() -> None:
    """A closed run ignores turns, drains, halts and late replies."""
    story = world(1, 1).go()
    length = len(story.journal)
    story.decider.drain("SIGTERM", "signal", story.now)
    story.decider.halt(ev.Halted("disk", "R0801", 74, ""), story.now)
    story.decider.call_ended(1, Answer(Done()), story.now)

    assert story.decider.turn(story.now).intents == ()
    assert len(story.journal) == length


def test_the_view_sums_up_to_the_inventory() -> None:
    """The counts of the view add up to the inventory at every instant."""
    story = world(6, 2)
    while story.run.closed is None:
        story.go(until=story.now + SECOND)
        seen = view(story.run)
        assert sum(seen.classes.values()) == story.plan.counts.found
        assert sum(seen.phases.values()) == story.plan.counts.targets


def test_a_boot_by_another_operator_survives_a_crash_within_its_line() -> None:
    """A line cut before `observed_running` is continued without a record of a restart."""
    story = world(1, 1)
    decider = Decider(story.plan)
    story.go()
    upto = next(
        n
        for n, event in enumerate(story.journal)
        if isinstance(event, ev.Moved) and event.trigger is ev.Trigger.OBSERVED_ATTACHED
    )
    for event in story.journal[: upto + 1]:
        decider.fold(event)
    decider.fold(ev.Moved(ev.Trigger.OBSERVED_BOOTED, (0,), "foreign_restart", story.now))
    decider.resume(samples.ACTOR, story.now)
    looks = decider.turn(story.now).observations
    look = next(one for one in looks if isinstance(one, ObserveInstances))
    decider.instances_observed(
        look, [story.machines["i-0000"].now], story.now, story.now, story.now
    )

    assert decider.run.phase(0).label == "comparing"
