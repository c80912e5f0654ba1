"""The directory of all runs: which there are, which one is meant, what the next is called.

Called by the commands that name a run. Reads of each run no more than its first line.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import msgspec

from rollout.errors import RolloutError, UsageError
from rollout.journal.reader import PLAN, PREFIX, read, unusable
from rollout.model.event import RunStarted
from rollout.model.time import Instant


class RunDir(msgspec.Struct, frozen=True):
    """A run on disk. `started` is None where its first line is missing or damaged, `damage` says
    what was found then; `at` is when it was started, or when its directory was made where nobody
    can say."""

    path: Path
    started: RunStarted | None
    at: Instant
    damage: RolloutError | None = None

    @property
    def id(self) -> str:
        """The run's id, which is its directory's name."""
        return self.path.name


def every(runs_dir: Path) -> list[RunDir]:
    """All runs, oldest first; none where the directory is missing."""
    try:
        paths = [path for path in runs_dir.iterdir() if path.name.startswith(PREFIX)]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise unusable(runs_dir, error) from None
    return sorted((_open(path) for path in paths), key=lambda run: (run.at, run.id))


def of_plan(runs_dir: Path, plan_digest: str) -> list[RunDir]:
    """The runs of one plan that were begun, oldest first."""
    return [
        run
        for run in every(runs_dir)
        if run.started is not None and run.started.plan_digest == plan_digest
    ]


def find(runs_dir: Path, text: str | None) -> RunDir:
    """The run of that id or unique beginning of an id; None means the newest.

    UsageError R0003 where there is none, or more than one.
    """
    runs = every(runs_dir)
    if not runs:
        raise UsageError.of("R0003", f"there are no runs in {runs_dir}", help="rollout apply PLAN")
    if text is None:
        return runs[-1]
    found = [run for run in runs if run.id.startswith(text)]
    exact = [run for run in found if run.id == text]
    if len(exact or found) == 1:
        return (exact or found)[0]
    if found:
        names = ", ".join(run.id for run in found[:5])
        raise UsageError.of("R0003", f"{text} is a prefix of {len(found)} runs: {names}")
    raise UsageError.of("R0003", f"no run in {runs_dir} begins with {text}", help="rollout history")


def _open(path: Path) -> RunDir:
    """A run by its first line. One that is damaged stays in the list: its reader will say why."""
    reader, damage = read(path), None
    try:
        next(iter(reader), None)
    except RolloutError as error:
        damage = error
    if reader.started is not None:
        return RunDir(path, reader.started, reader.started.at)
    made = 0.0
    for one in (path / PLAN, path):
        with contextlib.suppress(OSError):
            made = one.stat().st_mtime
            break
    return RunDir(path, None, int(made * 1000), damage)
