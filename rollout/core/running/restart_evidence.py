"""What an observation proves of a restart: that it happened, that it did not, that it is over.

Part of `evidence`, its only caller. Reads both halves of the state and fills findings.
"""

from __future__ import annotations

from rollout.core.running.drift import Drift
from rollout.core.running.evolve_phases import FOREIGN_KEY
from rollout.core.running.findings import Findings
from rollout.core.running.journey import Phase
from rollout.core.running.state import Restarting, Run
from rollout.model import limits
from rollout.model.event import DriftKind, Trigger
from rollout.model.instance import Instance, Status
from rollout.model.plan import RestartKind
from rollout.model.spec import OnUnknown
from rollout.model.time import Instant

_STEADY = (Status.RUNNING, Status.STOPPED)
_SIGNS = {
    RestartKind.REBOOT: (Status.PENDING, Status.STARTING, Status.STOPPING, Status.STOPPED),
    RestartKind.START: (Status.STARTING, Status.RUNNING),
}
"""Statuses after the intent that prove its restart."""
_CALIBRATIONS_MAX = 3
"""Clean reboots that moved StartTime are counted up to here; one that did not always counts."""


def judge_restarting(findings: Findings, ordinal: int, instance: Instance) -> None:
    """Judge whether the restart happened; until there is evidence, it is observed again."""
    run = findings.run
    record = run.restarting[ordinal]
    if instance.key_pair != run.layout.wanted(ordinal).name:
        judge_other_key(findings, ordinal, instance)
        return
    findings.since[ordinal] = None
    evidence = _boot_evidence(record, instance)
    if evidence:
        findings.move(ordinal, Trigger.OBSERVED_BOOTED, evidence)
        judge_settling(findings, ordinal, instance)
    elif findings.at < run.settle_end(ordinal):
        findings.watch(ordinal)
    else:
        if run.phase(ordinal) is Phase.RESTARTING:
            findings.move(ordinal, Trigger.DOUBTED, "settle_window")
        _judge_doubt(findings, ordinal, record, instance)


def judge_settling(findings: Findings, ordinal: int, instance: Instance) -> None:
    """Booted after the attach: done once it is Running, failed when it is not in time."""
    run = findings.run
    record = run.restarting.get(ordinal)
    if record is None:
        _judge_foreign_boot(findings, ordinal, instance)
    elif instance.status is not Status.RUNNING:
        findings.since[ordinal] = findings.at
        if findings.at >= record.begun + run.plan.restart.timeout_ms:
            findings.move(ordinal, Trigger.TIMED_OUT, "not_running")
        else:
            findings.watch(ordinal)
    elif findings.at < (first := _own_boot_from(run, ordinal, record)):
        findings.watch(ordinal, first)
    elif _runs_again(findings, ordinal, record, instance):
        _running(findings, ordinal, record, instance)
    else:
        findings.watch(ordinal)


def judge_other_key(findings: Findings, ordinal: int, instance: Instance) -> None:
    """Another key than the wanted one, which was observed before: an outdated reply, or a conflict.

    A replica behind the others may report the former key, for less than the settle window.
    """
    run = findings.run
    since = findings.passing_since(ordinal)
    passed_ms = findings.at - since if since is not None else 0
    outdated = passed_ms < run.plan.restart.settle_window_ms
    if outdated and instance.key_pair == run.layout.targets[ordinal].former_key:
        findings.wait(ordinal)
    else:
        report_conflict(findings, ordinal, instance)


def report_conflict(findings: Findings, ordinal: int, instance: Instance) -> None:
    """Hold an instance to which another operator attached a key."""
    detail = f"key pair is `{instance.key_pair or 'none'}`"
    findings.drift(ordinal, Drift(DriftKind.CONFLICT, detail))
    findings.hold(ordinal, FOREIGN_KEY)


def start_moved(record: Restarting, instance: Instance) -> bool:
    """Return whether it started after the observation that its restart was judged on."""
    return 0 < record.base.started_at < instance.started_at


def spent(run: Run, ordinal: int) -> bool:
    """Return whether it has used all restart attempts, over all processes of the run."""
    return run.restart_tries[ordinal] >= limits.ATTEMPTS_MAX


def waited_out(findings: Findings, ordinal: int) -> bool:
    """Return whether a state that normally passes has lasted for the restart timeout."""
    since = findings.passing_since(ordinal)
    return since is not None and findings.at - since >= findings.run.plan.restart.timeout_ms


def _boot_evidence(record: Restarting, instance: Instance) -> str:
    """Return what proves that the restart happened; empty where nothing does, or where the reply is
    older than the observation before the restart, by its StartTime.
    """
    if 0 < instance.started_at < record.base.started_at:
        return ""
    if instance.status in _SIGNS[record.kind]:
        return "status"
    if start_moved(record, instance):
        return "start_time"  # also of instances that others have stopped again since
    return ""


def _judge_doubt(findings: Findings, ordinal: int, record: Restarting, instance: Instance) -> None:
    """Judge a restart of which nothing is visible after its settle window."""
    run = findings.run
    if ordinal in run.abandoned:
        _judge_abandoned(findings, ordinal, instance)
        return
    if _untouched(run, ordinal, record, instance):
        findings.move(ordinal, Trigger.OBSERVED_UNTOUCHED, "settle_window")
        if spent(run, ordinal):
            findings.hold(ordinal, "attempts")
        return
    policy = run.plan.on_unknown
    again = instance.status in _STEADY and not run.retried[ordinal] and not spent(run, ordinal)
    again = again and not record.answered and run.aborted is None
    if policy is OnUnknown.RETRY_ONCE and again:
        findings.move(ordinal, Trigger.RETRIED, "settle_window")
    elif policy is OnUnknown.ASSUME_DONE:
        findings.move(ordinal, Trigger.ASSUMED, "settle_window")
    else:
        findings.hold(ordinal, "unproven")


def _judge_abandoned(findings: Findings, ordinal: int, instance: Instance) -> None:
    """An operator gave it up. Running after its settle window it is not down because of us, since
    its restart can no longer come: its permit comes back.
    """
    if instance.status is Status.RUNNING and findings.run.ledger.permits[ordinal]:
        findings.move(ordinal, Trigger.OBSERVED_SERVING, "status")
    findings.hold(ordinal, "abandoned")


def _untouched(run: Run, ordinal: int, record: Restarting, instance: Instance) -> bool:
    """Return whether the restart provably did not happen. One that the service accepted may only be
    late: it is never repeated.
    """
    if record.answered:
        return False
    if record.kind is RestartKind.START:
        return instance.status is Status.STOPPED
    still = instance.status is Status.RUNNING and instance.started_at == record.base.started_at
    return still and instance.started_at > 0 and run.trusted(run.family(ordinal))


def _own_boot_from(run: Run, ordinal: int, record: Restarting) -> Instant:
    """Return from when on an observation of Running cannot be followed by the boot of our own
    reboot.

    Another operator's boot may precede ours and cannot be distinguished from it. Ours has begun
    once its call was answered, and is visible soon; after a lost reply it may begin until its
    settle window ends.
    """
    if record.answered or record.kind is RestartKind.START:
        return record.begun + run.status_lag_ms
    return run.settle_end(ordinal)


def _runs_again(findings: Findings, ordinal: int, record: Restarting, instance: Instance) -> bool:
    """Return whether this Running is of the boot after the restart, not an outdated reply.

    A row with a later StartTime is of that boot. Where StartTime has not moved, only an observation
    that started a settle window after one of another status cannot show the time before it.
    """
    if start_moved(record, instance):
        return True
    since = findings.pass_since(ordinal)
    return findings.at >= since + findings.run.plan.restart.settle_window_ms


def _judge_foreign_boot(findings: Findings, ordinal: int, instance: Instance) -> None:
    """Another operator booted it, and this process stopped before it was observed Running."""
    if instance.status is Status.RUNNING:
        findings.move(ordinal, Trigger.OBSERVED_RUNNING, "status")
    elif waited_out(findings, ordinal):
        findings.move(ordinal, Trigger.TIMED_OUT, "not_running")
    else:
        findings.wait(ordinal)


def _running(findings: Findings, ordinal: int, record: Restarting, instance: Instance) -> None:
    run = findings.run
    findings.move(ordinal, Trigger.OBSERVED_RUNNING, "status")
    clean = record.answered and run.restart_tries[ordinal] == 1
    if record.kind is RestartKind.START or not clean or not record.base.started_at:
        return
    moved = instance.started_at > record.base.started_at
    family = run.family(ordinal)
    if not moved or run.trust.get(family, [0])[0] < _CALIBRATIONS_MAX:
        counts = findings.calibrations.setdefault(family, [0, 0])
        counts[0 if moved else 1] += 1
