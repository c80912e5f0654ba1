"""Leases of two processes in one runs directory, by clocks of the test's."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.errors import ConflictError
from rollout.journal.disk import RealDisk
from rollout.journal.locks import lock
from rollout.journal.locks.lease import Lease, LeaseFiles, SteadyClock, parse
from rollout.journal.locks.leases import Applicant, LeaseClaim, Leases
from rollout.journal.locks.lock import Owner
from rollout.model import limits
from rollout.model.site import Site

SITE = Site("1", "cn-hangzhou")
TERM = limits.LEASE_MS + limits.LEASE_MARGIN_MS
SEND = limits.LEASE_MS - limits.CALL_TIMEOUT_MS - limits.LEASE_MARGIN_MS


@dataclass
class Hands(SteadyClock):
    """Clocks that the test sets. `paused` is time that only the wall clock counted."""

    ms: int = 1_000
    paused: int = 0

    def steady(self) -> int:
        return self.ms

    def wall(self) -> int:
        return 1_795_400_000_000 + self.ms + self.paused


@dataclass
class Party:
    """A process that applies for the lease, on a file system of several machines."""

    runs_dir: Path
    run: str
    boot: str
    clock: Hands = field(default_factory=Hands)
    flocks: bool = False

    def applicant(self) -> Applicant:
        owner = Owner(f"host-{self.boot}", 7, 0, boot=self.boot)
        return Applicant(self.runs_dir, self.run, "ann", owner, self.flocks, RealDisk(), self.clock)

    def claim(self) -> LeaseClaim:
        return LeaseClaim(SITE, self.applicant())

    def hold(self) -> Leases:
        leases, claim = Leases(self.applicant()), self.claim()
        lease = claim.poll()
        assert lease is not None
        leases.add(claim, lease)
        return leases


def _newest(runs_dir: Path) -> Lease:
    files = LeaseFiles(runs_dir, SITE, RealDisk())
    found = parse(files.text(files.newest()))
    assert found is not None
    return found


def test_a_lease_that_is_renewed_is_refused_and_names_its_holder(tmp_path: Path) -> None:
    """On the same kernel at once; on another machine when the text changes."""
    first = Party(tmp_path, "r-one", "a")
    held = first.hold()

    (tmp_path / "r-one").mkdir()
    with (
        lock.take_run(tmp_path / "r-one", Owner("host-a", 7, 0)),
        pytest.raises(ConflictError, match=r"r-one by process 7 of ann on host-a"),
    ):
        Party(tmp_path, "r-two", "a").claim().poll()
    claim = Party(tmp_path, "r-two", "b", Hands(99_000_000)).claim()
    assert claim.poll() is None
    held.renew()
    with pytest.raises(ConflictError, match="R0618"):
        claim.poll()


def test_an_expired_lease_is_taken_over_with_a_note(tmp_path: Path) -> None:
    """The taker waits for the term and the margin by its own clock; the epoch rises."""
    held = Party(tmp_path, "r-one", "a").hold()
    other = Party(tmp_path, "r-two", "b", Hands(5))
    claim = other.claim()
    assert claim.poll() is None
    other.clock.ms += TERM
    assert claim.poll() is None
    other.clock.ms += 1
    lease = claim.poll()
    assert lease is not None and lease.epoch == 2
    taken = Leases(other.applicant())
    taken.add(claim, lease)

    assert "run r-one by process 7" in taken.events[0].former
    held.renew()
    assert "taken over for run r-two" in held.lost()
    held.release()
    assert _newest(tmp_path).run == "r-two" and not _newest(tmp_path).released


def test_a_released_lease_is_free_at_once(tmp_path: Path) -> None:
    """The epoch keeps rising, and no takeover is noted."""
    first = Party(tmp_path, "r-one", "a").hold()
    first.release()
    second = Party(tmp_path, "r-two", "b").hold()

    assert second.events[0].epoch == 2
    assert second.events[0].former == ""


def test_the_lease_of_a_process_that_ended_is_free_at_once(tmp_path: Path) -> None:
    """Where the kernel's locks can be relied on; a live process of the same run is R0603."""
    run_dir = tmp_path / "r-one"
    run_dir.mkdir()
    first = Party(tmp_path, "r-one", "a", flocks=True)
    with lock.take_run(run_dir, Owner("host-a", 7, 0)):
        first.hold()
        with pytest.raises(ConflictError, match="R0603"):
            first.claim().poll()

    lease = Party(tmp_path, "r-two", "a", flocks=True).claim().poll()
    assert lease is not None and lease.epoch == 2


@pytest.mark.parametrize("paused", [False, True])
def test_a_holder_that_was_stopped_sends_nothing(tmp_path: Path, *, paused: bool) -> None:
    """By the clock that counts suspended time, and by the wall clock; a renewal is too late."""
    party = Party(tmp_path, "r-one", "a")
    held = party.hold()
    assert held.left_ms() == SEND

    if paused:
        party.clock.paused += SEND + 1
    else:
        party.clock.ms += SEND + 1
    held.renew()

    assert "not renewed in time" in held.lost()


def test_a_removed_lease_is_lost(tmp_path: Path) -> None:
    """A second holder of the first epoch would have the same epoch."""
    held = Party(tmp_path, "r-one", "a").hold()
    for path in (tmp_path / "leases").iterdir():
        path.unlink()
    held.renew()

    assert "was removed" in held.lost()


def test_a_full_disk_does_not_end_a_lease_before_its_time(tmp_path: Path) -> None:
    """The term decides; then the error is named."""

    class Full(RealDisk):
        def save(self, path: Path, data: bytes) -> None:
            raise OSError(28, "No space left on device")

    party = Party(tmp_path, "r-one", "a")
    claim = party.claim()
    lease = claim.poll()
    assert lease is not None
    claim.files = LeaseFiles(tmp_path, SITE, Full())
    held = Leases(party.applicant())
    held.add(claim, lease)

    held.renew()
    assert not held.lost()
    party.clock.ms += SEND + 1
    assert "No space left" in held.lost()


STEPS = st.lists(
    st.tuples(st.sampled_from("ab"), st.sampled_from(("go", "sleep")), st.integers(1, 150)),
    max_size=40,
)


@given(STEPS)
def test_no_two_holders_may_send_at_the_same_time(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str, int]]
) -> None:
    """Whoever stops for however long: at most one of two parties has a lease that it may use, and
    the former one's last call has ended when the next one may send its first.
    """
    runs_dir = tmp_path_factory.mktemp("runs")
    clocks = {"a": Hands(0), "b": Hands(777_000)}
    parties = {name: Party(runs_dir, f"r-{name}", name, clocks[name]) for name in "ab"}
    claims = {name: parties[name].claim() for name in "ab"}
    held: dict[str, Leases] = {}
    sends: list[tuple[int, str]] = []
    now = 0
    for name, what, seconds in steps:
        if what == "sleep":
            now += seconds * 1_000
            for clock in clocks.values():
                clock.ms += seconds * 1_000
            continue
        if name not in held:
            try:
                lease = claims[name].poll()
            except ConflictError:
                claims[name] = parties[name].claim()
                continue
            if lease is None:
                continue
            held[name] = Leases(parties[name].applicant())
            held[name].add(claims[name], lease)
        if held[name].lost():
            del held[name]
            claims[name] = parties[name].claim()
        else:
            sends.append((now, name))
            held[name].renew()

    for (earlier, one), (later, other) in itertools.pairwise(sends):
        assert one == other or later > earlier + limits.CALL_TIMEOUT_MS
