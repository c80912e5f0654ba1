"""The re-check of a journal finds a wave that started after the one of `--until-wave`."""

from pathlib import Path

from rollout.errors import Exit
from rollout.journal.directory import DirectoryRun
from rollout.journal.verify import verify
from rollout.model.event import LastWaveSet
from tests.journal.example_runs import ExampleRun
from tests.journal.recheck.cases import messages
from tests.journal.samples import ACTOR


def limited() -> ExampleRun:
    """A run whose process ends with the canary, which is finished."""
    example = ExampleRun().add(LastWaveSet(0, ACTOR))
    return example.open_wave(0).rotated(0, 1).close_wave(0)


def test_a_wave_after_the_last_one_is_found(tmp_path: Path) -> None:
    """Within the same process only: a resume lifts the limit."""
    bad = verify(DirectoryRun(limited().open_wave(1).write(tmp_path / "bad")))
    assert bad.exit is Exit.INTEGRITY
    assert "wave rest started after the last one (--until-wave)" in messages(bad)

    good = verify(DirectoryRun(limited().resume().open_wave(1).write(tmp_path / "good")))
    assert messages(good) == ""
