"""Log lines and figures of a run's progress. Pure: converts events and counts to plain values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from rollout.cli import suggested
from rollout.cli.language import tr
from rollout.cli.views import report
from rollout.core.running import gate_queries, gates, windows
from rollout.core.running.journey import Phase
from rollout.core.running.state import Run
from rollout.core.running.view import lanes
from rollout.model import event as ev
from rollout.model.command import Command, ImportKey
from rollout.model.event import AnyEvent, Trigger
from rollout.model.gate import GateAnswer, name
from rollout.model.outcome import Outcome
from rollout.model.probe import LoginVerdict
from rollout.model.time import Instant, format_instant

LANES_SHOWN = 3
"""Number of throttled lanes that are listed; the others are counted."""

_CODES = {Phase.FAILED: "R0510", Phase.STRANDED: "R0512"}
BEFORE_ATTACHED = (Phase.PLANNED, Phase.ATTACHING, Phase.SKIPPED)
BEFORE_BOOTED = (*BEFORE_ATTACHED, Phase.ATTACHED, Phase.RESTARTING, Phase.IN_DOUBT, Phase.STRANDED)


class LogLine(NamedTuple):
    """One log line about a run: `level` is info, warning or error."""

    level: str
    event: str
    fields: dict[str, object]


def of_run(run: Run, event: AnyEvent) -> LogLine | None:
    """Return the line about an event of the whole run; None if it has none."""
    match event:
        case ev.RunStarted(run=run_id):
            return _info("run.started", run=run_id, plan=run.plan.name, targets=len(run.phases))
        case ev.Resumed(epoch=epoch):
            return _info("run.resumed", run=run.run_id, epoch=epoch, left=run.left)
        case ev.TornTail(bytes=size):
            return _warning("journal.torn", run=run.run_id, bytes_cut=size)
        case ev.ClockSkew(local=local, service=service):
            times = {"local": format_instant(local), "service": format_instant(service)}
            return _warning("clock.skew", **times)
        case ev.Leased(region=region, epoch=epoch, former=former) if former:
            return _warning("lease.taken_over", region=region, epoch=epoch, former=former)
        case ev.LaneSlowed(region=region, action=action):
            return _info("lane.slowed", region=region, action=action, throttled=event.throttled,
                         per_minute=event.per_minute, quota=event.quota or "unknown",
                         until=format_instant(event.until))  # fmt: skip
        case ev.LaneRecovered(region=region, action=action):
            return _info("lane.recovered", region=region, action=action)
        case ev.WaveStarted(wave=wave, name=name):
            targets, permits = run.layout.waves[wave].targets, run.ledger.down_max
            return _info(
                "wave.started", run=run.run_id, wave=name, targets=targets, permits=permits
            )
        case ev.WaveClosed(wave=wave):
            return _info("wave.closed", **figures(run, wave), **_gate(run, wave, event.at))
        case ev.GateAnswered():
            return _answered(run, event)
        case ev.GateOpened(wave=wave):
            return _info("gate.opened", run=run.run_id, wave=run.layout.waves[wave].name)
        case ev.WindowClosed():
            return _info("window.closed", run=run.run_id, next=windows.closed_text(event, run.plan))
        case ev.WindowOpened(closes=closes):
            return _info("window.opened", run=run.run_id, closes=format_instant(closes))
        case ev.RunClosed(counts=counts, exit=exit_code):
            return _info("run.closed", run=run.run_id, **counts, exit=exit_code)
        case _:
            return _of_halt(run, event)


def _gate(run: Run, wave: int, now: Instant) -> dict[str, object]:
    """Return what the next wave waits for and the command that promotes it; empty without gate."""
    waits = {"next_wave": gates.text(run, wave, now)} if run.gate is not None else {}
    promote = {"promote": suggested.command("promote", run.run_id)} if gates.unanswered(run) else {}
    return {**waits, **promote}


def _answered(run: Run, event: ev.GateAnswered) -> LogLine:
    """Return the line about an answer; `next_wave` says what happens if it keeps the gate shut."""
    is_open = event.answer is GateAnswer.OPEN
    waits = {} if is_open else {"next_wave": gates.text(run, event.wave, event.at)}
    fields = {"gate": name(run.plan.questions()[event.gate]), "text": event.text}
    line = _info if is_open else _warning
    wave = run.layout.waves[event.wave].name
    return line("gate.answered", wave=wave, answer=event.answer.value, **fields, **waits)


def _of_halt(run: Run, event: AnyEvent) -> LogLine | None:
    """Return the line about an operator's command, a halt or an anomaly."""
    match event:
        case ev.OperatorCommand(command=command, actor=actor, reason=reason):
            stated = {"instance": event.instance} if event.instance else {}
            return _warning("operator.command", run=run.run_id, command=command.value,
                            by=actor.user, reason=reason, **stated)  # fmt: skip
        case ev.LastWaveSet(wave=wave, actor=actor):
            return _info("wave.last", run=run.run_id, wave=run.layout.waves[wave].name,
                         by=actor.user)  # fmt: skip
        case ev.FailuresAccepted(reason=reason, wave=wave, ordinals=ordinals, actor=actor):
            return _warning("failures.accepted", wave=run.layout.waves[wave].name,
                            count=len(ordinals), reason=reason, by=actor.user)  # fmt: skip
        case ev.Anomaly(text=text):
            return _warning("service.anomaly", text=text)
        case ev.Drained(word=word):
            return _warning("run.drained", run=run.run_id, word=word,
                            calls_in_flight=len(run.open_calls),
                            again="stops waiting for them")  # fmt: skip
        case ev.Halted(reason=reason, code=code, exit=exit_code, detail=detail):
            return _warning("run.halted", run=run.run_id, reason=reason, code=code,
                            detail=detail, exit=exit_code)  # fmt: skip
        case _:
            return None


def of_instances(run: Run, event: AnyEvent, command: Command | None) -> Iterator[LogLine]:
    """Yield a line for each instance that failed, is held or was restarted by other operators.

    `command` is the intent of a settled call.
    """
    match event:
        case ev.Settled(items=items, outcome=outcome):
            if command is not None and not isinstance(command, ImportKey):
                others = dict(items)
                ended = ((one, others.get(one, outcome)) for one in command.ordinals)
                yield from _failures(run, ended)
        case ev.Moved(trigger=Trigger.TIMED_OUT, ordinals=ordinals):
            yield from _failures(run, ((ordinal, None) for ordinal in ordinals), "R0511")
        case ev.Moved(trigger=Trigger.GAVE_UP | Trigger.LEFT_STOPPED | Trigger.CLOSED):
            yield from _failures(run, ((ordinal, None) for ordinal in event.ordinals))
        case ev.LoginProbed(ordinal=ordinal) if event.verdict is not LoginVerdict.PROVED:
            yield from _failures(run, ((ordinal, None),), "R0529")
        case ev.Held(ordinals=ordinals, reason=reason):
            for ordinal in ordinals:
                yield _warning("instance.held", instance=_id(run, ordinal), reason=reason)
        case ev.ForeignRestart(ordinals=ordinals, evidence=evidence):
            for ordinal in ordinals:
                fields = {"instance": _id(run, ordinal), "evidence": evidence}
                yield _warning("instance.restarted_elsewhere", **fields)
        case _:
            pass


def _failures(
    run: Run, ended: Iterable[tuple[int, Outcome | None]], code: str = ""
) -> Iterator[LogLine]:
    for ordinal, outcome in ended:
        phase = run.phase(ordinal)
        if phase in _CODES:
            fields = {
                "instance": _id(run, ordinal),
                "phase": phase.label,
                "code": code or _CODES[phase],
                "cause": run.causes.get(ordinal, ""),
            }
            request = {"request_id": outcome.request_id} if outcome and outcome.request_id else {}
            yield LogLine("error", "instance.failed", {**fields, **request})


def _info(event: str, **fields: object) -> LogLine:
    return LogLine("info", event, fields)


def _warning(event: str, **fields: object) -> LogLine:
    return LogLine("warning", event, fields)


def waits(run: Run, now: Instant) -> Iterator[str]:
    """Yield lines about why a run starts no new work, and the commands that continue it, in the
    current language. Pauses, windows and gates are quoted, as in `status`.
    """
    if run.frozen:
        return
    if run.paused is not None:
        yield gates.paused_by(run.paused)
        yield tr("resume: {command}", command=suggested.command("resume", run.run_id))
    if run.shut is not None:
        yield windows.text(run)
    if text := gates.text(run, run.waves_closed - 1, now):
        yield tr("waiting: {reasons}", reasons=text)
    unanswered, shut = gates.unanswered(run), bool(gate_queries.shut(run))
    yield from report.promotions(run.run_id, unanswered=unanswered, shut=shut)


def slowed(run: Run, now: Instant) -> str:
    """Return the lanes that were throttled most as text, empty if there are none."""
    known = [str(report.lane(one, now)) for one in lanes(run)]
    more = f"; and {len(known) - LANES_SHOWN} more" if len(known) > LANES_SHOWN else ""
    return "; ".join(known[:LANES_SHOWN]) + more


def figures(run: Run, number: int) -> dict[str, object]:
    """Return the counts of one wave as fields of a log line."""
    by_phase = counts(run, number)
    return {
        "wave": run.layout.waves[number].name,
        "targets": sum(by_phase.values()),
        "attached": sum(by_phase.values()) - sum(by_phase[phase] for phase in BEFORE_ATTACHED),
        "restarting": by_phase[Phase.RESTARTING] + by_phase[Phase.SETTLING],
        "verifying": by_phase[Phase.VERIFYING],
        "in_doubt": by_phase[Phase.IN_DOUBT],
        "done": by_phase[Phase.DONE],
        "failed": by_phase[Phase.FAILED],
        "stranded": by_phase[Phase.STRANDED],
        "down": f"{run.ledger.down}/{run.ledger.down_max}",
    }


def counts(run: Run, number: int) -> dict[Phase, int]:
    """Return the number of targets of a wave in each phase. A million take milliseconds."""
    first, last = run.layout.waves[number].cells
    start, end = run.layout.cells[first].start, run.layout.cells[last - 1].end
    return {phase: run.phases.count(phase, start, end) for phase in Phase}


def _id(run: Run, ordinal: int) -> str:
    return run.layout.targets[ordinal].instance
