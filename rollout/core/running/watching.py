"""The observation schedule: when each instance is observed, and its last observation.

Never journaled: rebuilt from the state on resume. Filled by `follow` and by the decider, which
applies the findings of `evidence`; read by `decide_instances` and `decide_run`.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import msgspec

from rollout.core.running.census import Census
from rollout.core.running.key_comparisons import KeyWatch
from rollout.core.running.logins import Logins
from rollout.core.running.state import Run
from rollout.core.running.stations import Station, Stations
from rollout.core.running.windows import Offset
from rollout.model import limits
from rollout.model.command import QueryGate
from rollout.model.event import DriftKind
from rollout.model.observation import Observed
from rollout.model.site import Site
from rollout.model.time import MINUTE, SECOND, Duration, Instant

SLOWER_AFTER: tuple[tuple[Duration, int], ...] = ((60 * SECOND, 1), (5 * MINUTE, 2))
"""Ticks between two observations, by the time since the restart."""
SLOWEST = 5
"""The same for older restarts."""


class Sample(msgspec.Struct, frozen=True, gc=False):
    """The observed state of one instance, and the local time at which the observation started."""

    observed: Observed
    at: Instant


class Absence(msgspec.Struct, frozen=True, gc=False):
    """Since when replies leave one instance out, and how many of them list others."""

    since: Instant
    reads: int


class Watching(msgspec.Struct, eq=False, kw_only=True):
    """Observations of one run in one process. Dicts to None are sets that keep order."""

    run: Run
    stations: Stations
    due: dict[Site, dict[int, None]]
    """Ordinals to observe in this turn."""
    ticks: dict[Instant, list[int]] = {}
    """Ordinals to observe by tick; `tick_heap` holds the keys."""
    tick_heap: list[Instant] = []
    open: dict[Site, int]
    """Observations of instances that have no reply yet."""
    send_by: Instant | None = None
    """The leases of this process allow no call after it; None without leases."""
    silent_since: dict[Site, Instant] = {}
    """Since when observations of a site have had no reply, by the first lost one."""
    keys: KeyWatch
    logins: Logins
    census: Census
    last: dict[int, Sample] = {}
    """The last observation of each instance."""
    unfit: dict[int, None] = {}
    """Instances whose last observation cannot be the basis of an effect."""
    since: dict[int, Instant] = {}
    """Since when an instance has been in a state that normally passes."""
    attached_since: dict[int, Instant] = {}
    """Local time at which the attach was observed."""
    absent: dict[int, Absence] = {}
    missing: dict[Site, dict[int, None]]
    """Instances missing for so long that a second API is called to check them."""
    witness: dict[Site, int] = {}
    """An instance that a recent reply listed. Each call names it too, so that an empty reply is
    not taken for a list of instances that do not exist.
    """
    drift_reported: dict[tuple[int, DriftKind], None] = {}
    queries: dict[QueryGate, None] = {}
    """Questions of gates that are being asked."""
    service_time: Instant = 0
    """The latest time that a reply to an observation has, by the service's clock."""
    offset: Offset = Offset()
    """The service's time minus ours, by the replies to observations."""
    calibrated: list[tuple[str, str, str]] = []
    """Families (account, region, image) whose StartTime was judged since the last turn."""

    @classmethod
    def of(cls, run: Run, stations: Stations) -> Watching:
        """Return an empty watch list for a run."""
        sites = run.layout.sites
        return cls(
            run=run,
            stations=stations,
            keys=KeyWatch(run),
            logins=Logins(run=run),
            census=Census(run=run),
            due={site: {} for site in sites},
            open=dict.fromkeys(sites, 0),
            missing={site: {} for site in sites},
        )

    # time

    def advance(self, now: Instant) -> None:
        """Make due the observations of all ticks up to now."""
        while self.tick_heap and self.tick_heap[0] <= now:
            for ordinal in self.ticks.pop(heapq.heappop(self.tick_heap)):
                self.observe_soon(ordinal)
        self.keys.advance(now)
        self.logins.advance(now)
        self.census.advance(now)

    def latest(self, now: Instant) -> Instant:
        """Return the latest time that it may be: the service's where this clock is behind."""
        return now + self.offset.high if self.offset.low > 0 else now

    def wake(self) -> Instant | None:
        """Return the next instant at which something falls due; None without one."""
        wakes = [*self.keys.wakes(), *self.logins.wake(), *self.tick_heap[:1]]
        return min(wakes, default=None)

    @property
    def busy(self) -> bool:
        """Return whether an observation is open or due."""
        parts = (self.open, self.due, self.missing)
        busy = self.keys.busy != {} or self.logins.busy
        return busy or any(any(part.values()) for part in parts)

    # the schedule

    def observe_soon(self, ordinal: int) -> None:
        """Observe it in this turn."""
        self.stations.move(ordinal, Station.DUE)
        self.due[self.run.layout.site_of(ordinal)][ordinal] = None

    def watch(self, ordinal: int, now: Instant) -> None:
        """Observe it on a coming tick: the next one at first, less often the longer it takes."""
        record = self.run.restarting.get(ordinal)
        age = now - record.begun if record else 0
        self._observe_on(
            (now // limits.OBSERVE_TICK_MS + _ticks(age)) * limits.OBSERVE_TICK_MS, ordinal
        )

    def watch_from(self, ordinal: int, instant: Instant) -> None:
        """Observe it on the first tick from this instant on: earlier observations prove nothing."""
        self._observe_on(-(-instant // limits.OBSERVE_TICK_MS) * limits.OBSERVE_TICK_MS, ordinal)

    def confirm(self, ordinal: int) -> None:
        """Call the second API for it."""
        self.stations.move(ordinal, Station.MISSING)
        self.missing[self.run.layout.site_of(ordinal)][ordinal] = None

    def confirmation_started(self, site: Site, ordinals: Sequence[int]) -> None:
        """A call of the second API for these is open."""
        self.open[site] += 1
        for ordinal in ordinals:
            del self.missing[site][ordinal]
            self.stations.move(ordinal, Station.CONFIRMING)

    def remove(self, ordinal: int) -> None:
        """Take it out of the queue of its station, before it moves on early."""
        site = self.run.layout.site_of(ordinal)
        self.due[site].pop(ordinal, None)
        self.missing[site].pop(ordinal, None)
        if self.stations.at(ordinal) is Station.WATCHED:
            next(tick for tick in self.ticks.values() if ordinal in tick).remove(ordinal)

    # what observations show

    def sample(self, ordinal: int) -> Sample | None:
        """Return the observation that an effect may be based on."""
        return None if ordinal in self.unfit else self.last.get(ordinal)

    def discard(self, ordinal: int) -> None:
        """Base no effect on its last observation: a new one is needed."""
        if ordinal in self.last:
            self.unfit[ordinal] = None

    def outdated(self, ordinal: int, now: Instant) -> bool:
        """Return whether its last observation is too old for an effect (less a margin for the
        call).
        """
        sample = self.sample(ordinal)
        return sample is None or now > sample.at + limits.STATE_AGE_MAX_MS // 2

    def lose_witness(self, site: Site, now: Instant) -> None:
        """A reply leaves the witness out. Without one a second API proves nothing: what waits for
        it is observed again.
        """
        del self.witness[site]
        missing, self.missing[site] = self.missing[site], {}
        for ordinal in missing:
            self.watch(ordinal, now)

    def replied(self, site: Site) -> None:
        """An observation of this site had a reply, if only a throttled one."""
        self.silent_since.pop(site, None)

    def silent_for(self, site: Site, now: Instant) -> Duration:
        """An observation of this site had no reply: return for how long none has had one."""
        return now - self.silent_since.setdefault(site, now)

    def remove_samples(self, ordinal: int) -> None:
        """Drop all observations of an instance that is finished or held."""
        for known in (self.last, self.unfit, self.since, self.attached_since, self.absent):
            known.pop(ordinal, None)
        self.logins.unread.pop(ordinal, None)

    def _observe_on(self, tick: Instant, ordinal: int) -> None:
        self.stations.move(ordinal, Station.WATCHED)
        waiting = self.ticks.get(tick)
        if waiting is None:
            self.ticks[tick] = waiting = []
            heapq.heappush(self.tick_heap, tick)
        waiting.append(ordinal)


def _ticks(age: Duration) -> int:
    """Return the ticks until the next observation of an instance restarted so long ago."""
    for bound, ticks in SLOWER_AFTER:
        if age < bound:
            return ticks
    return SLOWEST
