"""Operators of a simulated run: they abort, pause and promote it, and resolve doubts truthfully.

Called by the world. A command without a live process is applied by the next one.
"""

from __future__ import annotations

import msgspec

from rollout.core.running import gates
from rollout.core.running.journey import Phase
from rollout.core.running.state import Run
from rollout.model.event import Actor, OperatorCommand, OperatorVerb, Resolution
from rollout.model.time import Instant
from rollout.sim.time.dice import Dice
from rollout.sim.time.heap import Time
from rollout.sim.world.driver import Driver
from rollout.sim.world.record import RunRecord

_ACTOR = Actor("operator", "", "sim", 0, "rollout sim")


class OperatorScript:
    """The commands of one scenario, in the order in which they are sent. `process` is the present
    one, None if there is none.
    """

    def __init__(self, record: RunRecord, time: Time) -> None:
        self.process: Driver | None = None
        self._record, self._time = record, time
        self._attending = False
        self._pauses_end: Instant = 0
        self._dice = Dice(record.scenario.seed, "statements")
        self._count = 0
        self._waiting: list[OperatorCommand] = []

    def plan_all(self) -> None:
        """Schedule the abort and the pauses of the scenario."""
        record, scenario = self._record, self._record.scenario
        if scenario.abort_ms is not None:
            self._command_at(record.begun + scenario.abort_ms, OperatorVerb.ABORT)
        for pause in scenario.gating.pauses:
            paused_at = record.begun + pause.at_ms
            self._command_at(paused_at, OperatorVerb.PAUSE)
            self._command_at(paused_at + pause.lasts_ms, pause.ended_by)
            self._pauses_end = max(self._pauses_end, paused_at + pause.lasts_ms)

    def attend(self, run: Run) -> None:
        """Have an operator promote the run until it no longer waits for one."""
        if not self._attending and self._waits_for_operator(run):
            self._attending = True
            after_ms = self._record.scenario.gating.answered_ms
            self._time.at(self._time.now + after_ms, self._promote)

    def _promote(self) -> None:
        self._attending = False
        run, process = self._record.run, self.process
        if run is not None and self._waits_for_operator(run):
            self._command(OperatorVerb.PROMOTE)
            if process is not None and process.alive:
                self.attend(run)

    def _waits_for_operator(self, run: Run) -> bool:
        """Return whether a manual gate waits, or a pause that no scheduled command ends any more: a
        refused pause is delivered again to the next process, which may accept it.
        """
        forgotten = run.paused is not None and self._time.now >= self._pauses_end
        return forgotten or gates.unanswered(run)

    def _command_at(self, at: Instant, verb: OperatorVerb) -> None:
        self._time.at(at, lambda: self._command(verb))

    def _command(self, verb: OperatorVerb) -> None:
        """Send a command without a statement. It waits until a journal has it."""
        full = verb is OperatorVerb.PROMOTE and self._record.scenario.gating.full
        order = self._order(self._time.now, verb)
        self._waiting.append(msgspec.structs.replace(order, full=full))
        if self.process is not None and self.process.alive:
            self.process.command(self._waiting[-1])

    def resolve(self, now: Instant) -> bool:
        """State the truth about each instance in doubt, or give it up; false if there is none."""
        run = self._record.run
        if run is None or not self._record.scenario.resolves:
            return False
        in_force = {one.instance: one.key_in_force for one in self._record.cloud.observe(now)}
        restarted = self._restarted()
        found = False
        for ordinal, target in enumerate(run.layout.targets):
            if run.phase(ordinal) is not Phase.IN_DOUBT or ordinal in run.abandoned:
                continue
            wanted = self._record.wanted[target.instance].name
            booted = in_force.get(target.instance) == wanted or target.instance in restarted
            truth = Resolution.RESTARTED if booted else Resolution.UNTOUCHED
            stated = Resolution.ABANDON if self._dice.chance(30) else truth
            self._waiting.append(self._order(now, OperatorVerb.RESOLVE, target.instance, stated))
            found = True
        return found

    def _restarted(self) -> set[str]:
        """Return the instances that calls of this run restarted, with any key."""
        record = self._record
        ours = record.arrivals.calls.keys() | record.arrivals.duplicates.keys()
        return {
            entry.instance
            for entry in record.cloud.ledger.since(record.planned_effects)
            if entry.instance and entry.effect in ("reboot", "start") and entry.request_id in ours
        }

    def due(self, applied: dict[str, None]) -> list[OperatorCommand]:
        """Return the commands that no journal has yet."""
        self._waiting = [order for order in self._waiting if order.id not in applied]
        return list(self._waiting)

    def _order(
        self,
        now: Instant,
        verb: OperatorVerb,
        instance: str = "",
        resolution: Resolution | None = None,
    ) -> OperatorCommand:
        self._count += 1
        return OperatorCommand(
            str(self._count), verb, _ACTOR, now, "inbox", "sim", instance, resolution
        )
