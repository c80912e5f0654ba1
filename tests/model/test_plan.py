"""Tests for the plan's own views of its targets."""

from __future__ import annotations

from tests.core import samples


def test_targets_come_in_order_of_waves_cells_and_batches() -> None:
    """The position of a target in `targets` is its ordinal, and each cell has a slice of them."""
    plan = samples.make_plan(samples.fleet(120))
    nested = [
        target
        for wave in plan.waves
        for cell in wave.cells
        for batch in cell.batches
        for target in batch.targets
    ]

    assert list(plan.targets()) == nested
    assert len(nested) == 120
    assert [target for _, cell in plan.cells() for target in cell.targets()] == nested
    assert [wave.name for wave, _ in plan.cells()] == [
        wave.name for wave in plan.waves for _ in wave.cells
    ]
