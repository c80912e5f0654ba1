"""Take, renew and release the leases of all sites of a run.

Called by the directory store and by the simulator. A holder stops by its own clock before its lease
expires; a process that takes a lease over first waits until it has expired by its own clock.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import msgspec

from rollout.journal.disk import REAL, Disk
from rollout.journal.locks import lock
from rollout.journal.locks.lease import Lease, LeaseFiles, SteadyClock, parse, refused
from rollout.journal.locks.lock import Owner
from rollout.journal.reader import segment_name, unusable
from rollout.model import limits
from rollout.model.event import Leased
from rollout.model.site import Site
from rollout.model.time import Duration

POLL_S = 1.0
"""Seconds between two reads of another process's lease."""


@dataclass(frozen=True, slots=True)
class Timing:
    """The clocks of this machine, and how a process waits."""

    clock: SteadyClock = field(default_factory=SteadyClock)
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep


REAL_TIMING = Timing()


@dataclass(frozen=True, slots=True)
class Applicant:
    """The process that takes leases for its run.

    `flocks`: whether the kernel's locks show that a run's process has ended; not on a file
    system that several machines share.
    """

    runs_dir: Path
    run: str
    user: str
    owner: Owner
    flocks: bool = True
    disk: Disk = REAL
    clock: SteadyClock = field(default_factory=SteadyClock)


class LeaseClaim:
    """Takes the lease of one site: `poll` it until it returns the lease."""

    def __init__(self, site: Site, applicant: Applicant) -> None:
        self.files = LeaseFiles(applicant.runs_dir, site, applicant.disk)
        self.former: Lease | None = None
        """The holder whose lease was taken over without a release."""
        self._own = applicant
        self._first: tuple[bytes, Duration] | None = None

    def poll(self) -> Lease | None:
        """Return the lease once this process holds it, None while it must wait.

        Errors: ConflictError R0618 if a live process renews it, R0603 if the run's own process
        lives; StorageError R0802.
        """
        try:
            epoch = self.files.newest()
            text = self.files.text(epoch) if epoch else b""
            found = parse(text)
            if epoch and not self._is_free(found) and not self._has_expired(epoch, text, found):
                return None
            return self._take(epoch + 1, found)
        except OSError as error:
            raise unusable(self.files.path(0).parent, error) from None

    def holder(self) -> str:
        """Return the present holder, as text."""
        with contextlib.suppress(OSError):
            return str(parse(self.files.text(self.files.newest())) or "another process")
        return "another process"

    def _is_free(self, found: Lease | None) -> bool:
        """Return whether the lease was released, or its process has ended. Errors: R0603."""
        if found is None or found.released:
            return found is not None
        own = self._own
        if not own.flocks and (found.boot != own.owner.boot or not found.boot):
            return False
        run_dir = own.runs_dir / found.run
        path = run_dir / lock.RUN_LOCK
        if not own.disk.held(path) and not own.disk.held(run_dir / segment_name(1)):
            return True
        if found.run == own.run:
            raise lock.held(path, lock.parse(own.disk.text(path)))
        return False

    def _has_expired(self, epoch: int, text: bytes, found: Lease | None) -> bool:
        """Return whether the lease was not renewed for its term and the margin. Errors: R0618."""
        now, path = self._own.clock.steady(), self.files.path(epoch)
        term = limits.LEASE_MS + limits.LEASE_MARGIN_MS
        if found is not None and found.boot == self._own.owner.boot != "":
            age = now - found.steady
            if age <= limits.LEASE_LIVE_MS:
                raise refused(path, self.files.site, found)
            return age > term
        if self._first is None:
            self._first = text, now
        before, since = self._first
        if text != before:
            raise refused(path, self.files.site, found)
        return now - since > term

    def _take(self, epoch: int, found: Lease | None) -> Lease:
        own, site = self._own, self.files.site
        lease = Lease(
            *site, epoch, own.run, own.owner.machine, own.owner.pid, own.user, own.owner.boot,
            own.clock.wall(), own.clock.steady(),
        )  # fmt: skip
        if not self.files.create(lease):
            newest = self.files.newest()
            raise refused(self.files.path(newest), site, parse(self.files.text(newest)))
        self.files.sweep(epoch)
        self.former = found if found is not None and not found.released else None
        return lease


class Leases:
    """The leases that this process holds, of one run. `renew` and `lost` may run in two threads."""

    def __init__(self, applicant: Applicant) -> None:
        self.events: list[Leased] = []
        """What the journal records about each lease."""
        self._own = applicant
        self._held: list[tuple[LeaseFiles, Lease]] = []
        self._since = applicant.clock.steady(), applicant.clock.wall()
        self._lost = self._trouble = ""

    def add(self, claim: LeaseClaim, lease: Lease) -> None:
        """Hold a lease that was just taken."""
        former = claim.former
        note = "" if former is None or former.run == self._own.run else str(former)
        self.events.append(Leased(lease.account, lease.region, lease.epoch, note))
        self._held.append((claim.files, lease))

    def renew(self) -> None:
        """Extend all leases by their term from now, or leave them after an error of the disk."""
        since = self._own.clock.steady(), self._own.clock.wall()
        if self.lost():
            return
        try:
            self._held = [(files, self._renewed(files, lease)) for files, lease in self._held]
        except OSError as error:
            self._trouble = f": {error.strerror or error}"
            return
        if not self._lost:
            self._since, self._trouble = since, ""

    def left_ms(self) -> Duration:
        """Return for how long a call may still be sent: the rest of the term, less the time that a
        call may take and the margin for differing clocks.
        """
        steady, wall = self._since
        clock = self._own.clock
        passed = max(clock.steady() - steady, clock.wall() - wall)
        return limits.LEASE_MS - limits.CALL_TIMEOUT_MS - limits.LEASE_MARGIN_MS - passed

    def lost(self) -> str:
        """Return why the leases are lost; empty while calls may be sent. Reads only clocks."""
        if not self._lost and self._held and self.left_ms() < 0:
            lease = self._held[0][1]
            self._lost = (
                f"the lease of {lease.region} was not renewed in time{self._trouble}; this process "
                "was stopped, or the runs directory was not writable"
            )
        return self._lost

    def release(self) -> None:
        """End the leases now, as far as possible. A second call does nothing."""
        held, self._held = self._held, []
        for files, lease in held:
            with contextlib.suppress(OSError):
                if self._path_of(files, lease):
                    files.rewrite(msgspec.structs.replace(lease, released=True))

    def _path_of(self, files: LeaseFiles, lease: Lease) -> bool:
        return files.disk.stat(files.path(lease.epoch)) is not None

    def _renewed(self, files: LeaseFiles, lease: Lease) -> Lease:
        clock, newest = self._own.clock, files.newest()
        if newest > lease.epoch:
            taker = parse(files.text(newest))
            who = "another process" if taker is None else str(taker)
            self._lost = f"the lease of {lease.region} was taken over for {who}"
            return lease
        if newest < lease.epoch:
            self._lost = f"{files.path(lease.epoch)} was removed"
            return lease
        renewed = msgspec.structs.replace(
            lease, renewed=clock.wall(), steady=clock.steady(), beat=lease.beat + 1
        )
        files.rewrite(renewed)
        return renewed


async def take(
    sites: Iterable[Site],
    applicant: Applicant,
    say: Callable[[str], None] = lambda _: None,
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
) -> Leases:
    """Return the leases of these sites; waits for the expiry of a lease that is not renewed.

    `say` receives a message before a wait. Errors as `LeaseClaim.poll`; then no lease is held.
    """
    leases = Leases(applicant)
    try:
        for site in sorted(sites):
            claim, said = LeaseClaim(site, applicant), False
            while (lease := claim.poll()) is None:
                if not said:
                    term = (limits.LEASE_MS + limits.LEASE_MARGIN_MS) / 1000
                    say(f"waiting up to {term:.0f} s for the lease of {site.region}: "
                        f"{claim.holder()}")  # fmt: skip
                said = True
                leases.renew()
                await sleep(POLL_S)
            leases.add(claim, lease)
        leases.renew()
    except BaseException:
        leases.release()
        raise
    return leases
