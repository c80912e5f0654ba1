"""What observations, timeouts and key comparisons changed, checked from the journal alone.

Called by `rules`. Shares no code with the core.
"""

from __future__ import annotations

from rollout.journal.recheck.calls import RunCalls
from rollout.journal.recheck.commands import STATED, Commands
from rollout.journal.recheck.instances import TargetStates, Violations
from rollout.journal.recheck.legal_moves import ABANDONED, FREES, MOVES, POLICIES, UNFINISHED, State
from rollout.model import event as ev
from rollout.model.event import Trigger

_REPEATS = frozenset({Trigger.OBSERVED_UNTOUCHED, Trigger.RETRIED})
"""Triggers after which an instance is restarted again."""


class EvidenceRules:
    """Moves of instances that no call caused."""

    def __init__(
        self, instances: TargetStates, calls: RunCalls, commands: Commands, violations: Violations
    ) -> None:
        self._instances, self._calls, self._commands = instances, calls, commands
        self._retried = bytearray(len(instances.targets))
        self._add, self._demand = violations.add, violations.demand

    def move(self, event: ev.Moved) -> None:
        """Check that plan, operator and state allow the trigger, and move each instance."""
        trigger, instances = event.trigger, self._instances
        abandons = trigger is Trigger.ABANDONED
        legal = (UNFINISHED, State.SKIPPED) if abandons else MOVES.get(trigger)
        if legal is None:
            self._add(f"{trigger} follows from the result of a call, not from an observation")
            return
        sources, target = legal
        policy = POLICIES.get(trigger)
        allowed = policy is None or instances.plan.on_unknown is policy
        self._demand(allowed, f"the plan does not allow {trigger}")
        for ordinal in instances.known(event.ordinals):
            stated = self._commands.allows(trigger, ordinal)
            if not stated:
                self._add(f"{trigger} without the statement of an operator")
            if abandons:
                target = ABANDONED.get(State(instances.states[ordinal]), State.SKIPPED)
            elif trigger is Trigger.OBSERVED_RUNNING:
                awaited = instances.plan.logins() is not None
                target = State.VERIFYING if awaited else self.in_force(ordinal)
            instances.move(ordinal, sources, target, trigger)
            if stated and trigger in STATED:
                instances.failures.accept((ordinal,))
            if trigger is Trigger.OBSERVED_ATTACHED:
                self._calls.observe_attach(ordinal)
                instances.material.attached(ordinal)
            if trigger in FREES:
                instances.free_permit(ordinal)
            if trigger in _REPEATS:
                self._check_repeat(trigger, ordinal)

    def compare(self, event: ev.KeyReady) -> None:
        """The key pair has the plan's material: instances that waited for this are done."""
        self._calls.keys.add(event.key_site)
        material = self._instances.material
        early = event.attached <= material.observed
        text = f"a key pair comparison in {event.region} covers attaches that follow it"
        self._demand(early, text)
        for ordinal in material.good(event.key_site, event.attached):
            self._instances.move(ordinal, (State.COMPARING,), State.DONE, "compared")

    def differ(self, event: ev.KeyChanged) -> None:
        """The key pair has other material: instances that waited are not verified."""
        instances = self._instances
        touched = range(State.ATTACHING, State.VERIFYING + 1)
        attached = [
            ordinal
            for ordinal, state in enumerate(instances.states)
            if state in touched and instances.key_site(ordinal) == event.key_site
        ]
        for ordinal in instances.material.bad(event.key_site, attached):
            instances.move(ordinal, (State.COMPARING,), State.UNVERIFIED, "compared")

    def in_force(self, ordinal: int) -> int:
        """Return the state of an instance with the key in force: done, unverified or comparing."""
        key_site, material = self._instances.key_site(ordinal), self._instances.material
        if material.holds(key_site, ordinal):
            return State.DONE
        if material.suspect(ordinal):
            return State.UNVERIFIED
        material.wait(key_site, ordinal)
        return State.COMPARING

    def _check_repeat(self, trigger: Trigger, ordinal: int) -> None:
        name, accepted = self._instances.name(ordinal), self._calls.accepted[ordinal]
        self._demand(not accepted, f"{name}: its restart was accepted and may not be repeated")
        if trigger is Trigger.RETRIED:
            self._demand(not self._retried[ordinal], f"{name} was retried twice")
            self._retried[ordinal] = 1
