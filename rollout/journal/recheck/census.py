"""Members of groups that are down without the run, checked from the journal alone.

Called by `rules`, `calls` and `instances`. Shares no code with the core.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from rollout.model import event as ev
from rollout.model import limits
from rollout.model.plan import Plan, RestartKind
from rollout.model.spec import FLEET


class CensusRules:
    """Which members are down without a call of the run, and whether a census is recent enough.

    `down` counts them by group. `demand` gets each condition with the text of its violation.
    """

    def __init__(self, plan: Plan, demand: Callable[[object, str], None]) -> None:
        first = sum(1 for _ in plan.targets())
        self._groups = {
            first + position: out.groups or ()
            for position, out in enumerate(plan.exclusions)
            if out.groups
        }
        capped = [bool(plan.budgets[one.budget].max_down) for one in plan.groups]
        parts = [one.key != FLEET for one in plan.groups]
        for ordinal, target in enumerate(plan.targets()):
            reboots = target.restart is RestartKind.REBOOT
            if reboots and any(capped[group] and parts[group] for group in target.groups):
                self._groups[ordinal] = target.groups
        self._since: dict[int, int] = {}
        self._lasting: set[int] = set()
        self._paused = False
        self._taken = not self._groups
        self.down: Counter[int] = Counter()
        self._demand = demand

    def take(self, event: ev.AnyEvent) -> None:
        """Fold an event about members, or one after which a new census is due."""
        match event:
            case ev.MembersDown(lasting=False):
                for ordinal in self._known(event.ordinals):
                    new = ordinal not in self._since
                    self._demand(new, f"member {ordinal} is down twice")
                    self._since[ordinal] = event.at
                    self.down.update(self._groups[ordinal] if new else ())
            case ev.MembersDown():
                for ordinal in self._known(event.ordinals):
                    old = event.at - self._since.get(ordinal, event.at) >= limits.CENSUS_EVERY_MS
                    text = f"member {ordinal} is given up after less than ten minutes"
                    self._demand(old and ordinal not in self._lasting, text)
                    self._lasting.add(ordinal)
            case ev.MembersUp():
                for ordinal in self._known(event.ordinals):
                    was_down = self._since.pop(ordinal, None) is not None
                    self._demand(was_down, f"member {ordinal} is up and was not down")
                    self.down.subtract(self._groups[ordinal] if was_down else ())
                    self._lasting.discard(ordinal)
            case ev.Moved(trigger=ev.Trigger.DROPPED, evidence="gone", ordinals=ordinals):
                for ordinal in ordinals:
                    self.take_over(ordinal)
            case ev.CensusTaken():
                self._taken = True
            case ev.WaveStarted() | ev.Resumed() | ev.WindowOpened():
                self._expire()
            case ev.OperatorCommand(command=ev.OperatorVerb.PAUSE):
                self._paused = True
            case ev.OperatorCommand(command=ev.OperatorVerb.RESUME | ev.OperatorVerb.PROMOTE):
                if self._paused:
                    self._expire()
                self._paused = False
            case _:
                pass

    def take_over(self, ordinal: int) -> None:
        """Count a target no more: the run has permits for it, or it was released."""
        if self._since.pop(ordinal, None) is not None:
            self.down.subtract(self._groups[ordinal])
            self._lasting.discard(ordinal)

    def restarts(self, call: int) -> None:
        """Check I-95: a census was taken since the wave, the process or the window began."""
        self._demand(self._taken, f"call {call} restarts before a census of the groups")

    def _expire(self) -> None:
        self._taken = not self._groups

    def _known(self, ordinals: Iterable[int]) -> list[int]:
        known = [ordinal for ordinal in ordinals if ordinal in self._groups]
        self._demand(len(known) == len(tuple(ordinals)), "a census names what is no member")
        return known
