"""On a file system of several machines, where `flock` may not be seen, heartbeats decide."""

import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from rollout.errors import ConflictError
from rollout.journal.disk import RealDisk
from rollout.journal.locks import heartbeat, lock
from rollout.journal.locks.heartbeat import SILENT_S, Pace
from rollout.journal.locks.lock import Lock, Owner
from tests.journal.samples import NOW

HERE = Owner("pod-2", 1, NOW, boot="kernel-2", token="two")
THERE = Owner("pod-1", 1, NOW, boot="kernel-1", token="one")


class Deaf(RealDisk):
    """A disk whose locks are not seen by other machines."""

    def seize(self, handle: int) -> bool:
        return True


class Time:
    """A clock that advances only during sleeps; `acts` happen meanwhile."""

    def __init__(self, act: Callable[[float], object] = lambda _: None) -> None:
        self.seconds = 0.0
        self.act = act

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        self.act(self.seconds)

    @property
    def pace(self) -> Pace:
        return Pace(lambda: self.seconds, self.sleep)


async def take(runs_dir: Path, owner: Owner, clock: Time) -> Lock:
    """Take the lock of all runs on a disk whose locks are not seen, by a clock of the test's."""
    return await heartbeat.take_runs(runs_dir, owner, disk=Deaf(), pace=clock.pace)


@pytest.mark.asyncio
async def test_a_fresh_heartbeat_keeps_the_lock(tmp_path: Path) -> None:
    """A live holder on another machine is named, and stays the holder."""
    theirs = await take(tmp_path, THERE, Time())

    with pytest.raises(ConflictError, match="pod-1"):
        await take(tmp_path, HERE, Time(lambda _: theirs.beat()))

    assert not theirs.lost()


@pytest.mark.asyncio
async def test_a_silent_holder_is_followed_and_notices_it(tmp_path: Path) -> None:
    """Sixty seconds without a heartbeat free the lock; a holder that continues later has lost it,
    and neither writes heartbeats nor clears the text of its successor."""
    theirs = await take(tmp_path, THERE, Time())
    clock = Time()

    ours = await take(tmp_path, HERE, clock)

    assert clock.seconds >= SILENT_S
    assert ours.former == THERE
    assert "pod-2" in theirs.lost()
    assert not theirs.beat()
    theirs.release()
    assert not ours.lost() and ours.beat()


@pytest.mark.asyncio
async def test_nobody_is_waited_for_after_an_orderly_end(tmp_path: Path) -> None:
    """A holder that released its lock left no name."""
    (await take(tmp_path, THERE, Time())).release()
    clock = Time()

    await take(tmp_path, HERE, clock)

    assert clock.seconds < SILENT_S / 2


@pytest.mark.asyncio
async def test_a_dead_holder_under_the_same_kernel_is_followed_at_once(tmp_path: Path) -> None:
    """Its lock would be seen: two pods on one node wait for nobody."""
    await take(tmp_path, THERE, Time())
    clock = Time()

    await take(tmp_path, msgspec.structs.replace(HERE, boot=THERE.boot), clock)

    assert clock.seconds < SILENT_S / 2


@pytest.mark.asyncio
async def test_of_two_that_take_a_free_lock_at_once_one_gets_it(tmp_path: Path) -> None:
    """The last writer wins, the other one reads it back and ends."""

    def rival(passed: float) -> None:
        (tmp_path / lock.RUNS_LOCK).write_bytes(msgspec.json.encode(THERE) + b"\n")

    with pytest.raises(ConflictError, match="pod-1"):
        await take(tmp_path, HERE, Time(rival))


def test_a_heart_beats_from_a_thread_of_its_own(tmp_path: Path) -> None:
    """Heartbeats are written while the process does other things, until it stops them."""
    held = lock.take_runs(tmp_path, HERE, disk=Deaf())
    held.share()
    patience = time.monotonic() + 20
    with heartbeat.Heart(held, beat_s=0.001):
        while _beat(tmp_path) < 3 and time.monotonic() < patience:
            time.sleep(0.001)
    stopped = _beat(tmp_path)

    assert stopped >= 3
    assert _beat(tmp_path) == stopped


def _beat(runs_dir: Path) -> int:
    owner = lock.parse((runs_dir / lock.RUNS_LOCK).read_bytes())
    return 0 if owner is None else owner.beat
