"""Decide when the questions of a gate are asked, and what their answers mean.

Called by `gates`, `evolve` and the decider. Reads the state only. An answer counts only if it was
asked after the bake and is recent; everything else than `open` keeps the gate shut.
"""

from __future__ import annotations

from collections.abc import Container

from rollout.core.invariant import Bug
from rollout.core.running.state import Run
from rollout.model import event as ev
from rollout.model import limits
from rollout.model.command import QueryGate
from rollout.model.gate import AnyGate, GateAnswer, name
from rollout.model.halts import HaltReason, halted
from rollout.model.text import some
from rollout.model.time import Instant, format_instant


def asked(run: Run) -> tuple[int, ...]:
    """Return the questions of the gate that waits, as indices of `Plan.gates`; none if it has none
    or an operator overrode their answers.
    """
    gate = run.gate
    return () if gate is None or gate.order else run.plan.waves[gate.wave].gates


def all_open(run: Run, now: Instant) -> bool:
    """Return whether every question of the gate that waits has a recent answer that opens it."""
    return all(_opens(run, index, now) for index in asked(run))


def due(run: Run, in_flight: Container[QueryGate], now: Instant) -> list[QueryGate]:
    """Return the questions to ask now."""
    return [query for query, at in _next(run, in_flight) if at <= now]


def wake(run: Run, in_flight: Container[QueryGate]) -> Instant | None:
    """Return when the next question is due; None while all are being asked, or there is none."""
    return min((at for _, at in _next(run, in_flight)), default=None)


def shut(run: Run) -> list[ev.GateAnswered]:
    """Return the last answers that keep the gate shut."""
    answers = run.gate.answers if run.gate is not None else {}
    found = [answers[index] for index in asked(run) if index in answers]
    return [one for one in found if one.answer is not GateAnswer.OPEN]


def refused(run: Run) -> ev.Halted | None:
    """Return the halt of a process that may not wait for a gate that is shut after its bake."""
    late = (one for one in shut(run) if one.asked >= (run.baked_at or 0))
    texts = (halted(HaltReason.GATE_SHUT, described(run, answer)) for answer in late)
    return next(texts, None)


def gave_up(run: Run) -> ev.Halted | None:
    """Return the halt for a gate that did not open in time. A bake that an answer restarted does
    not count.
    """
    for answer in shut(run):
        if answer.at >= _gives_up_at(run, answer):
            since = format_instant(_shut_since(run, answer))
            text = f"{described(run, answer)}, not open since {since}"
            return halted(HaltReason.GATE_SHUT, text)
    return None


def described(run: Run, answer: ev.GateAnswered) -> str:
    """Return a question with its answer as text."""
    return f"{name(_question(run, answer.gate))}: {answer.text} ({answer.answer.value})"


def text(run: Run, now: Instant) -> str:
    """Return the questions that the gate that waits is waiting for, as text; empty if none."""
    found = shut(run)
    if not found:
        names = [name(_question(run, index)) for index in asked(run)]
        return f"for {some(names, 2)}" if names and now >= (run.baked_at or now) else ""
    again = min(_due_at(run, one.gate) for one in found)
    parts = some([described(run, one) for one in found], 2)
    planned = _asks(run) and now < again
    return f"for {parts}, asked again at {format_instant(again)}" if planned else f"for {parts}"


def _next(run: Run, in_flight: Container[QueryGate]) -> list[tuple[QueryGate, Instant]]:
    gate = run.gate
    if gate is None or not _asks(run):
        return []
    queries = [QueryGate(gate.wave, index) for index in asked(run)]
    return [(one, _due_at(run, one.gate)) for one in queries if one not in in_flight]


def _asks(run: Run) -> bool:
    """Return whether questions may be asked: not while the run is stopped, paused or left."""
    return not (run.frozen or run.paused is not None or run.left_before is not None)


def _due_at(run: Run, index: int) -> Instant:
    """Return when a question is asked next: at its interval, and when the wait for a shut gate
    ends, so that the run does not halt later than that.
    """
    at, last = _interval_end(run, index), run.gate.answers.get(index) if run.gate else None
    if last is None or last.answer is GateAnswer.OPEN:
        return at
    ends = _gives_up_at(run, last)
    return min(at, ends) if ends > last.at else at


def _interval_end(run: Run, index: int) -> Instant:
    """Return when the interval of a question ends: at its `every` during the bake, when the bake is
    over, and every minute after it.
    """
    gate, baked_at = run.gate, run.baked_at
    if gate is None or baked_at is None:
        raise Bug("no gate waits")
    every_ms, last = _question(run, index).every_ms, gate.answers.get(index)
    if last is not None and last.asked >= baked_at:
        return last.at + min(every_ms or limits.GATE_AGAIN_MS, limits.GATE_AGAIN_MS)
    since = gate.since if last is None else last.at
    return min(since + every_ms, baked_at) if every_ms else baked_at


def _opens(run: Run, index: int, now: Instant) -> bool:
    last = run.gate.answers.get(index) if run.gate is not None else None
    if last is None or last.answer is not GateAnswer.OPEN:
        return False
    return last.asked >= (run.baked_at or 0) and now <= last.asked + limits.GATE_AGE_MAX_MS


def _gives_up_at(run: Run, answer: ev.GateAnswered) -> Instant:
    """Return when the wait for a gate ends that this answer keeps shut."""
    question = _question(run, answer.gate)
    bake_ms = run.plan.waves[answer.wave].bake_ms if question.every_ms else 0
    return _shut_since(run, answer) + question.wait_ms + bake_ms


def _shut_since(run: Run, answer: ev.GateAnswered) -> Instant:
    if run.gate is None:
        raise Bug("no gate waits")
    return run.gate.shut_since[answer.gate]


def _question(run: Run, index: int) -> AnyGate:
    return run.plan.questions()[index]
