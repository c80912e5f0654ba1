"""The decider against answers that leave instances out: partial lists, and released instances."""

from __future__ import annotations

from functools import partial

import pytest

from rollout.core.running.journey import DOWN
from rollout.model import event as ev
from rollout.model.command import ObserveInstances, ObserveStatuses, RestartCall
from rollout.model.event import Trigger
from rollout.model.time import SECOND, Instant
from tests.core.scenarios import commands, world
from tests.core.world import Script, World


def _status_calls(story: World) -> list[Instant]:
    """When DescribeInstanceStatus was called, filled while the run continues."""
    asked: list[Instant] = []
    original = story._look

    def look(look: object) -> None:
        if isinstance(look, ObserveStatuses):
            asked.append(story.now)
        original(look)  # type: ignore[arg-type]

    story._look = look  # type: ignore[method-assign]
    return asked


@pytest.mark.parametrize("seconds", [5, 60])
def test_a_partial_answer_makes_nothing_gone(seconds: int) -> None:
    """Instances left out of answers while they reboot keep their permits, and end done."""
    story = world(9, 3)
    while not commands(story, RestartCall):
        story.go(until=story.now + SECOND)
    story.hidden.update(f"i-{number:04d}" for number in range(3))
    story.at(story.now + seconds * SECOND, story.hidden.clear)
    story.go()
    story.check_end()

    assert story.classes["done"] == 9


def test_an_instance_that_the_second_api_shows_is_not_gone() -> None:
    """Missing for minutes from DescribeInstances alone: it keeps its permit and is watched."""
    story = world(4, 1)
    asked = _status_calls(story)
    while not commands(story, RestartCall):
        story.go(until=story.now + SECOND)
    story.hidden.add("i-0000")
    story.at(story.now + 500 * SECOND, story.hidden.clear)
    story.go(until=story.now + 400 * SECOND)
    assert asked and story.run.phase(0) in DOWN and story.run.ledger.permits[0]
    story.go()
    story.check_end()

    assert story.classes["done"] == 4


def test_a_released_instance_is_gone_after_a_settle_window_and_a_second_opinion() -> None:
    """Released while it reboots: its permit comes back once both APIs leave it out, not before."""
    story = world(4, 1)
    asked = _status_calls(story)
    while not commands(story, RestartCall):
        story.go(until=story.now + SECOND)
    story.machines["i-0000"].gone = True
    begun = story.now
    story.go()

    assert (story.classes["done"], story.classes["skipped"]) == (3, 1)
    assert story.run.causes[0] == "gone"
    assert min(asked) - begun >= story.plan.restart.settle_window_ms
    dropped = [e for e in story.events(ev.Moved) if e.trigger is Trigger.DROPPED]
    assert [event.evidence for event in dropped] == ["gone"]


def test_without_the_right_to_ask_nothing_is_called_gone() -> None:
    """A second API that shows nothing at all proves nothing: the instance is held in the end."""
    story = world(3, 3, Script())
    story.blind = True
    story.machines["i-0001"].gone = True
    story.go()

    assert story.run.causes[1] == "unseen"
    assert story.classes["done"] == 2


def test_the_witness_may_vanish_too() -> None:
    """When all instances of a region are released one after the other, the run still ends."""
    story = world(3, 3)
    for number, after in enumerate((0, 100, 130)):
        machine = story.machines[f"i-{number:04d}"]
        story.at(story.now + after * SECOND, partial(setattr, machine, "gone", True))
    story.go()

    assert story.run.closed or story.run.halted


@pytest.mark.parametrize("returns", [True, False])
def test_an_empty_answer_just_before_the_second_opinion_ends_nothing(*, returns: bool) -> None:
    """The answer that makes DescribeInstanceStatus due leaves the witness out too: the missing
    instance is observed again, and the run ends.
    """
    story = world(2, 1)
    while not commands(story, RestartCall):
        story.go(until=story.now + SECOND)
    story.hidden.add("i-0000")
    original = story._observe_machines
    emptied: list[Instant] = []

    def look(look: ObserveInstances, at: Instant, lag: int, back: Instant) -> None:
        absence = story.decider.watching.absent.get(0)
        window_ms = story.plan.restart.settle_window_ms
        if not emptied and absence is not None and at - absence.since >= window_ms:
            emptied.append(at)
            story.hidden.add("i-0001")
        original(look, at, lag, back)
        story.hidden.discard("i-0001")
        if emptied and returns:
            story.hidden.clear()

    story._observe_machines = look  # type: ignore[method-assign]
    story.go()

    assert emptied
    assert story.run.closed or story.run.halted
    assert (story.run.causes.get(0, "") == "") is returns
