"""What an observation proves of an instance before its attach and before its restart.

Part of `evidence`, its only caller. Reads both halves of the state and fills findings.
"""

from __future__ import annotations

from rollout.core.running import drift
from rollout.core.running.evolve_phases import FOREIGN_KEY, KEY_CHANGED
from rollout.core.running.findings import Findings
from rollout.core.running.restart_evidence import (
    judge_other_key,
    judge_settling,
    report_conflict,
    spent,
    start_moved,
    waited_out,
)
from rollout.model import limits
from rollout.model.event import DriftKind, Trigger
from rollout.model.instance import Instance, Status
from rollout.model.plan import RestartKind

_STEADY = (Status.RUNNING, Status.STOPPED)


def judge_planned(findings: Findings, ordinal: int, instance: Instance) -> None:
    """Compare and set: an instance is attached only where it matches the plan."""
    run, wanted = findings.run, findings.run.layout.wanted(ordinal).name
    found = drift.judge(
        run.layout.targets[ordinal],
        instance,
        wanted,
        own_attach=run.attach_tries[ordinal] > 0,
        at_api=findings.api_time,
    )
    if found is not None:
        findings.drift(ordinal, found)
    if found is not None and found.kind is DriftKind.CONFLICT:
        findings.hold(ordinal, FOREIGN_KEY)
    elif found is not None and found.kind is DriftKind.MATERIAL:
        findings.hold(ordinal, found.ends)
    elif found is not None and found.ends:
        findings.move(ordinal, Trigger.DROPPED, found.ends)
    elif instance.key_pair == wanted:
        findings.move(ordinal, Trigger.OBSERVED_ATTACHED, "key_pair")
        _ready(findings, ordinal, instance)
    else:
        _steady(findings, ordinal, instance, findings.checked)


def judge_attaching(findings: Findings, ordinal: int, instance: Instance) -> None:
    """Read the attach back: only the record of the instance proves it."""
    run = findings.run
    record = run.attaching[ordinal]
    if instance.key_pair == run.layout.wanted(ordinal).name:
        findings.move(ordinal, Trigger.OBSERVED_ATTACHED, "key_pair")
        _ready(findings, ordinal, instance)
    elif instance.key_pair != run.layout.targets[ordinal].former_key:
        report_conflict(findings, ordinal, instance)
    elif findings.at < record.left_by + run.plan.restart.settle_window_ms:
        findings.watch(ordinal)  # the reply may be outdated, or the call still arrive
    elif run.attach_tries[ordinal] < limits.ATTEMPTS_MAX:
        findings.move(ordinal, Trigger.OBSERVED_UNATTACHED, "key_pair")
    else:
        findings.move(ordinal, Trigger.GAVE_UP, "not_attached")


def judge_attached(findings: Findings, ordinal: int, instance: Instance) -> None:
    """A new observation before the restart, or another operator's boot after the attach."""
    run = findings.run
    attached_at = run.attached_at.get(ordinal, 0)
    window_ms = run.plan.restart.settle_window_ms  # StartTime is stamped later than a boot begins
    if instance.key_pair != run.layout.wanted(ordinal).name:
        judge_other_key(findings, ordinal, instance)
    elif instance.locks:
        findings.hold(ordinal, "locked")
    elif ordinal in run.comparisons.doubted:
        findings.hold(ordinal, KEY_CHANGED)  # a restart would put other material in force
    elif (record := run.restarting.get(ordinal)) and start_moved(record, instance):
        findings.move(ordinal, Trigger.OBSERVED_BOOTED, "start_time")  # the former restart, late
        judge_settling(findings, ordinal, instance)
    elif instance.status is Status.RUNNING and 0 < attached_at < instance.started_at - window_ms:
        findings.move(ordinal, Trigger.OBSERVED_BOOTED, "foreign_restart")
        findings.move(ordinal, Trigger.OBSERVED_RUNNING, "status")
    elif spent(run, ordinal):
        findings.hold(ordinal, "attempts")
    else:
        _ready(findings, ordinal, instance)


def _ready(findings: Findings, ordinal: int, instance: Instance) -> None:
    """Attached: it may be restarted, unless another operator stopped it after planning.

    Such an instance is stranded once it was Stopped for a settle window: until then it may be in
    the middle of another operator's restart, or of a restart of this run that takes effect late.
    """
    planned = findings.run.layout.targets[ordinal].restart
    if instance.status is not Status.STOPPED or planned is RestartKind.START:
        _steady(findings, ordinal, instance, findings.ready)
        return
    since = findings.pass_since(ordinal)
    if findings.at - since < findings.run.plan.restart.settle_window_ms:
        findings.watch(ordinal)
    else:
        findings.move(ordinal, Trigger.LEFT_STOPPED, "stopped_after_attach")


def _steady(findings: Findings, ordinal: int, instance: Instance, onward: list[int]) -> None:
    """Running or Stopped continues; any other status is waited for, as long as a restart may
    take.
    """
    if instance.status in _STEADY:
        findings.since[ordinal] = None
        onward.append(ordinal)
    elif waited_out(findings, ordinal):
        findings.hold(ordinal, "transitional")
    else:
        findings.wait(ordinal)
