"""Fold events into the state of a run: the only writer of it, with one function for each event.

Called by the decider for every new event, and for those of a journal on resume. Reads nothing but
the event and the state, and checks again the rules that the decision followed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from rollout.core.invariant import invariant
from rollout.core.running import evolve_waves, gate_queries, login_evidence
from rollout.core.running.evolve_calls import begin, left_by, lose, settle, take_over
from rollout.core.running.evolve_phases import (
    GONE,
    count_held,
    count_trouble,
    move_target,
    prove_wrong,
)
from rollout.core.running.journey import DOWN, EXPOSED, FINAL, Phase
from rollout.core.running.state import Away, Run
from rollout.model import event as ev
from rollout.model import limits
from rollout.model.command import RestartCall
from rollout.model.event import AnyEvent, Trigger
from rollout.model.halts import HaltReason, halted
from rollout.model.probe import LoginVerdict

_ATTACHED = EXPOSED | DOWN | {Phase.VERIFYING}
"""Phases in which the key pair is, or may be, attached and the instance is unfinished."""

OBSERVED = frozenset({Phase.ATTACHING, Phase.RESTARTING, Phase.IN_DOUBT, Phase.SETTLING})
"""Phases that only an observation can end."""


def evolve(run: Run, event: AnyEvent) -> None:
    """Fold one event into the state. `Bug` where the event breaks a rule of the run."""
    invariant(run.closed is None, "nothing follows RunClosed")
    _FOLDS[type(event)](run, event)


# life of the run


def _started(run: Run, event: ev.RunStarted) -> None:
    invariant(run.epoch == 0, "a run starts once")
    run.run_id, run.epoch, run.machine = event.run, event.epoch, event.actor.machine
    run.started = event


def _resumed(run: Run, event: ev.Resumed) -> None:
    """Another process: the outcome of each open call is unknown, each held instance is released."""
    invariant(event.epoch == run.epoch + 1, "I-40: the epoch rises by one")
    if event.actor.machine != run.machine:
        run.rates.shift(limits.CLOCKS_DIFFER_MS)
    run.epoch, run.machine = event.epoch, event.actor.machine
    run.uncount()
    if run.gate is not None:  # its questions are asked again
        run.gate = replace(run.gate, answers={}, shut_since={})
    run.slowed.clear()
    run.last_wave = None
    for issued in list(run.open_calls.values()):
        latest = left_by(issued)
        if event.at >= run.service_time:  # else the clock of the new process is behind
            latest = min(latest, event.at)
        lose(run, issued, latest)
        if isinstance(issued.command, RestartCall):
            for ordinal in issued.command.ordinals:
                run.rates.end(ordinal, event.at + run.plan.restart.settle_window_ms)
    for use in run.lanes.values():
        use.open = 0
    held = [ordinal for ordinal in range(len(run.held)) if run.held[ordinal]]
    if run.aborted is not None:
        held = [ordinal for ordinal in held if run.phase(ordinal) in OBSERVED]
    _unhold(run, held)
    if run.torn:
        run.not_before = event.at + run.plan.restart.settle_window_ms
        if run.rates.rates:
            run.rates.shut(run.not_before)
    run.torn = False
    if run.halted is not None and run.halted.reason == HaltReason.ELSEWHERE:
        run.elsewhere_in_wave = [0] * len(run.elsewhere_in_wave)  # an operator accepted them
    if run.halted is not None and run.halted.reason == HaltReason.DRIFT:
        run.drift_in_wave = [0] * len(run.drift_in_wave)
        run.drifts.clear()
    run.alarm = run.halted = run.drained = None
    run.odd_codes = 0


def _approved(run: Run, event: ev.Approved) -> None:
    run.approved[event.key] = None


def _torn_tail(run: Run, _: ev.TornTail) -> None:
    run.torn = True


def _halted(run: Run, event: ev.Halted) -> None:
    run.halted, run.alarm = event, None


def _operator_command(run: Run, event: ev.OperatorCommand) -> None:
    run.orders[event.id] = None
    match event.command:
        case ev.OperatorVerb.ABORT:
            run.aborted = event
        case ev.OperatorVerb.PAUSE:
            run.paused = event
        case ev.OperatorVerb.RESUME:
            _continued(run)
        case ev.OperatorVerb.PROMOTE:
            if event.full or run.paused is None:
                _promoted(run, event)
            _continued(run)


def _continued(run: Run) -> None:
    """End a pause, during which no census was taken."""
    if run.paused is not None:
        run.uncount()
    run.paused = None


def _promoted(run: Run, event: ev.OperatorCommand) -> None:
    """Open the gate despite its answers, or answer the manual one; with `full` all later ones."""
    if run.gate is not None and gate_queries.shut(run):
        machine = run.gate.machine if run.gate.since == run.gate.closed else ""
        run.gate = replace(run.gate, order=event.id, since=run.gate.closed, machine=machine)
        if not event.full:
            return
    run.promoted = event


def _failures_accepted(run: Run, event: ev.FailuresAccepted) -> None:
    for ordinal in event.ordinals:
        run.troubles.accept(ordinal)
        run.refused_logins.pop(ordinal, None)
        count_trouble(run, ordinal)


def _drained(run: Run, event: ev.Drained) -> None:
    run.drained = event


def _run_closed(run: Run, event: ev.RunClosed) -> None:
    invariant(not run.open_calls, "I-25: no call is open at the close")
    invariant(run.aborted or not run.left, "I-25: nothing is unfinished at the close")
    for ordinal in range(len(run.phases)):
        if run.phase(ordinal) not in FINAL and run.phase(ordinal) is not Phase.IN_DOUBT:
            run.causes.setdefault(ordinal, "aborted")
            move_target(run, ordinal, Trigger.CLOSED)
    run.closed = event


# keys


def _key_ready(run: Run, event: ev.KeyReady) -> None:
    invariant(
        event.attached <= run.comparisons.attached, "a comparison vouches for no later attach"
    )
    run.keys[event.key_site] = event.fingerprint
    for ordinal in run.comparisons.match(event.key_site, event.attached):
        move_target(run, ordinal, Trigger.KEY_PROVED)


def _key_changed(run: Run, event: ev.KeyChanged) -> None:
    spans = [cell for cell in run.layout.cells if cell.site == event.site]
    attached = [
        ordinal
        for span in spans
        for ordinal in range(span.start, span.end)
        if run.phase(ordinal) in _ATTACHED and run.layout.targets[ordinal].key == event.key
    ]
    for ordinal in run.comparisons.differ(event.key_site, attached):
        prove_wrong(run, ordinal)


# observations


def _moved(run: Run, event: ev.Moved) -> None:
    run.service_time = max(run.service_time, event.api_time)
    for ordinal in event.ordinals:
        match event.trigger:
            case Trigger.OBSERVED_ATTACHED:
                run.attached_at[ordinal] = event.api_time
                run.comparisons.observe(ordinal)
                run.busy.pop(ordinal, None)
            case Trigger.DROPPED | Trigger.GAVE_UP | Trigger.LEFT_STOPPED | Trigger.TIMED_OUT:
                run.causes[ordinal] = event.evidence
                if event.evidence == GONE:
                    take_over(run, ordinal)
            case Trigger.STATED_RESTARTED | Trigger.ABANDONED:
                run.causes[ordinal] = event.evidence
                run.troubles.accept(ordinal)
                if event.trigger is Trigger.ABANDONED:
                    run.abandoned[ordinal] = None
            case Trigger.OBSERVED_SERVING:
                invariant(ordinal in run.abandoned, "only what was abandoned is let go")
                run.ledger.release(ordinal, Phase.IN_DOUBT)
            case Trigger.OBSERVED_UNTOUCHED | Trigger.RETRIED if run.restarting[ordinal].answered:
                invariant(condition=False, text="I-12: an accepted restart is not repeated")
            case Trigger.RETRIED:
                invariant(not run.retried[ordinal], "I-12: retryOnce is once")
                run.retried[ordinal] = 1
            case Trigger.ASSUMED:
                run.causes[ordinal] = "assumed"
            case _:
                pass
        if event.trigger is not Trigger.OBSERVED_RUNNING:
            move_target(run, ordinal, event.trigger)
        elif run.plan.logins() is not None:
            move_target(run, ordinal, Trigger.LOGIN_AWAITED)
        else:
            _in_force(run, ordinal, event.trigger)


def _in_force(run: Run, ordinal: int, trigger: Trigger) -> None:
    """The key is in force. Done where a comparison since its attach says that it is the plan's."""
    key_site = run.layout.key_site_of(ordinal)
    if run.comparisons.vouched(key_site, ordinal):
        move_target(run, ordinal, trigger)
    elif ordinal in run.comparisons.doubted:
        prove_wrong(run, ordinal)
    else:
        run.comparisons.wait(key_site, ordinal)
        move_target(run, ordinal, Trigger.KEY_UNPROVED)


def _host_key_read(run: Run, event: ev.HostKeyRead) -> None:
    run.host_keys[event.ordinal] = event.host_key


def _login_probed(run: Run, event: ev.LoginProbed) -> None:
    ordinal, proved = event.ordinal, event.verdict is LoginVerdict.PROVED
    broken = login_evidence.unmet(run, event) if proved else ""
    invariant(not broken, f"I-20: no login is proved where {broken}")
    if proved:
        _in_force(run, ordinal, Trigger.LOGIN_PROVED)
        return
    run.causes[ordinal] = event.verdict.value
    run.troubles.reopen(ordinal)
    if event.verdict is LoginVerdict.KEY_REFUSED:
        run.refused_logins[ordinal] = None
    move_target(run, ordinal, Trigger.LOGIN_FAILED)


def _held(run: Run, event: ev.Held) -> None:
    for ordinal in event.ordinals:
        invariant(not run.finished(ordinal), "only what is unfinished is held")
        run.held[ordinal] = 1
        run.causes[ordinal] = event.reason
        if run.phase(ordinal) in (Phase.ATTACHING, Phase.ATTACHED):
            run.ledger.release(ordinal, run.phase(ordinal))  # no restart of it is open
        run.ledger.suspend(ordinal, run.phase(ordinal))
        if run.phase(ordinal) is Phase.IN_DOUBT:
            run.doubts_held[ordinal] = None
        count_held(run, ordinal, 1)


def _released(run: Run, event: ev.Released) -> None:
    _unhold(run, list(event.ordinals))


def _unhold(run: Run, ordinals: list[int]) -> None:
    for ordinal in ordinals:
        invariant(run.held[ordinal], "only what is held is released")
        run.held[ordinal] = 0
        run.causes.pop(ordinal, None)
        run.doubts_held.pop(ordinal, None)
        run.ledger.take_back(ordinal, run.phase(ordinal))
        count_held(run, ordinal, -1)


def _drifted(run: Run, event: ev.Drifted) -> None:
    for ordinal in event.ordinals:
        wave = run.layout.wave_of(ordinal)
        if event.kind is ev.DriftKind.ELSEWHERE:
            run.elsewhere_in_wave[wave] += 1
        elif event.kind not in (ev.DriftKind.BENIGN, ev.DriftKind.CONFLICT):
            if not run.drifted[ordinal]:
                run.drift_in_wave[wave] += 1
                run.drifts[ordinal] = event.detail
            run.drifted[ordinal] = 1
        if event.kind is ev.DriftKind.CONFLICT and run.phase(ordinal) in DOWN:
            run.foreign[ordinal] = None  # its boot may have brought another key into force


def _lane_slowed(run: Run, event: ev.LaneSlowed) -> None:
    run.slowed[event.lane] = event


def _lane_recovered(run: Run, event: ev.LaneRecovered) -> None:
    run.slowed.pop(event.lane, None)


def _foreign_restart(run: Run, event: ev.ForeignRestart) -> None:
    run.restarted_elsewhere.update(dict.fromkeys(event.ordinals))


def _members_down(run: Run, event: ev.MembersDown) -> None:
    run.service_time = max(run.service_time, event.at)
    for ordinal in event.ordinals:
        if event.lasting:
            invariant(ordinal in run.away, "only a member that is down can stay down")
            run.ledger.give_up(ordinal)
        else:
            invariant(ordinal not in run.away, "a member takes its permits once")
            run.away[ordinal] = Away(event.at, event.evidence)
            run.ledger.lose(ordinal)


def _members_up(run: Run, event: ev.MembersUp) -> None:
    run.service_time = max(run.service_time, event.at)
    for ordinal in event.ordinals:
        del run.away[ordinal]
        run.ledger.regain(ordinal)


def _census_taken(run: Run, event: ev.CensusTaken) -> None:
    run.service_time = max(run.service_time, event.at)
    run.counted = True


def _ignored(_: Run, __: ev.ClockSkew | ev.Leased | ev.Split) -> None:
    """For readers only: times are the service's, and the halves of a call are not state."""


def _calibrated(run: Run, event: ev.Calibrated) -> None:
    counts = run.trust.setdefault((event.account, event.region, event.image), [0, 0])
    counts[0] += event.moved
    counts[1] += event.unmoved


def _anomaly(run: Run, event: ev.Anomaly) -> None:
    if event.n and run.alarm is None:
        run.alarm = halted(HaltReason.PROTOCOL_ANOMALY, event.text)


_FOLDS: dict[type, Callable[[Run, Any], None]] = {
    ev.RunStarted: _started,
    ev.Resumed: _resumed,
    ev.Approved: _approved,
    ev.TornTail: _torn_tail,
    ev.KeyReady: _key_ready,
    ev.KeyChanged: _key_changed,
    ev.WaveStarted: evolve_waves.wave_started,
    ev.WaveClosed: evolve_waves.wave_closed,
    ev.GateAnswered: evolve_waves.gate_answered,
    ev.GateOpened: evolve_waves.gate_opened,
    ev.LastWaveSet: evolve_waves.last_wave_set,
    ev.Overridden: _ignored,
    ev.WindowClosed: evolve_waves.window_closed,
    ev.WindowOpened: evolve_waves.window_opened,
    ev.CellOpened: evolve_waves.cell_opened,
    ev.CellClosed: evolve_waves.cell_closed,
    ev.Issued: begin,
    ev.Settled: settle,
    ev.Moved: _moved,
    ev.Held: _held,
    ev.Released: _released,
    ev.Drifted: _drifted,
    ev.ForeignRestart: _foreign_restart,
    ev.MembersDown: _members_down,
    ev.MembersUp: _members_up,
    ev.CensusTaken: _census_taken,
    ev.HostKeyRead: _host_key_read,
    ev.LoginProbed: _login_probed,
    ev.Split: _ignored,
    ev.Calibrated: _calibrated,
    ev.Anomaly: _anomaly,
    ev.OperatorCommand: _operator_command,
    ev.FailuresAccepted: _failures_accepted,
    ev.ClockSkew: _ignored,
    ev.Leased: _ignored,
    ev.LaneSlowed: _lane_slowed,
    ev.LaneRecovered: _lane_recovered,
    ev.Halted: _halted,
    ev.Drained: _drained,
    ev.RunClosed: _run_closed,
}
