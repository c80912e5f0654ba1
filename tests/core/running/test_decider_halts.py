"""The decider against drift, foreign keys and services that refuse: when it halts, and when not."""

from __future__ import annotations

import msgspec
import pytest

from rollout.core.running.decide_run import _drift
from rollout.core.running.evolve import evolve
from rollout.core.running.stations import Station
from rollout.model import event as ev
from rollout.model import limits
from rollout.model.command import Attach, ImportKey, ObserveStatuses
from rollout.model.event import DriftKind
from rollout.model.instance import Status
from rollout.model.outcome import Refused, RetryClass
from rollout.model.time import MINUTE, SECOND
from tests.core import samples
from tests.core.scenarios import commands, halt_of, named, world
from tests.core.world import Script, World

STATE = Refused("IncorrectInstanceStatus", RetryClass.STATE)
FACT = Refused("InvalidOperation.Locked", RetryClass.FACT)


def test_a_third_key_holds_its_instance_and_the_others_continue() -> None:
    """The key of another operator is a conflict: it is not replaced, and the run continues."""
    story = world(3, 3)
    story.machines["i-0001"].change(story.now, key_pair="theirs")
    story.go()
    story.check_end()

    assert (story.classes["done"], story.classes["skipped"]) == (2, 1)
    assert story.run.causes[1] == "foreign_key"
    assert story.run.closed is not None and story.run.closed.exit == 3
    assert not any("i-0001" in call for call in named(story, Attach))


def test_a_third_key_holds_also_after_another_drift_was_journaled() -> None:
    """A first drift of an instance does not hide the conflict that comes later."""
    rows = samples.fleet(1, status=Status.STOPPED)
    story = World(samples.make_plan(rows, samples.capped(1)), rows).start()
    machine = story.machines["i-0000"]
    machine.change(story.now, status=Status.RUNNING)
    story.at(story.now + 1_700, lambda: machine.change(story.now, key_pair="theirs"))
    story.go()

    assert story.run.causes[0] == "foreign_key"


def test_a_third_key_after_the_attach_keeps_no_permit_from_others() -> None:
    """Nothing was restarted, so nothing is down: with a cap of 1 the next instance continues."""
    story = world(3, 1)
    machine = story.machines["i-0000"]
    story.at(story.now + 4 * SECOND, lambda: machine.change(story.now, key_pair="theirs"))
    story.go()
    story.check_end()

    assert story.run.causes[0] == "foreign_key"
    assert (story.classes["done"], story.classes["stranded"]) == (2, 1)


@pytest.mark.parametrize("size, conflicts, halts", [(12, 5, False), (12, 6, True), (700, 7, False)])
def test_more_than_five_and_one_percent_of_conflicts_halt(
    size: int, conflicts: int, *, halts: bool
) -> None:
    """Six of twelve are more than both bounds; seven of 700 are exactly 1 %."""
    story = world(size, size)
    for number in range(conflicts):
        story.machines[f"i-{number:04d}"].change(story.now, key_pair="theirs")
    story.go()

    if halts:
        assert halt_of(story) == ("foreign_key", "R0605", 6)
    else:
        assert story.run.closed is not None
        assert story.classes["done"] == size - conflicts


def test_resume_accepts_conflicts_that_halted_the_run() -> None:
    """They stay held, are named in the journal, and do not halt the run again."""
    story = world(12, 12)
    for number in range(6):
        story.machines[f"i-{number:04d}"].change(story.now, key_pair="theirs")
    story.go().resume().go()
    story.check_end()

    accepted = story.events(ev.FailuresAccepted)
    assert [(event.reason, len(event.ordinals)) for event in accepted] == [("foreign_key", 6)]
    assert story.run.closed is not None
    assert (story.classes["done"], story.classes["skipped"]) == (6, 6)


def test_a_conflict_that_was_settled_by_others_is_rotated_after_a_resume() -> None:
    """Held for a third key, then put back to the former one: resume attaches it."""
    story = world(3, 1)
    machine = story.machines["i-0002"]
    machine.change(story.now, key_pair="theirs")
    story.go(until=story.now + 25 * SECOND)
    machine.change(story.now, key_pair=samples.OLD_KEY)
    story.resume().go()
    story.check_end()

    assert story.classes["done"] == 3


def test_more_than_a_tenth_of_a_wave_drifted_halts() -> None:
    """Six of twelve were stopped or locked since the plan: it is stale, exit 6. The halt shows the
    differences, each with some of its instances.
    """
    story = world(12, 12)
    for number in range(4):
        story.machines[f"i-{number:04d}"].change(story.now, status=Status.STOPPED)
    for number in (4, 5):
        story.machines[f"i-{number:04d}"].change(story.now, locks=("financial",))
    story.go()

    assert halt_of(story) == ("drift", "R0607", 6)
    (halt,) = story.events(ev.Halted)
    assert halt.detail == (
        "6 of 12 targets of wave all drifted: 4 Stopped (i-0000, i-0001, i-0002 and 1 more), "
        "2 locked: financial (i-0004, i-0005)"
    )


def test_a_crash_forgets_no_drift() -> None:
    """Drift before a crash counts with the drift after it, each instance once; only a resume past
    the halt starts to count again.
    """
    story = world(12, 12)
    run = story.run
    evolve(run, ev.WaveStarted(0, "all"))
    for epoch, ordinals in ((2, (0, 1, 2)), (3, (0, 1, 2)), (4, (3, 4, 5))):
        assert not _drift(run)
        evolve(run, ev.Drifted(DriftKind.STATE, ordinals, "Stopped"))
        halted = _drift(run)
        if halted is not None:
            evolve(run, halted)
        evolve(run, ev.Resumed(epoch, samples.ACTOR, story.now))

    assert halted is not None and halted.code == "R0607"
    assert not _drift(run)


def test_a_released_instance_is_skipped_after_two_observations() -> None:
    """An instance that two observations lack, while they show others, is skipped."""
    story = world(3, 3)
    story.machines["i-0001"].gone = True
    story.go()
    story.check_end()

    assert (story.classes["done"], story.classes["skipped"]) == (2, 1)


def test_an_instance_that_disappears_after_its_restart_is_in_doubt() -> None:
    """Every observation is empty after the restart: exit 5, and a resume observes again."""
    story = world(1, 1)
    machine = story.machines["i-0000"]
    story.at(story.now + limits.STATUS_LAG_MS + 3 * SECOND, lambda: setattr(machine, "gone", True))
    story.go()

    assert machine.restarts
    assert halt_of(story) == ("in_doubt", "R0501", 5)
    machine.gone = False
    story.resume().go()
    assert story.classes["done"] == 1


def test_a_stale_observation_of_the_former_key_is_no_conflict() -> None:
    """A former key shown by a lagging replica after the attach is observed again."""
    story = world(1, 1)
    machine = story.machines["i-0000"]

    def lag() -> None:
        before = msgspec.structs.replace(machine.now, key_pair=samples.OLD_KEY)
        machine.past.append((story.now + 3 * SECOND, before))

    story.at(story.now + 2_500, lag)
    story.go()
    story.check_end()

    assert story.classes["done"] == 1


def test_a_key_taken_back_for_good_is_a_conflict() -> None:
    """The former key, shown for longer than any lag, means that another operator attached it."""
    story = world(1, 1, Script(calls={2: "lost_before"}))
    machine = story.machines["i-0000"]
    story.at(story.now + 4 * SECOND, lambda: machine.change(story.now, key_pair=samples.OLD_KEY))
    story.go()

    assert story.run.causes[0] == "foreign_key"


def test_a_missing_key_pair_is_imported_where_the_plan_said_so() -> None:
    """A key pair that was missing when planned is imported before the first attach."""
    rows = samples.fleet(2)
    story = World(samples.make_plan(rows, present=False), rows)
    story.keys.clear()
    story.start().go()
    story.check_end()

    assert len(commands(story, ImportKey)) == 1
    assert story.classes["done"] == 2


def test_a_throttled_import_is_no_attempt() -> None:
    """Throttling never makes a key pair count as missing."""
    rows = samples.fleet(2)
    script = Script(calls=dict.fromkeys(range(1, 6), "throttled"))
    story = World(samples.make_plan(rows, present=False), rows, script)
    story.keys.clear()
    story.start().go()

    assert story.classes["done"] == 2


def test_a_key_pair_that_vanished_halts() -> None:
    """A key pair that existed when planned and is missing now: exit 6, nothing is imported."""
    story = world(2, 2)
    story.keys.clear()
    story.go()

    assert halt_of(story) == ("key_pair", "R0606", 6)
    assert not commands(story, ImportKey)


@pytest.mark.parametrize(
    "found", [("ssh-ed25519 AAAAother test", samples.FINGERPRINT), (samples.PUBLIC_KEY, "0000")]
)
def test_other_material_under_the_name_halts(found: tuple[str, str]) -> None:
    """Another public key, or a re-created one, is never attached."""
    story = world(2, 2)
    story.keys[samples.REGIONS[0]] = found
    story.go()

    assert halt_of(story) == ("key_pair", "R0606", 6)


def test_denied_halts_with_exit_4() -> None:
    """A missing permission halts the run, because every other call would be refused too."""
    refused = Refused("Forbidden.RAM", RetryClass.DENIED)
    story = world(2, 2, Script(refuse={"i-0000": refused})).go()

    assert halt_of(story) == ("denied", "R0403", 4)


def test_five_minutes_without_an_answer_halt() -> None:
    """A region that answers no observation for five minutes halts the run and is named."""
    story = world(2, 2, Script(look_odds={"lost": 1.0})).go()

    assert halt_of(story) == ("unreachable", "R0503", 5)
    assert story.run.halted is not None
    assert samples.REGIONS[0] in story.run.halted.detail and "timeout" in story.run.halted.detail
    assert limits.SILENCE_MAX_MS <= story.now - samples.NOW < limits.SILENCE_MAX_MS + MINUTE


def _fleet_of_regions(count: int) -> World:
    """A started run over one instance in each of `count` regions."""
    regions = tuple(f"cn-test-{number}" for number in range(count))
    rows = [samples.instance(number, region=region) for number, region in enumerate(regions)]
    story = World(samples.make_plan(rows, samples.capped(count)), rows)
    story.keys = dict.fromkeys(regions, (samples.PUBLIC_KEY, samples.FINGERPRINT))
    return story.start()


def test_a_short_outage_of_many_regions_does_not_halt() -> None:
    """Silence counts by region: a run over 20 regions that are silent for 90 s continues."""
    story = _fleet_of_regions(20)
    story.script.look_odds["lost"] = 1.0
    story.at(story.now + 90 * SECOND, story.script.look_odds.clear)
    story.go()
    story.check_end()

    assert story.classes["done"] == 20


def test_one_silent_region_halts_although_the_others_answer() -> None:
    """Answers of other regions do not hide a region that has been silent for five minutes."""
    story = _fleet_of_regions(3)
    silent = "cn-test-1"
    story.deaf.add(silent)
    story.go()

    assert halt_of(story) == ("unreachable", "R0503", 5)
    assert story.run.halted is not None and silent in story.run.halted.detail


def test_an_answer_ends_the_silence() -> None:
    """Silences of four minutes with an answer between them do not add up."""
    story = _fleet_of_regions(1)
    for start in (0, 5):
        begun = story.now + start * MINUTE
        story.at(begun, lambda: story.script.look_odds.update(lost=1.0))
        story.at(begun + 4 * MINUTE, story.script.look_odds.clear)
    story.script.boot_ms = 7 * MINUTE
    story.go()

    assert story.classes["done"] == 1


def test_a_denied_status_observation_is_an_answer() -> None:
    """A run without the optional permission does not halt for silence: the service answers."""
    story = world(2, 2)
    story.turn()
    watching, site = story.decider.watching, story.run.layout.sites[0]
    denied = Refused("Forbidden.RAM", RetryClass.DENIED)
    for minutes in range(0, 12, 4):
        look = ObserveStatuses(site, (0,), ("i-0000", "i-0001"))
        watching.stations.column[0] = Station.MISSING
        watching.missing[site][0] = None
        watching.confirmation_started(site, look.ordinals)
        story.decider.observation_failed(look, denied, story.now + minutes * MINUTE)

    assert story.run.halted is None
