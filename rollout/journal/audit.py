"""The audit log for people: who did what to which instance, when and why.

Called by `audit show`. Pure: turns lines of a journal into entries, whose ids (`118-2`) locate the
events in the journal.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from rollout.core.running.layout import Layout
from rollout.journal.audit_texts import (
    SERVES_OR_DOWN,
    actor_text,
    comment_of,
    down_text,
    ending_fields,
    lease_text,
    login_text,
    observation_text,
    outcome_name,
)
from rollout.journal.record import Line
from rollout.model import event as ev
from rollout.model import gate
from rollout.model import time as times
from rollout.model.command import Attach, Command, ImportKey, RestartCall
from rollout.model.event import AnyEvent
from rollout.model.observation import spread
from rollout.model.outcome import Outcome
from rollout.model.plan import Plan
from rollout.model.site import KeySite
from rollout.model.time import Instant


class AuditEntry(msgspec.Struct, frozen=True):
    """One event. `id` is its line and its position in the line; `at` is this machine's time,
    `api_time` the service's. `actor` is the operator of the process. `call` is the number that
    joins an intent and its result."""

    id: str
    at: Instant
    event: str
    text: str
    actor: str
    epoch: int
    instances: tuple[str, ...] = ()
    call: int = 0
    action: str = ""
    outcome: str = ""
    code: str = ""
    request_id: str = ""
    api_time: Instant = 0


class RunTally(msgspec.Struct, frozen=True):
    """Counts of a run: calls by action, outcomes of single instances, events by type."""

    calls: dict[str, int]
    outcomes: dict[str, int]
    events: dict[str, int]


def entries(plan: Plan, lines: Iterable[Line]) -> Iterator[AuditEntry]:
    """Yield every event of the run in order, with all its instances."""
    maker = _Entries(plan, Layout(plan), None)
    return (entry for line in lines for entry in maker.of_line(line))


def life(plan: Plan, lines: Iterable[Line], instance: str) -> list[AuditEntry]:
    """Return the events of one instance and of the whole run.

    Empty if the instance is not a target of the plan. An exclusion then has the reason.
    """
    layout = Layout(plan)
    ordinal = ordinal_of(layout, instance)
    if ordinal is None:
        return []
    maker = _Entries(plan, layout, ordinal)
    return [entry for line in lines for entry in maker.of_line(line)]


def ordinal_of(layout: Layout, instance: str) -> int | None:
    """Return the ordinal of an instance, None if it is not a target."""
    for ordinal, target in enumerate(layout.targets):
        if target.instance == instance:
            return ordinal
    return None


def tally(lines: Iterable[Line]) -> RunTally:
    """Count calls, outcomes and events of a run."""
    calls: Counter[str] = Counter()
    outcomes: Counter[str] = Counter()
    events: Counter[str] = Counter()
    open_calls: dict[int, ev.Issued] = {}
    for line in lines:
        for event in line.body:
            events[type(event).__name__] += 1
            if isinstance(event, ev.Issued):
                calls[action_of(event.command)] += 1
                open_calls[event.n] = event
            elif isinstance(event, ev.Settled):
                issued = open_calls.pop(event.n, None)
                if issued is not None:
                    for _, outcome in endings(issued.command, event):
                        outcomes[outcome_name(outcome)] += 1
    return RunTally(*(dict(sorted(counter.items())) for counter in (calls, outcomes, events)))


def action_of(command: Command) -> str:
    """Return the API action of a command."""
    match command:
        case Attach():
            return "AttachKeyPair"
        case ImportKey():
            return "ImportKeyPair"
        case RestartCall():
            many = "s" if len(command.instances) > 1 else ""
            return f"{command.kind.value.title()}Instance{many}"


def endings(command: Command, settled: ev.Settled) -> Iterator[tuple[int, Outcome]]:
    """Yield the outcome of a call for each of its ordinals; -1 for a call without instances."""
    if isinstance(command, ImportKey):
        yield -1, settled.outcome
        return
    items = dict(settled.items)
    for ordinal in command.ordinals:
        yield ordinal, items.get(ordinal, settled.outcome)


class _Entries:
    """Makes entries from events, of one instance if `only` is its ordinal."""

    def __init__(self, plan: Plan, layout: Layout, only: int | None) -> None:
        self.windows = None if isinstance(plan.windows, msgspec.UnsetType) else plan.windows
        self.layout = layout
        self.only = only
        self.actor = ""
        self.epoch = 0
        self.calls: dict[int, Command] = {}
        self.promotions: dict[str, str] = {}
        self.host_keys: dict[int, str] = {}

    def of_line(self, line: Line) -> Iterator[AuditEntry]:
        """Yield the entries of one line."""
        for number, event in enumerate(line.body, 1):
            if isinstance(event, ev.RunStarted | ev.Resumed):
                self.actor, self.epoch = actor_text(event.actor), event.epoch
            entry = AuditEntry(
                f"{line.seq}-{number}", line.at, type(event).__name__, "", self.actor, self.epoch
            )
            made = self._entry(event, entry)
            if made is not None:
                yield made

    def _entry(self, event: AnyEvent, entry: AuditEntry) -> AuditEntry | None:
        match event:
            case ev.Issued():
                return self._issued(event, entry)
            case ev.Settled():
                return self._settled(event, entry)
            case ev.Moved():
                state = SERVES_OR_DOWN.get(event.trigger, "")
                text = f"{event.trigger.value}: {event.evidence}{state}"
                return self._about(entry, event.ordinals, text=text, api_time=event.api_time)
            case ev.Held() | ev.Released():
                return self._about(entry, event.ordinals, text=event.reason)
            case ev.Drifted():
                text = f"{event.kind.value}: {event.detail}"
                return self._about(entry, event.ordinals, text=text)
            case ev.OperatorCommand():
                return self._commanded(event, entry)
            case ev.FailuresAccepted():
                text = f"{actor_text(event.actor)} accepted: {event.reason}"
                return self._about(entry, event.ordinals, text=text)
            case ev.ForeignRestart():
                text = f"restarted by another operator, evidence: {event.evidence}"
                return self._about(entry, event.ordinals, text=text, api_time=event.api_time)
            case ev.MembersDown():
                return self._about(entry, event.ordinals, text=down_text(event), api_time=event.at)
            case ev.MembersUp():
                return self._about(entry, event.ordinals, text="Running again", api_time=event.at)
            case ev.HostKeyRead() | ev.LoginProbed():
                known = self.host_keys.get(event.ordinal, "")
                if isinstance(event, ev.HostKeyRead):
                    self.host_keys[event.ordinal] = event.host_key
                return self._about(entry, (event.ordinal,), text=login_text(event, known))
            case ev.Split():
                return self._about(
                    entry, event.ordinals, text="a refused batch is divided into halves"
                )
            case ev.Anomaly():
                return self._anomaly(event, entry)
            case _:
                about_run = self._run_text(event)
                return None if about_run is None else _with(entry, text=about_run)

    def _issued(self, event: ev.Issued, entry: AuditEntry) -> AuditEntry | None:
        command = event.command
        self.calls[event.n] = command
        until = times.format_instant(event.not_after)
        text = f"attempt {event.attempt}, to be sent by {until}"
        if not isinstance(command, RestartCall):
            text += f", key pair {self.layout.keys[command.key].name}"
        call, action = event.n, action_of(command)
        if isinstance(command, ImportKey):
            if self._concerns(command.key_site):
                return _with(entry, text=f"{text} in {command.region}", call=call, action=action)
            return None
        if self.only is not None and self.only in command.ordinals:
            observed = dict(zip(command.ordinals, spread(event.observed), strict=False)).get(
                self.only
            )
            text += observation_text(observed) if observed else ""
        return self._about(entry, command.ordinals, text=text, call=call, action=action)

    def _settled(self, event: ev.Settled, entry: AuditEntry) -> AuditEntry | None:
        command = self.calls.pop(event.n, None)
        if command is None:
            late = f"call {event.n} had a late reply, which was ignored"
            return None if self.only is not None else _with(entry, text=late, call=event.n)
        fields: dict[str, object] = {"call": event.n, "action": action_of(command)}
        if isinstance(command, ImportKey):
            if not self._concerns(command.key_site):
                return None
            return _with(entry, **fields, **ending_fields(event.outcome, event.at))
        ended = dict(endings(command, event))
        if self.only is not None:
            if self.only not in ended:
                return None
            return self._about(
                entry, [self.only], **fields, **ending_fields(ended[self.only], event.at)
            )
        made = self._about(
            entry, command.ordinals, **fields, **ending_fields(event.outcome, event.at)
        )
        counts = Counter(outcome_name(outcome) for outcome in ended.values())
        text = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
        return made if made is None or not event.items else _with(made, text=text)

    def _commanded(self, event: ev.OperatorCommand, entry: AuditEntry) -> AuditEntry | None:
        stated = f" {event.resolution.value}" if event.resolution else ""
        stated += " of this and all later gates" if event.full else ""
        reason = f": {event.reason}" if event.reason else ""
        if event.command is ev.OperatorVerb.PROMOTE:
            self.promotions[event.id] = f"promoted by {actor_text(event.actor)}{reason}"
        text = f"{actor_text(event.actor)} commanded {event.command.value}{stated}{reason}"
        ordinal = self.layout.ordinal_of(event.instance) if event.instance else None
        if ordinal is not None:
            return self._about(entry, (ordinal,), text=text)
        return _with(entry, text=text)

    def _anomaly(self, event: ev.Anomaly, entry: AuditEntry) -> AuditEntry | None:
        return None if self.only is not None else _with(entry, text=event.text, call=event.n)

    def _run_text(self, event: AnyEvent) -> str | None:
        """Events about no single instance; None for another wave, cell or site than `only`'s."""
        match event:
            case ev.RunStarted():
                return f"run {event.run} of plan {event.plan_digest}"
            case ev.Approved():
                return f"{event.key} approved the plan{comment_of(event.note)}"
            case ev.Resumed():
                return f"epoch {event.epoch}: the results of open calls are unknown"
            case ev.TornTail():
                return f"a crash left {event.bytes} bytes of an incomplete line, which were removed"
            case ev.KeyReady():
                key = self._key(event.key_site)
                return key and f"{key} compared, fingerprint {event.fingerprint}"
            case ev.KeyChanged():
                key = self._key(event.key_site)
                return key and f"{key} {event.detail}"
            case ev.Overridden():
                former = f" instead of {event.former}" if event.former else ""
                return f"{event.field}={event.value}{former}: {event.reason or 'no reason needed'}"
            case ev.Calibrated():
                text = f"StartTime moved on {event.moved} of {event.moved + event.unmoved} reboots"
                return None if self.only is not None else f"{text} of {event.image}"
            case ev.ClockSkew():
                here, there = times.format_instant(event.local), times.format_instant(event.service)
                return f"this machine's clock shows {here}, the service's {there}"
            case ev.Leased():
                return lease_text(event)
            case ev.LaneSlowed():
                text = f"{event.action} in {event.region} throttled {event.throttled} times"
                pace = f"{event.per_minute} calls a minute from {times.format_instant(event.until)}"
                return None if self.only is not None else f"{text}; {pace}"
            case ev.LaneRecovered():
                lane = f"{event.action} in {event.region}"
                return None if self.only is not None else f"{lane} is no longer throttled"
            case ev.Halted():
                return f"{event.code} {event.reason}: {event.detail}"
            case ev.Drained():
                return f"{event.word} of {event.actor}"
            case ev.RunClosed():
                return ", ".join(f"{count} {name}" for name, count in event.counts.items() if count)
            case _:
                return self._order_text(event)

    def _order_text(self, event: AnyEvent) -> str | None:
        """Events about waves, gates, windows and cells; None for those of another instance."""
        match event:
            case ev.WaveStarted():
                return f"wave {event.name}" if self._in_wave(event.wave) else None
            case ev.WaveClosed():
                name = self.layout.waves[event.wave].name
                return f"wave {name}" if self._in_wave(event.wave) else None
            case ev.GateAnswered():
                name = gate.name(self.layout.plan.questions()[event.gate])
                after = self.layout.waves[event.wave].name
                answer = f"{event.text} ({event.answer.value})"
                return f"gate after wave {after}: {name}: {answer}"
            case ev.GateOpened():
                name, given = self.layout.waves[event.wave].name, self.promotions.get(event.order)
                return f"gate after wave {name}: {given or self._opened_by(event.wave)}"
            case ev.CensusTaken():
                number = len(self.layout.members)
                return f"{number:,} members of groups were counted"
            case ev.LastWaveSet():
                name = self.layout.waves[event.wave].name
                return f"{actor_text(event.actor)}: no wave starts after wave {name} (--until-wave)"
            case ev.WindowClosed() if self.windows is not None:
                return f"nothing begins, {self.windows.next_text(event.opens)}"
            case ev.WindowOpened() if self.windows is not None:
                return f"it closes {self.windows.closing(event.closes)}"
            case ev.CellOpened() | ev.CellClosed():
                own = self.only is None or self.layout.cell_of[self.only] == event.cell
                return f"cell {event.cell}" if own else None
            case _:
                return None

    def _about(
        self, entry: AuditEntry, ordinals: Sequence[int], **fields: object
    ) -> AuditEntry | None:
        """Return the entry with its instances, None if the requested one is not among them."""
        if self.only is not None:
            if self.only not in ordinals:
                return None
            ordinals = [self.only]
        ids = tuple(self.layout.member(ordinal).instance for ordinal in ordinals)
        return _with(entry, instances=ids, **fields)

    def _concerns(self, key_site: KeySite) -> bool:
        return self.only is None or self.layout.key_site_of(self.only) == key_site

    def _key(self, key_site: KeySite) -> str | None:
        name = self.layout.keys[key_site.key].name
        text = f"key pair {name} in {key_site.site.region}"
        return text if self._concerns(key_site) else None

    def _opened_by(self, wave: int) -> str:
        asks = self.layout.plan.waves[wave].gates
        return "all its questions are answered: open" if asks else "its bake is over"

    def _in_wave(self, wave: int) -> bool:
        return self.only is None or self.layout.wave_of(self.only) == wave


def _with(entry: AuditEntry, **fields: object) -> AuditEntry:
    return msgspec.structs.replace(entry, **fields)
