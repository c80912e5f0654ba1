"""Keep the queues and the watch list in step with a run: with its events and its observations.

The decider calls `follow` for every event, after `evolve`; `record` and `place` before and after
the events of findings; `rebuild` after a resume. Writes no event and no journaled state.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from rollout.core.running.evolve import OBSERVED
from rollout.core.running.evolve_calls import NO_ATTEMPT, is_busy, is_fact
from rollout.core.running.findings import Findings
from rollout.core.running.journey import Phase
from rollout.core.running.waiting import Waiting
from rollout.core.running.watching import Watching
from rollout.model import event as ev
from rollout.model import limits
from rollout.model.command import Attach, ImportKey, RestartCall
from rollout.model.event import AnyEvent, Trigger
from rollout.model.outcome import Refused
from rollout.model.time import Instant

_T = TypeVar("_T")
_ABSENT = (Trigger.OBSERVED_UNTOUCHED, Trigger.RETRIED, Trigger.STATED_UNTOUCHED)
"""A restart did not happen: it may be repeated."""


def follow(waiting: Waiting, event: AnyEvent, issued: ev.Issued | None, now: Instant) -> None:
    """Move the instances of an event to their next station. `issued` is the intent of the call
    that a `Settled` event ends.
    """
    run, watching = waiting.run, waiting.watching
    match event:
        case ev.WaveStarted():
            watching.keys.good.clear()
            watching.census.begin(now)
        case (
            ev.WindowOpened()
            | ev.OperatorCommand(command=ev.OperatorVerb.RESUME | ev.OperatorVerb.PROMOTE)
        ) if not run.counted:
            watching.census.begin(now)
        case ev.CensusTaken():
            watching.census.end(now)
        case ev.MembersDown(ordinals=ordinals):
            for ordinal in ordinals:
                watching.census.unanswered.pop(ordinal, None)
        case ev.CellOpened(cell=cell):
            span = run.layout.cells[cell]
            for start, end in span.batches:
                batch = [ordinal for ordinal in range(start, end) if not run.at_rest(ordinal)]
                waiting.queue(span.site, batch)
        case ev.Issued(command=command):
            _issued(waiting, command)
        case ev.Settled() if issued is not None:
            _settled(waiting, issued.command, event, now)
        case ev.Moved(trigger=trigger, ordinals=ordinals):
            _moved(waiting, trigger, ordinals, now)
        case ev.Held(ordinals=ordinals):
            for ordinal in ordinals:
                waiting.finish(ordinal)
        case ev.Released(ordinals=ordinals):
            for ordinal in ordinals:
                watching.watch(ordinal, now)
        case ev.OperatorCommand(command=ev.OperatorVerb.ABORT):
            waiting.drop_attaches()
        case ev.LoginProbed(ordinal=ordinal):
            waiting.finish(ordinal)
        case ev.Split(ordinals=ordinals):
            for ordinal in ordinals:
                waiting.leave(ordinal)
            waiting.delay(ordinals, now, 0)
        case ev.Calibrated(account=account, region=region, image=image):
            watching.calibrated.append((account, region, image))
        case _:
            pass


def record(watching: Watching, findings: Findings) -> None:
    """Store the observed states, before the events are put."""
    watching.last.update(findings.samples)
    for ordinal in findings.samples:
        watching.unfit.pop(ordinal, None)
    _update(watching.since, findings.since)
    _update(watching.absent, findings.absent)
    for (kind, _), ordinals in findings.drifts.items():
        watching.drift_reported.update(dict.fromkeys((ordinal, kind) for ordinal in ordinals))
    if findings.witness is not None:
        watching.witness[findings.site] = findings.witness


def place(waiting: Waiting, findings: Findings, now: Instant) -> None:
    """Move the observed instances to their next station, after the events were put."""
    watching = waiting.watching
    for ordinal, first in findings.watched.items():
        if first:
            watching.watch_from(ordinal, first)
        else:
            watching.watch(ordinal, now)
    for ordinal in findings.missing:
        watching.confirm(ordinal)
    if findings.witness_lost:
        watching.lose_witness(findings.site, now)
    if findings.checked:
        waiting.add_checked(findings.site, findings.checked)
    for ordinal in findings.ready:
        waiting.make_ready(ordinal, now)


def rebuild(waiting: Waiting, now: Instant) -> None:
    """Put each unfinished instance of the opened cells at its first station."""
    run = waiting.run
    for cell in run.layout.cells[: run.cells_next]:
        for start, end in cell.batches:
            planned = [
                ordinal
                for ordinal in range(start, end)
                if run.phases[ordinal] == Phase.PLANNED and not run.held[ordinal]
            ]
            waiting.queue(cell.site, [ordinal for ordinal in planned if ordinal not in run.busy])
            busy = [ordinal for ordinal in planned if ordinal in run.busy]
            if busy:
                waiting.delay(busy, now, 0)
    for ordinal in range(len(run.phases)):
        phase = run.phase(ordinal)
        if run.held[ordinal]:
            continue
        if phase in OBSERVED:
            waiting.watching.observe_soon(ordinal)
        elif phase is Phase.VERIFYING:
            waiting.probe(ordinal, now)
        elif phase is Phase.ATTACHED:
            waiting.watching.attached_since[ordinal] = now
            waiting.watching.logins.want_host_key(ordinal)
            if ordinal in run.busy:
                waiting.ready_again(ordinal, now)
            else:
                waiting.make_ready(ordinal, now)


def _issued(waiting: Waiting, command: Attach | RestartCall | ImportKey) -> None:
    if isinstance(command, ImportKey):
        waiting.watching.keys.import_started(command.key_site)
        return
    waiting.call_started(command.ordinals)
    if isinstance(command, RestartCall):
        for ordinal in command.ordinals:
            waiting.watching.attached_since.pop(ordinal, None)


def _settled(
    waiting: Waiting, command: Attach | RestartCall | ImportKey, event: ev.Settled, now: Instant
) -> None:
    """A call ended: its instances are observed, tried again or split."""
    run, watching = waiting.run, waiting.watching
    if isinstance(command, ImportKey):
        unsent = isinstance(event.outcome, Refused) and event.outcome.retry in NO_ATTEMPT
        watching.keys.import_ended(command.key_site, now, attempted=not unsent)
        return
    again = []
    for ordinal in command.ordinals:
        phase = run.phases[ordinal]
        if phase in (Phase.ATTACHING, Phase.IN_DOUBT):
            watching.observe_soon(ordinal)
        elif phase == Phase.RESTARTING:
            watching.watch(ordinal, now)
        elif phase == Phase.PLANNED:
            again.append(ordinal)
        elif phase == Phase.ATTACHED:
            waiting.ready_again(ordinal, now)
        else:
            waiting.finish(ordinal)
    if again and _to_halve(waiting, command, again, event):
        waiting.split(again)
    elif again:
        waiting.delay(again, now, 1 + max(run.attach_tries[o] for o in again))


def _to_halve(
    waiting: Waiting, command: Attach | RestartCall, planned: list[int], event: ev.Settled
) -> bool:
    """Return whether an attach was refused as a whole because of some of its instances: for a
    fact, or repeatedly because one is busy.
    """
    if not isinstance(command, Attach) or event.items or len(planned) < 2:
        return False
    busy = waiting.run.busy.get(planned[0])
    again = busy is not None and busy.refusals >= limits.BUSY_WHOLE_MAX
    return is_fact(event.outcome) or (is_busy(event.outcome) and again)


def _moved(waiting: Waiting, trigger: Trigger, ordinals: Sequence[int], now: Instant) -> None:
    run = waiting.run
    if trigger is Trigger.OBSERVED_UNATTACHED:
        tries = max(run.attach_tries[ordinal] for ordinal in ordinals)
        cells: dict[int, list[int]] = {}
        for ordinal in ordinals:
            cells.setdefault(run.layout.cell_of[ordinal], []).append(ordinal)
        for members in cells.values():
            waiting.delay(members, now, tries)
        return
    for ordinal in ordinals:
        if trigger is Trigger.OBSERVED_ATTACHED:
            waiting.permits.uncheck(ordinal)
            waiting.watching.attached_since[ordinal] = now
            waiting.watching.logins.want_host_key(ordinal)
        if trigger in _ABSENT:
            waiting.leave(ordinal)
            waiting.ready_again(ordinal, now + run.status_lag_ms)  # a boot may be visible that late
        elif run.at_rest(ordinal):
            waiting.finish(ordinal)
        elif run.phases[ordinal] == Phase.VERIFYING:
            waiting.probe(ordinal, now)


def _update(known: dict[int, _T], changes: dict[int, _T | None]) -> None:
    """Set the entries that have a value, remove the others."""
    for ordinal, value in changes.items():
        if value is None:
            known.pop(ordinal, None)
        else:
            known[ordinal] = value
