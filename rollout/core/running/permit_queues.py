"""The instances that wait for a permit or for the rate of a group, before attach or restart.

Part of `waiting`, which moves the instances between stations. Work depends on the groups that
changed (`Ledger.touched`), never on the number of groups.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort

import msgspec

from rollout.core.running.state import Run
from rollout.model import limits
from rollout.model.time import Instant


class PermitQueues(msgspec.Struct, eq=False, kw_only=True):
    """Queues by group, and the instances that count against a permit without having it yet.

    Dicts to None are sets that keep order.
    """

    run: Run
    parked: dict[int, list[int]] = {}
    """By group: attached instances that wait for a permit of it, ascending."""
    overtaken: dict[int, list[int]] = {}
    """By group: attached instances with a permit, which wait because a member has gone down since.
    """
    paced: dict[int, list[int]] = {}
    """By group: attached instances that wait until another restart of it may begin, ascending."""
    paced_until: list[tuple[Instant, int]] = []
    """Heap of groups whose rate has room from an instant on, one entry per group."""
    timed: dict[int, None] = {}
    """Groups in that heap."""
    blocked: dict[int, list[int]] = {}
    """By group: instances that wait for room in it before their attach, ascending."""
    unblocked: dict[int, list[int]] = {}
    """By cell: instances whose group has room again; queued together at `unblocked_at`."""
    unblocked_at: Instant = 0
    checking: dict[int, None] = {}
    """Observed on the way to an attach and not attached yet; `checking_in` counts by group."""
    checking_in: list[int]
    reserving_in: list[int]
    """By group: those of them that will reserve their permits before their attach."""
    refreshing: dict[int, None] = {}
    """Attached instances that are being observed before their restart."""

    @classmethod
    def of(cls, run: Run) -> PermitQueues:
        """Return empty queues for a run."""
        count = len(run.plan.groups)
        return cls(run=run, checking_in=[0] * count, reserving_in=[0] * count)

    # counts

    def check(self, ordinal: int) -> None:
        """It is on its way to an attach: it counts as if exposed."""
        if ordinal not in self.checking:
            self.checking[ordinal] = None
            self._count(ordinal, 1)

    def uncheck(self, ordinal: int) -> None:
        """It is no longer on its way to an attach."""
        if ordinal in self.checking:
            del self.checking[ordinal]
            self._count(ordinal, -1)

    def refreshed(self, ordinal: int) -> None:
        """It is no longer being observed before its restart."""
        if ordinal in self.refreshing:
            del self.refreshing[ordinal]
            self.touch(ordinal)

    def touch(self, ordinal: int) -> None:
        """The next step examines the queues of its groups again."""
        for group in self.run.ledger.groups_of(ordinal):
            self.run.ledger.touched[group] = None

    # queues

    def park(self, ordinal: int, group: int) -> None:
        """Add an attached instance to the queue of a group."""
        queues = self.overtaken if self.run.ledger.permits[ordinal] else self.parked
        insort(queues.setdefault(group, []), ordinal)
        self.touch(ordinal)

    def pace(self, ordinal: int, group: int) -> None:
        """Add an attached instance to the queue for the rate of a group."""
        insort(self.paced.setdefault(group, []), ordinal)
        self.touch(ordinal)

    def block(self, ordinal: int, group: int) -> None:
        """Add an instance before its attach. Room that it had in another group is for others."""
        insort(self.blocked.setdefault(group, []), ordinal)
        for other in self.run.ledger.groups_of(ordinal):
            if other != group:
                self.run.ledger.touched[other] = None

    def unpark(self, ordinal: int) -> None:
        """Take it out of the queues for restarts."""
        self._remove(self.parked, ordinal)
        self._remove(self.overtaken, ordinal)
        self._remove(self.paced, ordinal)

    def unblock(self, ordinal: int) -> None:
        """Take it out of the queue for attaches."""
        self._remove(self.blocked, ordinal)

    def stuck(self) -> list[int]:
        """Return the groups with waiting instances and without a permit that can be returned."""
        full, waits = self.run.ledger.full.keys(), (self.parked, self.overtaken, self.blocked)
        return sorted(group for group in full if any(group in queues for queues in waits))

    def waiting_in(self, group: int) -> list[int]:
        """Return instances that wait for a permit of this group, all in the same way."""
        queues = (self.parked, self.overtaken, self.blocked)
        return next((queue[group] for queue in queues if group in queue), [])

    def wake(self, now: Instant) -> tuple[list[int], list[int]]:
        """Return, out of the groups that changed, the instances that are ready for their restart,
        and those that are unblocked for their attach: both leave their queues.
        """
        ledger = self.run.ledger
        while self.paced_until and self._over(*self.paced_until[0], now):
            _, group = heapq.heappop(self.paced_until)
            del self.timed[group]
            ledger.touched[group] = None
        waits = self.parked or self.overtaken or self.blocked or self.paced
        if not (ledger.touched and waits):
            ledger.touched.clear()
            return [], []
        free, groups = FreePermits(self), sorted(ledger.touched)
        ledger.touched.clear()
        ready = self._wake_paced(groups, now)
        unblocked: list[int] = []
        for group in groups:
            left = free.left(group)
            while group in self.overtaken and not free.overtaken(group):
                first = _first(self.overtaken, group, 1)
                free.begin(first[0])
                ready += first
            ready += _first(self.parked, group, left)
            if left > 0 and group in self.parked:
                ledger.touched[group] = None  # the next step finds out whether these were restarted
            if group in self.blocked:
                unblocked += _first(self.blocked, group, self._room(group, left))
        for ordinal in unblocked:
            cell = self.run.layout.cell_of[ordinal]
            insort(self.unblocked.setdefault(cell, []), ordinal)
        if unblocked and not self.unblocked_at:
            self.unblocked_at = now + limits.OBSERVE_TICK_MS
        return ready, unblocked

    def _wake_paced(self, groups: list[int], now: Instant) -> list[int]:
        """Return the instances that may restart now by the rates of these groups, and note when
        the next ones may.
        """
        starts = FreeStarts(self, now)
        ready: list[int] = []
        for group in groups:
            if group not in self.paced:
                continue
            left = starts.left(group)
            ready += _first(self.paced, group, left)
            if group not in self.paced:
                continue
            frees_at = self.run.rates.frees_at(group, now)
            if left > 0:
                self.run.ledger.touched[group] = None  # as for permits
            elif frees_at is not None and group not in self.timed:
                self.timed[group] = None
                heapq.heappush(self.paced_until, (frees_at, group))
        return ready

    def _over(self, at: Instant, group: int, now: Instant) -> bool:
        """Return whether the wait for a rate is over: the instant came, or nothing waits."""
        return at <= now or group not in self.paced

    def wakes(self) -> list[Instant]:
        """Return the instants at which time alone moves an instance."""
        paced = [at for at, _ in self.paced_until[:1]]
        return [*paced, self.unblocked_at] if self.unblocked_at else paced

    def due(self, now: Instant) -> list[tuple[int, ...]]:
        """Return batches of unblocked instances that are queued now."""
        if not self.unblocked_at or now < self.unblocked_at:
            return []
        size, cells = limits.ATTACH_IDS_MAX, sorted(self.unblocked.items())
        self.unblocked.clear()
        self.unblocked_at = 0
        return [
            tuple(members[start : start + size])
            for _, members in cells
            for start in range(0, len(members), size)
        ]

    def forget_unblocked(self, ordinal: int) -> None:
        """Take it out of the instances that are to be queued."""
        self._remove(self.unblocked, ordinal, (self.run.layout.cell_of[ordinal],))
        if not self.unblocked:
            self.unblocked_at = 0

    def drop_attaches(self) -> None:
        """After an abort no attach begins."""
        self.blocked.clear()
        self.unblocked.clear()
        self.unblocked_at = 0

    # private

    def _count(self, ordinal: int, change: int) -> None:
        ledger = self.run.ledger
        reserves = ledger.reserves_early(ordinal)
        for group in ledger.reboot_groups(ordinal):
            self.checking_in[group] += change
            if reserves:
                self.reserving_in[group] += change
            ledger.touched[group] = None

    def _room(self, group: int, left: int) -> int:
        """Return how many of a group's blocked instances may be tried again: none while enough of
        its members are ahead, so that attach calls are for several.
        """
        ledger, checking = self.run.ledger, self.checking_in[group]
        if ledger.enough_ahead(group, checking):
            return 0
        room = ledger.room(group, checking)
        return min(room, left) if ledger.caps[group] == 1 else room

    def _remove(
        self, queues: dict[int, list[int]], ordinal: int, keys: tuple[int, ...] | None = None
    ) -> None:
        for key in self.run.ledger.groups_of(ordinal) if keys is None else keys:
            members = queues.get(key)
            if members is not None:
                remove_sorted(members, ordinal)
                if not members:
                    del queues[key]


class FreePermits:
    """The permits that a new restart may take, by group, in one step of decisions.

    Instances that are being observed before their restart have theirs, and so have those on the way
    to an attach that will reserve them before it. `take` counts further ones of the same step.
    """

    def __init__(self, queues: PermitQueues) -> None:
        self._ledger = ledger = queues.run.ledger
        self._reserving = queues.reserving_in
        self._run = queues.run
        self._taken: dict[int, int] = {}
        self._begun: dict[int, int] = {}
        for ordinal in queues.refreshing:
            if not ledger.counts(ordinal):
                self.take(ordinal)

    def left(self, group: int) -> int:
        """Return the permits left in this group."""
        taken = self._reserving[group] + self._taken.get(group, 0)
        return self._ledger.left(group) - taken

    def overtaken(self, group: int) -> bool:
        """Return whether no further member that reserved its permit may restart now."""
        return self._run.overtaken(group, self._begun.get(group, 0))

    def begin(self, ordinal: int) -> None:
        """Count the restart of a member that reserved its permit."""
        for group in self._ledger.groups_of(ordinal):
            self._begun[group] = self._begun.get(group, 0) + 1

    def take(self, ordinal: int) -> None:
        """Take a permit in every group of an instance."""
        for group in self._ledger.groups_of(ordinal):
            self._taken[group] = self._taken.get(group, 0) + 1


class FreeStarts:
    """The restarts that may begin now by the rates, by group, in one step of decisions.

    Instances that are being observed before their restart are counted as if they began; `take`
    counts further ones of the same step.
    """

    def __init__(self, queues: PermitQueues, now: Instant) -> None:
        self._rates, self._now = queues.run.rates, now
        self._taken: dict[int, int] = {}
        for ordinal in queues.refreshing if self._rates.rates else ():
            self.take(ordinal)

    def left(self, group: int) -> int:
        """Return how many more restarts of this group may begin."""
        return self._rates.left(group, self._now) - self._taken.get(group, 0)

    def used_up(self, ordinal: int) -> int | None:
        """Return the first group of an instance whose rate is used up; None: it may restart."""
        return next((one for one in self._rates.groups_of(ordinal) if self.left(one) <= 0), None)

    def take(self, ordinal: int) -> None:
        """Count a restart in every group of an instance that has a rate."""
        for group in self._rates.groups_of(ordinal):
            self._taken[group] = self._taken.get(group, 0) + 1


def remove_sorted(ordered: list[int], ordinal: int) -> None:
    """Take an ordinal out of an ascending list, where it is in it."""
    position = bisect_left(ordered, ordinal)
    if position < len(ordered) and ordered[position] == ordinal:
        del ordered[position]


def _first(queues: dict[int, list[int]], group: int, count: int) -> list[int]:
    """Take the first `count` of a group's queue out of it; an empty queue is removed."""
    members = queues.get(group)
    if members is None or count <= 0:
        return []
    taken = members[:count]
    del members[:count]
    if not members:
        del queues[group]
    return taken
