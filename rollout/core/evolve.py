"""`evolve`: the only writer of a run's state, one function an event.

Called by `turn` for every event, live and on resume alike. Reads nothing but the event: no clock,
no order of queues, no set. Checks on the way in what the decision respected on the way out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rollout.core.invariant import invariant
from rollout.core.journey import DOWN, EXPOSED, FINAL, Phase, move
from rollout.core.run import PHASES, Attaching, Busy, Restarting, Run, lane_of_command
from rollout.core.troubles import Trouble
from rollout.model import event as ev
from rollout.model import limits
from rollout.model.command import Attach, ImportKey, RestartCall
from rollout.model.event import AnyEvent, Happening
from rollout.model.instance import Status
from rollout.model.outcome import Done, Outcome, Refused, RetryClass, Unknown
from rollout.model.plan import RestartKind
from rollout.model.seen import spread
from rollout.model.time import Instant

_FINAL = bytes(phase in FINAL for phase in Phase)

_ATTACHED = EXPOSED | DOWN
"""Phases in which the key pair is, or may be, attached and the instance is unfinished."""

ELSEWHERE = "elsewhere"
"""`Halted.reason` of a run whose instances somebody else rotates too."""
KEY_CHANGED = "key_pair_changed"
"""Cause of an instance that may carry other key material under the wanted name."""

ALARMS: dict[RetryClass, tuple[str, int]] = {
    RetryClass.DENIED: ("R0403", 4),
    RetryClass.CLOCK: ("R0404", 4),
    RetryClass.KEY_PAIR: ("R0606", 6),
    RetryClass.INPUT: ("R0502", 5),
}
"""Refusals that stop the whole run: they would meet every other call too."""


FOREIGN_KEY = "foreign_key"
"""Why an instance is held on which somebody else attached a third key."""

NO_ATTEMPT = frozenset({RetryClass.THROTTLED, RetryClass.UNSENT})
"""Refusals that say nothing of what was asked: only the lane was crowded or the call too late."""

OBSERVED = frozenset({Phase.ATTACHING, Phase.RESTARTING, Phase.IN_DOUBT, Phase.SETTLING})
"""Phases in which only observations say how an instance stands."""

BUSY = frozenset({RetryClass.STATE, RetryClass.GONE})
"""Refusals that may not last: the instance is busy, or not found although it was observed."""

_JUDGED_ABSENT = frozenset(
    {Happening.SEEN_UNTOUCHED, Happening.RETRIED, Happening.STATED_UNTOUCHED}
)
"""After these a restart is asked again; the record of the former one stays, should it show late."""


def evolve(run: Run, event: AnyEvent) -> None:
    """Fold one event into the state. `Bug` where the event breaks a rule of the run."""
    invariant(run.closed is None, "nothing follows RunClosed")
    _FOLDS[type(event)](run, event)


# life of the run


def _started(run: Run, event: ev.RunStarted) -> None:
    invariant(run.epoch == 0, "a run starts once")
    run.run_id, run.epoch = event.run, event.epoch


def _resumed(run: Run, event: ev.Resumed) -> None:
    """Another process: every open call has an unknown ending, every held instance is looked at."""
    invariant(event.epoch == run.epoch + 1, "I-40: the epoch rises by one")
    run.epoch = event.epoch
    run.slowed.clear()
    for issued in list(run.open_calls.values()):
        left_by = min(issued.not_after + limits.CALL_TIMEOUT_MS, event.at)
        _lose(run, issued, left_by)
    for use in run.lanes.values():
        use.open = 0
    held = [ordinal for ordinal in range(len(run.held)) if run.held[ordinal]]
    if run.aborted is not None:
        held = [ordinal for ordinal in held if run.phase(ordinal) in OBSERVED]
    _unhold(run, held)
    if run.torn:
        run.not_before = event.at + run.plan.restart.settle_window_ms
    run.torn = False
    if run.halted is not None and run.halted.reason == ELSEWHERE:
        run.elsewhere_in_wave = [0] * len(run.elsewhere_in_wave)  # an operator has seen them
    run.alarm = run.halted = run.drained = None
    run.odd_codes = 0
    run.drift_in_wave = [0] * len(run.drift_in_wave)


def _torn_tail(run: Run, _: ev.TornTail) -> None:
    run.torn = True


def _halted(run: Run, event: ev.Halted) -> None:
    run.halted, run.alarm = event, None


def _operator_command(run: Run, event: ev.OperatorCommand) -> None:
    run.orders[event.id] = None
    if event.command is ev.OperatorWord.ABORT:
        run.aborted = event


def _failures_accepted(run: Run, event: ev.FailuresAccepted) -> None:
    for ordinal in event.ordinals:
        run.troubles.accept(ordinal)


def _drained(run: Run, event: ev.Drained) -> None:
    run.drained = event


def _run_closed(run: Run, event: ev.RunClosed) -> None:
    invariant(not run.open_calls, "I-25: no call is open at the close")
    invariant(run.aborted or not run.left, "I-25: nothing is unfinished at the close")
    for ordinal in range(len(run.phases)):
        if not _FINAL[run.phases[ordinal]] and run.phase(ordinal) is not Phase.IN_DOUBT:
            run.causes.setdefault(ordinal, "aborted")
            _move(run, ordinal, Happening.CLOSED)
    run.closed = event


# waves, cells, keys


def _wave_started(run: Run, event: ev.WaveStarted) -> None:
    invariant(run.left_before is None, "I-33: earlier waves finish first")
    invariant(run.wave_open is None and event.wave == run.waves_closed, "I-33: waves in order")
    run.wave_open = event.wave
    run.cells_next = run.layout.waves[event.wave].cells[0]


def _wave_closed(run: Run, event: ev.WaveClosed) -> None:
    invariant(run.wave_open == event.wave, "only the open wave closes")
    run.wave_open = None
    run.waves_closed += 1


def _cell_opened(run: Run, event: ev.CellOpened) -> None:
    invariant(event.cell == run.cells_next, "cells open in order")
    run.cells_open[event.cell] = None
    run.cells_next += 1
    run.left_in_open_cells += run.left_in_cell[event.cell]


def _cell_closed(run: Run, event: ev.CellClosed) -> None:
    invariant(run.left_in_cell[event.cell] == 0, "a cell closes when nothing of it is left")
    del run.cells_open[event.cell]


def _key_ready(run: Run, event: ev.KeyReady) -> None:
    lane = (event.account, event.region)
    invariant(
        event.attached <= run.comparisons.attached, "a comparison vouches for no later attach"
    )
    run.keys[lane] = event.fingerprint
    for ordinal in run.comparisons.match(lane, event.attached):
        _move(run, ordinal, Happening.KEY_PROVED)


def _key_changed(run: Run, event: ev.KeyChanged) -> None:
    lane = (event.account, event.region)
    spans = [cell for cell in run.layout.cells if cell.lane == lane]
    attached = [
        ordinal
        for span in spans
        for ordinal in range(span.start, span.end)
        if run.phase(ordinal) in _ATTACHED
    ]
    for ordinal in run.comparisons.differ(lane, attached):
        _prove_wrong(run, ordinal)


def _prove_wrong(run: Run, ordinal: int) -> None:
    """It runs, and may carry other key material under the wanted name."""
    _move(run, ordinal, Happening.KEY_CHANGED)
    run.causes[ordinal] = KEY_CHANGED


# calls


def _issued(run: Run, event: ev.Issued) -> None:
    invariant(event.epoch == run.epoch, "I-02: an intent names the epoch it was written in")
    invariant(event.n == run.calls_issued + 1, "I-02: calls are numbered without gap")
    invariant(not run.frozen, "I-38: no intent after a halt, a drain or an abort")
    run.calls_issued = event.n
    run.open_calls[event.n] = event
    match event.command:
        case Attach():
            _attach_issued(run, event, event.command)
        case RestartCall():
            _restart_issued(run, event, event.command)
        case ImportKey():
            pass
    run.lane_use(*lane_of_command(run, event)).open += 1


def _attach_issued(run: Run, event: ev.Issued, command: Attach) -> None:
    _check_ids(run, command, limits.ATTACH_IDS_MAX)
    lane = run.layout.lane_of(command.ordinals[0])
    invariant(lane in run.keys, "no attach before the key is there")
    wanted = run.plan.key_pair.name
    for ordinal, sight in zip(command.ordinals, spread(event.seen), strict=True):
        former = run.layout.targets[ordinal].former_key
        invariant(sight.key_pair in (former, wanted), "I-07: compare and set")
        _move(run, ordinal, Happening.ATTACH_ISSUED)
        run.attaching[ordinal] = Attaching(event.not_after + limits.CALL_TIMEOUT_MS)
        if run.ledger.reserves_early(ordinal):
            run.ledger.reserve(ordinal, Phase.ATTACHING)
    invariant(run.ledger.exposed <= run.ledger.exposed_max, "I-30: exposed passes its limit")


def _restart_issued(run: Run, event: ev.Issued, command: RestartCall) -> None:
    _check_ids(run, command, limits.RESTART_IDS_MAX)
    reboot = command.kind is RestartKind.REBOOT
    wanted = Status.RUNNING if reboot else Status.STOPPED
    for ordinal, sight in zip(command.ordinals, spread(event.seen), strict=True):
        invariant(sight.status is wanted, "I-09: reboot what is Running, start what is Stopped")
        invariant(sight.key_pair == run.plan.key_pair.name, "I-08: no restart before the attach")
        planned = run.layout.targets[ordinal].restart
        invariant(reboot or planned is RestartKind.START, "I-09: start what was planned Stopped")
        if reboot:
            run.ledger.reserve(ordinal, Phase.ATTACHED)
        _move(run, ordinal, Happening.RESTART_ISSUED)
        left_by = event.not_after + limits.CALL_TIMEOUT_MS
        run.restarting[ordinal] = Restarting(command.kind, sight, sight.api_time, left_by)


def _check_ids(run: Run, command: Attach | RestartCall, ids_max: int) -> None:
    invariant(0 < len(command.ordinals) <= ids_max, "I-03: ids in one call")
    span = run.layout.span_of(command.ordinals[0])
    invariant(len(set(command.ordinals)) == len(command.ordinals), "I-03: ids are unique")
    for ordinal, instance in zip(command.ordinals, command.instances, strict=True):
        invariant(span.start <= ordinal < span.end, "I-05: ids of one cell")
        invariant(run.layout.targets[ordinal].instance == instance, "I-05: an id of the plan")
        invariant(not run.held[ordinal], "nothing is asked of a held instance")


def _settled(run: Run, event: ev.Settled) -> None:
    issued = run.open_calls.pop(event.n, None)
    if issued is None:
        return  # I-46: the first durable outcome won; a later one only stands in the journal
    lane, action = lane_of_command(run, issued)
    use = run.lane_use(lane, action)
    use.open -= 1
    use.window = _next_window(use.window, event.outcome)
    _raise_alarm(run, action, event.outcome)
    command = issued.command
    if isinstance(command, ImportKey):
        return
    others = dict(event.items)
    for other in others.values():
        _raise_alarm(run, action, other)
    if isinstance(command, Attach):
        whole = not others and len(command.ordinals) > 1
        for ordinal in command.ordinals:
            _attach_settled(run, ordinal, others.get(ordinal, event.outcome), event.at, whole=whole)
    else:
        for ordinal in command.ordinals:
            _restart_settled(run, ordinal, others.get(ordinal, event.outcome), event.at)


def _attach_settled(run: Run, ordinal: int, outcome: Outcome, at: Instant, *, whole: bool) -> None:
    run.attaching[ordinal].left_by = at
    match outcome:
        case Done() | Unknown():
            run.attach_tries[ordinal] += 1
            run.busy.pop(ordinal, None)
        case Refused(retry=retry):
            if retry in (RetryClass.FACT, RetryClass.ODD) and not (whole and is_fact(outcome)):
                run.causes[ordinal] = outcome.code
                _move(run, ordinal, Happening.ATTACH_REFUSED)
                return
            if is_busy(outcome) and _busy_too_long(run, ordinal, outcome.code, at):
                run.causes[ordinal] = outcome.code
                _move(run, ordinal, Happening.ATTACH_REFUSED)
                return
            _move(run, ordinal, Happening.ATTACH_REPEATABLE)


def _restart_settled(run: Run, ordinal: int, outcome: Outcome, at: Instant) -> None:
    record = run.restarting[ordinal]
    record.left_by = record.begun = at
    match outcome:
        case Done():
            record.answered = True
            run.restart_tries[ordinal] += 1
            run.busy.pop(ordinal, None)
        case Unknown():
            run.restart_tries[ordinal] += 1
            run.busy.pop(ordinal, None)
            _move(run, ordinal, Happening.ANSWER_LOST)
        case Refused(retry=retry):
            if retry in (RetryClass.FACT, RetryClass.ODD):
                run.causes[ordinal] = outcome.code
                _move(run, ordinal, Happening.RESTART_REFUSED)
                return
            if is_busy(outcome) and _busy_too_long(run, ordinal, outcome.code, at):
                run.causes[ordinal] = outcome.code
                _move(run, ordinal, Happening.RESTART_REFUSED)
                return
            _move(run, ordinal, Happening.RESTART_REPEATABLE)
            if is_busy(outcome):
                run.ledger.set_aside(ordinal)


def _busy_too_long(run: Run, ordinal: int, code: str, at: Instant) -> bool:
    """Count one more refusal; whether such refusals have lasted for the restart timeout."""
    busy = run.busy.get(ordinal)
    if busy is None:
        busy = run.busy[ordinal] = Busy(at)
    busy.last, busy.code = at, code
    busy.refusals += 1
    return at - busy.first >= run.plan.restart.timeout_ms


def _lose(run: Run, issued: ev.Issued, left_by: Instant) -> None:
    """The process that issued this call is gone: its ending is unknown."""
    del run.open_calls[issued.n]
    command = issued.command
    if isinstance(command, ImportKey):
        return
    for ordinal in command.ordinals:
        run.busy.pop(ordinal, None)  # as for every call that the service may have accepted
        if isinstance(command, Attach):
            run.attach_tries[ordinal] += 1
            run.attaching[ordinal].left_by = left_by
        else:
            run.restart_tries[ordinal] += 1
            run.restarting[ordinal].left_by = run.restarting[ordinal].begun = left_by
            _move(run, ordinal, Happening.ANSWER_LOST)


def _raise_alarm(run: Run, action: str, outcome: Outcome) -> None:
    if not isinstance(outcome, Refused) or run.alarm is not None:
        return
    run.odd_codes += outcome.retry is RetryClass.ODD
    said = f"{action}: {outcome.code}: {outcome.message}"
    if outcome.retry in ALARMS:
        code, exit_code = ALARMS[outcome.retry]
        text = f"{said} (RequestId {outcome.request_id or 'none'})"
        run.alarm = ev.Halted(outcome.retry.value, code, exit_code, text)
    elif run.odd_codes >= limits.UNKNOWN_CODES_MAX:
        run.alarm = ev.Halted("unknown_code", "R0502", 5, said)


def is_fact(outcome: Outcome) -> bool:
    """A refusal for what an instance is (Windows, locked, …)."""
    return isinstance(outcome, Refused) and outcome.retry is RetryClass.FACT


def is_busy(outcome: Outcome) -> bool:
    """A refusal because the instance is busy."""
    return isinstance(outcome, Refused) and outcome.retry in BUSY


def _next_window(window: int, outcome: Outcome) -> int:
    """Additive increase, halved where the lane could not take the call in time."""
    if isinstance(outcome, Refused) and outcome.retry in NO_ATTEMPT:
        return max(limits.LANE_CALLS_MIN, window // 2)
    return min(limits.LANE_CALLS_MAX, window + 1)


# what looks and due times brought


def _moved(run: Run, event: ev.Moved) -> None:
    for ordinal in event.ordinals:
        match event.happening:
            case Happening.SEEN_ATTACHED:
                run.attached_at[ordinal] = event.api_time
                run.comparisons.observe(ordinal)
                run.busy.pop(ordinal, None)
            case (
                Happening.DROPPED | Happening.GAVE_UP | Happening.LEFT_STOPPED | Happening.TIMED_OUT
            ):
                run.causes[ordinal] = event.evidence
            case Happening.STATED_RESTARTED | Happening.ABANDONED:
                run.causes[ordinal] = event.evidence
                run.troubles.accept(ordinal)
                if event.happening is Happening.ABANDONED:
                    run.abandoned[ordinal] = None
            case Happening.SEEN_SERVING:
                invariant(ordinal in run.abandoned, "only what was abandoned is let go")
                run.ledger.release(ordinal, Phase.IN_DOUBT)
            case Happening.SEEN_UNTOUCHED | Happening.RETRIED if run.restarting[ordinal].answered:
                invariant(condition=False, text="I-12: an accepted restart is not repeated")
            case Happening.RETRIED:
                invariant(not run.retried[ordinal], "I-12: retryOnce is once")
                run.retried[ordinal] = 1
            case Happening.ASSUMED:
                run.causes[ordinal] = "assumed"
            case _:
                pass
        if event.happening is Happening.SEEN_RUNNING:
            _running(run, ordinal)
        else:
            _move(run, ordinal, event.happening)


def _running(run: Run, ordinal: int) -> None:
    """The key is in force. Done where a comparison since its attach says that it is the plan's."""
    lane = run.layout.lane_of(ordinal)
    if run.comparisons.vouched(lane, ordinal):
        _move(run, ordinal, Happening.SEEN_RUNNING)
    elif ordinal in run.comparisons.doubted:
        _prove_wrong(run, ordinal)
    else:
        run.comparisons.wait(lane, ordinal)
        _move(run, ordinal, Happening.KEY_UNPROVED)


def _held(run: Run, event: ev.Held) -> None:
    for ordinal in event.ordinals:
        invariant(not run.finished(ordinal), "only what is unfinished is held")
        run.held[ordinal] = 1
        run.causes[ordinal] = event.reason
        if run.phase(ordinal) in (Phase.ATTACHING, Phase.ATTACHED):
            run.ledger.release(ordinal, run.phase(ordinal))  # no restart of it is open
        run.ledger.shelve(ordinal, run.phase(ordinal))
        if run.phase(ordinal) is Phase.IN_DOUBT:
            run.doubts_held[ordinal] = None
        _count_left(run, ordinal, -1)
        _count_trouble(run, ordinal)


def _released(run: Run, event: ev.Released) -> None:
    _unhold(run, list(event.ordinals))


def _unhold(run: Run, ordinals: list[int]) -> None:
    for ordinal in ordinals:
        invariant(run.held[ordinal], "only what is held is released")
        run.held[ordinal] = 0
        run.causes.pop(ordinal, None)
        run.doubts_held.pop(ordinal, None)
        run.ledger.take_up(ordinal, run.phase(ordinal))
        _count_left(run, ordinal, 1)
        _count_trouble(run, ordinal)


def _drifted(run: Run, event: ev.Drifted) -> None:
    for ordinal in event.ordinals:
        wave = run.layout.wave_of(ordinal)
        if event.kind is ev.DriftKind.ELSEWHERE:
            run.elsewhere_in_wave[wave] += 1
        elif event.kind not in (ev.DriftKind.BENIGN, ev.DriftKind.CONFLICT):
            run.drift_in_wave[wave] += 1
        if event.kind is ev.DriftKind.CONFLICT and run.phase(ordinal) in DOWN:
            run.foreign[ordinal] = None  # its boot may have brought another key into force


def _lane_slowed(run: Run, event: ev.LaneSlowed) -> None:
    run.slowed[event.account, event.region, event.action] = event


def _lane_recovered(run: Run, event: ev.LaneRecovered) -> None:
    run.slowed.pop((event.account, event.region, event.action), None)


def _foreign_restart(run: Run, event: ev.ForeignRestart) -> None:
    run.restarted_elsewhere.update(dict.fromkeys(event.ordinals))


def _clock_skew(_: Run, __: ev.ClockSkew) -> None:
    """For readers only: all times of the journal are the service's."""


def _split(_: Run, __: ev.Split) -> None:
    """Only a word for the reader: who shares the next call is not state."""


def _calibrated(run: Run, event: ev.Calibrated) -> None:
    counts = run.trust.setdefault((event.account, event.region, event.image), [0, 0])
    counts[0] += event.moved
    counts[1] += event.unmoved


def _anomaly(run: Run, event: ev.Anomaly) -> None:
    if event.n and run.alarm is None:
        run.alarm = ev.Halted("protocol_anomaly", "R0502", 5, event.text)


def _move(run: Run, ordinal: int, happening: Happening) -> None:
    """The one place where a phase changes, with all that is counted by phase."""
    before = PHASES[run.phases[ordinal]]
    after = move(before, happening)
    run.phases[ordinal] = after
    run.phase_counts[before] -= 1
    run.phase_counts[after] += 1
    run.ledger.moved(ordinal, before, after)
    if after is Phase.COMPARING:
        _forget_calls(run, ordinal)
        run.ledger.release(ordinal, after)
    elif after in FINAL:
        _forget_calls(run, ordinal)
        run.comparisons.forget(ordinal)
        if after is Phase.FAILED and before is Phase.SETTLING:
            run.ledger.shelve(ordinal, after)  # it never came back: it is down
        else:
            run.ledger.release(ordinal, after)
        if not run.held[ordinal] and before not in FINAL:
            _count_left(run, ordinal, -1)
        _count_trouble(run, ordinal)
    elif after in (Phase.PLANNED, Phase.ATTACHED):
        run.attaching.pop(ordinal, None)
        if after is Phase.PLANNED:
            run.comparisons.forget(ordinal)
        if happening not in _JUDGED_ABSENT:
            run.restarting.pop(ordinal, None)
        if before is not Phase.ATTACHING or after is Phase.PLANNED:
            run.ledger.release(ordinal, after)


def _count_trouble(run: Run, ordinal: int) -> None:
    """Count the instance again after its phase or its hold changed."""
    run.troubles.count(ordinal, _trouble(run, ordinal))


def _trouble(run: Run, ordinal: int) -> Trouble:
    phase = run.phase(ordinal)
    if phase in (Phase.FAILED, Phase.STRANDED):
        return Trouble.FAILED
    cause = run.causes.get(ordinal, "")
    if not run.held[ordinal] or phase in FINAL:
        return Trouble.NONE
    if cause == FOREIGN_KEY:
        return Trouble.CONFLICT
    if phase is Phase.PLANNED:
        return Trouble.NONE
    waits = cause.startswith("budget_held")
    return Trouble.LEFT if phase in DOWN or waits else Trouble.FAILED


def _forget_calls(run: Run, ordinal: int) -> None:
    run.attaching.pop(ordinal, None)
    run.restarting.pop(ordinal, None)
    run.attached_at.pop(ordinal, None)
    run.busy.pop(ordinal, None)


def _count_left(run: Run, ordinal: int, change: int) -> None:
    cell = run.layout.cell_of[ordinal]
    run.left += change
    run.left_in_cell[cell] += change
    run.left_in_wave[run.layout.cells[cell].wave] += change
    if cell in run.cells_open:
        run.left_in_open_cells += change


_FOLDS: dict[type, Callable[[Run, Any], None]] = {
    ev.RunStarted: _started,
    ev.Resumed: _resumed,
    ev.TornTail: _torn_tail,
    ev.KeyReady: _key_ready,
    ev.KeyChanged: _key_changed,
    ev.WaveStarted: _wave_started,
    ev.WaveClosed: _wave_closed,
    ev.CellOpened: _cell_opened,
    ev.CellClosed: _cell_closed,
    ev.Issued: _issued,
    ev.Settled: _settled,
    ev.Moved: _moved,
    ev.Held: _held,
    ev.Released: _released,
    ev.Drifted: _drifted,
    ev.ForeignRestart: _foreign_restart,
    ev.Split: _split,
    ev.Calibrated: _calibrated,
    ev.Anomaly: _anomaly,
    ev.OperatorCommand: _operator_command,
    ev.FailuresAccepted: _failures_accepted,
    ev.ClockSkew: _clock_skew,
    ev.LaneSlowed: _lane_slowed,
    ev.LaneRecovered: _lane_recovered,
    ev.Halted: _halted,
    ev.Drained: _drained,
    ev.RunClosed: _run_closed,
}
