"""Fold the events of waves, gates, windows and cells into the state of a run. Part of `evolve`."""

from __future__ import annotations

from msgspec.structs import replace

from rollout.core.invariant import Bug, invariant
from rollout.core.running import gate_queries
from rollout.core.running.state import GateWait, Run
from rollout.model import event as ev
from rollout.model.gate import GateAnswer
from rollout.model.spec import WaveGate


def wave_started(run: Run, event: ev.WaveStarted) -> None:
    """The wave is open; its first cell may open."""
    invariant(run.left_before is None, "I-33: earlier waves finish first")
    invariant(run.wave_open is None and event.wave == run.waves_closed, "I-33: waves in order")
    invariant(run.gate is None, "I-34: the gate opens before the next wave")
    invariant(run.missing_approvals == 0, "I-90: a plan is approved before its first wave")
    invariant(run.paused is None, "I-66: no wave starts in a paused run")
    last = run.last_wave
    invariant(last is None or event.wave <= last, "I-82: no wave starts after --until-wave")
    invariant(run.shut is None, "I-77: no wave starts outside the windows")
    run.wave_open = event.wave
    run.uncount()
    run.cells_next = run.layout.waves[event.wave].cells[0]


def wave_closed(run: Run, event: ev.WaveClosed) -> None:
    """The wave is finished; its gate waits, if it has one."""
    invariant(run.wave_open == event.wave, "only the open wave closes")
    run.wave_open = None
    run.waves_closed += 1
    if run.plan.waves[event.wave].gated:
        run.gate = GateWait(event.wave, event.at, event.at, run.machine)


def gate_answered(run: Run, event: ev.GateAnswered) -> None:
    """Record the answer; one that does not open the gate restarts the bake."""
    gate, baked_at = run.gate, run.baked_at
    if gate is None or baked_at is None or gate.wave != event.wave:
        raise Bug("only the gate that waits is answered")
    gate = replace(gate, answers={**gate.answers, event.gate: event})
    if event.answer is not GateAnswer.OPEN:
        gate = replace(gate, shut_since={event.gate: event.at, **gate.shut_since})
        if event.asked < baked_at and not gate.order:
            gate = replace(gate, since=event.at, machine=run.machine)
    run.gate = gate


def gate_opened(run: Run, event: ev.GateOpened) -> None:
    """The next wave may start. The promotion is used up, unless it is for all gates."""
    invariant(run.gate is not None and run.gate.wave == event.wave, "only a shut gate opens")
    invariant(event.at >= (run.baked_at or 0), "I-35: a bake is not shortened")
    order = run.promoted
    manual = run.plan.waves[event.wave].gate is WaveGate.MANUAL
    answered = order is not None and order.id == event.order
    invariant(answered or not manual, "I-34: an operator promotes a manual gate")
    answered = gate_queries.all_open(run, event.at)
    invariant(answered, "I-34: every question of a gate has an answer that opens it")
    run.gate = None
    if order is not None and not order.full:
        run.promoted = None


def last_wave_set(run: Run, event: ev.LastWaveSet) -> None:
    """No wave starts after this one in this process."""
    run.last_wave = event.wave


def window_closed(run: Run, event: ev.WindowClosed) -> None:
    """Nothing begins until the next window opens."""
    invariant(run.shut is None, "only an open window closes")
    run.shut = event


def window_opened(run: Run, event: ev.WindowOpened) -> None:
    """Calls, waves and cells may begin again."""
    shut = run.shut
    invariant(shut is not None and 0 < shut.opens <= event.at, "I-77: a window opens when planned")
    run.shut = None
    run.uncount()


def cell_opened(run: Run, event: ev.CellOpened) -> None:
    """Calls may begin for the instances of the cell."""
    invariant(event.cell == run.cells_next, "cells open in order")
    invariant(run.paused is None, "I-66: no cell opens in a paused run")
    invariant(run.shut is None, "I-77: no cell opens outside the windows")
    run.cells_open[event.cell] = None
    run.cells_next += 1
    run.left_in_open_cells += run.left_in_cell[event.cell]


def cell_closed(run: Run, event: ev.CellClosed) -> None:
    """All instances of the cell are finished."""
    invariant(run.left_in_cell[event.cell] == 0, "a cell closes when nothing of it is left")
    del run.cells_open[event.cell]
