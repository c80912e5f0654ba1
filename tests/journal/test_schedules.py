"""The journals of schedules: one writer for each number, whole entries, damage is reported."""

from __future__ import annotations

from pathlib import Path

import pytest

from rollout.errors import IntegrityError
from rollout.journal.directory import DirectoryStore
from rollout.journal.schedules import DirectorySchedules
from rollout.journal.store import ScheduleStore
from rollout.model.event import Actor
from rollout.model.schedule_event import (
    ScheduleEntry,
    ScheduleEvent,
    TickClaimed,
    TickEnded,
    TickOutcome,
)
from rollout.sim.world.disk import Crash, CrashPoints, SimDisk

ACTOR = Actor("ops", "", "host", 1, "rollout")


def entry(event: ScheduleEvent) -> ScheduleEntry:
    """Return an entry of this event."""
    return ScheduleEntry(1, ACTOR, event)


CLAIM, END = entry(TickClaimed(5)), entry(TickEnded(5, TickOutcome.CLOSED, 0, "r-1"))


def test_one_process_writes_each_number(tmp_path: Path) -> None:
    """The second writer is refused and changes nothing."""
    first: ScheduleStore = DirectoryStore(tmp_path).schedules()
    second = DirectorySchedules(tmp_path)
    assert first.names() == [] and first.entries("s") == []

    assert first.append("s", 1, CLAIM)
    assert not second.append("s", 1, END)
    assert second.append("s", 2, END)

    assert first.names() == ["s"]
    assert first.entries("s") == [CLAIM, END]
    files = sorted(path.name for path in (tmp_path / "schedules" / "s").iterdir())
    assert files == ["00000001.json", "00000002.json"]


def test_later_entries_follow_a_known_one(tmp_path: Path) -> None:
    """Only they are returned; nothing if the known entry was replaced or is gone."""
    store = DirectorySchedules(tmp_path)
    assert store.append("s", 1, CLAIM)
    assert store.later("s", 1, CLAIM) == []
    assert store.append("s", 2, END)

    assert store.later("s", 1, CLAIM) == [END]
    assert store.later("s", 1, END) is None
    assert store.later("s", 3, END) is None


def test_an_entry_is_durable_or_absent_after_a_crash() -> None:
    """The process dies at each point of an append: the next one sees the entry or none."""
    for point in range(1, 6):
        points = CrashPoints()
        disk = SimDisk(points)
        points.left = point
        try:
            DirectorySchedules(Path("/runs"), disk=disk).append("s", 1, CLAIM)
        except Crash:
            durable = False
        else:
            durable = True
        points.left = None
        disk.files = dict(disk.names_durable)
        left = DirectorySchedules(Path("/runs"), disk=disk).entries("s")
        assert left == [CLAIM] or (left == [] and not durable)


@pytest.mark.parametrize("damage", ["{", '{"at":1}', ""])
def test_a_damaged_entry_is_reported(tmp_path: Path, damage: str) -> None:
    """It is never passed over: a tick might fire twice."""
    store = DirectorySchedules(tmp_path)
    assert store.append("s", 1, CLAIM)
    (tmp_path / "schedules" / "s" / "00000001.json").write_text(damage)

    with pytest.raises(IntegrityError, match="R0634"):
        store.entries("s")


def test_a_missing_entry_is_reported(tmp_path: Path) -> None:
    """Numbers have no gap."""
    store = DirectorySchedules(tmp_path)
    assert store.append("s", 1, CLAIM) and store.append("s", 2, END)
    (tmp_path / "schedules" / "s" / "00000001.json").unlink()

    with pytest.raises(IntegrityError, match="entry 1 is missing"):
        store.entries("s")
