"""The simulated disk has the properties of a real one that locks depend on."""

from pathlib import Path

import pytest

from rollout.journal.disk import LockFiles, RealDisk
from rollout.journal.locks import lock
from rollout.sim.time.dice import Dice
from rollout.sim.world.disk import CrashPoints, SimDisk


@pytest.fixture(params=["real", "pretend"])
def disk(request: pytest.FixtureRequest) -> LockFiles:
    """Both disks."""
    return RealDisk() if request.param == "real" else SimDisk(CrashPoints())


def test_a_file_is_held_by_one_handle_until_it_is_closed(disk: LockFiles, tmp_path: Path) -> None:
    """A second handle gets it when the first is given back, not before; others are free."""
    one, two = disk.open_lock(tmp_path / "lock"), disk.open_lock(tmp_path / "lock")
    other = disk.open_lock(tmp_path / "other")

    assert [disk.seize(one), disk.seize(two), disk.seize(other)] == [True, False, True]
    disk.close(one)
    assert disk.seize(two)


def test_a_text_takes_the_place_of_the_one_before(disk: LockFiles, tmp_path: Path) -> None:
    """Nothing of a longer text is left behind a shorter one, whoever reads it."""
    handle = disk.open_lock(tmp_path / "lock")
    disk.write_lock(handle, b"a long text")
    disk.write_lock(handle, b"short")
    assert disk.read_lock(disk.open_lock(tmp_path / "lock")) == b"short"


def test_a_lock_dies_with_its_machine() -> None:
    """After a power cut the file is free, whatever is left of its text."""
    disk, path = SimDisk(CrashPoints()), Path("runs")
    owner = lock.Owner("sim", 1, 0)
    lock.take_runs(path, owner, disk=disk)
    disk.sync_dir(path)

    disk.die(Dice(1, "disk"))

    assert disk.seize(disk.open_lock(path / lock.RUNS_LOCK))
