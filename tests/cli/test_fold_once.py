"""A command folds the journal of a run at most once, and closed runs only to show them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from rollout.app import plan_file, preflight
from rollout.cli import main
from rollout.core.running.decider import Decider
from rollout.errors import ConflictError
from rollout.journal.directory import DirectoryStore
from rollout.model import event as ev
from rollout.model.event import AnyEvent, RunStarted
from tests.journal import example_runs

OPEN = example_runs.ExampleRun(name="open").run
CLOSED = example_runs.ExampleRun(name="closed").run
OFFLINE = ("--profile", "missing", "--allow-unsafe-fs")
RESOLVE = ("resolve", OPEN, "--instance", "i-00000001", "--reason", "uptime", "--restarted")


@pytest.fixture
def folds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """An open run that halted and a closed one; the number of folds of each from now on."""
    monkeypatch.chdir(tmp_path)
    halted = example_runs.ExampleRun(name="open").open_wave(0).rotated(0).attached(1).restart(1)
    halted.add(ev.Held((1,), "unproven")).close_wave(0)
    halted.add(ev.Halted("failures", "R0504", 5, "1 of 2 instances")).write(tmp_path / "runs")
    example_runs.whole(name="closed").write(tmp_path / "runs")
    counts: Counter[str] = Counter()
    fold = Decider.fold

    def counted(decider: Decider, event: AnyEvent) -> None:
        if isinstance(event, RunStarted):
            counts[event.run] += 1
        fold(decider, event)

    monkeypatch.setattr(Decider, "fold", counted)
    return counts


@pytest.mark.parametrize(
    "words, expected",
    [
        (("status", OPEN), {OPEN: 1}),
        (("history",), {OPEN: 1, CLOSED: 1}),
        (("audit", "show", OPEN), {}),
        (("audit", "verify", OPEN), {}),
        (RESOLVE, {OPEN: 1}),
        (("resume", CLOSED, *OFFLINE), {CLOSED: 1}),
        (("resume", OPEN, *OFFLINE), {OPEN: 1}),
        (("resume", "--last", *OFFLINE), {OPEN: 1}),
        (("abort", CLOSED, *OFFLINE), {CLOSED: 1}),
        (("abort", OPEN, "--confirm", "open", *OFFLINE), {OPEN: 1}),
    ],
)
def test_a_command_folds_each_journal_at_most_once(
    folds: Counter[str], words: tuple[str, ...], expected: dict[str, int]
) -> None:
    """A journal of 64,000 instances takes seconds to fold; a closed run is not read to skip it."""
    main.main(list(words))

    assert folds == expected


def test_a_plan_is_checked_against_open_runs_with_one_fold_of_each(folds: Counter[str]) -> None:
    """The run that still changes the plan's targets is folded, the closed one is not."""
    saved = plan_file.with_digest(example_runs.a_plan())

    with pytest.raises(ConflictError, match="has not finished"):
        preflight.check_runs(saved, DirectoryStore(Path("runs")))

    assert folds == {OPEN: 1}
