"""Judge the replies to calls, observations and probes, and put the events that follow from them.

The base of `Decider`, which adds the life of a run and its decisions.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence

from rollout.core.invariant import invariant
from rollout.core.running import evidence, login_evidence
from rollout.core.running.arrivals import Reply
from rollout.core.running.evolve import evolve
from rollout.core.running.evolve_calls import ALARMS
from rollout.core.running.findings import Findings
from rollout.core.running.follow import follow, place, record
from rollout.core.running.journey import Phase
from rollout.core.running.stations import IN_FLIGHT, Station
from rollout.core.running.waiting import Waiting
from rollout.model import event as ev
from rollout.model import limits
from rollout.model.command import (
    ImportKey,
    Observation,
    ObserveInstances,
    ObserveKeyPair,
    ObserveMembers,
    ObserveStatuses,
    QueryGate,
    RestartCall,
    ServiceObservation,
)
from rollout.model.event import AnyEvent
from rollout.model.gate import GateAnswer, GateReply
from rollout.model.halts import HaltReason, halted
from rollout.model.instance import Instance
from rollout.model.observation import Described, KeyDescribed, StatusesDescribed
from rollout.model.outcome import Answer, Outcome, Refused, RetryClass, Unknown, shortened
from rollout.model.plan import public_key_digest
from rollout.model.probe import HostKeySeen, LoginSeen, Probe
from rollout.model.site import KeySite, Site
from rollout.model.text import cut
from rollout.model.time import Instant, format_instant

_ANSWERED = frozenset({RetryClass.THROTTLED, RetryClass.DENIED, RetryClass.CLOCK})
"""Refusals of an observation that show that the service is reachable."""


class Replies:
    """The state of one run, and the events that are not in the journal yet."""

    def __init__(self, waiting: Waiting) -> None:
        self.new: list[AnyEvent] = []
        self.use(waiting)

    def use(self, waiting: Waiting) -> None:
        """Continue with this state."""
        self.waiting, self.watching, self.run = waiting, waiting.watching, waiting.run

    def put(self, event: AnyEvent, now: Instant) -> None:
        """Fold an event and keep it for the journal."""
        issued = self.run.open_calls.get(event.n) if isinstance(event, ev.Settled) else None
        self.new.append(event)
        evolve(self.run, event)
        follow(self.waiting, event, issued, now)

    def call_ended(self, n: int, answer: Answer, now: Instant) -> None:
        """Journal how call `n` ended; `answer.items` are the exceptions by instance id."""
        if self.run.closed is not None:
            return
        issued = self.run.open_calls.get(n)
        items: tuple[tuple[int, Outcome], ...] = ()
        if issued is not None and not isinstance(issued.command, ImportKey):
            command = issued.command
            pairs = zip(command.ordinals, command.instances, strict=True)
            items = tuple(
                (o, shortened(answer.items[i], now)) for o, i in pairs if i in answer.items
            )
        counted = issued is not None and isinstance(issued.command, RestartCall)
        latest = self.watching.latest(now) if counted and self.run.rates.rates else now
        service_at = latest if latest > now else 0
        self.put(ev.Settled(n, now, shortened(answer.outcome, now), items, service_at), now)
        for text in answer.anomalies:
            self.put(ev.Anomaly(n, text), now)

    def observation_ended(
        self, observation: Observation, reply: Reply, sent_at: Instant, now: Instant
    ) -> None:
        """Judge the reply to an observation that was sent at `sent_at`, or the lack of one."""
        if isinstance(observation, QueryGate):
            self.gate_answered(observation, reply, sent_at, now)
            return
        if not isinstance(reply, GateReply | Refused | Unknown):
            watching, api_time = self.watching, reply.api_time
            watching.service_time = max(watching.service_time, api_time)
            watching.offset = watching.offset.narrowed(api_time, sent_at, now)
        match observation, reply:
            case ObserveMembers(), Described(instances=instances, api_time=api_time):
                self.members_observed(observation, instances, sent_at, api_time, now)
            case ObserveInstances(), Described(instances=instances, api_time=api_time):
                self.instances_observed(observation, instances, sent_at, api_time, now)
            case ObserveStatuses(), StatusesDescribed(statuses=statuses, api_time=api_time):
                self.statuses_observed(observation, statuses, api_time, now)
            case ObserveKeyPair(), KeyDescribed(public_key=key, fingerprint=fingerprint):
                self.key_pair_observed(observation, key, fingerprint, now)
            case _, Refused() | Unknown():
                self.observation_failed(observation, reply, now)
            case _:
                invariant(condition=False, text="a reply answers its observation")

    def instances_observed(
        self,
        observation: ObserveInstances,
        instances: Sequence[Instance],
        sent_at: Instant,
        api_time: Instant,
        now: Instant,
    ) -> None:
        """Judge observed instances; those that the service does not show are left out."""
        self.watching.replied(observation.site)
        self.waiting.observation_ended(observation.site, observation.ordinals)
        if self.run.stopping:
            return
        self._apply(evidence.judge(self.waiting, observation, instances, sent_at, api_time), now)
        if now - sent_at <= limits.STATE_AGE_MAX_MS:
            census = self.watching.census
            self._put_all(census.judge_targets(observation.ordinals, instances, api_time), now)

    def members_observed(
        self,
        observation: ObserveMembers,
        instances: Sequence[Instance],
        sent_at: Instant,
        api_time: Instant,
        now: Instant,
    ) -> None:
        """Judge the members that a census observed; those that the service does not show are left
        out.
        """
        self.watching.replied(observation.site)
        census = self.watching.census
        if census.answered(observation, sent_at, now) and not self.run.stopping:
            self._put_all(census.judge(observation.ordinals, instances, api_time), now)

    def statuses_observed(
        self, observation: ObserveStatuses, ids: Container[str], api_time: Instant, now: Instant
    ) -> None:
        """Judge which missing instances a second API shows: those in `ids`."""
        self.watching.replied(observation.site)
        self.waiting.observation_ended(observation.site, observation.ordinals)
        if self.run.stopping:
            return
        self._apply(evidence.confirm(self.waiting, observation, ids, now, api_time), now)

    def _put_all(self, events: Iterable[AnyEvent], now: Instant) -> None:
        for event in list(events):
            self.put(event, now)

    def _apply(self, findings: Findings, now: Instant) -> None:
        record(self.watching, findings)
        for event in findings.events():
            self.put(event, now)
        place(self.waiting, findings, now)

    def key_pair_observed(
        self, observation: ObserveKeyPair, public_key: str, fingerprint: str, now: Instant
    ) -> None:
        """Compare an observed key pair; `public_key` is empty where there is none of its name."""
        key_site = observation.key_site
        self.watching.replied(observation.site)
        comparison = self.watching.keys.end(key_site)
        if self.run.stopping:
            return
        wanted = self.run.plan.keys[observation.key]
        planned = next(
            (region for region in wanted.regions if region.site == observation.site), None
        )
        known = self.run.keys.get(key_site) or (planned.fingerprint if planned else "")
        if not public_key:
            absent = planned is not None and not planned.present
            importable = absent and key_site not in self.run.keys
            self._key_missing(key_site, importable=importable, now=now)
        elif public_key_digest(public_key) != wanted.public_key_digest:
            self._key_changed(key_site, "does not have the plan's public key", now)
        elif known and known != fingerprint:
            self._key_changed(key_site, "was recreated: the fingerprint changed", now)
        else:
            self.watching.keys.good[key_site] = comparison
            attached = comparison.attached
            self.put(ev.KeyReady(*observation.site, fingerprint, attached, observation.key), now)

    def gate_answered(self, query: QueryGate, reply: Reply, asked: Instant, now: Instant) -> None:
        """Journal the answer to a question of the gate that waits; no answer is `unknown`."""
        self.watching.queries.pop(query, None)
        gate = self.run.gate
        if self.run.stopping or gate is None or gate.wave != query.wave:
            return
        if not isinstance(reply, GateReply):
            reply = GateReply(GateAnswer.UNKNOWN, "no answer")
        text = cut(reply.text, limits.GATE_TEXT_MAX)
        self.put(ev.GateAnswered(query.wave, query.gate, reply.answer, text, asked, now), now)

    def observation_failed(
        self, observation: ServiceObservation, outcome: Refused | Unknown, now: Instant
    ) -> None:
        """Repeat an observation without a reply. Halt where each repetition would be refused, or
        where the site has not replied for `SILENCE_MAX_MS`: but for a census, which counts members
        without a reply as down.
        """
        site = observation.site
        if isinstance(observation, ObserveMembers):
            self.watching.census.failed(observation, now)
            return
        if isinstance(observation, ObserveInstances | ObserveStatuses):
            self.waiting.observation_ended(observation.site, observation.ordinals)
            for ordinal in observation.ordinals:
                if self.waiting.stations.at(ordinal) in IN_FLIGHT | {Station.CONFIRMING}:
                    self.watching.watch(ordinal, now)
        else:
            self.watching.keys.end(observation.key_site)
            self.watching.keys.again_later(observation.key_site, now)
        if self.run.stopping:
            return
        halt = self._refused(observation, outcome) or self._silent(site, outcome, now)
        if halt is not None:
            self.put(halt, now)

    def probe_ended(self, probe: Probe, seen: HostKeySeen | LoginSeen, now: Instant) -> None:
        """Judge what a probe observed; repeat the probe of a login that is not decided yet."""
        run, logins, ordinal = self.run, self.watching.logins, probe.ordinal
        logins.ended(probe)
        if run.stopping:
            return
        if isinstance(seen, HostKeySeen):
            if run.phase(ordinal) is Phase.ATTACHED and not run.held[ordinal]:
                self.put(
                    ev.HostKeyRead(ordinal, seen.host_key, seen.why[: login_evidence.DETAIL_MAX]),
                    now,
                )
        elif run.phase(ordinal) is Phase.VERIFYING:
            event = login_evidence.judge(run, ordinal, seen, logins.waited_ms(ordinal, now))
            if event is None:
                logins.again(ordinal, now)
            else:
                self.put(event, now)

    def _key_missing(self, key_site: KeySite, *, importable: bool, now: Instant) -> None:
        tries = self.watching.keys.imports.get(key_site, 0)
        if not importable or tries >= limits.ATTEMPTS_MAX or self.run.aborted:
            self._key_changed(key_site, "does not exist", now)
            return
        self.watching.keys.missing[key_site] = None
        if tries:
            self.watching.keys.again_later(key_site, now)

    def _refused(
        self, observation: ServiceObservation, outcome: Refused | Unknown
    ) -> ev.Halted | None:
        """Return the halt for a refusal that every other observation would meet too.

        A run can do without DescribeInstanceStatus: a refusal of it only shows, like throttling,
        that the service is reachable.
        """
        if not isinstance(outcome, Refused) or outcome.retry not in _ANSWERED:
            return None
        self.watching.replied(observation.site)
        if outcome.retry is RetryClass.THROTTLED or isinstance(observation, ObserveStatuses):
            return None
        instances = isinstance(observation, ObserveInstances)
        action = "DescribeInstances" if instances else "DescribeKeyPairs"
        return halted(ALARMS[outcome.retry], f"{action}: {outcome.code}: {outcome.message}")

    def _silent(self, site: Site, outcome: Refused | Unknown, now: Instant) -> ev.Halted | None:
        """Return the halt for a site without any reply for `SILENCE_MAX_MS`."""
        if isinstance(outcome, Refused) and outcome.retry in _ANSWERED:
            return None
        silent_ms = self.watching.silent_for(site, now)
        if silent_ms < limits.SILENCE_MAX_MS:
            return None
        since = format_instant(now - silent_ms)
        why = outcome.why if isinstance(outcome, Unknown) else outcome.code
        where = f"region {site.region} of account {site.account}"
        text = f"no answer from {where} since {since}, last: {why}"
        return halted(HaltReason.UNREACHABLE, text)

    def _key_changed(self, key_site: KeySite, what: str, now: Instant) -> None:
        site, key = key_site
        text = f"key pair {self.run.plan.keys[key].name} in {site.region} {what}"
        self.put(ev.KeyChanged(*site, what, key), now)
        if self.run.aborted is None:
            self.put(halted(HaltReason.KEY_PAIR, text), now)
