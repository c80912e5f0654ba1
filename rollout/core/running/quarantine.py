"""Decide which instances are held because what they have in common fails, and nothing else does.

Called by `decide_run`. Reads the state only.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from rollout.core.running.cohorts import ATTRIBUTES, values
from rollout.core.running.journey import Phase
from rollout.core.running.state import Run
from rollout.model import event as ev
from rollout.model import limits

QUARANTINED = "quarantined"
"""Start of the reason of such a hold."""

_FAILED = (Phase.FAILED, Phase.STRANDED)
_NOT_BEGUN = (Phase.PLANNED, Phase.ATTACHED)


def due(run: Run) -> ev.Held | None:
    """Return the hold of instances that are due to be attached or restarted and belong to a failing
    cohort, of all cells that were opened; None if there are none, or without
    `onFailure.quarantine`.

    A cohort fails alone if it has all failures of the run, at least `COHORT_FAILURES_MIN`, and at
    least `QUARANTINE_OTHERS_MIN` instances outside it were rotated. Failures that an operator
    accepted count too.
    """
    rule = run.plan.failure_rule()
    if rule is None or not rule.quarantine:
        return None
    if sum(run.phase_counts[phase] for phase in _FAILED) < limits.COHORT_FAILURES_MIN:
        return None
    # An operator's statement may continue an instance of a closed cell.
    begun = [cell for cell in range(run.cells_next) if run.left_in_cell[cell]]
    for position, value in _failing(run):
        held = tuple(
            ordinal
            for cell in begun
            for ordinal in range(run.layout.cells[cell].start, run.layout.cells[cell].end)
            if run.phases[ordinal] in _NOT_BEGUN
            and not run.held[ordinal]
            and values(run.layout, ordinal)[position] == value
        )
        if held:
            part = held[: limits.EVENT_ORDINALS_MAX]
            return ev.Held(part, f"{QUARANTINED}: {ATTRIBUTES[position]} {value}")
    return None


def _failing(run: Run) -> Iterator[tuple[int, str]]:
    """Yield the attribute, as its position, and the value of each cohort that fails alone."""
    failed = [values(run.layout, o) for phase in _FAILED for o in _in_phase(run, phase)]
    for position, column in enumerate(zip(*failed, strict=True)):
        value = column[0]
        if not value or any(other != value for other in column):
            continue
        proved = _in_phase(run, Phase.DONE)
        others = (1 for ordinal in proved if values(run.layout, ordinal)[position] != value)
        if sum(islice(others, limits.QUARANTINE_OTHERS_MIN)) == limits.QUARANTINE_OTHERS_MIN:
            yield position, value


def _in_phase(run: Run, phase: Phase) -> Iterator[int]:
    """Yield the ordinals of the instances in this phase, ascending."""
    ordinal = run.phases.find(phase)
    while ordinal >= 0:
        yield ordinal
        ordinal = run.phases.find(phase, ordinal + 1)
