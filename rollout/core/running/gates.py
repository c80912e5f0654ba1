"""Decide when the next wave may start: bakes, gates, pauses, and the operators' answers.

Called by `decide_run`, `operators` and the decider. Reads the state only. The answers to questions
are judged in `gate_queries`.
"""

from __future__ import annotations

from collections.abc import Container

from rollout.core.running import gate_queries, windows
from rollout.core.running.evolve import OBSERVED
from rollout.core.running.journey import Phase
from rollout.core.running.state import Run
from rollout.model import event as ev
from rollout.model.command import QueryGate
from rollout.model.event import OperatorVerb
from rollout.model.halts import HaltReason, halted
from rollout.model.spec import WaveGate
from rollout.model.time import Instant, format_instant

AWAITED = OBSERVED | {Phase.VERIFYING, Phase.COMPARING}
"""Phases of instances that a run without new calls still observes."""


def opened(run: Run, now: Instant) -> ev.GateOpened | None:
    """Return the verdict of the gate that waits, or None while it is shut."""
    gate, at = run.gate, opens_at(run)
    if gate is None or at is None or now < at or not gate_queries.all_open(run, now):
        return None
    manual = run.plan.waves[gate.wave].gate is WaveGate.MANUAL
    return ev.GateOpened(gate.wave, now, run.promoted.id if manual and run.promoted else gate.order)


def opens_at(run: Run) -> Instant | None:
    """Return when the gate that waits opens, if it has no questions or they are answered; None
    where only an operator or a window can bring that about.
    """
    if run.gate is None or run.resting or run.left_before is not None or unanswered(run):
        return None
    return run.baked_at


def wake(run: Run, in_flight: Container[QueryGate]) -> Instant | None:
    """Return when the gate that waits opens or asks its next question; None where only an event can
    bring that about.
    """
    asks = gate_queries.asked(run)
    return gate_queries.wake(run, in_flight) if asks else opens_at(run)


def unanswered(run: Run) -> bool:
    """Return whether the gate that waits is manual and no operator promoted it."""
    gate = run.gate
    manual = gate is not None and run.plan.waves[gate.wave].gate is WaveGate.MANUAL
    return manual and run.promoted is None


def gates_left(run: Run) -> bool:
    """Return whether a manual gate without a promotion is waiting or still to come."""
    if run.promoted is not None and run.promoted.full:
        return False
    first = run.waves_closed - unanswered(run)
    return any(wave.gate is WaveGate.MANUAL for wave in run.plan.waves[first:])


def refusal(run: Run, order: ev.OperatorCommand) -> str:
    """Return why a pause, a promotion or a resume cannot be applied; empty where it can."""
    match order.command:
        case OperatorVerb.PAUSE:
            return "it is paused already" if run.paused else ""
        case OperatorVerb.RESUME:
            return "" if run.paused else "it is not paused"
    if run.paused or unanswered(run) or (order.full and gates_left(run)):
        return ""
    if shut := gate_queries.shut(run):
        answer = gate_queries.described(run, shut[0])
        return "" if order.reason else f"the gate is shut ({answer}): --reason is required"
    return "it is not paused, and no gate waits for a promotion"


def stop(run: Run) -> ev.Halted | None:
    """Return the halt of a process that may not wait for an operator, a gate or a window; None
    while the run works.
    """
    waits = run.resting or unanswered(run) or gate_queries.shut(run)
    if run.frozen or not waits or awaited(run):
        return None
    if run.paused is not None:
        return halted(HaltReason.PAUSED, paused_by(run.paused))
    if run.gate is not None and run.left_before is None:
        if unanswered(run):
            wave = run.plan.waves[run.gate.wave]
            return halted(HaltReason.GATE, f"wave {wave.name} is finished")
        if refused := gate_queries.refused(run):
            return refused
    return None if run.shut is None else windows.halt(run.shut, run.plan)


def awaited(run: Run) -> bool:
    """Return whether a call is open or an observation is awaited."""
    return bool(run.open_calls) or any(
        run.phase(ordinal) in AWAITED and not run.held[ordinal]
        for ordinal in range(len(run.phases))
    )


def paused_by(order: ev.OperatorCommand) -> str:
    """Return who paused the run, and why."""
    return f"paused by {order.actor.user}" + (f": {order.reason}" if order.reason else "")


def text(run: Run, wave: int, now: Instant) -> str:
    """Return what the next wave waits for after `wave`, as text; empty where no gate waits."""
    at = run.baked_at
    if run.gate is None or at is None or run.gate.wave != wave or run.closed is not None:
        return ""
    planned = run.plan.waves[wave]
    baking = planned.bake_ms and now < at
    parts = [f"until {format_instant(at)} (bake of wave {planned.name})"] if baking else []
    if unanswered(run):
        parts.append(f"for a promotion after wave {planned.name}")
    elif planned.gate is WaveGate.MANUAL and run.promoted is not None:
        parts.append(f"promoted by {run.promoted.actor.user}")
    asked = gate_queries.text(run, now)
    return ", ".join([*parts, asked] if asked else parts)
