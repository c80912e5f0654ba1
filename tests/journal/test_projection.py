"""The events of a run for other programs say the same as its journal."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from rollout.app import events, runs, watch
from rollout.core.running.journey import Phase
from rollout.errors import Exit
from rollout.journal.store import StoredRun
from rollout.model.cloud_event import TYPES, BatchAttached, CloudEvent, InstanceMoved
from tests import golden_journals
from tests.tree import ROOT

ENDINGS = sorted(path.name for path in golden_journals.FOLDER.iterdir())


@pytest.fixture(params=ENDINGS)
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> StoredRun:
    """Every golden run in its own runs directory."""
    folder = tmp_path / "runs"
    shutil.copytree(golden_journals.FOLDER / request.param, folder)
    folder.chmod(0o700)
    return runs.find(folder, None)


def test_the_moves_of_all_instances_lead_to_the_state_of_the_run(stored: StoredRun) -> None:
    """Each move starts where the last one of its instance ended; the last phases are the run's."""
    run = runs.fold(stored).run
    phases = {target.instance: Phase.PLANNED.label for target in run.layout.targets}

    for event in events.read(stored):
        if isinstance(event.data, InstanceMoved):
            moved = event.data
            assert moved.from_ == phases[moved.instance] != moved.to
            phases[moved.instance] = moved.to

    assert list(phases.values()) == [run.phase(ordinal).label for ordinal in range(len(run.phases))]


def test_every_event_has_the_form_of_its_type(stored: StoredRun) -> None:
    """Types and data match, ids are unique, and a closed run ends its stream."""
    found = list(events.read(stored))

    assert found[0].type == "rollout.version" and found[0].id == "0"
    assert all(type(event.data) is TYPES[event.type] for event in found)
    assert len({event.id for event in found}) == len(found)
    assert {event.source for event in found} == {f"/rollout/{stored.id}"}
    closed = runs.fold(stored).run.closed is not None
    assert (found[-1].type == "rollout.run.closed") == closed


def test_a_reader_continues_after_a_line(stored: StoredRun) -> None:
    """`after` leaves out exactly the lines up to that number, and keeps the version."""
    whole = list(events.read(stored))
    middle = int(whole[len(whole) // 2].id.partition("-")[0])

    rest = list(events.read(stored, after=middle))

    assert rest[0] == whole[0]
    assert rest[1:] == [one for one in whole[1:] if _line(one) > middle]


def test_one_instance_has_its_own_events(stored: StoredRun) -> None:
    """Events of other instances and of the run are left out; a batch counts for each member."""
    whole = list(events.read(stored))
    instance = runs.plan_of(stored).waves[0].cells[0].batches[0].targets[0].instance

    own = list(events.read(stored, instance=instance))

    assert [one for one in own if isinstance(one.data, InstanceMoved)] == [
        one
        for one in whole
        if isinstance(one.data, InstanceMoved) and one.data.instance == instance
    ]
    batches = [one.data for one in own if isinstance(one.data, BatchAttached)]
    assert all(instance in {result.instance for result in one.results} for one in batches)


def test_a_watch_sees_the_state_of_a_fold(stored: StoredRun) -> None:
    """No process drives a golden run: it is not in progress, and its exit code is the run's."""
    view, facts = watch.RunWatch(stored).poll()

    assert (view, facts) == runs.state(stored)
    assert not watch.in_progress(view, facts)
    expected = view.exit if view.state != "running" else Exit.HALTED
    assert watch.exit_of(view, facts) == expected


def test_every_type_is_documented() -> None:
    """docs/journal.md lists all types of events."""
    page = (ROOT / "docs" / "journal.md").read_text("utf-8")

    assert [name for name in TYPES if f"`{name}`" not in page] == []


def _line(event: CloudEvent) -> int:
    return int(event.id.partition("-")[0])
