"""Observations as evidence: what each proves."""

from __future__ import annotations

import msgspec
import pytest

from rollout.core.running import restart_evidence
from rollout.core.running.state import Restarting
from rollout.core.running.watching import Sample
from rollout.model import event as ev
from rollout.model import limits
from rollout.model.command import RestartCall
from rollout.model.event import Trigger
from rollout.model.instance import OsFamily, Status
from rollout.model.observation import Observed, spread
from rollout.model.plan import RestartKind
from rollout.model.spec import OnUnknown, Restart, Stopped
from rollout.model.time import MINUTE, SECOND
from tests.core import samples
from tests.core.world import Script, World


def world(size: int, cap: int, script: Script | None = None, **changes: object) -> World:
    """A started run over similar instances with an absolute budget."""
    rows = samples.fleet(size)
    return World(samples.make_plan(rows, samples.capped(cap, **changes)), rows, script).start()


def moves(story: World) -> dict[str, list[str]]:
    """Triggers with their evidence, by instance."""
    found: dict[str, list[str]] = {}
    for event in story.events(ev.Moved):
        for ordinal in event.ordinals:
            name = story.run.layout.targets[ordinal].instance
            found.setdefault(name, []).append(f"{event.trigger}:{event.evidence}")
    return found


def test_another_status_proves_a_boot() -> None:
    """ObservedGroup not Running after the intent: the restart happened."""
    story = world(1, 1).go()

    assert moves(story)["i-0000"][1:] == ["observed_booted:status", "observed_running:status"]


def test_a_moved_start_time_proves_an_unobserved_boot() -> None:
    """A boot between two observations is proved by its StartTime."""
    story = world(1, 1, Script(boot_ms=500)).go()

    assert moves(story)["i-0000"][1:] == ["observed_booted:start_time", "observed_running:status"]


def test_done_is_not_believed_from_a_reply() -> None:
    """The service says Done and nothing shows a boot: in doubt after the settle window."""
    script = Script(boot_ms=500, start_time_moves=False)
    story = world(1, 1, script).go()

    assert moves(story)["i-0000"][1:] == ["doubted:settle_window"]
    assert story.classes["in_doubt"] == 1


def test_the_minute_guard_waits_for_the_next_minute() -> None:
    """An instance that booted in this minute is restarted in the next one, not before."""
    story = world(1, 1)
    machine = story.machines["i-0000"]
    started = story.now // MINUTE * MINUTE
    machine.change(story.now, started_at=started)
    story.go()
    story.check_end()

    assert machine.restarts[0] >= started + MINUTE


def test_a_slow_answer_does_not_shorten_the_minute_guard() -> None:
    """How long an answer took is not taken for a clock of the service that is ahead of ours."""
    story = world(1, 1)
    story.turn()
    story.go(until=story.now + SECOND)
    waiting = story.decider.waiting
    started = samples.NOW // MINUTE * MINUTE
    heard = started + 20 * SECOND
    evidence = Observed(Status.RUNNING, samples.NEW_KEY, started, api_time=heard)
    waiting.watching.last[0] = Sample(evidence, at=started + 5 * SECOND)

    waiting.make_ready(0, heard)

    assert waiting.wake() == started + MINUTE


def test_a_boot_by_somebody_else_after_the_attach_needs_no_restart_of_ours() -> None:
    """The key came into force by a foreign reboot while the instance waited for a permit."""
    story = world(6, 4, Script(boot_ms=90 * SECOND))
    machine = story.machines["i-0005"]
    while story.run.phase(5).label != "attached":
        story.go(until=story.now + SECOND)
    later = (story.now // MINUTE + 3) * MINUTE
    machine.change(story.now, started_at=later)
    machine.boots.append(samples.NEW_KEY)
    story.go()
    story.check_end()

    assert not machine.restarts
    last = ["observed_booted:foreign_restart", "observed_running:status"]
    assert moves(story)["i-0005"][-2:] == last


def test_a_boot_that_may_have_begun_before_the_attach_is_not_enough() -> None:
    """StartTime is stamped once the instance has stopped: soon after the attach it proves nothing,
    and the instance is restarted by us.
    """
    story = world(6, 4, Script(boot_ms=90 * SECOND))
    machine = story.machines["i-0005"]
    while story.run.phase(5).label != "attached":
        story.go(until=story.now + SECOND)
    machine.change(story.now, started_at=(story.now // MINUTE + 1) * MINUTE)
    story.go()
    story.check_end()

    assert len(machine.restarts) == 1


def test_a_lost_reply_keeps_its_permit_until_the_restart_can_no_longer_come() -> None:
    """A boot that somebody else caused is taken for the lost one, which then still arrives: until
    the settle window ends nobody else of the group is restarted.
    """
    story = world(2, 1, Script(calls={2: "late"}, boot_ms=3 * SECOND))
    machine = story.machines["i-0000"]
    while not story.events(ev.Settled)[1:]:
        story.go(until=story.now + SECOND)
    story.boot(machine)
    story.go()
    story.check_end()

    lost = story.events(ev.Settled)[1]
    window_ms = story.plan.restart.settle_window_ms
    assert story.classes["done"] == 2 and len(machine.restarts) == 1
    assert story.machines["i-0001"].restarts[0] >= lost.at + window_ms


@pytest.mark.parametrize("late_s", [0, 2, 6])
def test_a_restart_that_shows_after_its_settle_window_is_not_made_again(late_s: int) -> None:
    """A lost restart arrives later than the window allows, right after it was judged absent: the
    observation before the next one shows its StartTime, and that boot is the proof.
    """
    window_ms = world(1, 1).plan.restart.settle_window_ms
    script = Script(calls={2: "late"}, boot_ms=500, late_ms=window_ms + (2 + late_s) * SECOND)
    story = world(2, 2, script).go()
    story.check_end()

    assert moves(story)["i-0000"][-3:] == [
        "observed_untouched:settle_window",
        "observed_booted:start_time",
        "observed_running:status",
    ]


def test_a_restart_needs_an_observation_well_after_the_attach() -> None:
    """Running may be shown for seconds after somebody else's reboot has begun: a boot from before
    the attach must show in the observation before our restart.
    """
    story = world(1, 1).go()
    attach, restart = story.events(ev.Issued)
    seen = next(iter(spread(restart.observed)))
    read_back = next(e for e in story.events(ev.Moved) if e.trigger is Trigger.OBSERVED_ATTACHED)

    assert attach.n < restart.n
    assert seen.api_time >= read_back.api_time + limits.STATUS_LAG_MS


def test_running_right_after_the_reply_is_not_believed() -> None:
    """A StartTime that moved may be of a boot before ours, until the status must have changed."""
    story = world(1, 1, Script(boot_ms=100)).go()
    answered = story.events(ev.Settled)[1]
    running = next(e for e in story.events(ev.Moved) if e.trigger is Trigger.OBSERVED_RUNNING)

    assert story.classes["done"] == 1
    assert running.api_time >= answered.at + limits.STATUS_LAG_MS


def test_an_observation_older_than_the_one_before_the_restart_proves_nothing() -> None:
    """A replica that is behind shows an earlier boot: its StartTime is below the recorded one."""
    base = Observed(Status.RUNNING, samples.NEW_KEY, samples.NOW, samples.NOW)
    record = Restarting(RestartKind.REBOOT, base, samples.NOW, samples.NOW)
    behind = samples.instance(0, status=Status.STARTING, started_at=samples.NOW - MINUTE)
    fresh = msgspec.structs.replace(behind, started_at=samples.NOW)

    assert not restart_evidence._boot_evidence(record, behind)
    assert restart_evidence._boot_evidence(record, fresh) == "status"


def test_an_instance_that_became_windows_is_never_done() -> None:
    """Its system disk was changed after the attach: it is held, and not restarted if it waits."""
    story = world(3, 1)
    while story.run.phase(0).label != "restarting" or story.run.phase(1).label != "planned":
        story.go(until=story.now + SECOND)
    story.machines["i-0000"].change(story.now, os=OsFamily.WINDOWS)
    story.meddled = True
    story.go()

    assert story.run.causes[0] == "os_changed" and story.run.phase(0).label != "done"
    assert story.run.ledger.kept == [1]


def test_a_start_that_others_undid_is_not_made_again() -> None:
    """Stopped after the settle window, but started since by its StartTime: the start happened."""
    rows = [samples.instance(0, status=Status.STOPPED)]
    script = Script(calls={2: "lost_after"}, stuck=("i-0000",))
    story = World(samples.make_plan(rows, samples.capped(1)), rows, script).start()
    machine = story.machines["i-0000"]
    while not machine.restarts:
        story.go(until=story.now + 100)
    machine.change(story.now, status=Status.STOPPED, started_at=story.now // MINUTE * MINUTE)
    story.resume(pause_ms=5 * MINUTE).go()

    assert len(machine.restarts) == 1
    assert moves(story)["i-0000"][1:] == ["observed_booted:start_time", "timed_out:not_running"]


def test_a_boot_with_a_foreign_key_proves_nothing() -> None:
    """Another hand's key was on the record when it may have booted; putting ours back afterwards
    does not bring it into force, so the instance waits for a person.
    """
    story = world(1, 1, Script(boot_ms=30 * SECOND))
    machine = story.machines["i-0000"]
    while not machine.restarts:
        story.go(until=story.now + 100)
    machine.change(story.now, key_pair="fleet-other")
    story.go()
    assert story.run.causes[0] == "foreign_key"
    assert story.run.halted is not None and story.run.halted.reason == "in_doubt"

    machine.change(story.now, key_pair=samples.NEW_KEY)
    story.resume(pause_ms=5 * MINUTE).go()

    assert len(machine.restarts) == 1
    assert story.classes["in_doubt"] == 1 and story.run.causes[0] == "foreign_key"


def test_a_restart_that_moved_nothing_withdraws_the_trust() -> None:
    """One clean reboot without a moved StartTime: absence is not believed here any more."""
    story = world(3, 1, Script(start_time_moves=False)).go()
    family = story.run.family(0)

    assert story.classes["done"] == 3
    assert story.run.trust[family][1] >= 1 and not story.run.trusted(family)


def test_clean_reboots_bring_trust() -> None:
    """Reboots that moved StartTime are counted up to three, then it is trusted."""
    story = world(6, 1).go()
    family = story.run.family(0)

    assert story.run.trust[family] == [3, 0] and story.run.trusted(family)


def test_a_status_nobody_knows_frees_no_permit() -> None:
    """`retryOnce` frees the permit of what is seen to run, not of what shows no state at all."""
    story = world(1, 1, Script(calls={2: "lost_before"}), on_unknown=OnUnknown.RETRY_ONCE)
    machine = story.machines["i-0000"]
    story.at(
        story.now + limits.STATUS_LAG_MS + 3 * SECOND,
        lambda: machine.change(story.now, status=Status.UNKNOWN),
    )
    story.go()

    assert story.classes["in_doubt"] == 1 and story.run.ledger.kept == [1]


def test_not_running_in_time_is_failed() -> None:
    """Booted, and not Running when the time-out is over: failed, with its permit kept."""
    story = world(2, 2, Script(stuck=("i-0001",))).go()

    assert story.run.phase(1).label == "failed" and story.run.causes[1] == "not_running"
    assert story.run.ledger.kept == [1]


def test_a_transitional_instance_is_waited_for() -> None:
    """Starting now, Running later: it is observed until it is steady, then rotated."""
    story = world(2, 2)
    machine = story.machines["i-0001"]
    machine.change(story.now, status=Status.STARTING)
    story.at(story.now + 30 * SECOND, lambda: machine.change(story.now, status=Status.RUNNING))
    story.go()
    story.check_end()

    assert story.classes["done"] == 2


def test_a_transitional_instance_is_not_waited_for_without_end() -> None:
    """After the restart's time-out it is held, and the run ends without it."""
    story = world(2, 2)
    story.machines["i-0001"].change(story.now, status=Status.STOPPING)
    story.go()

    assert story.run.causes[1] == "transitional" and story.classes["skipped"] == 1
    assert story.run.closed is not None and story.run.closed.exit == 3


@pytest.mark.parametrize(
    "changes, cause",
    [
        ({"locks": ("financial",)}, "locked"),
        ({"expires_at": samples.NOW}, "expired"),
        ({"status": Status.STOPPED}, "stopped_since_plan"),
        ({"os": OsFamily.WINDOWS}, "os_changed"),
    ],
)
def test_what_may_not_be_rotated_any_more_is_never_asked(
    changes: dict[str, object], cause: str
) -> None:
    """Compare and set: a target that changed since the plan is left alone, with its cause."""
    story = world(2, 2, restart=Restart(stopped=Stopped.LEAVE))
    story.machines["i-0001"].change(story.now, **changes)
    story.go()

    assert story.run.causes[1] == cause and story.classes["skipped"] == 1
    named = [e.command for e in story.events(ev.Issued)]
    assert not [c for c in named if "i-0001" in getattr(c, "instances", ())]


def test_a_lock_after_the_attach_strands_the_instance() -> None:
    """Locked between attach and restart: nothing more is asked, the key is on and not in force."""
    story = world(6, 4, Script(boot_ms=90 * SECOND))
    while story.run.phase(5).label != "attached":
        story.go(until=story.now + SECOND)
    story.machines["i-0005"].change(story.now, locks=("security",))
    story.go()

    assert story.run.phase(5).label == "stranded" and story.run.causes[5] == "locked"


def test_absence_needs_a_witness_and_two_answers() -> None:
    """Also the first observed instance is gone only when two replies list another one."""
    story = world(3, 1)
    story.machines["i-0000"].gone = True
    story.go()
    story.check_end()

    assert story.now < samples.NOW + 5 * MINUTE
    assert moves(story)["i-0000"] == [f"{Trigger.DROPPED}:gone"]
    restarts = [e.command for e in story.events(ev.Issued) if isinstance(e.command, RestartCall)]
    assert all("i-0000" not in command.instances for command in restarts)
