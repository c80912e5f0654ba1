"""The lease files of a runs directory: which run may change one region of one account, until when.

Used by `leases`. Each epoch of a lease is a file that is created atomically, and only the process
that created it writes it again, so that no renewal can overwrite the lease of a later holder.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec

from rollout.errors import ConflictError, Place, RolloutError
from rollout.journal.disk import Disk
from rollout.model import limits
from rollout.model import time as times
from rollout.model.phrase import say
from rollout.model.site import Site
from rollout.model.time import Duration, Instant

LEASES = "leases"
"""The folder of the lease files in a runs directory."""


class Lease(msgspec.Struct, frozen=True):
    """The text of one lease file: the holder of one epoch.

    `renewed` is by the holder's wall clock, for people. `steady` is the same moment by the clock
    that counts since the start of the kernel `boot`. `released` ends the lease before its expiry.
    """

    account: str
    region: str
    epoch: int
    run: str
    machine: str
    pid: int
    user: str
    boot: str
    renewed: Instant
    steady: Duration
    beat: int = 0
    released: bool = False

    @property
    def expires(self) -> Instant:
        """When the lease ends unless it is renewed, by the holder's wall clock."""
        return self.renewed + limits.LEASE_MS

    def __str__(self) -> str:
        until = times.format_instant(self.expires)
        return (
            f"run {self.run} by process {self.pid} of {self.user} on {self.machine} until {until}"
        )


class SteadyClock:
    """The clocks of this machine: one that counts suspended time, and the wall clock."""

    def steady(self) -> Duration:
        """Return milliseconds since the kernel's start, suspended time included where known."""
        return time.clock_gettime_ns(_STEADY) // 1_000_000

    def wall(self) -> Instant:
        """Return milliseconds UTC."""
        return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class LeaseFiles:
    """The lease files of one site."""

    runs_dir: Path
    site: Site
    disk: Disk

    def path(self, epoch: int) -> Path:
        """Return the file of one epoch."""
        return self.runs_dir / LEASES / f"{self._stem}{epoch:08d}"

    def newest(self) -> int:
        """Return the highest epoch that has a file; 0 without any. Errors: OSError."""
        try:
            names = self.disk.names(self.runs_dir / LEASES)
        except FileNotFoundError:
            return 0
        stem = self._stem
        epochs = (name.removeprefix(stem) for name in names if name.startswith(stem))
        return max((int(epoch) for epoch in epochs if epoch.isdecimal()), default=0)

    def text(self, epoch: int) -> bytes:
        """Return the text of one epoch's file, empty if it is missing. Errors: OSError."""
        return self.disk.text(self.path(epoch))

    def create(self, lease: Lease) -> bool:
        """Create the file of a new epoch; false if another process was faster. Errors: OSError."""
        self.disk.mkdir(self.runs_dir / LEASES)
        path = self.path(lease.epoch)
        try:
            self.disk.save(path, msgspec.json.encode(lease) + b"\n")
        except FileExistsError:
            return False
        self.disk.sync_dir(path.parent)
        return self.newest() == lease.epoch

    def rewrite(self, lease: Lease) -> None:
        """Replace the text of an own epoch atomically. Errors: OSError."""
        path = self.path(lease.epoch)
        fresh = self.disk.fresh(path)
        self.disk.save(fresh, msgspec.json.encode(lease) + b"\n")
        self.disk.replace(fresh, path)

    def sweep(self, epoch: int) -> None:
        """Remove the files of all epochs before this one, as far as possible."""
        with contextlib.suppress(OSError):
            for name in self.disk.names(self.runs_dir / LEASES):
                number = name.removeprefix(self._stem)
                if number != name and number.isdecimal() and int(number) < epoch:
                    self.disk.unlink(self.runs_dir / LEASES / name)

    @property
    def _stem(self) -> str:
        return f"{self.site.account}.{self.site.region}."


def parse(text: bytes) -> Lease | None:
    """Return the lease in the text of a file, None if the text is not whole."""
    try:
        return msgspec.json.decode(text.partition(b"\n")[0], type=Lease)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def refused(path: Path, site: Site, lease: Lease | None) -> RolloutError:
    """Return the error for a site that another live process leases."""
    who = say("another process") if lease is None else str(lease)
    run = "RUN" if lease is None else lease.run
    return ConflictError.of(
        "R0618",
        say(
            "region {region} of account {account} is leased to {who}, and renewed",
            region=site.region,
            account=site.account,
            who=who,
        ),
        place=Place(str(path)),
        help=say(
            "wait until that run ends (`rollout status {run}`), or stop its process with "
            "SIGTERM; then repeat the command. Nothing was started here",
            run=run,
        ),
    )


_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
