"""Detect external changes: restarts and attaches without an intent of this run.

Called by `evidence` for every observed instance. Pure: compares two observations and the state, and
returns findings; decides nothing.
"""

from __future__ import annotations

from rollout.core.running.journey import Phase
from rollout.core.running.state import Run
from rollout.model.instance import Instance, Status
from rollout.model.observation import Observed

_BOOTING = (Status.PENDING, Status.STARTING)
_BEFORE_RESTART = (Phase.PLANNED, Phase.ATTACHING, Phase.ATTACHED)


def foreign_restart(run: Run, ordinal: int, before: Observed | None, instance: Instance) -> str:
    """Return the evidence of a restart that this run did not call; empty where there is none.

    Only before this run's own restart: afterwards a boot may be its own. `before` is the last
    observation in this process; without one, the time of planning counts.
    """
    if run.phase(ordinal) not in _BEFORE_RESTART or run.restart_tries[ordinal]:
        return ""
    if ordinal in run.restarting or ordinal in run.restarted_elsewhere:
        return ""
    if before is None:
        return "start_time" if 0 < run.plan.as_of < instance.started_at else ""
    if 0 < before.started_at < instance.started_at:
        return "start_time"
    booting = instance.status in _BOOTING and before.status in (Status.RUNNING, Status.STOPPED)
    return "status" if booting else ""
