"""Move one target to its next phase, with all that is counted by phase, hold and failure.

Part of `evolve`, called by it and by `evolve_calls`. Knows no events and no calls.
"""

from __future__ import annotations

from rollout.core.running.failure_counts import Trouble
from rollout.core.running.journey import AT_RISK, DOWN, FINAL, Phase, move
from rollout.core.running.state import PHASES, Run
from rollout.model.event import Trigger

FOREIGN_KEY = "foreign_key"
"""Reason of a held instance on which another operator attached a third key."""

GONE = "gone"
"""Evidence of an instance that was released."""

KEY_CHANGED = "key_pair_changed"
"""Cause of an instance that may carry other key material under the wanted name."""

_JUDGED = FINAL - {Phase.SKIPPED}
"""Phases that show whether the rotation of an instance worked."""

_JUDGED_ABSENT = frozenset({Trigger.OBSERVED_UNTOUCHED, Trigger.RETRIED, Trigger.STATED_UNTOUCHED})
"""Refusals after which a restart is repeated; the former restart stays on record."""


_RISKY = bytes(phase in AT_RISK for phase in Phase)


def move_target(run: Run, ordinal: int, trigger: Trigger) -> None:
    """Change a phase, with all that is counted by phase. No other code does."""
    before = PHASES[run.phases[ordinal]]
    after = move(before, trigger)
    run.phases[ordinal] = after
    run.phase_counts[before] -= 1
    run.phase_counts[after] += 1
    run.ledger.moved(ordinal, before, after)
    if not run.held[ordinal]:
        run.at_risk += _RISKY[after] - _RISKY[before]
    if after in (Phase.VERIFYING, Phase.COMPARING):
        _drop_calls(run, ordinal)
        run.ledger.release(ordinal, after)
    elif after in FINAL:
        _drop_calls(run, ordinal)
        run.comparisons.remove(ordinal)
        run.host_keys.pop(ordinal, None)
        if after is Phase.FAILED and before is Phase.SETTLING:
            run.ledger.suspend(ordinal, after)  # it is still down
        else:
            run.ledger.take_back(ordinal, after)
            run.ledger.release(ordinal, after)
        if not run.held[ordinal] and before not in FINAL:
            count_left(run, ordinal, -1)
        count_trouble(run, ordinal)
    elif after in (Phase.PLANNED, Phase.ATTACHED):
        run.attaching.pop(ordinal, None)
        if after is Phase.PLANNED:
            run.comparisons.remove(ordinal)
        if trigger not in _JUDGED_ABSENT:
            run.restarting.pop(ordinal, None)
        if before is not Phase.ATTACHING or after is Phase.PLANNED:
            run.ledger.release(ordinal, after)


def count_trouble(run: Run, ordinal: int) -> None:
    """Count the instance again after its phase or its hold changed."""
    run.troubles.count(ordinal, _trouble(run, ordinal))
    if run.shares.counts:
        failed = run.troubles.kinds[ordinal] == Trouble.FAILED
        judged = failed or run.phase(ordinal) in _JUDGED
        run.shares.count(ordinal, failed=failed, judged=judged)


def count_held(run: Run, ordinal: int, change: int) -> None:
    """Count the instance as held (1) or not held any longer (-1)."""
    count_left(run, ordinal, -change)
    run.at_risk -= change * _RISKY[run.phases[ordinal]]
    count_trouble(run, ordinal)


def _trouble(run: Run, ordinal: int) -> Trouble:
    phase = run.phase(ordinal)
    if phase in (Phase.FAILED, Phase.STRANDED):
        return Trouble.FAILED
    cause = run.causes.get(ordinal, "")
    if not run.held[ordinal] or phase in FINAL:
        return Trouble.NONE
    if cause == FOREIGN_KEY:
        return Trouble.CONFLICT
    if phase is Phase.PLANNED:
        return Trouble.NONE
    waits = cause.startswith(("budget_held", "quarantined"))
    return Trouble.LEFT if phase in DOWN or waits else Trouble.FAILED


def _drop_calls(run: Run, ordinal: int) -> None:
    run.attaching.pop(ordinal, None)
    run.restarting.pop(ordinal, None)
    run.attached_at.pop(ordinal, None)
    run.busy.pop(ordinal, None)


def count_left(run: Run, ordinal: int, change: int) -> None:
    """One unfinished target more or less: in the run, its wave, its cell and the open cells."""
    cell = run.layout.cell_of[ordinal]
    run.left += change
    run.left_in_cell[cell] += change
    run.left_in_wave[run.layout.cells[cell].wave] += change
    if cell in run.cells_open:
        run.left_in_open_cells += change


def prove_wrong(run: Run, ordinal: int) -> None:
    """It runs, and may carry other key material under the wanted name."""
    move_target(run, ordinal, Trigger.KEY_CHANGED)
    run.causes[ordinal] = KEY_CHANGED
