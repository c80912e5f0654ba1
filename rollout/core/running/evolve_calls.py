"""Fold calls into a run's state: their intents, their outcomes, and those of a dead process.

Part of `evolve`, its only caller. Decides nothing: what a refusal or a lost reply means for an
instance is a rule of the state.
"""

from __future__ import annotations

from rollout.core.invariant import invariant
from rollout.core.running.evolve_phases import move_target
from rollout.core.running.journey import Phase
from rollout.core.running.state import Attaching, Busy, LaneUse, Restarting, Run, lane_of_call
from rollout.model import event as ev
from rollout.model import limits
from rollout.model.command import Attach, ImportKey, RestartCall
from rollout.model.event import Trigger
from rollout.model.halts import HaltReason, halted
from rollout.model.instance import Status
from rollout.model.observation import spread
from rollout.model.outcome import Done, Outcome, Refused, RetryClass, Unknown, api_time_of
from rollout.model.plan import RestartKind
from rollout.model.site import KeySite
from rollout.model.time import SECOND, Instant

ALARMS: dict[RetryClass, HaltReason] = {
    RetryClass.DENIED: HaltReason.DENIED,
    RetryClass.CLOCK: HaltReason.CLOCK,
    RetryClass.KEY_PAIR: HaltReason.KEY_PAIR,
    RetryClass.INPUT: HaltReason.INPUT,
}
"""Refusals that stop the whole run: they would meet every other call too."""

NO_ATTEMPT = frozenset({RetryClass.THROTTLED, RetryClass.UNSENT})
"""Refusals that say nothing about the request: the lane was full or the call too late."""

BUSY = frozenset({RetryClass.STATE, RetryClass.GONE})
"""Refusals that may not last: the instance is busy, or not found although it was observed."""


def begin(run: Run, event: ev.Issued) -> None:
    """Fold the intent of a call, written before the call leaves."""
    invariant(event.epoch == run.epoch, "I-02: an intent names the epoch it was written in")
    invariant(event.n == run.calls_issued + 1, "I-02: calls are numbered without gap")
    invariant(not run.frozen, "I-38: no intent after a halt, a drain or an abort")
    invariant(run.paused is None, "I-66: no intent in a paused run")
    invariant(run.shut is None, "I-77: no intent outside the windows")
    run.calls_issued = event.n
    run.open_calls[event.n] = event
    run.service_time = max(run.service_time, _observed_at(event))
    match event.command:
        case Attach():
            _attach_issued(run, event, event.command)
        case RestartCall():
            _restart_issued(run, event, event.command)
        case ImportKey():
            pass
    run.lanes.setdefault(lane_of_call(run, event), LaneUse()).open += 1


def _attach_issued(run: Run, event: ev.Issued, command: Attach) -> None:
    _check_ids(run, command, limits.ATTACH_IDS_MAX)
    key_site = KeySite(run.layout.site_of(command.ordinals[0]), command.key)
    invariant(key_site in run.keys, "no attach before the key is there")
    wanted = run.plan.keys[command.key].name
    for ordinal, observed in zip(command.ordinals, spread(event.observed), strict=True):
        target = run.layout.targets[ordinal]
        invariant(target.key == command.key, "one call attaches one key")
        invariant(observed.key_pair in (target.former_key, wanted), "I-07: compare and set")
        move_target(run, ordinal, Trigger.ATTACH_ISSUED)
        run.attaching[ordinal] = Attaching(left_by(event))
        if run.ledger.reserves_early(ordinal):
            take_over(run, ordinal)
            run.ledger.reserve(ordinal, Phase.ATTACHING)
    invariant(run.ledger.exposed <= run.ledger.exposed_max, "I-30: exposed passes its limit")
    rule = run.plan.failure_rule()
    if rule is not None and rule.strict:
        invariant(
            run.troubles.total() + run.at_risk <= rule.failed,
            "I-75: with strict, failures and open instances stay within the limit",
        )


def _restart_issued(run: Run, event: ev.Issued, command: RestartCall) -> None:
    _check_ids(run, command, limits.RESTART_IDS_MAX)
    invariant(run.counted, "I-95: no restart before a census of the groups")
    reboot = command.kind is RestartKind.REBOOT
    wanted = Status.RUNNING if reboot else Status.STOPPED
    for ordinal, observed in zip(command.ordinals, spread(event.observed), strict=True):
        invariant(observed.status is wanted, "I-09: reboot what is Running, start what is Stopped")
        invariant(
            observed.key_pair == run.layout.wanted(ordinal).name,
            "I-08: no restart before the attach",
        )
        planned = run.layout.targets[ordinal].restart
        invariant(reboot or planned is RestartKind.START, "I-09: start what was planned Stopped")
        if reboot:
            take_over(run, ordinal)
            run.ledger.reserve(ordinal, Phase.ATTACHED)
            over = any(run.overtaken(group) for group in run.ledger.groups_of(ordinal))
            invariant(not over, "I-96: own restarts and members that are down fit every cap")
        run.rates.begin(ordinal, event.at)
        move_target(run, ordinal, Trigger.RESTART_ISSUED)
        run.restarting[ordinal] = Restarting(
            command.kind, observed, observed.api_time, left_by(event)
        )


def left_by(issued: ev.Issued) -> Instant:
    """Return the latest service time at which a call can have left. The clock of a process whose
    virtual machine was paused is behind; but no call leaves on a state that is too old.
    """
    latest = max(issued.not_after, _observed_at(issued) + limits.STATE_AGE_MAX_MS)
    return latest + limits.CALL_TIMEOUT_MS


def _observed_at(issued: ev.Issued) -> Instant:
    return max((group.api_time for group in issued.observed), default=0)


def take_over(run: Run, ordinal: int) -> None:
    """The target gets permits of its own, or was released: the census counts it no more."""
    if run.away.pop(ordinal, None) is not None:
        run.ledger.regain(ordinal)


def _check_ids(run: Run, command: Attach | RestartCall, ids_max: int) -> None:
    invariant(0 < len(command.ordinals) <= ids_max, "I-03: ids in one call")
    span = run.layout.span_of(command.ordinals[0])
    invariant(len(set(command.ordinals)) == len(command.ordinals), "I-03: ids are unique")
    for ordinal, instance in zip(command.ordinals, command.instances, strict=True):
        invariant(span.start <= ordinal < span.end, "I-05: ids of one cell")
        invariant(run.layout.targets[ordinal].instance == instance, "I-05: an id of the plan")
        invariant(not run.held[ordinal], "no call is made for a held instance")


def settle(run: Run, event: ev.Settled) -> None:
    """Fold how a call ended, for each of its instances."""
    issued = run.open_calls.pop(event.n, None)
    if issued is None:
        return  # I-46: the first durable outcome won; a later one is only in the journal
    lane = lane_of_call(run, issued)
    use = run.lanes[lane]
    use.open -= 1
    use.window = _next_window(use.window, event.outcome)
    _raise_alarm(run, lane.action, event.outcome)
    command = issued.command
    if isinstance(command, ImportKey):
        return
    others = dict(event.items)
    for other in others.values():
        _raise_alarm(run, lane.action, other)
    settled = _attach_settled if isinstance(command, Attach) else _restart_settled
    whole = not others and len(command.ordinals) > 1 and is_fact(event.outcome)
    for ordinal in command.ordinals:
        settled(run, ordinal, others.get(ordinal, event.outcome), event, whole=whole)


def _attach_settled(
    run: Run, ordinal: int, outcome: Outcome, event: ev.Settled, *, whole: bool
) -> None:
    """`whole`: a call for several was refused for a fact of at least one of them."""
    run.attaching[ordinal].left_by = _ended_by(run, event)
    match outcome:
        case Done() | Unknown():
            run.attach_tries[ordinal] += 1
            run.busy.pop(ordinal, None)
        case Refused(retry=retry):
            final = retry in (RetryClass.FACT, RetryClass.ODD) and not whole
            if final or (is_busy(outcome) and _busy_too_long(run, ordinal, outcome.code, event.at)):
                run.causes[ordinal] = outcome.code
                move_target(run, ordinal, Trigger.ATTACH_REFUSED)
                return
            move_target(run, ordinal, Trigger.ATTACH_REPEATABLE)


def _restart_settled(
    run: Run, ordinal: int, outcome: Outcome, event: ev.Settled, *, whole: bool
) -> None:
    """`whole`: a call for several was refused for a fact of at least one of them."""
    record = run.restarting[ordinal]
    record.left_by = record.begun = _ended_by(run, event)
    _count_begun(run, ordinal, outcome, event)
    match outcome:
        case Done():
            record.answered = True
            run.restart_tries[ordinal] += 1
            run.busy.pop(ordinal, None)
        case Unknown():
            run.restart_tries[ordinal] += 1
            run.busy.pop(ordinal, None)
            move_target(run, ordinal, Trigger.ANSWER_LOST)
        case Refused(retry=retry):
            if whole:
                run.alone[ordinal] = None
            final = retry in (RetryClass.FACT, RetryClass.ODD) and not whole
            if final or (is_busy(outcome) and _busy_too_long(run, ordinal, outcome.code, event.at)):
                run.causes[ordinal] = outcome.code
                move_target(run, ordinal, Trigger.RESTART_REFUSED)
                return
            move_target(run, ordinal, Trigger.RESTART_REPEATABLE)
            if is_busy(outcome):
                run.ledger.postpone(ordinal)


def _ended_by(run: Run, event: ev.Settled) -> Instant:
    """Return the service time by which a call has ended: this process's clock may be behind."""
    return max(event.at, event.service_at, run.service_time)


def _count_begun(run: Run, ordinal: int, outcome: Outcome, event: ev.Settled) -> None:
    """Count an ended restart against the rates: an accepted one began before the reply, a lost one
    begins within the settle window, a refused one never. The clock of this process is behind the
    service's if the machine was suspended; that of the next process may be right again.
    """
    match outcome:
        case Done():
            latest = max(event.at, event.service_at)
            run.rates.end(ordinal, max(latest, api_time_of(outcome, event.at) + SECOND))
        case Unknown():
            run.rates.end(ordinal, _ended_by(run, event) + run.plan.restart.settle_window_ms)
        case Refused():
            run.rates.end(ordinal, None)
    for group in run.rates.groups_of(ordinal):
        run.ledger.touched[group] = None


def _busy_too_long(run: Run, ordinal: int, code: str, at: Instant) -> bool:
    """Count one more refusal; whether such refusals have lasted for the restart timeout."""
    busy = run.busy.get(ordinal)
    if busy is None:
        busy = run.busy[ordinal] = Busy(at, at)
    busy.last, busy.code = at, code
    busy.refusals += 1
    return at - busy.first >= run.plan.restart.timeout_ms


def lose(run: Run, issued: ev.Issued, left_by: Instant) -> None:
    """The process that issued this call has ended: the outcome is unknown."""
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
            move_target(run, ordinal, Trigger.ANSWER_LOST)


def _raise_alarm(run: Run, action: str, outcome: Outcome) -> None:
    if not isinstance(outcome, Refused) or run.alarm is not None:
        return
    run.odd_codes += outcome.retry is RetryClass.ODD
    said = f"{action}: {outcome.code}: {outcome.message}"
    if outcome.retry in ALARMS:
        text = f"{said} (RequestId {outcome.request_id or 'none'})"
        run.alarm = halted(ALARMS[outcome.retry], text)
    elif run.odd_codes >= limits.UNKNOWN_CODES_MAX:
        run.alarm = halted(HaltReason.UNKNOWN_CODE, said)


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
