"""The rules of a run, recomputed from its journal.

Called by `verify` with every event in order. A second opinion on purpose: it shares no code with
the core, neither its phase table nor its ledger, and knows only the plan and the events.
"""

from __future__ import annotations

from rollout.journal.recheck.approvals import ApprovalRules
from rollout.journal.recheck.calls import RunCalls
from rollout.journal.recheck.commands import Commands
from rollout.journal.recheck.evidence import EvidenceRules
from rollout.journal.recheck.instances import TargetStates, Violations
from rollout.journal.recheck.legal_moves import State
from rollout.journal.recheck.logins import LoginRules
from rollout.journal.recheck.waves import WaveRules
from rollout.journal.recheck.windows import WindowRules
from rollout.model import event as ev
from rollout.model.event import AnyEvent
from rollout.model.plan import Plan


class Rules:
    """One run as its journal describes it."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._violations = violations = Violations()
        self.instances = TargetStates(plan, violations)
        self.commands = Commands(self.instances.targets)
        self.waves = WaveRules(self.instances, self.commands, violations)
        self.calls = RunCalls(self.instances, self.waves, self.commands, violations)
        self.evidence = EvidenceRules(self.instances, self.calls, self.commands, violations)
        self.logins = LoginRules(self.instances, self.evidence, violations)
        self.windows = WindowRules(plan, violations)
        self.approvals = ApprovalRules(plan, violations)
        self.resumes = 0
        self.closed = False
        self._demand = violations.demand

    def take(self, event: AnyEvent) -> list[str]:
        """Fold one event, and return the rules it violates as text."""
        self._demand(not self.closed, f"{type(event).__name__} after the run was closed")
        self.approvals.take(event)
        self.instances.census.take(event)
        self._fold(event)
        return self._violations.take()

    def _fold(self, event: AnyEvent) -> None:
        match event:  # the frequent ones first
            case ev.Issued():
                self.windows.issued(event)
                self.calls.issue(event)
            case ev.Settled():
                self.calls.settle(event)
            case ev.Moved():
                self.evidence.move(event)
            case ev.Held():
                for ordinal in self.instances.known(event.ordinals):
                    self.instances.hold(ordinal, event.reason)
            case ev.Released():
                for ordinal in self.instances.known(event.ordinals):
                    self.instances.release(ordinal)
            case ev.CellOpened():
                self.windows.begun(f"cell {event.cell} opened")
                self.waves.cell_opened(event)
            case ev.CellClosed():
                self.waves.cell_closed(event)
            case ev.WaveStarted():
                self.windows.begun(f"wave {event.name} started")
                self.waves.wave_started(event)
            case ev.WaveClosed():
                self.waves.wave_closed(event)
            case ev.GateAnswered():
                self.waves.gates.answered(event)
            case ev.GateOpened():
                self.waves.gate_opened(event)
            case ev.WindowClosed() | ev.WindowOpened():
                self.windows.take(event)
            case ev.KeyReady():
                self.evidence.compare(event)
            case ev.KeyChanged():
                self.evidence.differ(event)
            case ev.HostKeyRead():
                self.logins.host_key(event)
            case ev.LoginProbed():
                self.logins.probed(event)
            case ev.Drifted(kind=ev.DriftKind.ELSEWHERE, ordinals=ordinals):
                self.instances.failures.attached_elsewhere(ordinals)
            case _:
                self._fold_process(event)

    def _fold_process(self, event: AnyEvent) -> None:
        """Check an event about a process of the run, or from an operator."""
        match event:
            case ev.RunStarted():
                self._start(event)
            case ev.Resumed():
                self._resume(event)
            case ev.TornTail():
                self.calls.rates.torn()
            case ev.Halted():
                self.calls.stopped = True
                self.instances.failures.halted(event.reason)
            case ev.Drained():
                self.calls.stopped = True
            case ev.LastWaveSet(wave=wave):
                self.waves.last = wave
            case ev.OperatorCommand():
                self.waves.gates.commanded(event)
                self._violations.add(self.commands.take(event))
            case ev.FailuresAccepted():
                self.instances.failures.accept(event.ordinals)
            case ev.RunClosed():
                self._close(event)
            case _:
                pass

    def _start(self, event: ev.RunStarted) -> None:
        plan, targets = self.plan, self.instances.targets
        self._demand(self.calls.epoch == 0, "the run was started twice")
        for name, found, planned in (
            ("spec digest", event.spec_digest, plan.spec_digest),
            ("inventory digest", event.inventory_digest, plan.inventory_digest),
            ("rules version", event.rules, plan.rules),
        ):
            self._demand(found == planned, f"the {name} differs from the plan's")
        self.calls.epoch = event.epoch
        self.calls.rates.start(event)
        names = {target.instance for target in targets}
        names.update(exclusion.instance for exclusion in plan.exclusions)
        population = len(targets) + len(plan.exclusions)
        self._demand(len(names) == population, "the plan contains an instance twice")
        complete = population == plan.counts.found
        self._demand(complete, "the plan does not contain every instance that was found")

    def _resume(self, event: ev.Resumed) -> None:
        calls = self.calls
        next_one = event.epoch == calls.epoch + 1
        self._demand(next_one, f"epoch {event.epoch} follows epoch {calls.epoch}")
        calls.resume(event)
        self.waves.last = None
        self.waves.gates.resumed()
        self.resumes += 1
        self.instances.failures.resumed()
        stay = frozenset({State.PLANNED, State.ATTACHED}) if self.commands.aborted else frozenset()
        self.instances.release_all(but=stay)

    def _close(self, event: ev.RunClosed) -> None:
        self.closed = True
        open_calls, aborted = len(self.calls.open), self.commands.aborted
        self._demand(not open_calls, f"closed with {open_calls} open calls")
        unfinished = 0 if aborted else self.instances.unfinished
        self._demand(not unfinished, f"closed with {unfinished} unfinished instances")
        counts = self.instances.classes()
        in_doubt = counts["in_doubt"]
        doubts = in_doubt - sum(
            self.instances.states[ordinal] in (State.RESTARTING, State.BOOTED)
            for ordinal in self.commands.abandoned
        )
        text = f"closed with {doubts} instances in doubt that no operator abandoned"
        self._demand(aborted or not doubts, text)
        text = f"closed with exit code {event.exit} and {in_doubt} instances in doubt"
        self._demand(event.exit == 5 or not in_doubt, text)
        stated, found = _figures(event.counts), _figures(counts)
        self._demand(
            _nonzero(event.counts) == _nonzero(counts),
            f"RunClosed counts {stated}; the events before it give {found}",
        )
        left = counts["failed"] or counts["stranded"] or counts["unverified"]
        text = "closed with exit code 0 although instances need an operator"
        self._demand(not (left and event.exit == 0), text)


def _nonzero(counts: dict[str, int]) -> dict[str, int]:
    return {name: count for name, count in counts.items() if count}


def _figures(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items() if count) or "nothing"
