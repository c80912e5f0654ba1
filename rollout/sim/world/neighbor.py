"""The process of another run in the same runs directory, by the code of the lock and the leases.

Created by the world. It changes nothing in the cloud: it records when it may send calls.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rollout.errors import ConflictError
from rollout.journal.directory import DirectoryStore, LockedDirectory
from rollout.journal.locks import lock
from rollout.journal.locks.leases import Applicant, LeaseClaim, Leases
from rollout.journal.locks.lock import Owner
from rollout.model import limits
from rollout.model.site import Site
from rollout.model.time import SECOND, Duration, Instant
from rollout.sim.time.heap import Time
from rollout.sim.world.disk import SimDisk
from rollout.sim.world.leasing import LeaseClock, OtherRun
from rollout.sim.world.locks import HERE, KERNEL, RUNS
from rollout.sim.world.record import LeaseHold, RunRecord

APART = "cn-wulanchabu"
"""A region that no scenario uses."""
POLL_MS: Duration = SECOND
CALLS_MS: Duration = limits.LEASE_MS - limits.CALL_TIMEOUT_MS - limits.LEASE_MARGIN_MS
"""How long after a renewal a holder may send calls."""
RETRY_MS: Duration = 25 * SECOND
TRIES_MAX = 30
NUMBERS = 900
"""Process numbers of neighbors begin here."""
STALL_MS: Duration = 5 * 60 * SECOND


@dataclass(slots=True)
class _Held:
    """What a neighbor holds, or waits for: the lock of the runs directory, then lease and lock of
    its run.
    """

    locked: LockedDirectory
    claim: LeaseClaim
    leases: Leases
    lock: int = 0
    hold: LeaseHold | None = None
    renewed: Instant = 0
    ends: Instant = 0
    stalled: bool = False


class Neighbor:
    """One process. `awake` renews the leases of the simulated process up to now, and returns
    whether it is alive.
    """

    def __init__(
        self,
        wanted: OtherRun,
        site: Site,
        number: int,
        disk: SimDisk,
        record: RunRecord,
        time: Time,
        awake: Callable[[], bool],
    ) -> None:
        self.begins_ms = wanted.at_ms
        self._wanted, self._disk, self._time, self._record = wanted, disk, time, record
        self._awake = awake
        self._site = Site(site.account, APART) if wanted.apart else site
        # A paused virtual machine has a steady clock of its own, so it has another kernel.
        paused = any(one.paused for one in record.scenario.suspensions)
        kernel = "" if wanted.unknown or paused else KERNEL
        self._owner = Owner(HERE, NUMBERS + number, 0, boot=kernel)
        self._lock_path = RUNS / f"r-other-{number}" / lock.RUN_LOCK
        self._held: _Held | None = None
        self._tries = self._turn = 0

    def begin(self) -> None:
        """Take the lock of the runs directory, then wait for the lease."""
        living = self._awake()
        clock, run = LeaseClock(self._time), self._lock_path.parent.name
        applicant = Applicant(RUNS, run, "other", self._owner, disk=self._disk, clock=clock)
        store = DirectoryStore(RUNS, disk=self._disk, owner=self._owner)
        try:
            with self._disk.crash_points.spared():
                locked = store.lock_local(self._time.now)
        except ConflictError:
            self._refused(living=living)
            return
        held = self._held = _Held(locked, LeaseClaim(self._site, applicant), Leases(applicant))
        self._poll(held)

    def die(self) -> None:
        """Lose everything with the machine."""
        if self._held is not None and self._held.hold is not None:
            known = self._held.hold.ended  # earlier, if it was stopped for longer than its lease
            self._held.hold.ended = self._time.now if known is None else min(known, self._time.now)
        self._forget()

    def _poll(self, held: _Held) -> None:
        living = self._awake()
        with self._disk.crash_points.spared():
            try:
                lease = held.claim.poll()
            except ConflictError:
                held.locked.release()
                self._refused(living=False)
                return
            held.leases.renew()  # as a command does while it waits
            if lease is None:
                self._later(POLL_MS, lambda: self._poll(held))
                return
            held.leases.add(held.claim, lease)
            held.lock = self._disk.open_lock(self._lock_path)
            self._disk.seize(held.lock)
            held.locked.release()
        former, now = held.claim.former, self._time.now
        seized = living and former is not None and former.run == self._record.run_id
        held.hold = LeaseHold(self._site.region, now, seized=seized)
        held.renewed, held.ends = now, now + self._wanted.lasts_ms
        self._record.holds.append(held.hold)
        self._record.count("lease seized" if seized else "lease of another run")
        self._beat(held)

    def _refused(self, *, living: bool) -> None:
        """Try again later. A run of another region waits for no process that drives a run."""
        self._record.count("another run refused")
        holder = lock.parse(self._disk.text(RUNS / lock.RUNS_LOCK))
        ours = holder is not None and holder.pid < NUMBERS
        if self._wanted.apart and living and ours:
            self._record.shut_out.append(self._time.now)
        self._forget()
        self._tries += 1
        if self._tries < TRIES_MAX:
            self._later(RETRY_MS, self.begin)

    def _beat(self, held: _Held) -> None:
        """Renew the lease, unless it is lost; end, or stop for a while, when it is time."""
        now = self._time.now
        with self._disk.crash_points.spared():
            if held.leases.lost():
                self._record.count("lease of another run lost")
                self._end(held, held.renewed + CALLS_MS)
            elif now >= held.ends and self._wanted.stalls and not held.stalled:
                held.stalled = True
                self._mark(held, held.renewed + CALLS_MS)
                self._later(STALL_MS, lambda: self._beat(held))
            elif now >= held.ends:
                if not self._wanted.dies:
                    held.leases.release()
                self._end(held, now)
            else:
                held.leases.renew()
                held.renewed = now
                self._mark(held, None)
                self._later(limits.LEASE_BEAT_MS, lambda: self._beat(held))

    def _mark(self, held: _Held, ended: Instant | None) -> None:
        """Record from when on it sends no calls; None while it may send some."""
        if held.hold is not None:
            held.hold.ended = ended

    def _end(self, held: _Held, at: Instant) -> None:
        self._mark(held, at)
        self._disk.close(held.lock)
        self._forget()

    def _forget(self) -> None:
        """Hold nothing, and ignore what was planned."""
        self._held = None
        self._turn += 1

    def _later(self, after_ms: Duration, action: Callable[[], None]) -> None:
        turn = self._turn

        def act() -> None:
            if turn == self._turn:
                action()

        self._time.at(self._time.now + after_ms, act)


def all_of(
    record: RunRecord, disk: SimDisk, time: Time, awake: Callable[[], bool]
) -> list[Neighbor]:
    """Return the neighbors of a scenario. Each wants another region, as far as there are some."""
    sites = sorted({cell.site for _, cell in record.plan.cells()})
    others = record.scenario.leasing.others if sites else ()
    return [
        Neighbor(one, sites[number % len(sites)], number, disk, record, time, awake)
        for number, one in enumerate(others)
    ]
