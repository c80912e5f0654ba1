"""The commands of operators, checked from the journal alone.

Called by `rules`. Shares no code with the core.
"""

from __future__ import annotations

from collections.abc import Sequence

from rollout.model.event import OperatorCommand, OperatorVerb, Resolution, Trigger
from rollout.model.plan import Target

STATED: dict[Trigger, Resolution] = {
    Trigger.STATED_RESTARTED: Resolution.RESTARTED,
    Trigger.STATED_UNTOUCHED: Resolution.UNTOUCHED,
    Trigger.ABANDONED: Resolution.ABANDON,
}
"""Moves that need the statement of an operator."""


class Commands:
    """The commands of one run so far."""

    def __init__(self, targets: Sequence[Target]) -> None:
        self._targets = targets
        self._stated: set[tuple[int, Resolution]] = set()
        self._promotions: dict[str, bool] = {}
        self.aborted = self.paused = False
        self.abandoned: set[int] = set()

    def take(self, event: OperatorCommand) -> str:
        """Fold one command; return its violation as text, empty if there is none."""
        match event.command:
            case OperatorVerb.ABORT:
                self.aborted = True
                return ""
            case OperatorVerb.PAUSE:
                self.paused = True
                return ""
            case OperatorVerb.RESUME:
                self.paused = False
                return ""
            case OperatorVerb.PROMOTE:
                if event.full or not self.paused:
                    self._promotions[event.id] = event.full
                self.paused = False
                return ""
        named = (o for o, target in enumerate(self._targets) if target.instance == event.instance)
        ordinal = next(named, None)
        if ordinal is None or event.resolution is None:
            return f"the command to resolve {event.instance} names no target or no resolution"
        self._stated.add((ordinal, event.resolution))
        if event.resolution is Resolution.ABANDON:
            self.abandoned.add(ordinal)
        return ""

    def promotes(self, order: str) -> bool:
        """Return whether this command opens a manual gate. Only a full promotion opens several."""
        full = self._promotions.get(order)
        if full is False:
            del self._promotions[order]
        return full is not None

    def allows(self, trigger: Trigger, ordinal: int) -> bool:
        """Return whether the move needs no statement, or an operator made it. It counts once."""
        if trigger is Trigger.OBSERVED_SERVING:
            return ordinal in self.abandoned
        resolution = STATED.get(trigger)
        if resolution is None:
            return True
        stated = (ordinal, resolution) in self._stated
        self._stated.discard((ordinal, resolution))
        return stated
