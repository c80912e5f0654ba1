"""Checkers of bakes, gates and pauses: nothing begins before an operator or the clock allows it.

They compare intents and sends with the plan and the operators' commands and never use the core's
decisions. Listed and called by `checkers`.
"""

from __future__ import annotations

from collections.abc import Iterator

from rollout.model import event as ev
from rollout.model import limits
from rollout.model.event import OperatorVerb
from rollout.model.gate import GateAnswer
from rollout.model.spec import WaveGate
from rollout.model.time import Instant
from rollout.sim.check.history import History, Journaled


class GatesAnswered:
    """No intent of a wave before the verdict on each gate before it, before the promotion of a
    manual one, and before true open answers to the questions of the others.
    """

    ids = ("I-34",)

    def check(self, history: History) -> Iterator[str]:
        """Compare the order of lines, and verdicts with the true answers."""
        yield from _untrue(history)
        waves = history.record.plan.waves
        opened: set[int] = set()
        promotions, full, paused = 0, False, False
        for journaled in history.journaled:
            match journaled.event:
                case ev.OperatorCommand(command=OperatorVerb.PAUSE):
                    paused = True
                case ev.OperatorCommand(command=OperatorVerb.RESUME):
                    paused = False
                case ev.OperatorCommand(command=OperatorVerb.PROMOTE) as order:
                    promotions += order.full or not paused
                    full, paused = full or order.full, False
                case ev.GateOpened(wave=wave):
                    if waves[wave].gate is WaveGate.MANUAL:
                        if not promotions:
                            yield f"the gate after wave {wave} opened without a promotion"
                        promotions = promotions if full else 0
                    opened.add(wave)
                case ev.Issued(n=n):
                    for wave in range(_wave(history, n)):
                        if waves[wave].gated and wave not in opened:
                            yield f"intent {n} before the gate after wave {wave} opened"
                case _:
                    pass


def _untrue(history: History) -> Iterator[str]:
    """Compare verdicts with the hidden record of the gates, in the world's time: an open answer
    from after the close of the wave, recent at the verdict, or the promotion of an operator.
    """
    record = history.record
    closed: dict[int, Journaled] = {}
    promoted = {
        one.event.id
        for one in history.journaled
        if isinstance(one.event, ev.OperatorCommand) and one.event.command is OperatorVerb.PROMOTE
    }
    for journaled in history.journaled:
        match journaled.event:
            case ev.WaveClosed(wave=wave):
                closed[wave] = journaled
            case ev.GateOpened(wave=wave, order=order) if order not in promoted:
                since = record.decided(closed[wave].at)
                for gate in record.plan.waves[wave].gates:
                    if not _truly_open(history, gate, since, journaled.at):
                        yield f"the gate after wave {wave} opened, question {gate} did not"
            case _:
                pass


def _truly_open(history: History, gate: int, since: Instant, until: Instant) -> bool:
    """Return whether the gate gave an open answer between these instants that was recent then."""
    record = history.record
    for one in record.gates.given:
        arrived = one.asked + one.after_ms
        age_ms = until - one.asked - record.suspended(one.asked, until)
        recent = age_ms <= limits.GATE_AGE_MAX_MS + limits.SYNC_EVERY_MS
        is_open = one.gate == gate and one.reply.answer is GateAnswer.OPEN
        if is_open and recent and since <= one.asked and arrived <= until:
            return True
    return False


class BakesHeld:
    """No call for a wave is sent before the bakes of earlier waves are over."""

    ids = ("I-35",)

    def check(self, history: History) -> Iterator[str]:
        """Compare sends with the lines that closed the waves before, in the world's time."""
        waves = history.record.plan.waves
        closed = {
            one.event.wave: history.record.decided(one.at)
            for one in history.journaled
            if isinstance(one.event, ev.WaveClosed)
        }
        for sent in history.sent:
            for wave in range(_wave(history, sent.n)):
                early_ms = closed.get(wave, sent.at) + waves[wave].bake_ms - sent.at
                if waves[wave].bake_ms and early_ms > 0:
                    yield f"call {sent.n} left {early_ms} ms before the bake of wave {wave} ended"


class PauseHolds:
    """Between a pause and the command that ends it no wave or cell opens, and no call begins."""

    ids = ("I-66",)

    def check(self, history: History) -> Iterator[str]:
        """Compare the order of lines."""
        pause: Journaled | None = None
        for journaled in history.journaled:
            match journaled.event:
                case ev.OperatorCommand(command=OperatorVerb.PAUSE):
                    pause = journaled
                case ev.OperatorCommand(command=OperatorVerb.PROMOTE | OperatorVerb.RESUME):
                    pause = None
                case ev.Issued() | ev.WaveStarted() | ev.CellOpened() as begun:
                    if pause is not None:
                        yield f"{type(begun).__name__} at line {journaled.seq} in a paused run"
                case _:
                    pass


def _wave(history: History, n: int) -> int:
    """Return the wave of the instances of a call; 0 for a call without instances."""
    intent = history.intents.get(n)
    return history.layout.wave_of(intent.ordinals[0]) if intent and intent.ordinals else 0
