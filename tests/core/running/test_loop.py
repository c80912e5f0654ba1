"""The loop of a run: durable before effect, and no event is lost, whatever arrives when."""

from __future__ import annotations

import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.core.invariant import Bug
from rollout.core.running.arrivals import (
    Arrival,
    CallEnded,
    LowSpace,
    ObservationEnded,
    Reply,
    Signal,
)
from rollout.core.running.decider import Decider
from rollout.core.running.loop import Effects, Loop
from rollout.errors import IntegrityError, RolloutError, StorageError
from rollout.model import event as ev
from rollout.model import limits
from rollout.model.command import (
    ImportKey,
    Observation,
    ObserveInstances,
    ObserveKeyPair,
    ObserveStatuses,
)
from rollout.model.event import AnyEvent, Issued, LaneSlowed, OperatorCommand
from rollout.model.instance import Status
from rollout.model.observation import Described, KeyDescribed, StatusesDescribed
from rollout.model.outcome import Answer, Done, Refused, RetryClass, Unknown, Unsent
from rollout.model.time import SECOND
from tests.core import samples
from tests.core.world import Probed
from tests.fuzz import cases

BROKEN = StorageError.of("R0801", "the disk is broken")
LOST = IntegrityError.of("R0906", "the lock was removed")
ABORT = OperatorCommand("1", ev.OperatorVerb.ABORT, samples.ACTOR, samples.NOW, "inbox")


class Driven:
    """A loop, and an engine without effects that keeps what it was asked to do."""

    def __init__(self, size: int = 4) -> None:
        self.rows = {row.id: row for row in samples.fleet(size)}
        plan = samples.make_plan(list(self.rows.values()), samples.capped(2))
        decider = Probed(plan)
        self.put: list[AnyEvent] = []
        decider.append = self.put.append
        decider.photos = []
        self.loop = Loop(decider)
        self.now = samples.NOW
        self.lines: list[list[AnyEvent]] = []
        self.failed_line: list[AnyEvent] = []
        self.calls: list[Issued] = []
        self.observations: list[Observation] = []
        self.acknowledged: list[OperatorCommand] = []
        decider.start("run-1", "sha256:0", samples.ACTOR, self.now)

    @property
    def durable(self) -> list[AnyEvent]:
        return [event for line in self.lines for event in line]

    def step(self, error: RolloutError | None = None, *, at: type = object) -> Effects:
        """Take one step; the sync of a line that holds an event of type `at` fails with `error`."""
        line = self.loop.step(self.now)
        assert not (line and self.failed_line), "a line after the journal broke"
        if error is not None and any(isinstance(event, at) for event in line):
            self.failed_line = list(line)
            effects = self.loop.failed(error, self.now)
        else:
            self.lines += [list(line)] if line else []
            effects = self.loop.synced()
        self.calls += effects.intents
        self.observations += effects.observations
        self.acknowledged += effects.acknowledged
        return effects

    def until_call(self) -> Effects:
        """Step, with a reply to every observation, until a call is started."""
        for _ in range(20):
            effects = self.step()
            if effects.intents:
                return effects
            while self.observations:
                self.reply(self.observations.pop(0))
            self.now += SECOND // 10
        raise AssertionError("no call is started")

    def reply(self, observation: Observation, *, lost: bool = False) -> None:
        """Hand in the reply that the service would give."""
        reply: Reply
        if lost:
            reply = Unknown("timeout")
        elif isinstance(observation, ObserveInstances):
            shown = tuple(self.rows[name] for name in observation.instances)
            reply = Described(shown, self.now)
        elif isinstance(observation, ObserveKeyPair):
            reply = KeyDescribed(samples.PUBLIC_KEY, samples.FINGERPRINT, self.now)
        else:
            assert isinstance(observation, ObserveStatuses)
            reply = StatusesDescribed(
                dict.fromkeys(observation.instances, Status.RUNNING), self.now
            )
        self.loop.receive(ObservationEnded(observation, reply, self.now))

    def end(self, issued: Issued, outcome: Done | Refused | Unknown) -> None:
        """Hand in how a call ended; what was done shows in the next observation."""
        command = issued.command
        if not isinstance(outcome, Refused) and not isinstance(command, ImportKey):
            for name in command.instances:
                row = self.rows[name]
                self.rows[name] = (
                    msgspec.structs.replace(row, key_pair=samples.NEW_KEY)
                    if row.key_pair != samples.NEW_KEY
                    else msgspec.structs.replace(row, started_at=self.now + 60 * SECOND)
                )
        self.loop.receive(CallEnded(issued.n, Answer(outcome)))


def test_events_without_effect_share_a_line_with_the_next_intent() -> None:
    """Steps that need nothing durable return no line; the intent's line holds their events."""
    driven = Driven()
    effects = driven.until_call()

    assert len(driven.lines) == 1
    assert driven.lines[0][-len(effects.intents) :] == list(effects.intents)


def test_events_without_effect_are_durable_within_a_second() -> None:
    """A step that brings nothing urgent wakes in time for the line, which is due then."""
    driven = Driven()
    effects = driven.step()
    assert not driven.lines
    assert effects.wake == samples.NOW + limits.SYNC_EVERY_MS

    driven.now += limits.SYNC_EVERY_MS
    driven.step()

    assert driven.lines == [driven.put]


@pytest.mark.parametrize("error, reason", [(BROKEN, "disk"), (LOST, "lost")])
def test_a_line_that_fails_takes_its_intents_with_it(error: RolloutError, reason: str) -> None:
    """The run halts for the journal's reason, and intents that are not durable are refused."""
    driven = Driven()
    while not driven.failed_line:
        effects = driven.step(error, at=Issued)
        while driven.observations:
            driven.reply(driven.observations.pop(0))

    intents = [event for event in driven.failed_line if isinstance(event, Issued)]
    settled = [event for event in driven.loop.unwritten if isinstance(event, ev.Settled)]
    halted = driven.loop.decider.run.halted
    assert halted is not None and halted.reason == reason
    assert [one.n for one in settled] == [one.n for one in intents] and not driven.calls
    assert all(event.outcome == Unsent.DISK.refusal() for event in settled)
    assert effects.finished and driven.loop.not_durable == driven.put


def test_replies_after_an_error_are_kept_for_the_final_events() -> None:
    """A call that was in flight when the journal broke still ends, without another line."""
    driven = Driven()
    issued = driven.until_call().intents[0]
    driven.loop.receive(Signal("SIGTERM"))
    effects = driven.step(BROKEN)
    assert not effects.finished

    driven.end(issued, Done("r-1"))
    effects = driven.step()

    assert effects.finished
    assert any(isinstance(one, ev.Settled) for one in driven.loop.unwritten)


def test_a_command_is_acknowledged_once_it_is_durable() -> None:
    """An operator's command makes its line urgent, and is never acknowledged where that fails."""
    driven, broken = Driven(), Driven()
    for one in (driven, broken):
        one.until_call()
        one.loop.receive(ABORT)
    driven.step()
    broken.step(BROKEN)

    assert driven.acknowledged == [ABORT] and ABORT in driven.lines[-1]
    assert not broken.acknowledged
    assert driven.step().acknowledged == ()


def test_no_step_follows_a_line_that_was_not_reported() -> None:
    """An engine that forgets to report on a line is stopped before it can lose its intents."""
    driven = Driven()
    driven.loop.receive(Signal("SIGTERM"))
    assert driven.loop.step(driven.now)

    with pytest.raises(Bug):
        driven.loop.step(driven.now)


def test_the_first_signal_drains_and_the_second_gives_up() -> None:
    """After one signal the run waits for its calls; after two they are in doubt, and it ends."""
    driven = Driven()
    driven.until_call()
    driven.loop.receive(Signal("SIGINT"))
    assert not driven.step().finished
    driven.loop.receive(Signal("SIGTERM"))
    effects = driven.step()

    run = driven.loop.decider.run
    assert effects.finished and run.drained is not None and run.drained.word == "SIGINT"
    outcomes = [event.outcome for event in driven.durable if isinstance(event, ev.Settled)]
    assert outcomes == [Unknown("interrupted")]


def test_low_space_halts_and_the_halt_is_durable() -> None:
    """A disk that is nearly full stops the run while its journal can still say so."""
    driven = Driven()
    driven.loop.receive(LowSpace())
    effects = driven.step()

    assert effects.finished and isinstance(driven.durable[-1], ev.Halted)
    assert driven.durable[-1].exit == 74


def test_a_call_is_refused_where_it_is_too_old_or_the_run_stopped() -> None:
    """The last question before a call leaves, asked in one place for all engines."""
    driven = Driven()
    driven.until_call()
    assert driven.loop.unsent(expired=False) is None
    assert driven.loop.unsent(expired=True) == Unsent.EXPIRED.refusal()

    driven.loop.receive(ABORT)
    driven.step()

    assert driven.loop.frozen
    assert driven.loop.unsent(expired=False) == Unsent.STOPPED.refusal()


def test_a_throttled_lane_is_journaled_unless_the_run_stops() -> None:
    """What the client learned of a lane is an event of a run that continues, and of no other."""
    slowed = LaneSlowed("1", samples.REGIONS[0], "AttachKeyPair", 60, 1, samples.NOW)
    driven = Driven()
    driven.loop.receive(slowed)
    driven.loop.receive(Signal("SIGTERM"))
    driven.loop.receive(slowed)
    driven.step()

    assert driven.durable.count(slowed) == 1


ARRIVALS = st.sampled_from([None] * 12 + [LowSpace(), Signal("SIGTERM"), ABORT])


@cases(200)
@given(
    seed=st.integers(0, 1 << 32),
    error_at=st.integers(0, 30),
    error=st.sampled_from([None, BROKEN, LOST]),
    extras=st.lists(ARRIVALS, max_size=40),
)
def test_nothing_leaves_undurable_and_no_event_is_lost(
    seed: int, error_at: int, error: RolloutError | None, extras: list[Arrival | None]
) -> None:
    """With replies, losses, signals, commands and a disk error at any point: calls start only
    from durable lines, none starts after the error, and each event is in exactly one of the lines,
    the failed line, the final events and the line that was not due yet.
    """
    driven, dice = Driven(12), random.Random(seed)
    finished = False
    for number in range(120):
        if number < len(extras) and (extra := extras[number]) is not None:
            driven.loop.receive(extra)
        before, lines = len(driven.calls), len(driven.lines)
        effects = driven.step(error if number >= error_at else None)
        for issued in driven.calls[before:]:
            assert issued in driven.lines[-1] and len(driven.lines) > lines
        if driven.failed_line:
            assert not effects.intents and not effects.observations and not effects.acknowledged
        _check_events(driven)
        finished = effects.finished
        if finished:
            break
        _arrive(driven, dice)
        driven.now += dice.choice((100, SECOND, 5 * SECOND))
    if driven.failed_line and finished:
        assert driven.loop.not_durable == driven.put[len(driven.durable) :]


def _arrive(driven: Driven, dice: random.Random) -> None:
    """Hand in some of the replies, in any order."""
    dice.shuffle(driven.calls)
    dice.shuffle(driven.observations)
    for issued in list(driven.calls):
        fate = dice.choice(("done", "lost", "refused", *["late"] * 5))
        if fate == "late":
            continue
        driven.calls.remove(issued)
        driven.end(issued, _OUTCOMES[fate])
    while driven.observations and dice.random() < 0.8:
        driven.reply(driven.observations.pop(), lost=dice.random() < 0.1)


_OUTCOMES: dict[str, Done | Refused | Unknown] = {
    "done": Done(),
    "lost": Unknown("reset"),
    "refused": Refused("OperationConflict", RetryClass.STATE),
}


def _check_events(driven: Driven) -> None:
    """Each event that the decider put is in one place, in order."""
    loop = driven.loop
    pending = loop.not_durable if not driven.failed_line else driven.failed_line + loop.unwritten
    assert driven.durable + pending == driven.put


def test_the_decider_keeps_each_event_until_it_is_taken_once() -> None:
    """Events of a resume before the loop exists are in its first line."""
    decider = Decider(samples.make_plan(samples.fleet(2)))
    decider.start("run-1", "sha256:0", samples.ACTOR, samples.NOW)
    loop = Loop(decider)
    loop.receive(Signal("SIGTERM"))
    line = loop.step(samples.NOW)

    assert [type(event) for event in line[:1]] == [ev.RunStarted]
    assert not decider.take_events()
