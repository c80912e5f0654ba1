"""The calls of a run, checked from the journal alone: when they may be issued and how they end.

Called by `rules`. Shares no code with the core.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rollout.journal.recheck.commands import Commands
from rollout.journal.recheck.instances import TargetStates, Violations
from rollout.journal.recheck.legal_moves import BUSY, State
from rollout.journal.recheck.rates import RestartRates
from rollout.journal.recheck.waves import WaveRules
from rollout.model import event as ev
from rollout.model import limits
from rollout.model.command import Attach, ImportKey, RestartCall
from rollout.model.instance import Status
from rollout.model.observation import Observed, spread
from rollout.model.outcome import Done, Refused, RetryClass
from rollout.model.plan import RestartKind
from rollout.model.site import KeySite


class RunCalls:
    """The calls of one run. `stopped`: the run halted or drained and may not issue any."""

    def __init__(
        self, instances: TargetStates, waves: WaveRules, commands: Commands, violations: Violations
    ) -> None:
        count = len(instances.targets)
        self.open: dict[int, ev.Issued] = {}
        self.counts: Counter[str] = Counter()
        self.issued = self.late = self.attached = self.restarted = 0
        self.keys: set[KeySite] = set()
        self.epoch = 0
        self.stopped = False
        self.accepted = bytearray(count)
        self._tries = {kind: bytearray(count) for kind in (Attach, RestartCall)}
        self.busy_since: dict[int, int] = {}
        self.rates = RestartRates(instances, violations)
        self._instances, self._waves, self._commands = instances, waves, commands
        self._add, self._demand = violations.add, violations.demand

    def issue(self, event: ev.Issued) -> None:
        """Check an intent, and note it as open."""
        self._check_allowed(event)
        self.issued = max(self.issued, event.n)
        self.open[event.n] = event
        self.rates.issue(event)
        command = event.command
        match command:
            case ImportKey():
                self.counts["ImportKeyPair"] += 1
                planned = map(self._instances.key_site, range(len(self._instances.targets)))
                self._demand(
                    command.key_site in planned,
                    f"import of a key pair into {command.region}, where the plan has no target",
                )
            case Attach():
                self.counts["AttachKeyPair"] += 1
                before = list(spread(event.observed))
                if self._check_ids(command, before, limits.ATTACH_IDS_MAX):
                    self._attach(command, before)
            case RestartCall():
                many = "s" if len(command.ordinals) > 1 else ""
                self.counts[f"{command.kind.value.title()}Instance{many}"] += 1
                before = list(spread(event.observed))
                self._instances.census.restarts(event.n)
                if self._check_ids(command, before, limits.RESTART_IDS_MAX):
                    self._restart(command, before)

    def settle(self, event: ev.Settled) -> None:
        """Check the result of a call, and apply it to each of its instances."""
        known = 1 <= event.n <= self.issued
        self._demand(known, f"call {event.n} was settled but never issued")
        issued = self.open.pop(event.n, None)
        if issued is None:
            self.late += 1
            return
        self.rates.settle(issued, event)
        command = issued.command
        if isinstance(command, ImportKey):
            return
        items = dict(event.items)
        other = next((o for o in items if o not in command.ordinals), None)
        text = f"call {event.n} was settled for ordinal {other}, which it does not name"
        self._demand(other is None, text)
        whole = not items and len(command.ordinals) > 1
        for ordinal in command.ordinals:
            if not 0 <= ordinal < len(self._instances.targets):
                continue
            outcome = items.get(ordinal, event.outcome)
            if isinstance(outcome, Refused):
                self._refuse(command, ordinal, outcome.retry, event.at, whole=whole)
            else:
                self._attempted(command, ordinal)
                self.accepted[ordinal] = isinstance(outcome, Done)

    def resume(self, event: ev.Resumed) -> None:
        """Count every open call as attempted: a new process does not know how it ended."""
        self.rates.resume(event, list(self.open.values()))
        self.epoch, self.stopped = event.epoch, False
        for issued in self.open.values():
            if not isinstance(issued.command, ImportKey):
                for ordinal in issued.command.ordinals:
                    self._attempted(issued.command, ordinal)
        self.open.clear()

    def observe_attach(self, ordinal: int) -> None:
        """The attach of an instance was observed: its refusals as busy are over."""
        self.busy_since.pop(ordinal, None)

    def _check_allowed(self, event: ev.Issued) -> None:
        call = f"call {event.n}"
        self._demand(event.n == self.issued + 1, f"{call} follows call {self.issued}")
        stale = f"{call} is from epoch {event.epoch}, the epoch is {self.epoch}: a stale writer"
        self._demand(event.epoch == self.epoch, stale)
        self._demand(not self.stopped, f"{call} was issued after the run halted or drained")
        self._demand(not self._commands.aborted, f"{call} was issued after the run was aborted")
        self._demand(not self._commands.paused, f"{call} was issued in a paused run")
        wave, failures = self._waves.wave, self._instances.failures
        reached = failures.reached(self._waves.closed)
        self._demand(not reached, f"{call} was issued after a limit was reached: {reached}")
        if wave is not None:
            for count, what in (
                (failures.within(wave), "failures"),
                (failures.conflicts(wave), "conflicts"),
                (failures.elsewhere(wave), "attaches by other operators"),
            ):
                self._demand(not count, f"{call} was issued after {count} {what} in its wave")

    def _check_ids(
        self, command: Attach | RestartCall, before: Sequence[Observed], ids_max: int
    ) -> bool:
        """Return whether the call names instances of the plan; check count, cell and holds."""
        ordinals, ids, instances = command.ordinals, command.instances, self._instances
        if not 0 < len(ids) <= ids_max:
            self._add(f"{len(ids)} instances in one call")
            return False
        self._demand(len(set(ids)) == len(ids), "one call names an instance twice")
        alone = next(filter(None, map(self._instances.cohorts.alone, command.ordinals)), "")
        self._demand(not alone, f"call after {alone} failed alone (quarantine)")
        if not len(ordinals) == len(ids) == len(before):
            self._add("instance ids, ordinals and observations of a call do not match")
            return False
        for ordinal, instance in zip(ordinals, ids, strict=True):
            if not 0 <= ordinal < len(instances.targets) or instances.name(ordinal) != instance:
                self._add(f"{instance} is not target {ordinal} of the plan")
                return False
            cell = instances.cell_of[ordinal]
            if cell >= self._waves.cells_opened:
                self._add(f"{instance} is in cell {cell}, which is not open")
            if cell != instances.cell_of[ordinals[0]]:
                self._add(f"{instance} and {ids[0]} are in different cells")
            if instances.held(ordinal):
                self._add(f"{instance} is held for an operator")
        return True

    def _attach(self, command: Attach, before: Sequence[Observed]) -> None:
        instances = self._instances
        site = instances.sites[instances.cell_of[command.ordinals[0]]]
        ready = KeySite(site, command.key) in self.keys
        self._demand(ready, f"attach in {site.region} before the key pair was compared")
        for ordinal, observed in zip(command.ordinals, before, strict=True):
            target = instances.targets[ordinal]
            name, key_pair = target.instance, observed.key_pair
            if target.key != command.key:
                self._add(f"{name}: attach of a key that is not planned")
            if key_pair not in (target.former_key, instances.wanted(ordinal)):
                self._add(f"{name}: attach over foreign key pair `{key_pair}`")
            if any(instances.plan.groups[group].cap == 1 for group in target.groups):
                instances.census.take_over(ordinal)  # its permits are reserved before the attach
            instances.move(ordinal, (State.PLANNED,), State.ATTACHING, "attached")
            self.attached += 1
        exposed, exposed_max = instances.exposed, instances.plan.limits.exposed_max
        text = f"{exposed} instances are exposed, the limit is {exposed_max}"
        self._demand(exposed <= exposed_max, text)
        passed = instances.failures.passes(instances.at_risk)
        text = f"{instances.at_risk} open instances could pass the strict onFailure.failed"
        self._demand(not passed, text)

    def _restart(self, command: RestartCall, before: Sequence[Observed]) -> None:
        instances = self._instances
        reboot = command.kind is RestartKind.REBOOT
        due = Status.RUNNING if reboot else Status.STOPPED
        for ordinal, observed in zip(command.ordinals, before, strict=True):
            target = instances.targets[ordinal]
            name = target.instance
            if observed.status is not due:
                self._add(f"{command.kind} of {name}, which was {observed.status}")
            if observed.key_pair != instances.wanted(ordinal):
                self._add(f"{name} was restarted before its new key was observed")
            if target.restart is RestartKind.REBOOT and not reboot:
                self._add(f"{name} was started, but was Running when it was planned")
            instances.move(ordinal, (State.ATTACHED,), State.RESTARTING, "restarted")
            self.restarted += 1
            self.accepted[ordinal] = 0
            if reboot:
                instances.census.take_over(ordinal)
                instances.take_permit(ordinal)

    def _attempted(self, command: Attach | RestartCall, ordinal: int) -> None:
        """The service accepted the call, or it is unknown whether it did."""
        tries = self._tries[type(command)]
        tries[ordinal] += 1
        self.busy_since.pop(ordinal, None)
        if tries[ordinal] > limits.ATTEMPTS_MAX:
            self._add(f"{self._instances.name(ordinal)} was attempted {tries[ordinal]} times")

    def _refuse(
        self,
        command: Attach | RestartCall,
        ordinal: int,
        retry: RetryClass,
        at: int,
        *,
        whole: bool,
    ) -> None:
        """Move an instance back to its state before the refused call.

        A fact about the instance is final, unless the `whole` batch was refused; so is a refusal
        as busy that has lasted for the restart timeout.
        """
        ends = retry is RetryClass.ODD
        if retry in BUSY:
            since = self.busy_since.setdefault(ordinal, at)
            ends = at - since >= self._instances.plan.restart.timeout_ms
        move = self._instances.move
        if isinstance(command, RestartCall):
            self._instances.free_permit(ordinal)
            ends = ends or retry is RetryClass.FACT
            move(
                ordinal, (State.RESTARTING,), State.STRANDED if ends else State.ATTACHED, "refused"
            )
        else:
            ends = ends or (retry is RetryClass.FACT and not whole)
            move(ordinal, (State.ATTACHING,), State.FAILED if ends else State.PLANNED, "refused")
