"""The rules of a run, checked again from what its journal says.

Called by `verify` with every event in order. A second opinion on purpose: it shares no code with
the core, neither its table of phases nor its ledger; it knows the plan and the events only.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Sequence

from rollout.journal.recheck.commands import STATED, Commands
from rollout.journal.recheck.failures import Failures
from rollout.journal.recheck.key_material import Material
from rollout.journal.recheck.legal_moves import (
    ABANDONED,
    ATTACHED,
    ATTACHING,
    BOOTED,
    BUSY,
    CLASSES,
    COMPARING,
    DONE,
    EXPOSED,
    FAILED,
    FREES,
    MOVES,
    PLANNED,
    POLICIES,
    RESTARTING,
    SKIPPED,
    STRANDED,
    UNFINISHED,
    UNVERIFIED,
    WORDS,
)
from rollout.model import event as ev
from rollout.model import limits
from rollout.model.command import Attach, ImportKey, RestartCall
from rollout.model.event import AnyEvent, Trigger
from rollout.model.instance import Status
from rollout.model.observation import Observed, spread
from rollout.model.outcome import Done, Refused, RetryClass
from rollout.model.plan import Plan, RestartKind, Target
from rollout.model.site import KeySite, Site


class Rules:
    """One run as its journal tells it. `take` returns what is wrong with an event, in words."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.targets: list[Target] = []
        self.cell_of = array("l")
        self.sites: list[Site] = []
        self.wave_of_cell: list[int] = []
        for number, wave in enumerate(plan.waves):
            for cell in wave.cells:
                for batch in cell.batches:
                    self.targets.extend(batch.targets)
                    self.cell_of.extend([len(self.sites)] * len(batch.targets))
                self.sites.append(cell.site)
                self.wave_of_cell.append(number)
        count = len(self.targets)
        self.where = bytearray(count)
        self.held = bytearray(count)
        self.reasons: dict[int, str] = {}
        wave_of = [self.wave_of_cell[cell] for cell in self.cell_of]
        self.commands = Commands(self.targets)
        self.failures = Failures(wave_of, len(plan.waves))
        self.retried = bytearray(count)
        self.accepted = bytearray(count)
        self.permits = bytearray(count)
        self.tries = {kind: bytearray(count) for kind in (Attach, RestartCall)}
        self.busy_since: dict[int, int] = {}
        self.used = [0] * len(plan.groups)
        self.peaks = [0] * len(plan.groups)
        self.exposed = self.exposed_peak = 0
        self.left_in_cell = Counter(self.cell_of)
        self.left_in_wave = Counter(wave_of)
        self.open: dict[int, ev.Issued] = {}
        self.issued = self.late = self.resumes = self.epoch = 0
        self.calls: Counter[str] = Counter()
        self.attached = self.restarted = 0
        self.keys: set[KeySite] = set()
        self.material = Material()
        self.cells_opened = self.waves_closed = 0
        self.wave: int | None = None
        self.stopped = self.closed = False
        self._broken: list[str] = []

    def take(self, event: AnyEvent) -> list[str]:
        """Fold one event in; the rules it breaks, none where all is well."""
        if self.closed:
            self._say(f"{type(event).__name__} after the run was closed")
        self._fold(event)
        if not self._broken:
            return []
        broken, self._broken = self._broken, []
        return broken

    def classes(self) -> dict[str, int]:
        """How many instances are in each class if this is the end; sums to the inventory."""
        counts = dict.fromkeys(
            ("done", "unverified", "failed", "skipped", "in_doubt", "stranded", "excluded"), 0
        )
        for where, name in CLASSES.items():
            counts[name] += self.where.count(where)
        counts["excluded"] = len(self.plan.exclusions)
        return counts

    @property
    def unfinished(self) -> int:
        """Targets of which something is still to come: neither in a class for good nor held."""
        return sum(self.left_in_cell.values())

    def _fold(self, event: AnyEvent) -> None:  # the frequent ones first
        match event:
            case ev.Issued():
                self._issued(event)
            case ev.Settled():
                self._settled(event)
            case ev.Moved():
                self._moved(event)
            case ev.Held(ordinals=ordinals, reason=reason):
                self._hold_all(ordinals, reason)
            case ev.Released(ordinals=ordinals):
                self._hold_all(ordinals, None)
            case ev.CellOpened():
                self._cell_opened(event)
            case ev.CellClosed():
                self._cell_closed(event)
            case ev.WaveStarted():
                self._wave_started(event)
            case ev.WaveClosed():
                self._wave_closed(event)
            case ev.KeyReady():
                self._key_ready(event)
            case ev.KeyChanged():
                self._key_changed(event)
            case ev.Drifted(kind=ev.DriftKind.ELSEWHERE, ordinals=ordinals):
                self.failures.attached_elsewhere(ordinals)
            case ev.Drifted():
                pass
            case ev.RunStarted():
                self._run_started(event)
            case ev.Resumed():
                self._resumed(event)
            case ev.Halted(reason=reason):
                self.stopped = True
                self.failures.halted(reason)
            case ev.Drained():
                self.stopped = True
            case ev.OperatorCommand():
                self._say(self.commands.take(event))
            case ev.FailuresAccepted(ordinals=ordinals):
                self.failures.accept(ordinals)
            case ev.RunClosed():
                self._run_closed(event)
            case (
                ev.TornTail()
                | ev.ForeignRestart()
                | ev.Split()
                | ev.Calibrated()
                | ev.Anomaly()
                | ev.ClockSkew()
                | ev.LaneSlowed()
                | ev.LaneRecovered()
            ):
                pass

    # life of the run

    def _run_started(self, event: ev.RunStarted) -> None:
        self._demand(self.epoch == 0, "a run starts once")
        self._demand(event.spec_digest == self.plan.spec_digest, "the spec is not the plan's")
        self._demand(
            event.inventory_digest == self.plan.inventory_digest, "the inventory is not the plan's"
        )
        self._demand(event.rules == self.plan.rules, "the rules are not the plan's")
        self.epoch = event.epoch
        names = {target.instance for target in self.targets}
        names.update(exclusion.instance for exclusion in self.plan.exclusions)
        population = len(self.targets) + len(self.plan.exclusions)
        self._demand(len(names) == population, "the plan names an instance twice")
        self._demand(population == self.plan.counts.found, "the plan leaves instances out")

    def _resumed(self, event: ev.Resumed) -> None:
        self._demand(event.epoch == self.epoch + 1, f"epoch {event.epoch} after {self.epoch}")
        self.epoch = event.epoch
        self.resumes += 1
        self.stopped = False
        self.failures.resumed()
        for issued in self.open.values():  # their endings are unknown
            if not isinstance(issued.command, ImportKey):
                for ordinal in issued.command.ordinals:
                    self._attempted(issued.command, ordinal)
        self.open.clear()
        stay = frozenset({PLANNED, ATTACHED}) if self.commands.aborted else frozenset()
        held = [o for o, held in enumerate(self.held) if held]
        for ordinal in [o for o in held if self.where[o] not in stay]:
            self._hold(ordinal, None)

    def _run_closed(self, event: ev.RunClosed) -> None:
        self.closed = True
        self._demand(not self.open, f"closed with {len(self.open)} calls open")
        unfinished = 0 if self.commands.aborted else self.unfinished
        self._demand(not unfinished, f"closed with {unfinished} instances unfinished")
        counts = self.classes()
        doubts = counts["in_doubt"] - sum(
            self.where[ordinal] in (RESTARTING, BOOTED) for ordinal in self.commands.abandoned
        )
        let_go = self.commands.aborted or not doubts
        self._demand(let_go, f"closed with {doubts} instances in doubt that were not abandoned")
        self._demand(event.exit == 5 or not counts["in_doubt"], "closed as if nothing was in doubt")
        told = {name: count for name, count in event.counts.items() if count}
        if told != {name: count for name, count in counts.items() if count}:
            self._say(
                f"the close counts {_figures(event.counts)}; its lines say {_figures(counts)}"
            )
        left = counts["failed"] or counts["stranded"] or counts["unverified"]
        self._demand(not (left and event.exit == 0), "closed as if no instance needed an operator")

    # waves and cells

    def _wave_started(self, event: ev.WaveStarted) -> None:
        in_order = self.wave is None and event.wave == self.waves_closed
        self._demand(in_order, f"wave {event.name} is not the next one, or another one is open")
        failed = self.failures.before(event.wave)
        self._demand(not failed, f"wave {event.name} starts after {failed} failures")
        self._demand(
            not self._left_before(event.wave),
            f"wave {event.name} starts before an earlier one has finished",
        )
        self.wave = event.wave

    def _wave_closed(self, event: ev.WaveClosed) -> None:
        self._demand(event.wave == self.wave, "a wave closes that is not open")
        cells = [c for c, wave in enumerate(self.wave_of_cell) if wave == event.wave]
        unopened = [c for c in cells if c >= self.cells_opened]
        left = sum(self.left_in_cell[c] for c in cells)
        self._demand(not unopened and not left, f"a wave closes with {left} instances unfinished")
        self.wave = None
        self.waves_closed = event.wave + 1

    def _cell_opened(self, event: ev.CellOpened) -> None:
        known = event.cell == self.cells_opened and event.cell < len(self.sites)
        self._demand(known, f"cell {event.cell} opens out of order")
        if known:
            wave = self.wave_of_cell[event.cell]
            self._demand(wave == self.wave, f"cell {event.cell} opens outside its wave")
            earlier = self._left_before(wave)
            self._demand(
                not earlier, f"cell {event.cell} opens before an earlier wave has finished"
            )
            self.cells_opened += 1

    def _cell_closed(self, event: ev.CellClosed) -> None:
        left = self.left_in_cell[event.cell]
        self._demand(not left, f"cell {event.cell} closes with {left} instances unfinished")

    def _left_before(self, wave: int) -> bool:
        return any(self.left_in_wave[earlier] for earlier in range(wave))

    # the key pair

    def _key_ready(self, event: ev.KeyReady) -> None:
        self.keys.add(event.key_site)
        early = event.attached <= self.material.observed
        self._demand(
            early, f"a comparison in {event.region} vouches for attaches that come after it"
        )
        for ordinal in self.material.good(event.key_site, event.attached):
            self._go(ordinal, frozenset({COMPARING}), DONE, "compared")

    def _key_changed(self, event: ev.KeyChanged) -> None:
        key_site = event.key_site
        touched = (ATTACHING, ATTACHED, RESTARTING, BOOTED)
        attached = [
            ordinal
            for ordinal, where in enumerate(self.where)
            if where in touched and self._key_site(ordinal) == key_site
        ]
        for ordinal in self.material.bad(key_site, attached):
            self._go(ordinal, frozenset({COMPARING}), UNVERIFIED, "compared")

    def _runs(self, ordinal: int) -> int:
        """Where an instance is that was seen Running: done, unverified, or not compared yet."""
        key_site = self._key_site(ordinal)
        if self.material.holds(key_site, ordinal):
            return DONE
        if self.material.suspect(ordinal):
            return UNVERIFIED
        self.material.wait(key_site, ordinal)
        return COMPARING

    # calls

    def _issued(self, event: ev.Issued) -> None:
        self._demand(event.n == self.issued + 1, f"call {event.n} after call {self.issued}")
        self._demand(event.epoch == self.epoch, f"an intent of epoch {event.epoch}: a stale writer")
        self._demand(not self.stopped, "an intent after the run was halted or drained")
        self._demand(not self.commands.aborted, "an intent after the run was aborted")
        if self.wave is not None:
            failed, conflicts = self.failures.within(self.wave), self.failures.conflicts(self.wave)
            self._demand(not failed, f"call {event.n} after {failed} failures of its wave")
            self._demand(not conflicts, f"call {event.n} after {conflicts} conflicts of its wave")
            found = self.failures.elsewhere(self.wave)
            self._demand(not found, f"call {event.n} although others attached {found}")
        self.issued = max(self.issued, event.n)
        self.open[event.n] = event
        command = event.command
        match command:
            case ImportKey():
                self.calls["ImportKeyPair"] += 1
                planned = map(self._key_site, range(len(self.targets)))
                self._demand(
                    command.key_site in planned,
                    f"a key pair for {command.region}, which is not planned",
                )
            case Attach():
                self.calls["AttachKeyPair"] += 1
                seen = list(spread(event.seen))
                if self._check_ids(command, seen, limits.ATTACH_IDS_MAX):
                    self._attach(command, seen)
            case RestartCall():
                many = "s" if len(command.ordinals) > 1 else ""
                self.calls[f"{command.kind.value.title()}Instance{many}"] += 1
                seen = list(spread(event.seen))
                if self._check_ids(command, seen, limits.RESTART_IDS_MAX):
                    self._restart(command, seen)

    def _check_ids(
        self, command: Attach | RestartCall, seen: Sequence[Observed], ids_max: int
    ) -> bool:
        """Whether the call names instances of one open cell, once each, and not too many."""
        ordinals, ids = command.ordinals, command.instances
        if not 0 < len(ids) <= ids_max:
            self._say(f"{len(ids)} ids in one call")
            return False
        self._demand(len(set(ids)) == len(ids), "an id twice in one call")
        if not len(ordinals) == len(ids) == len(seen):
            self._say("ids, ordinals and what was seen before do not match")
            return False
        for ordinal, instance in zip(ordinals, ids, strict=True):
            if not 0 <= ordinal < len(self.targets) or self.targets[ordinal].instance != instance:
                self._say(f"{instance} is not in the plan at {ordinal}")
                return False
            cell = self.cell_of[ordinal]
            self._demand(cell < self.cells_opened, f"{instance} is in cell {cell}, not open")
            own = cell == self.cell_of[ordinals[0]]
            self._demand(own, f"{instance} and {ids[0]} are not in one cell")
            self._demand(not self.held[ordinal], f"{instance} is held for an operator")
        return True

    def _attach(self, command: Attach, seen: Sequence[Observed]) -> None:
        site = self.sites[self.cell_of[command.ordinals[0]]]
        ready = KeySite(site, command.key) in self.keys
        self._demand(ready, f"an attach in {site.region} before its key pair was ready")
        for ordinal, sight in zip(command.ordinals, seen, strict=True):
            target = self.targets[ordinal]
            planned = target.key == command.key
            self._demand(planned, f"{target.instance}: an attach of a key that is not planned")
            if sight.key_pair not in (target.former_key, self._wanted(ordinal)):
                self._say(f"{target.instance} had key pair `{sight.key_pair}`: a foreign key")
            self._go(ordinal, frozenset({PLANNED}), ATTACHING, "attached")
            self.attached += 1
        exposed_max = self.plan.limits.exposed_max
        self._demand(self.exposed <= exposed_max, f"{self.exposed} exposed of {exposed_max}")

    def _restart(self, command: RestartCall, seen: Sequence[Observed]) -> None:
        due = Status.RUNNING if command.kind is RestartKind.REBOOT else Status.STOPPED
        for ordinal, sight in zip(command.ordinals, seen, strict=True):
            instance = self.targets[ordinal].instance
            if sight.status is not due:
                self._say(f"{command.kind} of {instance}, which was {sight.status}")
            if sight.key_pair != self._wanted(ordinal):
                self._say(f"{instance} restarted before the key was seen on it")
            if RestartKind.REBOOT is self.targets[ordinal].restart is not command.kind:
                self._say(f"{instance} started, which was Running when it was planned")
            self._go(ordinal, frozenset({ATTACHED}), RESTARTING, "restarted")
            self.restarted += 1
            self.accepted[ordinal] = 0
            if command.kind is RestartKind.REBOOT:
                self._take_permit(ordinal)

    def _settled(self, event: ev.Settled) -> None:
        self._demand(1 <= event.n <= self.issued, f"call {event.n} ended and was never begun")
        issued = self.open.pop(event.n, None)
        if issued is None:
            self.late += 1
            return
        command = issued.command
        if isinstance(command, ImportKey):
            return
        items = dict(event.items)
        stranger = next((o for o in items if o not in command.ordinals), None)
        self._demand(
            stranger is None, f"call {event.n} ended for {stranger}, which it did not name"
        )
        whole = not items and len(command.ordinals) > 1
        for ordinal in command.ordinals:
            outcome = items.get(ordinal, event.outcome)
            if not 0 <= ordinal < len(self.targets):
                continue
            if not isinstance(outcome, Refused):
                self._attempted(command, ordinal)
                self.accepted[ordinal] = isinstance(outcome, Done)
                continue
            spent = False
            if outcome.retry in BUSY:
                since = self.busy_since.setdefault(ordinal, event.at)
                spent = event.at - since >= self.plan.restart.timeout_ms
            self._refused(command, ordinal, outcome.retry, whole=whole, spent=spent)

    def _attempted(self, command: Attach | RestartCall, ordinal: int) -> None:
        """The service accepted the call, or it is unknown whether it did."""
        tries = self.tries[type(command)]
        tries[ordinal] += 1
        self.busy_since.pop(ordinal, None)
        if tries[ordinal] > limits.ATTEMPTS_MAX:
            self._say(f"{self.targets[ordinal].instance} was tried {tries[ordinal]} times")

    def _refused(
        self,
        command: Attach | RestartCall,
        ordinal: int,
        retry: RetryClass,
        *,
        whole: bool,
        spent: bool,
    ) -> None:
        """It did not happen: back to before the call, or the end for a fact of the instance or
        where its refusals because it is busy have lasted too long (`spent`).
        """
        if isinstance(command, RestartCall):
            self._free_permit(ordinal)
            ends = spent or retry in (RetryClass.FACT, RetryClass.ODD)
            self._go(ordinal, frozenset({RESTARTING}), STRANDED if ends else ATTACHED, "refused")
        else:
            ends = spent or retry is RetryClass.ODD or (retry is RetryClass.FACT and not whole)
            self._go(ordinal, frozenset({ATTACHING}), FAILED if ends else PLANNED, "refused")

    # what looks and due times brought

    def _moved(self, event: ev.Moved) -> None:
        gives_up = event.trigger is Trigger.ABANDONED
        move = (UNFINISHED, SKIPPED) if gives_up else MOVES.get(event.trigger)
        if move is None:
            self._say(f"{event.trigger} is no evidence but the ending of a call")
            return
        sources, target = move
        policy = POLICIES.get(event.trigger)
        allowed = policy is None or self.plan.on_unknown is policy
        self._demand(allowed, f"{event.trigger}, which the plan does not allow")
        frees = event.trigger in FREES
        for ordinal in event.ordinals:
            if not 0 <= ordinal < len(self.targets):
                self._say(f"ordinal {ordinal} is not in the plan")
                continue
            stated = self.commands.allows(event.trigger, ordinal)
            self._demand(stated, f"{event.trigger}, which no operator stated")
            if gives_up:
                target = ABANDONED.get(self.where[ordinal], SKIPPED)
            running = event.trigger is Trigger.SEEN_RUNNING
            self._go(ordinal, sources, self._runs(ordinal) if running else target, event.trigger)
            if stated and event.trigger in STATED:
                self.failures.accept((ordinal,))
            if event.trigger is Trigger.SEEN_ATTACHED:
                self.busy_since.pop(ordinal, None)
                self.material.attached(ordinal)
            if frees:
                self._free_permit(ordinal)
            if event.trigger in (Trigger.SEEN_UNTOUCHED, Trigger.RETRIED):
                instance = self.targets[ordinal].instance
                again = self.accepted[ordinal]
                self._demand(not again, f"{instance}: its restart was accepted, and is repeated")
            if event.trigger is Trigger.RETRIED:
                again = self.retried[ordinal]
                self._demand(not again, f"{self.targets[ordinal].instance} retried twice")
                self.retried[ordinal] = 1

    def _hold_all(self, ordinals: Sequence[int], reason: str | None) -> None:
        for ordinal in ordinals:
            if 0 <= ordinal < len(self.targets):
                self._hold(ordinal, reason)
            else:
                self._say(f"ordinal {ordinal} is not in the plan")

    # private

    def _key_site(self, ordinal: int) -> KeySite:
        return KeySite(self.sites[self.cell_of[ordinal]], self.targets[ordinal].key)

    def _wanted(self, ordinal: int) -> str:
        return self.plan.keys[self.targets[ordinal].key].name

    def _go(self, ordinal: int, sources: frozenset[int], target: int, word: str) -> None:
        before = self.where[ordinal]
        if before not in sources:
            instance = self.targets[ordinal].instance
            self._say(f"{instance}: {word} while it is {WORDS[before]}")
        self.where[ordinal] = target
        if target == PLANNED:
            self.material.detached(ordinal)
        self.exposed += (target in EXPOSED) - (before in EXPOSED)
        self.exposed_peak = max(self.exposed_peak, self.exposed)
        if not self.held[ordinal]:
            change = (target in UNFINISHED) - (before in UNFINISHED)
            self._count_left(ordinal, change)
        if self.held[ordinal] or target in (FAILED, STRANDED):
            self._count_failure(ordinal)

    def _hold(self, ordinal: int, reason: str | None) -> None:
        """Hold it for this reason; None releases it."""
        held = reason is not None
        if self.held[ordinal] != held:
            self.held[ordinal] = held
            if self.where[ordinal] in UNFINISHED:
                self._count_left(ordinal, -1 if held else 1)
        if reason is None:
            self.reasons.pop(ordinal, None)
        else:
            self.reasons[ordinal] = reason
        self._count_failure(ordinal)

    def _count_left(self, ordinal: int, change: int) -> None:
        cell = self.cell_of[ordinal]
        self.left_in_cell[cell] += change
        self.left_in_wave[self.wave_of_cell[cell]] += change

    def _count_failure(self, ordinal: int) -> None:
        where, reason = self.where[ordinal], self.reasons.get(ordinal)
        conflict = reason == "foreign_key" and where in UNFINISHED
        stuck = reason is not None and not conflict and where in UNFINISHED - {PLANNED}
        left = where in (RESTARTING, BOOTED) or (reason or "").startswith("budget_held")
        failed = where in (FAILED, STRANDED) or (stuck and not left)
        self.failures.count(ordinal, failed=failed, left=stuck and left, conflict=conflict)

    def _take_permit(self, ordinal: int) -> None:
        if self.permits[ordinal]:
            return
        self.permits[ordinal] = 1
        for number in self.targets[ordinal].groups:
            group = self.plan.groups[number]
            self.used[number] += 1
            self.peaks[number] = max(self.peaks[number], self.used[number])
            if self.used[number] > group.cap:
                who = self.targets[ordinal].instance
                self._say(f"{who}: {self.used[number]} down of {group.cap} in {group.key}")

    def _free_permit(self, ordinal: int) -> None:
        if self.permits[ordinal]:
            self.permits[ordinal] = 0
            for number in self.targets[ordinal].groups:
                self.used[number] -= 1

    def _demand(self, condition: object, text: str) -> None:
        if not condition:
            self._say(text)

    def _say(self, text: str) -> None:
        if text:
            self._broken.append(text)


def _figures(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items() if count) or "nothing"
