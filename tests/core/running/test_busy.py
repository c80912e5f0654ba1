"""The decider against a service that refuses calls because an instance is busy."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest

from rollout.core.running.journey import DOWN
from rollout.journal.recheck.rules import Rules
from rollout.model import event as ev
from rollout.model import limits
from rollout.model.command import Attach, RestartCall
from rollout.model.instance import Status
from rollout.model.outcome import Answer, Refused, RetryClass
from rollout.model.plan import RestartKind
from rollout.model.spec import Calls, Restart
from rollout.model.time import MINUTE, SECOND, Instant
from tests.core import samples
from tests.core.scenarios import commands, world
from tests.core.world import World

BUSY = Refused("IncorrectInstanceStatus", RetryClass.STATE)
FACT = Refused("InvalidParameter.KMSKeyId.CMKNotEnabled", RetryClass.FACT)
Refusal = Callable[[str, Attach | RestartCall], bool]


def _refuse(story: World, busy: Refusal) -> World:
    """Refuse single instances of calls for which `busy` says so."""
    original = story._refusal
    story._refusal = lambda name, machine, command: (  # type: ignore[method-assign]
        BUSY if busy(name, command) else original(name, machine, command)
    )
    return story


def _refuse_whole(story: World, busy: Refusal, refused: Refused = BUSY) -> World:
    """Refuse calls as a whole when one of their instances is busy, or for another reason."""
    original = story._effect

    def effect(issued: ev.Issued) -> Answer:
        command = issued.command
        named = command.instances if isinstance(command, Attach | RestartCall) else ()
        if any(busy(name, command) for name in named):  # type: ignore[arg-type]
            return Answer(refused)
        return original(issued)

    story._effect = effect  # type: ignore[method-assign]
    return story


def _times(story: World, kind: type) -> list[Instant]:
    """When the calls of one kind ended."""
    numbers = {event.n for event in commands(story, kind)}
    return [event.at for event in story.events(ev.Settled) if event.n in numbers]


@pytest.mark.parametrize("spread", [_refuse, _refuse_whole])
@pytest.mark.parametrize(
    "kind, status, last",
    [
        (Attach, Status.RUNNING, "failed"),
        (RestartCall, Status.RUNNING, "stranded"),
        (RestartCall, Status.STOPPED, "stranded"),
    ],
)
def test_a_busy_instance_is_tried_for_the_restart_timeout(
    spread: Callable[[World, Refusal], World], kind: type, status: Status, last: str
) -> None:
    """Refusals end an instance only after `restart.timeout`, with growing pauses and their code."""
    rows = samples.fleet(1, status=status)
    story = World(samples.make_plan(rows, samples.capped(1)), rows).start()
    spread(story, lambda _, command: isinstance(command, kind)).go()

    times = _times(story, kind)
    pauses = [after - before for before, after in pairwise(times)]
    timeout = story.plan.restart.timeout_ms
    assert timeout <= times[-1] - times[0] < timeout + 2 * MINUTE
    assert len(times) < 25
    assert pauses[0] < 5 * SECOND and max(pauses[:6]) == pauses[5] > 20 * SECOND
    assert story.classes[last] == 1 and story.run.causes[0] == BUSY.code


@pytest.mark.parametrize("spread", [_refuse, _refuse_whole])
@pytest.mark.parametrize("kind", [Attach, RestartCall])
def test_a_busy_instance_is_done_once_it_is_free(
    spread: Callable[[World, Refusal], World], kind: type
) -> None:
    """Five minutes of refusals end in a rotation like any other."""
    story = world(4, 4)
    free = story.now + 5 * MINUTE
    spread(story, lambda _, command: isinstance(command, kind) and story.now < free).go()
    story.check_end()

    assert story.classes["done"] == 4


def test_a_resume_keeps_the_time_for_which_an_instance_was_busy() -> None:
    """The first refusal counts also where another process made it."""
    story = _refuse(world(1, 1), lambda _, command: isinstance(command, RestartCall))
    begun = story.now
    story.go(until=story.now + 6 * MINUTE)
    story.resume(pause_ms=SECOND).go()

    assert story.classes["stranded"] == 1
    assert story.now - begun < story.plan.restart.timeout_ms + 2 * MINUTE


@pytest.mark.parametrize("kind", [Attach, RestartCall])
def test_a_call_that_a_crash_left_open_ends_the_refusals_before_it(kind: type) -> None:
    """Its ending is unknown, as after a lost reply: the restart timeout counts again from the next
    refusal, and the journal's own rules agree.
    """
    story = _refuse(world(1, 1), lambda _, command: isinstance(command, kind))
    story.go(until=story.now + 4 * MINUTE)
    while not story.run.open_calls:
        story.go(until=story.now + 1)
    assert story.run.busy

    story.resume()
    assert not story.run.busy
    rules = Rules(story.plan)
    assert [broken for event in story.journal for broken in rules.take(event)] == []
    assert not rules.calls.busy_since


def test_a_resume_keeps_the_pause_of_a_busy_instance() -> None:
    """A process that starts again and again does not call more often than one that lives on."""
    busy = "i-0000"
    story = _refuse(world(2, 2), lambda name, _: name == busy)
    story.go(until=story.now + 4 * MINUTE)
    for _ in range(5):
        story.resume(pause_ms=100).go(until=story.now + SECOND)

    pauses = [after - before for before, after in pairwise(_times(story, Attach))]
    assert min(pauses[-5:]) >= limits.BUSY_PAUSE_CAP_MS // 2


def test_a_busy_instance_holds_no_permit_while_it_waits() -> None:
    """With a budget of one the others are rotated while one instance refuses to restart."""
    story = world(4, 1)
    busy = "i-0001"
    _refuse(story, lambda name, command: name == busy and isinstance(command, RestartCall))
    story.go(until=story.now + 5 * MINUTE)

    assert story.classes["done"] == 3
    assert story.run.ledger.used == [0] and story.run.phase(1) not in DOWN


def test_one_busy_instance_does_not_hold_back_its_batch() -> None:
    """A batch refused as a whole again and again is halved down to the busy instance."""
    story = world(16, 16)
    _refuse_whole(story, lambda name, command: name == "i-0005" and isinstance(command, Attach))
    story.go()
    story.check_end()

    assert (story.classes["done"], story.classes["failed"]) == (15, 1)
    assert story.run.causes[5] == BUSY.code
    last = max(event.at for event in story.events(ev.Settled) if event.outcome != BUSY)
    assert last - samples.NOW < 5 * MINUTE


@pytest.mark.parametrize("refused", [BUSY, FACT])
@pytest.mark.parametrize("status", [Status.RUNNING, Status.STOPPED])
def test_one_instance_does_not_end_the_restarts_of_its_batch(
    refused: Refused, status: Status
) -> None:
    """After a batch of restarts was refused as a whole, each of its instances is restarted by a
    call of its own, and only the one that the service refuses stays attached.
    """
    rows = samples.fleet(16, status=status)
    story = World(
        samples.make_plan(rows, samples.capped(16, restart=Restart(calls=Calls.BATCH))), rows
    ).start()
    bad = "i-0005"
    spread = lambda name, command: name == bad and isinstance(command, RestartCall)  # noqa: E731
    _refuse_whole(story, spread, refused).go()
    story.check_end()

    assert (story.classes["done"], story.classes["stranded"]) == (15, 1)
    assert story.run.causes[5] == refused.code
    last = max(event.at for event in story.events(ev.Settled) if event.outcome != refused)
    assert last - samples.NOW < 5 * MINUTE


def test_a_start_that_is_refused_takes_no_attempt_either() -> None:
    """StartInstance refused for some minutes still starts the instance."""
    rows = samples.fleet(2, status=Status.STOPPED)
    story = World(samples.make_plan(rows, samples.capped(1)), rows).start()
    free = story.now + 3 * MINUTE
    _refuse(story, lambda _, command: isinstance(command, RestartCall) and story.now < free).go()

    kinds = {one.command.kind for one in commands(story, RestartCall)}  # type: ignore[union-attr]
    assert kinds == {RestartKind.START} and story.classes["done"] == 2
