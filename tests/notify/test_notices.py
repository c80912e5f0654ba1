"""The messages about a run follow from its journal alone, and fit it."""

from __future__ import annotations

from pathlib import Path

import pytest

from rollout.app import runs
from rollout.model import event as ev
from rollout.model.notify import Notice, NoticeKind, NoticeLang
from rollout.notify import texts
from rollout.notify.notices import NoticeMaker
from tests import golden_journals
from tests.golden_journals import find
from tests.journal.example_runs import ExampleRun, gated
from tests.journal.samples import NOW

FOLDERS = sorted(path for path in golden_journals.FOLDER.iterdir() if path.is_dir())


def notices_of(folder: Path) -> list[Notice]:
    """The messages about a golden journal."""
    run = find(folder)
    maker = NoticeMaker(runs.plan_of(run))
    return [one for line in run.read() for one in maker.take(line.seq, line.at, line.body)]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_each_start_wave_halt_and_end_has_one_message(folder: Path) -> None:
    """In the order of the journal, with ids that are different and the same in each reading."""
    run = find(folder)
    wanted = {
        ev.RunStarted: NoticeKind.STARTED,
        ev.WaveClosed: NoticeKind.WAVE,
        ev.Halted: NoticeKind.HALTED,
        ev.RunClosed: NoticeKind.CLOSED,
    }
    events = [event for line in run.read() for event in line.body]
    made = notices_of(folder)

    kinds = [wanted[type(event)] for event in events if type(event) in wanted]
    assert [one.kind for one in made if one.kind is not NoticeKind.GATE] == kinds
    assert [one.position for one in made] == sorted({one.position for one in made})
    assert made == notices_of(folder)
    for one in made:
        assert all(one.run in texts.text(one, lang) for lang in NoticeLang)
    for closed in (one for one in made if one.kind is NoticeKind.CLOSED):
        end = next(event for event in events if isinstance(event, ev.RunClosed))
        assert closed.data["counts"] == {name: n for name, n in end.counts.items() if n}


def test_a_manual_gate_has_a_message_with_the_command() -> None:
    """The wave's own message comes first; both are about the same event."""
    example = ExampleRun(gated()).open_wave(0).rotated(0, 1).close_gated(0)
    maker = NoticeMaker(example.plan)
    made = maker.take(1, NOW, example.events)

    wave, gate = made[-2:]
    assert (wave.kind, gate.kind) == (NoticeKind.WAVE, NoticeKind.GATE)
    assert wave.position < gate.position and wave.id != gate.id
    assert gate.data["command"] == f"rollout promote {example.run}"
    assert wave.data["counts"] == {"done": 2} and wave.data["left"] == 3
