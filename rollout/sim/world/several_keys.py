"""Give the targets of a plan several wanted keys: the shape of a plan that restores former keys.

Called by the simulated world and by tests. The planner makes plans with one key.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from rollout.core.planning.waves import make_batches, tight_caps
from rollout.model.plan import Cell, Plan, Target, WantedKey


def with_keys(plan: Plan, keys: Sequence[WantedKey], key_of: Callable[[Target], int]) -> Plan:
    """Return the plan with these wanted keys. `key_of` gives the index of each target's key."""

    def with_key(target: Target) -> Target:
        key = key_of(target)
        attach = target.former_key != keys[key].name
        return msgspec.structs.replace(target, key=key, attach=attach)

    def cut(cell: Cell) -> Cell:
        size = max(len(batch.targets) for batch in cell.batches)
        targets = [with_key(target) for target in cell.targets()]
        return msgspec.structs.replace(
            cell, batches=make_batches(targets, size, tight_caps(plan.groups, size))
        )

    waves = tuple(
        msgspec.structs.replace(wave, cells=tuple(cut(cell) for cell in wave.cells))
        for wave in plan.waves
    )
    return msgspec.structs.replace(plan, keys=tuple(keys), waves=waves)
