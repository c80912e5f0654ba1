"""What login probes prove, checked from the journal and the plan alone.

Called by `rules`. Shares no code with the core.
"""

from __future__ import annotations

from rollout.journal.recheck.evidence import EvidenceRules
from rollout.journal.recheck.instances import TargetStates, Violations
from rollout.journal.recheck.legal_moves import State
from rollout.model import event as ev
from rollout.model.probe import KeyAccess, LoginVerdict


class LoginRules:
    """The host keys and the logins of one run."""

    def __init__(
        self, instances: TargetStates, evidence: EvidenceRules, violations: Violations
    ) -> None:
        self._instances, self._evidence = instances, evidence
        self._demand = violations.demand
        self._host_keys: dict[int, str] = {}
        self._former = {
            (one.site, one.name): one.public_key_digest for one in instances.plan.former()
        }

    def host_key(self, event: ev.HostKeyRead) -> None:
        """Note the host key of an instance. It is read after the attach, before the restart."""
        for ordinal in self._instances.known((event.ordinal,)):
            name, state = self._instances.name(ordinal), self._instances.states[ordinal]
            text = f"{name}: its host key was read while it was {State(state).name.lower()}"
            self._demand(state == State.ATTACHED, text)
            self._host_keys[ordinal] = event.host_key

    def probed(self, event: ev.LoginProbed) -> None:
        """Move an instance whose login was proved, or has failed."""
        instances = self._instances
        for ordinal in instances.known((event.ordinal,)):
            if event.verdict is not LoginVerdict.PROVED:
                instances.failures.reopen(ordinal)
                instances.move(ordinal, (State.VERIFYING,), State.FAILED, event.verdict)
                continue
            broken = self._broken(ordinal, event)
            text = f"{instances.name(ordinal)} is said to be proved by a login, but {broken}"
            self._demand(not broken, text)
            instances.move(ordinal, (State.VERIFYING,), self._evidence.in_force(ordinal), "proved")

    def _broken(self, ordinal: int, event: ev.LoginProbed) -> str:
        """Return what a proof lacks; empty where nothing is missing."""
        verify = self._instances.plan.logins()
        if verify is None:
            return "the plan wants no login"
        if event.detail:
            return f"the probe reports: {event.detail}"
        if verify.ssh is None:
            return ""
        before = self._host_keys.get(ordinal, "")
        if before and event.host_key != before:
            return "its host key is not the one from before the restart"
        if event.new_key is not KeyAccess.ACCEPTED:
            return f"the new key was {event.new_key.value}"
        refused = not self._has_former(ordinal) or event.former_key is KeyAccess.REFUSED
        if verify.ssh.expect_old_key_refused and not refused:
            return f"the former key was {event.former_key.value}"
        return ""

    def _has_former(self, ordinal: int) -> bool:
        """Return whether the plan knows another key that the instance must refuse."""
        instances = self._instances
        target, (site, key) = instances.targets[ordinal], instances.key_site(ordinal)
        former = self._former.get((site, target.former_key), "")
        return former not in ("", instances.plan.keys[key].public_key_digest)
