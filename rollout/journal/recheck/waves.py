"""The order of waves and cells, checked from the journal alone.

Called by `rules`. Shares no code with the core.
"""

from __future__ import annotations

from rollout.journal.recheck.commands import Commands
from rollout.journal.recheck.gates import GateRules
from rollout.journal.recheck.instances import TargetStates, Violations
from rollout.model import event as ev
from rollout.model.spec import WaveGate


class WaveRules:
    """The waves and cells of one run: waves follow one another, and so do the cells in a wave."""

    def __init__(self, instances: TargetStates, commands: Commands, violations: Violations) -> None:
        self.cells_opened = 0
        self.wave: int | None = None
        self.closed = 0
        self.last: int | None = None
        self._gate: ev.WaveClosed | None = None
        self.gates = GateRules(instances.plan, violations)
        self._commands = commands
        self._instances = instances
        self._demand = violations.demand

    def wave_started(self, event: ev.WaveStarted) -> None:
        """Check that the wave is due and that nothing before it is left or failed."""
        due = self.wave is None and event.wave == self.closed
        self._demand(due, f"wave {event.name} started out of order or while another wave is open")
        failed = self._instances.failures.before(event.wave)
        self._demand(not failed, f"wave {event.name} started after {failed} unaccepted failures")
        reached = self._instances.failures.reached(self.closed)
        self._demand(not reached, f"wave {event.name} started after a limit was reached: {reached}")
        self._demand(self._gate is None, f"wave {event.name} started before the gate opened")
        paused = self._commands.paused
        self._demand(not paused, f"wave {event.name} started in a paused run")
        late = self.last is not None and event.wave > self.last
        self._demand(not late, f"wave {event.name} started after the last one (--until-wave)")
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
        self.closed = event.wave + 1
        wave = self._instances.plan.waves[event.wave]
        self._gate = event if wave.gated else None
        self.gates.wave_closed(event)

    def gate_opened(self, event: ev.GateOpened) -> None:
        """Check that a gate waits, that its bake is over, and that an operator promoted it."""
        closed, self._gate = self._gate, None
        if closed is None or closed.wave != event.wave:
            self._demand(condition=False, text=f"the gate after wave {event.wave} was not shut")
            return
        wave = self._instances.plan.waves[event.wave]
        self.gates.opened(event)
        baked = event.at >= closed.at + wave.bake_ms
        self._demand(baked, f"the gate after wave {wave.name} opened before its bake was over")
        promoted = wave.gate is not WaveGate.MANUAL or self._commands.promotes(event.order)
        self._demand(promoted, f"the gate after wave {wave.name} opened without a promotion")

    def cell_opened(self, event: ev.CellOpened) -> None:
        """Check that the cell is the next one and in the open wave."""
        wave_of_cell = self._instances.wave_of_cell
        self._demand(not self._commands.paused, f"cell {event.cell} opened in a paused run")
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
