"""The order of waves and cells, checked from the journal alone.

Called by `rules`. Shares no code with the core.
"""

from __future__ import annotations

from rollout.journal.recheck.instances import TargetStates, Violations
from rollout.model import event as ev


class WaveRules:
    """The waves and cells of one run: waves follow one another, and so do the cells in a wave."""

    def __init__(self, instances: TargetStates, violations: Violations) -> None:
        self.cells_opened = 0
        self.wave: int | None = None
        self._closed = 0
        self._instances = instances
        self._demand = violations.demand

    def wave_started(self, event: ev.WaveStarted) -> None:
        """Check that the wave is due and that nothing before it is left or failed."""
        due = self.wave is None and event.wave == self._closed
        self._demand(due, f"wave {event.name} started out of order or while another wave is open")
        failed = self._instances.failures.before(event.wave)
        self._demand(not failed, f"wave {event.name} started after {failed} unaccepted failures")
        left = self._left_before(event.wave)
        self._demand(not left, f"wave {event.name} started before an earlier wave finished")
        self.wave = event.wave

    def wave_closed(self, event: ev.WaveClosed) -> None:
        """Check that the wave is open and finished."""
        self._demand(event.wave == self.wave, f"wave {event.wave} closed but was not open")
        wave_of_cell = self._instances.wave_of_cell
        cells = [cell for cell, wave in enumerate(wave_of_cell) if wave == event.wave]
        unopened = [cell for cell in cells if cell >= self.cells_opened]
        left = sum(self._instances.left_in_cell[cell] for cell in cells)
        text = f"wave {event.wave} closed with {left} unfinished instances"
        self._demand(not unopened and not left, text)
        self.wave = None
        self._closed = event.wave + 1

    def cell_opened(self, event: ev.CellOpened) -> None:
        """Check that the cell is the next one and in the open wave."""
        wave_of_cell = self._instances.wave_of_cell
        known = event.cell == self.cells_opened and event.cell < len(wave_of_cell)
        self._demand(known, f"cell {event.cell} opened out of order")
        if known:
            wave = wave_of_cell[event.cell]
            self._demand(wave == self.wave, f"cell {event.cell} opened outside its wave")
            left = self._left_before(wave)
            self._demand(not left, f"cell {event.cell} opened before an earlier wave finished")
            self.cells_opened += 1

    def cell_closed(self, event: ev.CellClosed) -> None:
        """Check that the cell is finished."""
        left = self._instances.left_in_cell[event.cell]
        self._demand(not left, f"cell {event.cell} closed with {left} unfinished instances")

    def _left_before(self, wave: int) -> bool:
        return any(self._instances.left_in_wave[earlier] for earlier in range(wave))
