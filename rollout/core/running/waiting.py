"""The queues of instances on the way to their attach and to their restart.

Never journaled: rebuilt from the state on resume. Filled by `follow` and by the decider, which
applies the findings of `evidence`; read by `decide_instances` and `decide_run`.
"""

from __future__ import annotations

import heapq
from bisect import insort
from collections.abc import Iterable, Sequence

import msgspec

from rollout.core.running.journey import Phase
from rollout.core.running.permit_queues import PermitQueues, remove_sorted
from rollout.core.running.retry import backoff_ms, busy_pause_ms
from rollout.core.running.state import Run
from rollout.core.running.stations import Station, Stations
from rollout.core.running.watching import Watching
from rollout.model import limits
from rollout.model.instance import Status
from rollout.model.plan import RestartKind
from rollout.model.site import KeySite, Site
from rollout.model.time import MINUTE, Instant, minute


class Waiting(msgspec.Struct, eq=False, kw_only=True):
    """Queues of one run in one process. Dicts to None are sets that keep order."""

    run: Run
    stations: Stations
    watching: Watching
    queued: dict[Site, list[tuple[int, ...]]]
    """Batches whose instances are next observed for their attach."""
    delayed: list[tuple[Instant, Site, tuple[int, ...]]] = []
    """Heap of batches that return to `queued` after a pause."""
    permits: PermitQueues
    """Instances that wait for a permit of a group, and those that are about to need one."""
    checked: dict[Site, list[tuple[int, ...]]]
    """Instances that match the plan, grouped by attach call."""
    splitting: list[tuple[int, ...]] = []
    """Attach calls refused as a whole for a fact of one of their instances."""
    ready: dict[Site, dict[RestartKind, list[int]]]
    """Ordinals that may be restarted, ascending."""
    ready_later: list[tuple[Instant, int]] = []
    """Heap of instances that are ready from an instant on."""

    @classmethod
    def of(cls, run: Run) -> Waiting:
        """Return empty queues for a run, with an empty watch list."""
        sites, stations = run.layout.sites, Stations(bytearray(len(run.phases)))
        return cls(
            run=run,
            stations=stations,
            watching=Watching.of(run, stations),
            queued={site: [] for site in sites},
            permits=PermitQueues.of(run),
            checked={site: [] for site in sites},
            ready={site: {kind: [] for kind in RestartKind} for site in sites},
        )

    # time

    def advance(self, now: Instant) -> None:
        """Move instances whose pause has ended, and observe again what is outdated."""
        self.watching.advance(now)
        while self.delayed and self.delayed[0][0] <= now:
            _, site, ordinals = heapq.heappop(self.delayed)
            self.queued[site].insert(0, ordinals)
            for ordinal in ordinals:
                self.stations.move(ordinal, Station.QUEUED)
        while self.ready_later and self.ready_later[0][0] <= now:
            self._insert_ready(heapq.heappop(self.ready_later)[1])
        end = self.run.startable_end
        for groups in self.checked.values():
            for ordinals in [group for group in groups if group[0] >= end]:
                groups.remove(ordinals)  # its wave waits for an earlier one, which has work again
                self.delay(ordinals, now, 0)
            while groups and self.watching.outdated(groups[0][0], now):
                for ordinal in groups.pop(0):
                    self.watching.observe_soon(ordinal)
        self._wake_waiting(now)

    def wake(self) -> Instant | None:
        """Return the next due time of queues and watch list; None if only a reply can add work."""
        firsts = [heap[0][0] for heap in (self.delayed, self.ready_later) if heap]
        firsts += self.permits.wakes()
        observation = self.watching.wake()
        return min(firsts if observation is None else [*firsts, observation], default=None)

    @property
    def stalled(self) -> bool:
        """Return whether no call is open and nothing is due, so that only a decision adds work."""
        return not (self.run.open_calls or self.watching.busy) and self.wake() is None

    def waits(self, site: Site) -> bool:
        """Return whether an instance of this site waits for an observation or an attach."""
        watching = self.watching
        return bool(
            self.queued[site] or self.checked[site] or watching.due[site] or watching.missing[site]
        )

    def key_due(self, key_site: KeySite, now: Instant) -> bool:
        """Return whether this key pair must be compared now.

        It is at the start, and in each process and wave before the first effect, if there is
        something to do; when the last comparison is too old for the attach or the running instance
        that waits for it; and when only comparisons are missing.
        """
        keys = self.watching.keys
        if key_site in keys.busy:
            return False
        waiting = bool(self.run.comparisons.waiting.get(key_site))
        known = keys.good.get(key_site)
        if known is None:
            due = waiting or self._works(key_site.site)
        elif now > known.at + limits.KEY_AGE_MAX_MS:
            due = waiting or self._attaches(key_site)
        else:
            due = waiting and keys.ends()
        return due or keys.closes(key_site)

    def _works(self, site: Site) -> bool:
        """Return whether an instance of this site waits for an observation, attach or restart."""
        return self.waits(site) or any(self.ready[site].values())

    def _attaches(self, key_site: KeySite) -> bool:
        """Return whether an attach of this key pair is ready."""
        (site, key), targets = key_site, self.run.layout.targets
        return any(targets[group[0]].key == key for group in self.checked[site])

    # observations

    def observation_started(self, site: Site, ordinals: Sequence[int]) -> None:
        """Record an open call that observes these instances."""
        self.watching.open[site] += 1
        due, move = self.watching.due[site], self.stations.move
        for ordinal in ordinals:
            if ordinal in due:
                del due[ordinal]
            else:
                self.leave(ordinal)
            phase = self.run.phases[ordinal]
            if phase == Phase.PLANNED:
                self.permits.check(ordinal)
                move(ordinal, Station.CHECKING)
            elif phase == Phase.ATTACHED:
                self.permits.refreshing[ordinal] = None
                move(ordinal, Station.REFRESHING)
            else:
                move(ordinal, Station.OBSERVING)

    def observation_ended(self, site: Site, ordinals: Sequence[int]) -> None:
        """Record the end of the call that observed these instances, with or without a reply."""
        self.watching.open[site] -= 1
        for ordinal in ordinals:
            self.permits.refreshed(ordinal)

    # on the way to an attach

    def queue(self, site: Site, ordinals: Sequence[int]) -> None:
        """Add a batch at the end of its site."""
        if ordinals:
            self.queued[site].append(tuple(ordinals))
        for ordinal in ordinals:
            self.stations.move(ordinal, Station.QUEUED)

    def next_batch(self, site: Site, end: int) -> tuple[int, ...]:
        """Return the next batch of the site below ordinal `end`, empty if there is none."""
        return next((batch for batch in self.queued[site] if batch[0] < end), ())

    def add_checked(self, site: Site, ordinals: Sequence[int]) -> None:
        """Queue instances that match the plan for their attach: one call for each cell and key."""
        layout = self.run.layout
        calls: dict[tuple[int, int], list[int]] = {}
        for ordinal in ordinals:
            self.stations.move(ordinal, Station.CHECKED)
            call = layout.cell_of[ordinal], layout.targets[ordinal].key
            calls.setdefault(call, []).append(ordinal)
        for members in calls.values():
            for start in range(0, len(members), limits.ATTACH_IDS_MAX):
                self.checked[site].append(tuple(members[start : start + limits.ATTACH_IDS_MAX]))

    def return_checked(self, ordinals: tuple[int, ...], now: Instant) -> None:
        """Return a batch to its queue: not all of it may be attached now."""
        self.checked[self.run.layout.site_of(ordinals[0])].remove(ordinals)
        self.delay(ordinals, now, 0)

    def split(self, ordinals: Sequence[int]) -> None:
        """Queue the attach call of these instances again, in two halves."""
        self.splitting.append(tuple(ordinals))
        for ordinal in ordinals:
            self.stations.move(ordinal, Station.SPLITTING)

    def delay(self, ordinals: Iterable[int], now: Instant, tries: int) -> None:
        """Return them to the front of their site after a pause that grows with `tries`, or with
        the refusals where one of them is busy.
        """
        members = tuple(ordinals)
        for ordinal in members:
            self.permits.uncheck(ordinal)
            self.stations.move(ordinal, Station.DELAYED)
        first = self.run.layout.targets[members[0]].instance
        pause = backoff_ms(self.run.run_id, first, tries) if tries else 0
        instant = max(now + pause, self._busy_until(members))
        heapq.heappush(self.delayed, (instant, self.run.layout.site_of(members[0]), members))

    # on the way to a restart

    def make_ready(self, ordinal: int, now: Instant) -> None:
        """Queue an instance that was just observed for its restart. The restart waits for the
        minute guard (StartTime has minutes only) and needs an observation that shows every boot
        from before the attach.
        """
        watching = self.watching
        instant = max(self.run.not_before, self._guard(ordinal, now))
        shows_all = watching.attached_since.get(ordinal, 0) + self.run.status_lag_ms
        sample = watching.sample(ordinal)
        if sample is None or sample.at < shows_all:
            watching.discard(ordinal)
            instant = max(instant, shows_all)
        if instant > now:
            self._ready_at(ordinal, instant)
        else:
            self._insert_ready(ordinal)

    def ready_again(self, ordinal: int, now: Instant) -> None:
        """Queue an instance for another restart after a pause, on a new observation."""
        self.watching.discard(ordinal)
        tries = self.run.restart_tries[ordinal]
        instance = self.run.layout.targets[ordinal].instance
        pause = backoff_ms(self.run.run_id, instance, 1 + tries)
        if ordinal in self.run.busy:
            pause = self._busy_until([ordinal]) - now
        self._ready_at(ordinal, max(now + pause, self.run.not_before))

    def park(self, ordinal: int, group: int) -> None:
        """Park an instance until this group has room for its attach or a permit for its restart."""
        before_attach = self.stations.at(ordinal) in (Station.QUEUED, Station.CHECKED)
        self.leave(ordinal)
        if before_attach:
            self.permits.uncheck(ordinal)
            self.stations.move(ordinal, Station.BLOCKED)
            self.permits.block(ordinal, group)
        else:
            self.stations.move(ordinal, Station.PARKED)
            self.permits.park(ordinal, group)

    def pace(self, ordinal: int, group: int) -> None:
        """Let an instance wait until another restart of this group may begin."""
        self.leave(ordinal)
        self.stations.move(ordinal, Station.PACED)
        self.permits.pace(ordinal, group)

    # leaving a station

    def call_started(self, ordinals: tuple[int, ...]) -> None:
        """Record an open attach or restart call of these instances."""
        if self.stations.at(ordinals[0]) is Station.CHECKED:
            self.checked[self.run.layout.site_of(ordinals[0])].remove(ordinals)
        else:
            for ordinal in ordinals:
                self.leave(ordinal)
        for ordinal in ordinals:
            self.permits.uncheck(ordinal)
            self.stations.move(ordinal, Station.CALLING)

    def finish(self, ordinal: int) -> None:
        """Remove a finished or held instance from all queues and from the watch list."""
        self.leave(ordinal)
        self.watching.remove_samples(ordinal)
        self.permits.uncheck(ordinal)
        self.permits.touch(ordinal)
        self.stations.move(ordinal, Station.NONE)

    def probe(self, ordinal: int, now: Instant) -> None:
        """Probe the login of an instance that runs again, until it is proved or has failed."""
        self.leave(ordinal)
        self.watching.remove_samples(ordinal)
        self.permits.touch(ordinal)
        self.stations.move(ordinal, Station.PROBING)
        self.watching.logins.await_login(ordinal, now)

    def drop_attaches(self) -> None:
        """Clear the queues to attaches, because after an abort no attach starts."""
        for ordinal, station in enumerate(self.stations.column):
            if station in _BEFORE_ATTACH:
                self.stations.move(ordinal, Station.NONE)
        self.delayed.clear()
        self.splitting.clear()
        self.permits.drop_attaches()
        for site in self.run.layout.sites:
            self.queued[site].clear()
            self.checked[site].clear()

    def leave(self, ordinal: int) -> None:
        """Remove the instance from the queue of its station."""
        site = self.run.layout.site_of(ordinal)
        match self.stations.at(ordinal):
            case Station.QUEUED:
                _take(self.queued[site], ordinal)
            case Station.DELAYED:
                self._take_delayed(ordinal)
            case Station.CHECKED:
                _take(self.checked[site], ordinal)
            case Station.SPLITTING:
                _take(self.splitting, ordinal)
            case Station.READY:
                for ready in self.ready[site].values():
                    remove_sorted(ready, ordinal)
            case Station.READY_LATER:
                self.ready_later = [one for one in self.ready_later if one[1] != ordinal]
                heapq.heapify(self.ready_later)
            case Station.PARKED | Station.PACED:
                self.permits.unpark(ordinal)
            case Station.BLOCKED:
                self.permits.unblock(ordinal)
            case Station.REFRESHING:
                self.permits.refreshed(ordinal)
            case Station.PROBING:
                self.watching.logins.remove(ordinal)
            case _:
                self.watching.remove(ordinal)

    # private

    def _take_delayed(self, ordinal: int) -> None:
        self.permits.forget_unblocked(ordinal)
        rest = []
        for instant, site, ordinals in self.delayed:
            members = tuple(one for one in ordinals if one != ordinal)
            if members:
                rest.append((instant, site, members))
        self.delayed = rest
        heapq.heapify(rest)

    def _busy_until(self, ordinals: Sequence[int]) -> Instant:
        """Return when the last busy one of these may be called again; 0 if none is busy."""
        run, targets = self.run, self.run.layout.targets
        refused = [(targets[o].instance, run.busy[o]) for o in ordinals if o in run.busy]
        ends = (one.last + busy_pause_ms(run.run_id, name, one.refusals) for name, one in refused)
        return max(ends, default=0)

    def _ready_at(self, ordinal: int, instant: Instant) -> None:
        self.stations.move(ordinal, Station.READY_LATER)
        heapq.heappush(self.ready_later, (instant, ordinal))

    def _insert_ready(self, ordinal: int) -> None:
        self.stations.move(ordinal, Station.READY)
        insort(self.ready[self.run.layout.site_of(ordinal)][self._kind(ordinal)], ordinal)

    def _wake_waiting(self, now: Instant) -> None:
        """Make instances ready or queue them for their attach if their group has permits again."""
        ready, unblocked = self.permits.wake(now)
        for ordinal in ready:
            self._insert_ready(ordinal)
        for ordinal in unblocked:
            self.stations.move(ordinal, Station.DELAYED)
        for ordinals in reversed(self.permits.due(now)):
            self.queued[self.run.layout.site_of(ordinals[0])].insert(0, ordinals)
            for ordinal in ordinals:
                self.stations.move(ordinal, Station.QUEUED)

    def _kind(self, ordinal: int) -> RestartKind:
        """Return the restart that its last observation requires, or that of the plan without one.
        No ready instance is observed, so each keeps its list.
        """
        sample = self.watching.sample(ordinal)
        if sample is None:
            return self.run.layout.targets[ordinal].restart
        stopped = sample.observed.status is Status.STOPPED
        return RestartKind.START if stopped else RestartKind.REBOOT

    def _guard(self, ordinal: int, now: Instant) -> Instant:
        """Return when its next minute has begun by the service's clock, which shows the time of the
        reply that has just arrived, or later.
        """
        sample = self.watching.sample(ordinal)
        if sample is None or sample.observed.status is not Status.RUNNING:
            return now
        api_now = sample.observed.api_time or now
        if minute(api_now) > minute(sample.observed.started_at):
            return now
        return now + (minute(sample.observed.started_at) + 1) * MINUTE - api_now


_BEFORE_ATTACH = frozenset(
    {Station.QUEUED, Station.BLOCKED, Station.DELAYED, Station.CHECKED, Station.SPLITTING}
)


def _take(batches: list[tuple[int, ...]], ordinal: int) -> None:
    """Remove an ordinal from its batch, and an empty batch from the queue."""
    for number, batch in enumerate(batches):
        if ordinal in batch:
            rest = tuple(other for other in batch if other != ordinal)
            batches[number : number + 1] = [rest] if rest else []
            return
