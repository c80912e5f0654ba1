"""Judge the replies to observations: findings out, no state changed.

Called by the decider for every reply. Decides nothing about budgets. The rules of evidence: a
status other than Running after the intent, or a StartTime above the recorded minute, proves a boot;
that a restart did not happen is proved only where StartTime is known to move.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence

from rollout.core.planning.selection import rotatable_os
from rollout.core.running import attach_evidence, external, restart_evidence
from rollout.core.running.drift import Drift
from rollout.core.running.evolve_phases import FOREIGN_KEY, GONE
from rollout.core.running.findings import Findings
from rollout.core.running.journey import Phase
from rollout.core.running.stations import IN_FLIGHT, Station
from rollout.core.running.waiting import Waiting
from rollout.core.running.watching import Absence, Sample
from rollout.model.command import ObserveInstances, ObserveStatuses
from rollout.model.event import DriftKind, Trigger
from rollout.model.instance import Instance
from rollout.model.observation import Observed
from rollout.model.time import Instant

_ABSENT_READS = 2
"""Replies that list others but not an instance, before a second API is called."""


def judge(
    waiting: Waiting,
    observation: ObserveInstances,
    listed: Sequence[Instance],
    at: Instant,
    api_time: Instant,
) -> Findings:
    """Judge every instance of an observation that started at `at`.

    An instance that an operator has moved on since then is left out.
    """
    run, watching = waiting.run, waiting.watching
    findings = Findings(run, watching, observation.site, at, api_time)
    by_id = {instance.id: instance for instance in listed}
    for ordinal, wanted_id in zip(observation.ordinals, observation.instances, strict=False):
        if waiting.stations.at(ordinal) not in IN_FLIGHT:
            continue
        instance = by_id.get(wanted_id)
        if instance is None:
            _missing(findings, ordinal, others=bool(by_id))
        else:
            _listed(findings, ordinal, instance)
    _judge_witness(findings, observation, by_id)
    return findings


def confirm(
    waiting: Waiting,
    observation: ObserveStatuses,
    listed: Container[str],
    at: Instant,
    api_time: Instant,
) -> Findings:
    """Judge the reply of the second API: missing instances that it does not list either are gone.

    A reply without the witness proves nothing; a caller without permission gets such a reply.
    """
    findings = Findings(waiting.run, waiting.watching, observation.site, at, api_time)
    witnessed = observation.instances[-1] in listed
    for ordinal, instance in zip(observation.ordinals, observation.instances, strict=False):
        if waiting.stations.at(ordinal) is not Station.CONFIRMING:
            continue
        if witnessed and instance not in listed:
            findings.drift(ordinal, Drift(DriftKind.NARROWING, GONE))
            findings.move(ordinal, Trigger.DROPPED, GONE)
            continue
        if witnessed:
            findings.absent[ordinal] = None
        findings.watch(ordinal)
    return findings


def _listed(findings: Findings, ordinal: int, instance: Instance) -> None:
    run, watching = findings.run, findings.watching
    findings.absent[ordinal] = None
    findings.witness = ordinal
    observed = Observed(instance.status, instance.key_pair, instance.started_at, findings.api_time)
    findings.samples[ordinal] = Sample(observed, findings.at)
    last = watching.last.get(ordinal)
    before = last.observed if last and last.at < findings.at else None
    if restarted := external.foreign_restart(run, ordinal, before, instance):
        findings.restarts.setdefault(restarted, []).append(ordinal)
    if ordinal in run.foreign and instance.key_pair == run.layout.wanted(ordinal).name:
        findings.hold(ordinal, FOREIGN_KEY)
    elif run.phase(ordinal) is not Phase.PLANNED and rotatable_os(instance) is not None:
        _os_changed(findings, ordinal, instance)
    else:
        _JUDGES[run.phase(ordinal)](findings, ordinal, instance)


def _os_changed(findings: Findings, ordinal: int, instance: Instance) -> None:
    """Another operating system than the planned one: the key will never be in force on it."""
    detail = f"OS is {instance.os.value} {instance.os_name}"
    findings.drift(ordinal, Drift(DriftKind.MATERIAL, detail))
    findings.hold(ordinal, "os_changed")


def _missing(findings: Findings, ordinal: int, *, others: bool) -> None:
    """Not in the reply: unknown, and it keeps its permit. A reply may be partial, so the instance
    is gone only when it was missing for a settle window and a second API does not list it either.
    """
    restart = findings.run.plan.restart
    known = findings.absence(ordinal)
    first, reads = (known.since, known.reads) if known else (findings.at, 0)
    absence = findings.absent[ordinal] = Absence(first, reads + others)
    since, window_ms = findings.pass_since(ordinal), restart.settle_window_ms
    witness = findings.witness
    witnessed = witness is not None and findings.absence(witness) is None
    if findings.at - since >= restart.timeout_ms + window_ms:
        findings.hold(ordinal, "unseen")
    elif witnessed and absence.reads >= _ABSENT_READS and findings.at - first >= window_ms:
        findings.missing.append(ordinal)
    else:
        findings.wait(ordinal)


def _judge_witness(
    findings: Findings, observation: ObserveInstances, listed: Container[str]
) -> None:
    """Use the witness that a reply lists, and no longer use one that a reply leaves out."""
    targets = findings.run.layout.targets
    for instance in observation.instances[len(observation.ordinals) :]:
        known = findings.witness
        if known is not None and targets[known].instance == instance:
            findings.witness_lost = instance not in listed
        elif instance in listed and (known is None or findings.absence(known) is not None):
            for ordinal in findings.run.layout.site_ends[findings.site]:
                if targets[ordinal].instance == instance:
                    findings.witness = ordinal


_JUDGES: dict[Phase, Callable[[Findings, int, Instance], None]] = {
    Phase.PLANNED: attach_evidence.judge_planned,
    Phase.ATTACHING: attach_evidence.judge_attaching,
    Phase.ATTACHED: attach_evidence.judge_attached,
    Phase.RESTARTING: restart_evidence.judge_restarting,
    Phase.IN_DOUBT: restart_evidence.judge_restarting,
    Phase.SETTLING: restart_evidence.judge_settling,
}
