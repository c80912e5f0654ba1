"""The approvals of a run's plan, checked from the journal alone: enough keys signed its digest.

Called by `rules`. Verifies every signature again with the keys in the plan.
"""

from __future__ import annotations

from rollout.journal.recheck.instances import Violations
from rollout.model import approval
from rollout.model import event as ev
from rollout.model.event import AnyEvent
from rollout.model.plan import Plan
from rollout.model.signed_note import NoteError


class ApprovalRules:
    """The approvals that a journal contains, and the number that the plan requires."""

    def __init__(self, plan: Plan, violations: Violations) -> None:
        self._approvers = plan.approvers()
        self._demand = violations.demand
        self._digest = ""
        self.signed: list[str] = []

    @property
    def required(self) -> int:
        """The number of approvals that the plan requires."""
        return self._approvers.required if self._approvers else 0

    def take(self, event: AnyEvent) -> None:
        """Verify an approval and count it, and demand the required ones before a wave starts."""
        match event:
            case ev.RunStarted():
                self._digest = event.plan_digest
            case ev.Approved():
                self._approved(event)
            case ev.WaveStarted():
                text = f"a wave started with {len(self.signed)} of {self.required} approvals"
                self._demand(len(self.signed) >= self.required, text)
            case _:
                pass

    def _approved(self, event: ev.Approved) -> None:
        if self._approvers is None:
            self._demand(condition=False, text="an approval, but the plan requires none")
            return
        try:
            counted = approval.counted([event.note], self._digest, self._approvers)
        except NoteError as error:
            self._demand(condition=False, text=f"the approval by {event.key} is not valid: {error}")
            return
        self._demand(event.key in counted, f"{event.key} did not approve this plan")
        self._demand(event.key not in self.signed, f"the approval by {event.key} appears twice")
        if event.key in counted:
            self.signed.append(event.key)
