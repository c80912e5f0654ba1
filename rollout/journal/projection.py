"""Journal lines as events for other programs. Pure: folds the run to know what each line changed.

Called by `rollout events`. Event ids locate the journal event:
`118-2` is event 2 of line 118, and `118-2.1`, `118-2.2`, … say more about it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from rollout.core.running import gates
from rollout.core.running.evolve import evolve
from rollout.core.running.journey import Phase
from rollout.core.running.state import PHASES, Run
from rollout.journal.audit import endings
from rollout.journal.record import Line
from rollout.model import event as ev
from rollout.model.cloud_event import (
    FORMAT_VERSION,
    AttachResult,
    BatchAttached,
    CellEvent,
    CloudEvent,
    EventData,
    GateReplied,
    InstanceMoved,
    InstanceNoted,
    KeyEvent,
    LaneEvent,
    OperatorActed,
    PlanApproved,
    RunBegan,
    RunEnded,
    RunStopped,
    StreamVersion,
    WaveEvent,
    WindowEvent,
)
from rollout.model.command import Attach, Command, ImportKey
from rollout.model.event import AnyEvent
from rollout.model.outcome import Done, Outcome, Refused, Unknown
from rollout.model.plan import Plan
from rollout.model.time import format_instant

Named = tuple[str, EventData]
"""The type of an event without `rollout.`, and its data."""

_OF_PHASE: Final = {
    Phase.FAILED: "instance.failed",
    Phase.IN_DOUBT: "instance.in_doubt",
    Phase.STRANDED: "instance.stranded",
}
_COMMANDS: Final = {ev.OperatorVerb.PAUSE: "run.paused", ev.OperatorVerb.ABORT: "run.aborted"}


class Projection:
    """Converts the lines of one run, from its first line on, and folds the run meanwhile."""

    def __init__(self, plan: Plan) -> None:
        self.run = Run.of(plan)
        self._digest = ""
        self._promotions: dict[str, str] = {}

    def of_line(self, line: Line) -> Iterator[CloudEvent]:
        """Yield the events of the next line. `Bug` or LookupError if the line contradicts the run.

        The iterator must be exhausted before the next line.
        """
        for number, event in enumerate(line.body, 1):
            command, before = self._command(event), bytes(self.run.phases)
            evolve(self.run, event)
            made = [
                *self._of_run(event),
                *self._noted(event),
                *self._batch(event, command),
                *self._moved(event, command, before),
            ]
            if isinstance(event, ev.RunClosed):
                made.append(made.pop(0))  # the last event of every complete stream
            for position, (kind, data) in enumerate(made):
                id_ = f"{line.seq}-{number}" + (f".{position}" if position else "")
                yield self._event(id_, line, kind, data)

    def version(self, tool: str, line: Line) -> CloudEvent:
        """Return the first event of the stream that this program writes; `line` is the run's
        first.
        """
        return self._event("0", line, "version", StreamVersion(FORMAT_VERSION, tool))

    def _event(self, id_: str, line: Line, kind: str, data: EventData) -> CloudEvent:
        source = f"/rollout/{self.run.run_id}"
        at = format_instant(line.at)
        return CloudEvent(id=id_, source=source, type=f"rollout.{kind}", time=at, data=data)

    # the whole run

    def _of_run(self, event: AnyEvent) -> Iterator[Named]:
        """Yield the events about the run, a wave, a cell, a lane or an operator."""
        match event:
            case ev.RunStarted(plan_digest=digest):
                self._digest = digest
                yield "run.started", self._began(event.actor)
            case ev.Resumed():
                yield "run.resumed", self._began(event.actor)
            case ev.Halted(reason=reason, code=code, exit=exit_code, detail=detail):
                yield "run.halted", RunStopped(str(reason), "", code, exit_code, detail)
            case ev.Drained(word=word, actor=actor):
                yield "run.drained", RunStopped(word, actor)
            case ev.Approved(key=key):
                yield "plan.approved", PlanApproved(key)
            case ev.RunClosed(counts=counts, exit=exit_code):
                yield "run.closed", RunEnded(counts, exit_code)
            case ev.OperatorCommand(command=command):
                if command is ev.OperatorVerb.PROMOTE:
                    self._promotions[event.id] = _by(event.actor)
                yield _COMMANDS.get(command, "operator.command"), _acted(event)
            case _:
                yield from self._of_part(event)

    def _of_part(self, event: AnyEvent) -> Iterator[Named]:
        """Yield the events about a wave, a cell, a key pair or a lane."""
        match event:
            case ev.WaveStarted(wave=wave):
                yield "wave.started", self._wave(wave)
            case ev.WaveClosed(wave=wave):
                yield "wave.closed", self._wave(wave)
                if self.run.gate is not None:
                    yield "gate.shut", self._wave(wave, waits=gates.text(self.run, wave, event.at))
            case ev.GateOpened(wave=wave):
                yield "gate.opened", self._wave(wave, by=self._promotions.get(event.order, ""))
            case ev.GateAnswered(wave=wave, gate=number):
                name = self.run.layout.waves[wave].name
                yield "gate.answered", GateReplied(name, number, event.answer.value, event.text)
            case ev.WindowOpened(at=at, closes=until):
                yield "window.opened", WindowEvent(format_instant(at), format_instant(until))
            case ev.WindowClosed(at=at, opens=until):
                opens = format_instant(until) if until else ""
                yield "window.closed", WindowEvent(format_instant(at), opens)
            case ev.CellOpened(cell=cell):
                yield "cell.opened", self._cell(cell)
            case ev.CellClosed(cell=cell):
                yield "cell.closed", self._cell(cell)
            case ev.KeyChanged(region=region, detail=detail):
                name = self.run.layout.keys[event.key].name
                yield "key.changed", KeyEvent(region, name, detail)
            case ev.LaneSlowed(region=region, action=action):
                paused = format_instant(event.until)
                lane = LaneEvent(region, action, event.per_minute, event.throttled, paused)
                yield "lane.throttled", lane
            case ev.LaneRecovered(region=region, action=action):
                yield "lane.recovered", LaneEvent(region, action)

    def _began(self, actor: ev.Actor) -> RunBegan:
        run = self.run
        return RunBegan(
            run.plan.name,
            self._digest,
            len(run.phases),
            run.epoch,
            _by(actor),
            run.plan.emulated,
        )

    def _wave(self, number: int, *, waits: str = "", by: str = "") -> WaveEvent:
        span = self.run.layout.waves[number]
        return WaveEvent(span.name, span.targets, waits, by)

    def _cell(self, number: int) -> CellEvent:
        span = self.run.layout.cells[number]
        wave = self.run.layout.waves[span.wave].name
        return CellEvent(wave, span.site.account, span.site.region, span.end - span.start)

    # single instances

    def _noted(self, event: AnyEvent) -> Iterator[Named]:
        """Yield the facts about instances that did not change their phase."""
        match event:
            case ev.Held(ordinals=ordinals, reason=reason):
                kind, extra = "instance.held", ""
            case ev.Released(ordinals=ordinals, reason=reason):
                kind, extra = "instance.released", ""
            case ev.ForeignRestart(ordinals=ordinals, evidence=reason):
                kind, extra = "instance.restarted_elsewhere", ""
            case ev.MembersDown(ordinals=ordinals, evidence=reason, lasting=lasting):
                kind, extra = "member.down", "lasting" * lasting
            case ev.MembersUp(ordinals=ordinals):
                kind, reason, extra = "member.running", "", ""
            case ev.Drifted(ordinals=ordinals, detail=reason):
                kind, extra = "drift.found", event.kind.value
            case _:
                return
        for ordinal in ordinals:
            region = self.run.layout.home_of(ordinal).region
            yield kind, InstanceNoted(self._id(ordinal), region, reason, extra)

    def _command(self, event: AnyEvent) -> Command | None:
        """Return the command of the call that this event settles; None if its reply is late."""
        issued = self.run.open_calls.get(event.n) if isinstance(event, ev.Settled) else None
        return None if issued is None else issued.command

    def _batch(self, event: AnyEvent, command: Command | None) -> Iterator[Named]:
        """Yield the results of an attach call."""
        if not isinstance(event, ev.Settled) or not isinstance(command, Attach):
            return
        results = tuple(
            AttachResult(self._id(ordinal), type(outcome).__name__.lower(), _code(outcome))
            for ordinal, outcome in endings(command, event)
        )
        region = self.run.layout.site_of(command.ordinals[0]).region
        name = self.run.layout.keys[command.key].name
        yield (
            "batch.attached",
            BatchAttached(event.n, region, name, results, event.outcome.request_id),
        )

    def _moved(self, event: AnyEvent, command: Command | None, before: bytes) -> Iterator[Named]:
        """Yield the changes of phase. `before` has the phase of each target before the event."""
        if before == self.run.phases:
            return
        outcomes: dict[int, Outcome] = {}
        if isinstance(event, ev.Settled) and command is not None:
            outcomes = dict(endings(command, event))
        for ordinal in self._candidates(event, outcomes):
            was, now = PHASES[before[ordinal]], self.run.phase(ordinal)
            if was is now:
                continue
            resolved = was is Phase.IN_DOUBT and now not in (Phase.FAILED, Phase.STRANDED)
            span = self.run.layout.span_of(ordinal)
            outcome = outcomes.get(ordinal)
            yield (
                "instance.resolved" if resolved else _OF_PHASE.get(now, "instance.phase"),
                InstanceMoved(
                    self._id(ordinal),
                    span.site.region,
                    self.run.layout.waves[span.wave].name,
                    was.label,
                    now.label,
                    event.evidence if isinstance(event, ev.Moved) else "",
                    self.run.causes.get(ordinal, "") if now in _OF_PHASE else "",
                    "" if outcome is None else outcome.request_id,
                    self.run.failed_down(ordinal),
                ),
            )

    def _candidates(self, event: AnyEvent, outcomes: Mapping[int, Outcome]) -> Iterable[int]:
        """Return the targets that an event can move: those it names, or all."""
        if isinstance(event, ev.Issued) and not isinstance(event.command, ImportKey):
            return event.command.ordinals
        if isinstance(event, ev.Moved):
            return event.ordinals
        return sorted(outcomes) or range(len(self.run.phases))

    def _id(self, ordinal: int) -> str:
        return self.run.layout.member(ordinal).instance


def _code(outcome: Outcome) -> str:
    match outcome:
        case Refused(code=code):
            return code
        case Unknown(why=why):
            return why
        case Done():
            return ""


def _by(actor: ev.Actor) -> str:
    return f"{actor.user} on {actor.machine}"


def _acted(event: ev.OperatorCommand) -> OperatorActed:
    resolution = event.resolution.value if event.resolution else ""
    if event.full:
        resolution = "full"
    return OperatorActed(
        event.command.value,
        _by(event.actor),
        event.source,
        event.reason,
        event.instance,
        resolution,
    )
