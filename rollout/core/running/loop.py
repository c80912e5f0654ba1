"""The loop that drives one run, without I/O: engines only perform what it returns.

Used by the local engine and by the simulated process. An engine repeats: `receive` what arrived,
`step`, make the returned line durable, report `synced` or `failed`, and perform the effects. The
loop decides nothing about instances and knows no clock.
"""

from __future__ import annotations

import msgspec

from rollout.core.invariant import invariant
from rollout.core.running.arrivals import (
    Arrival,
    CallEnded,
    LeaseHeld,
    LeaseLost,
    LowSpace,
    MarkReplaced,
    ObservationEnded,
    ProbeEnded,
    Signal,
)
from rollout.core.running.decider import Decider, Turn
from rollout.errors import IntegrityError, RolloutError
from rollout.model import limits
from rollout.model.command import Observation
from rollout.model.event import AnyEvent, Issued, LaneRecovered, LaneSlowed, OperatorCommand
from rollout.model.halts import HaltReason, halted
from rollout.model.outcome import Answer, Refused, Unknown, Unsent
from rollout.model.probe import Probe
from rollout.model.time import Instant

DETAIL_MAX = 200
"""Characters of an error of the journal that its halt repeats."""


class Effects(msgspec.Struct, frozen=True):
    """What an engine does after a step, once the step's line is durable.

    `events` are those of the step, for progress. `acknowledged` are commands of operators that
    are durable now. The next step is due at `wake`, or when something arrives; after `finished`
    there is none.
    """

    events: list[AnyEvent]
    intents: tuple[Issued, ...]
    observations: tuple[Observation, ...]
    acknowledged: tuple[OperatorCommand, ...]
    wake: Instant | None
    finished: bool
    probes: tuple[Probe, ...] = ()


class Loop:
    """One process of a run, from its first event to its close, its halt or its drain.

    Every event is in exactly one of: a line returned by `step`, `unwritten` after an error of the
    journal, or the next line.
    """

    def __init__(self, decider: Decider) -> None:
        self.decider = decider
        self.inbox: list[Arrival] = []
        """Arrivals that the next step handles, in order."""
        self.error: RolloutError | None = None
        """The first error of the journal. Nothing is written or sent after it."""
        self.unwritten: list[AnyEvent] = []
        """Events after the line that failed, the ends of calls in flight among them."""
        self._line: list[AnyEvent] = []
        self._line_since: Instant | None = None
        self._due = False
        self._turn: Turn
        self._events: list[AnyEvent] = []
        self._commands: list[OperatorCommand] = []
        self._drained = self._gave_up = False

    def receive(self, arrival: Arrival) -> None:
        """Keep an arrival for the next step."""
        self.inbox.append(arrival)

    def step(self, now: Instant) -> list[AnyEvent]:
        """Handle what arrived, decide, and return the line that must be durable now.

        Events share a line until an intent, a command of an operator or a stop needs them durable,
        at most for `SYNC_EVERY_MS`. Empty where nothing is due. `synced` or `failed` must follow.
        """
        invariant(not self._due, "a step follows the report on the line before it")
        arrivals, self.inbox = self.inbox, []
        for arrival in arrivals:
            self._handle(arrival, now)
        self._turn = self.decider.turn(now)
        self._events = self._take(now)
        urgent = self._turn.intents or self._commands or self.decider.run.stopping
        since = self._line_since
        self._due = since is not None and bool(urgent or now >= since + limits.SYNC_EVERY_MS)
        return self._line if self._due else []

    def synced(self) -> Effects:
        """Return the effects of a step whose line, if it had one, is durable."""
        if self.error is not None:
            return self._effects(Turn((), (), None), ())
        acknowledged: tuple[OperatorCommand, ...] = ()
        if self._due:
            self._line, self._line_since, self._due = [], None, False
            acknowledged, self._commands = tuple(self._commands), []
        return self._effects(self._turn, acknowledged)

    def failed(self, error: RolloutError, now: Instant) -> Effects:
        """Halt because the line could not be made durable: its intents are never sent, and no
        later line is returned.
        """
        self.error, self._line_since, self._due = error, None, False
        reason = HaltReason.LOST if isinstance(error, IntegrityError) else HaltReason.DISK
        self.decider.halt(halted(reason, str(error)[:DETAIL_MAX]), now)
        unsent = Answer(Unsent.DISK.refusal())
        for issued in self._turn.intents:
            self.decider.call_ended(issued.n, unsent, now)
        self._events += self._take(now)
        return self._effects(Turn((), (), None), ())

    def unsent(self, *, expired: bool, overtaken: bool = False) -> Refused | None:
        """Return the refusal of an intent that must not be sent any more; None where it may be.

        Asked right before the call. `expired`: the clock says that its `not_after` has passed.
        `overtaken`: a `MarkReplaced` that the next step receives.
        """
        if self.frozen or overtaken:
            return Unsent.STOPPED.refusal()
        return Unsent.EXPIRED.refusal() if expired else None

    @property
    def frozen(self) -> bool:
        """Whether calls that have not left must not leave any more."""
        return self.decider.run.frozen

    @property
    def not_durable(self) -> list[AnyEvent]:
        """All events that may not be durable: the line that failed, and those after it."""
        return self._line + self.unwritten

    def _handle(self, arrival: Arrival, now: Instant) -> None:
        decider = self.decider
        match arrival:
            case CallEnded(n, answer):
                decider.call_ended(n, answer, now)
            case ObservationEnded(observation, reply, sent_at):
                decider.observation_ended(observation, reply, sent_at, now)
            case ProbeEnded(probe, seen):
                decider.probe_ended(probe, seen, now)
            case LaneSlowed() | LaneRecovered():
                if not decider.run.stopping:
                    decider.put(arrival, now)
            case OperatorCommand():
                self._commands.append(arrival)
                decider.operate(arrival, now)
            case Signal(name):
                self._stop(name, now)
            case LowSpace():
                text = "free space is nearly used up"
                decider.halt(halted(HaltReason.DISK, text), now)
            case LeaseHeld(send_by):
                decider.watching.send_by = send_by
            case LeaseLost(detail):
                decider.halt(halted(HaltReason.LEASE, detail), now)
            case MarkReplaced(detail) if decider.run.aborted is None:
                decider.halt(halted(HaltReason.MARK, detail), now)

    def _stop(self, name: str, now: Instant) -> None:
        """Drain on the first signal. On the second stop waiting: open calls become in doubt."""
        if not self._drained:
            self._drained = True
            self.decider.drain(name, "signal", now)
            return
        self._gave_up = True
        for n in list(self.decider.run.open_calls):
            self.decider.call_ended(n, Answer(Unknown("interrupted")), now)

    def _take(self, now: Instant) -> list[AnyEvent]:
        """Move the decider's new events to the line, or after an error to `unwritten`."""
        events = self.decider.take_events()
        if self.error is not None:
            self.unwritten += events
        elif events:
            self._line += events
            if self._line_since is None:
                self._line_since = now
        return events

    def _effects(self, turn: Turn, acknowledged: tuple[OperatorCommand, ...]) -> Effects:
        run = self.decider.run
        wake = turn.wake
        if self._line_since is not None:
            sync_at = self._line_since + limits.SYNC_EVERY_MS
            wake = sync_at if wake is None else min(wake, sync_at)
        ends = run.stopping and (self.decider.idle or self._gave_up)
        finished = run.closed is not None or ends
        return Effects(
            self._events,
            turn.intents,
            turn.observations,
            acknowledged,
            wake,
            finished,
            turn.probes,
        )
