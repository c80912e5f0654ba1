"""A FIFO in the runs directory does not block any command."""

from __future__ import annotations

import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.e2e.stage import Stage
from tests.journal import samples

NAMES = ("journal-000001.jsonl", "journal.seal", "plan.json", "lock", ".lock", samples.RUN)
"""Files of a run, the lock of the runs directory, and the run directory itself."""
COMMANDS = (("history",), ("resume", "--last"))
MORE = (("status",), ("audit", "verify"))
"""Commands that open no other file, and are tested with two kinds of file only."""
PATIENCE_S = 20
TRACEBACK = "Traceback (most recent call last)"


def test_a_fifo_in_the_runs_directory_blocks_no_command(tmp_path: Path) -> None:
    """Every command that reads or writes runs ends without a traceback."""
    made = Stage(tmp_path, "http://127.0.0.1:1")
    commands = []
    for number, name in enumerate(NAMES):
        _plant(tmp_path / f"runs-{number}", name)
        where = ("--runs-dir", f"runs-{number}")
        commands += [(*words, *where) for words in COMMANDS + MORE * (number in (0, 2))]

    def run_it(words: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
        return made.run(*words, timeout=PATIENCE_S)

    with ThreadPoolExecutor(4) as pool:
        for words, ended in zip(commands, pool.map(run_it, commands), strict=True):
            assert TRACEBACK not in ended.stderr, (words, ended.stderr)
            assert ended.returncode != 1 or "R0410" in ended.stderr, (words, ended)


def _plant(runs: Path, name: str) -> None:
    """Return a runs directory with one open run, and a FIFO in place of one of its files."""
    runs.mkdir(mode=0o700)
    run_dir = samples.write(runs, 3)
    if name == samples.RUN:
        shutil.rmtree(run_dir)
    path = runs / name if name in (samples.RUN, ".lock") else run_dir / name
    path.unlink(missing_ok=True)
    os.mkfifo(path)
