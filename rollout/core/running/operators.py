"""Decide whether an operator's command can be applied, and which events follow from it.

Called by the decider, and by `app` for a run that no process drives. Reads the state only.
"""

from __future__ import annotations

from collections.abc import Iterator

from rollout.core.running import gates
from rollout.core.running.journey import TABLE, Phase
from rollout.core.running.state import Run
from rollout.model import event as ev
from rollout.model import limits
from rollout.model.event import AnyEvent, OperatorCommand, OperatorVerb, Resolution, Trigger
from rollout.model.probe import LoginVerdict
from rollout.model.time import Instant, format_instant

STATED: dict[Resolution, Trigger] = {
    Resolution.RESTARTED: Trigger.STATED_RESTARTED,
    Resolution.UNTOUCHED: Trigger.STATED_UNTOUCHED,
    Resolution.ABANDON: Trigger.ABANDONED,
}


def refusal(run: Run, order: OperatorCommand, now: Instant) -> str:
    """Return why the command cannot be applied now, as a message; empty where it can."""
    if run.closed is not None:
        return "the run is closed"
    if order.id in run.orders:
        return "it was applied already"
    if order.command is OperatorVerb.ABORT:
        return "the run is being aborted already" if run.aborted else ""
    if run.aborted is not None:
        return "the run is being aborted"
    if order.command is not OperatorVerb.RESOLVE:
        return gates.refusal(run, order)
    ordinal = run.layout.ordinal_of(order.instance)
    if ordinal is None:
        return f"{order.instance} is not a target of this run"
    return _unresolvable(run, ordinal, order.resolution, now)


def refused_text(verb: OperatorVerb, why: str) -> str:
    """Return the text of the `Anomaly` for a refused command."""
    return f"operator command {verb} refused: {why}"


def follows(run: Run, order: OperatorCommand) -> Iterator[AnyEvent]:
    """Yield the events that follow a command without a `refusal`: those of a statement."""
    ordinal = run.layout.ordinal_of(order.instance)
    if order.resolution is None or ordinal is None:
        return
    if run.held[ordinal]:
        yield ev.Released((ordinal,), "resolved")
    yield ev.Moved(STATED[order.resolution], (ordinal,), f"operator: {order.resolution.value}")


def _unresolvable(run: Run, ordinal: int, resolution: Resolution | None, now: Instant) -> str:
    phase = run.phase(ordinal)
    name = run.layout.targets[ordinal].instance
    if any(ordinal in call for call in _open_calls(run)):
        return f"a call for {name} is open; resume the run first, so that it observes the outcome"
    if resolution is None or (phase, STATED[resolution]) not in TABLE:
        return f"{name} is {phase.label}: this statement does not apply to it"
    if phase is Phase.FAILED and not _was_restarted(run, ordinal):
        return f"{name} failed before its restart: plan again"
    settled = run.settle_end(ordinal)
    if now < settled:
        return f"a lost call for {name} may still take effect until {format_instant(settled)}"
    if resolution is Resolution.UNTOUCHED and ordinal in run.foreign:
        return f"another key pair was observed on {name} while it was down: plan again"
    spent = run.restart_tries[ordinal] >= limits.ATTEMPTS_MAX
    if resolution is Resolution.UNTOUCHED and spent:
        return f"{name} was restarted {limits.ATTEMPTS_MAX} times, which is the most"
    return ""


def _was_restarted(run: Run, ordinal: int) -> bool:
    """Return whether it failed after a restart, not because its attach was refused."""
    cause = run.causes.get(ordinal, "")
    probed = cause in LoginVerdict.__members__.values()
    return probed or cause in ("not_running", f"operator: {Resolution.ABANDON.value}")


def _open_calls(run: Run) -> Iterator[tuple[int, ...]]:
    for issued in run.open_calls.values():
        yield getattr(issued.command, "ordinals", ())
