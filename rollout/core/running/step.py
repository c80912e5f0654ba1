"""The decisions of one step about instances, and what they may still take in it.

Filled by `decide_instances`, applied by the decider.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rollout.core.running import windows
from rollout.core.running.permit_queues import FreePermits, FreeStarts
from rollout.core.running.waiting import Waiting
from rollout.model import event as ev
from rollout.model import limits
from rollout.model.command import Attach, Command, ObserveMembers, RestartCall, ServiceObservation
from rollout.model.event import AnyEvent
from rollout.model.observation import ObservedGroup, gather
from rollout.model.probe import Probe
from rollout.model.site import Site
from rollout.model.time import Instant

OBSERVATIONS_OPEN_MAX = 8
"""Open observations of one site: enough to fill a site, few enough to stop soon."""


class Step:
    """The decisions of one step: events to put, observations to start, instances that wait for a
    permit (`parks`) or a rate (`paced`), each with the group, and batches that go back to the queue
    before their attach (`returns`).
    """

    def __init__(self, waiting: Waiting, now: Instant) -> None:
        self.run = waiting.run
        self.waiting = waiting
        self.watching = waiting.watching
        self.now = now
        self.events: list[AnyEvent] = []
        self.observations: list[ServiceObservation] = []
        self.probes: list[Probe] = []
        self.parks: list[tuple[int, int]] = []
        self.returns: list[tuple[int, ...]] = []
        self.paced: list[tuple[int, int]] = []
        self.free = FreePermits(waiting.permits)
        self.starts = FreeStarts(waiting.permits, now)
        self.intents = 0
        self.reserved: Counter[int] = Counter()
        self.attaching = 0

    def __bool__(self) -> bool:
        observed = self.observations or self.probes
        return bool(self.events or observed or self.parks or self.paced or self.returns)

    def intend(
        self,
        command: Command,
        not_after: Instant,
        attempt: int,
        observed: tuple[ObservedGroup, ...] = (),
    ) -> None:
        """Add the intent of a call, numbered after those before it. It must not be sent after
        `not_after`, nor after the last start in the open window.
        """
        self.intents += 1
        last = windows.latest_start(self.run, self.watching.offset, self.now)
        not_after = not_after if last is None else min(not_after, last)
        run, n = self.run, self.run.calls_issued + self.intents
        at = self.now if run.rates.rates and isinstance(command, RestartCall) else 0
        self.events.append(ev.Issued(n, command, not_after, observed, run.epoch, attempt, at))

    def intend_on_samples(self, command: Attach | RestartCall, attempt: int) -> None:
        """Add an intent judged on the last observations; to be sent before they are too old."""
        samples = [self.watching.last[ordinal] for ordinal in command.ordinals]
        not_after = self.not_after(min(sample.at for sample in samples))
        self.intend(command, not_after, attempt, gather(sample.observed for sample in samples))

    def not_after(self, observed_at: Instant) -> Instant:
        """Return until when a call may be sent that is judged on a state of `observed_at`: the
        earliest of all bounds.
        """
        send_by = self.watching.send_by
        by_age = observed_at + limits.STATE_AGE_MAX_MS
        return by_age if send_by is None else min(by_age, send_by)

    def reserve(self, ordinals: Sequence[int]) -> list[tuple[int, int]]:
        """Count the permits that these reserve in this step, if there are enough for all. Return
        those for which there are not, each with a group that lacks one.
        """
        ledger, wanted = self.run.ledger, Counter[int](self.reserved)
        lacking: list[tuple[int, int]] = []
        for ordinal in ordinals:
            if ledger.permits[ordinal]:
                continue
            new = int(
                ordinal not in ledger.away
            )  # one that is down without this run counts already
            groups = ledger.groups_of(ordinal)
            full = next((one for one in groups if ledger.left(one) < wanted[one] + new), None)
            if full is None:
                wanted.update(dict.fromkeys(groups, new))
            else:
                lacking.append((ordinal, full))
        if not lacking:
            self.reserved = wanted
        return lacking

    @property
    def calls(self) -> list[ServiceObservation]:
        """The observations of this step, without those of a census."""
        return [one for one in self.observations if not isinstance(one, ObserveMembers)]

    def room(self, site: Site) -> int:
        """Return how many more observations of a site may be open, this step not counted."""
        return max(0, OBSERVATIONS_OPEN_MAX - self.watching.open[site])
