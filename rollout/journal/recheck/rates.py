"""The rates of a run, checked from the journal alone: restarts begun in ten minutes, by group.

Called by `rules`. Shares no code with the core.
"""

from __future__ import annotations

from collections.abc import Iterator

from rollout.journal.recheck.instances import TargetStates, Violations
from rollout.model import event as ev
from rollout.model import limits
from rollout.model.command import RestartCall
from rollout.model.outcome import Done, Outcome, Refused
from rollout.model.time import Instant

_Restart = tuple[int, int]
"""The number of a call, and the ordinal of one of its instances."""


class RestartRates:
    """By group with a rate: the restarts that count now, each with the end of its ten minutes; None
    while its call is open.
    """

    def __init__(self, instances: TargetStates, violations: Violations) -> None:
        self._instances, self._violations = instances, violations
        self._settle_ms = instances.plan.restart.settle_window_ms
        self._counted: dict[int, dict[_Restart, Instant | None]] = {
            number: {} for number, group in enumerate(instances.plan.groups) if group.rate
        }
        self._machine = ""
        self._torn = False
        self._shut_until: Instant = 0

    def issue(self, event: ev.Issued) -> None:
        """Check the intent of restarts against the restarts of the ten minutes before it."""
        for restart, group in self._restarts(event):
            counted, planned = self._counted[group], self._instances.plan.groups[group]
            for one, until in list(counted.items()):
                if until is not None and until <= event.at:
                    del counted[one]
            counted[restart] = None
            name = self._instances.name(restart[1])
            if not 0 < event.at <= event.not_after:
                self._violations.add(f"call {event.n} restarts {name} at no valid time")
            elif event.at < self._shut_until:
                self._violations.add(f"{name} was restarted too soon after a half-written line")
            elif len(counted) > planned.rate:
                self._violations.add(
                    f"{name}: {len(counted)} restarts of group {planned.key} began within ten "
                    f"minutes, at most {planned.rate} may"
                )

    def settle(self, issued: ev.Issued, event: ev.Settled) -> None:
        """Count the restarts of an ended call for ten minutes; the refused ones no longer."""
        items = dict(event.items)
        for restart, group in self._restarts(issued):
            outcome = items.get(restart[1], event.outcome)
            self._end(restart, group, outcome, max(event.at, event.service_at))

    def torn(self) -> None:
        """A half-written line was cut: it may have contained intents."""
        self._torn = True

    def resume(self, event: ev.Resumed, lost: list[ev.Issued]) -> None:
        """Count the open calls of the process before as lost."""
        differ_ms = 0 if event.actor.machine == self._machine else limits.CLOCKS_DIFFER_MS
        self._machine = event.actor.machine
        for counted in self._counted.values():
            for restart, until in counted.items():
                counted[restart] = None if until is None else until + differ_ms
        self._shut_until += differ_ms if self._shut_until else 0
        for issued in lost:
            for restart, group in self._restarts(issued):
                self._end(restart, group, None, event.at)
        if self._torn:
            shut_until = event.at + self._settle_ms + limits.RATE_WINDOW_MS
            self._shut_until = max(self._shut_until, shut_until)
        self._torn = False

    def start(self, event: ev.RunStarted) -> None:
        """Note the machine of the first process."""
        self._machine = event.actor.machine

    def _restarts(self, issued: ev.Issued) -> Iterator[tuple[_Restart, int]]:
        """Yield the restarts of a call with each group that has a rate."""
        if not self._counted or not isinstance(issued.command, RestartCall):
            return
        for ordinal in issued.command.ordinals:
            if 0 <= ordinal < len(self._instances.targets):
                for group in self._instances.targets[ordinal].groups:
                    if group in self._counted:
                        yield (issued.n, ordinal), group

    def _end(self, restart: _Restart, group: int, outcome: Outcome | None, at: Instant) -> None:
        if isinstance(outcome, Refused):
            self._counted[group].pop(restart, None)
            return
        late_ms = 0 if isinstance(outcome, Done) else self._settle_ms
        self._counted[group][restart] = at + late_ms + limits.RATE_WINDOW_MS
