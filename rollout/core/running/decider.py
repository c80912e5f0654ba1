"""Decide for one run: fold events and replies into its state, and return intents and observations.

Called by `Loop`, and by the commands that start, resume or change a run. It has no clock and does
no I/O: each method gets `now`.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from rollout.core.invariant import invariant
from rollout.core.running import (
    carry,
    decide_instances,
    decide_run,
    gate_queries,
    gates,
    operators,
    thresholds,
)
from rollout.core.running.evolve import evolve
from rollout.core.running.follow import rebuild
from rollout.core.running.replies import Replies
from rollout.core.running.state import Run
from rollout.core.running.step import Step
from rollout.core.running.waiting import Waiting
from rollout.model import event as ev
from rollout.model.command import Observation, ObserveInstances, ObserveMembers, ObserveStatuses
from rollout.model.event import Actor, AnyEvent
from rollout.model.plan import RULES, Plan
from rollout.model.probe import Probe
from rollout.model.time import Instant

STEPS_MAX = 100_000
"""Steps of one turn; more would mean that decisions do not settle."""


class Turn(msgspec.Struct, frozen=True):
    """The decisions of one turn: calls to start once they are durable, and observations.

    The next turn is due at `wake`; None where only an arrival can bring more.
    """

    intents: tuple[ev.Issued, ...]
    observations: tuple[Observation, ...]
    wake: Instant | None
    probes: tuple[Probe, ...] = ()


class Decider(Replies):
    """One run's decider: its state, and the events that are not in the journal yet."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(Waiting.of(Run.of(plan)))
        self.after_step: Callable[[Decider], None] = lambda _: None
        """Called after every step of a turn: the simulator checks invariants here."""
        self.waits = True
        """Whether this process waits for an operator. It halts instead where it does not."""

    # life

    def start(self, run_id: str, plan_digest: str, actor: Actor, now: Instant) -> None:
        """Start a new run."""
        plan = self.run.plan
        started = ev.RunStarted(
            ev.FORMAT_VERSION,
            run_id,
            plan_digest,
            plan.spec_digest,
            plan.inventory_digest,
            RULES,
            actor,
            now,
        )
        self.put(started, now)

    def fold(self, event: AnyEvent) -> None:
        """Fold an event that is in the journal already."""
        evolve(self.run, event)

    def resume(self, actor: Actor, now: Instant) -> None:
        """Continue a folded run under a new epoch. If it halted for failures, they are accepted,
        and the journal records by whom.
        """
        accepted = [] if self.run.aborted else list(thresholds.accepted(self.run, actor))
        self.put(ev.Resumed(self.run.epoch + 1, actor, now), now)
        for event in accepted:
            self.put(event, now)
        self.use(Waiting.of(self.run))
        rebuild(self.waiting, now)

    def carry(self) -> bytes:
        """Return the state as bytes, so that another process can continue with `load`. Events that
        are not in the journal yet are not part of it.
        """
        return carry.carry(self.waiting)

    def load(self, carried: bytes) -> None:
        """Continue with the state of another decider of the same plan."""
        self.use(carry.load(self.run.plan, carried))

    def drain(self, word: str, actor: str, now: Instant) -> None:
        """Start no new call in this process: `actor` requested it, by a signal named `word`."""
        if not self.run.stopping:
            self.put(ev.Drained(word, actor), now)

    def halt(self, halted: ev.Halted, now: Instant) -> None:
        """Halt for a reason that the core cannot see, such as a disk that is nearly full."""
        if not self.run.stopping:
            self.put(halted, now)

    def operate(self, order: ev.OperatorCommand, now: Instant) -> str:
        """Apply an operator's command and the events that follow from it.

        Return why it was refused, which is journaled too; empty where it was applied.
        """
        refused = operators.refusal(self.run, order, now)
        if refused:
            if self.run.closed is None:
                text = operators.refused_text(order.command, refused)
                self.put(ev.Anomaly(0, text), now)
            return refused
        self.put(order, now)
        for event in list(operators.follows(self.run, order)):
            self.put(event, now)
        return ""

    @property
    def idle(self) -> bool:
        """Whether no call is open, so that a stopping run may end."""
        return not self.run.open_calls

    # decisions

    def take_events(self) -> list[AnyEvent]:
        """Return the events since the last call of this, in order: the journal must hold them."""
        events, self.new = self.new, []
        return events

    def turn(self, now: Instant) -> Turn:
        """Decide, put, decide again, until nothing is left to decide at this instant."""
        intents: list[ev.Issued] = []
        observations: list[Observation] = []
        probes: list[Probe] = []
        events, wake = decide_run.decide(self.run, self.watching, now)
        for _ in range(STEPS_MAX):
            self.waiting.advance(now)
            step = decide_instances.decide(self.waiting, now) if not events else None
            if not events and not step:
                stop = gates.stop(self.run) if not self.waits or self.run.windows_over else None
                if stop is not None:
                    self.put(stop, now)
                self.watching.calibrated.clear()
                queries = gate_queries.due(self.run, self.watching.queries, now)
                if queries:
                    observations += queries
                    self.watching.queries.update(dict.fromkeys(queries))
                    wake = decide_run.decide(self.run, self.watching, now)[1]
                next_at = self._wake(wake)
                return Turn(tuple(intents), tuple(observations), next_at, tuple(probes))
            events = events if step is None else step.events
            for event in events:
                self.put(event, now)
                if isinstance(event, ev.Issued):
                    intents.append(event)
            if step is not None:
                observations += step.observations
                probes += step.probes
                self._begin(step, now)
            self.after_step(self)
            if events:  # without one, the run as a whole needs nothing that it did not need before
                events, wake = decide_run.decide(self.run, self.watching, now)
        invariant(condition=False, text="a turn does not settle")
        raise AssertionError

    def _wake(self, run_wake: Instant | None) -> Instant | None:
        """Return when the next turn is due without a new input; None while stopping."""
        if self.run.stopping:
            return None
        wakes = (run_wake, self.waiting.wake(), self.watching.census.wake())
        return min((at for at in wakes if at is not None), default=None)

    def _begin(self, step: Step, now: Instant) -> None:
        """Note the observations that a step starts and the instances that it parks."""
        for observation in step.observations:
            if isinstance(observation, ObserveMembers):
                self.watching.census.started(observation)
            elif isinstance(observation, ObserveInstances):
                self.waiting.observation_started(observation.site, observation.ordinals)
            elif isinstance(observation, ObserveStatuses):
                self.watching.confirmation_started(observation.site, observation.ordinals)
            else:
                self.watching.keys.start(observation.key_site, now)
        for probe in step.probes:
            self.watching.logins.started(probe)
        for ordinals in step.returns:
            self.waiting.return_checked(ordinals, now)
        for ordinal, group in step.parks:
            self.waiting.park(ordinal, group)
        for ordinal, group in step.paced:
            self.waiting.pace(ordinal, group)
