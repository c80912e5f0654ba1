"""Schedules through the command line: from a new project to a rotation, and killed schedulers."""

from __future__ import annotations

import os
import random
import shlex
import subprocess
import time
from pathlib import Path
from subprocess import Popen
from typing import Self

import pytest

from rollout.cli import main
from tests.e2e import scheduled
from tests.e2e.stage import Stage, stage
from tests.test_docs import commands_in
from tests.tree import ROOT

PAGE = "docs/scheduling.md"


def test_the_walk_of_the_docs_ends_with_a_rotation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The commands of the page, typed in order by a new user: init, schedule, apply, promote."""
    page = (ROOT / PAGE).read_text("utf-8")
    section = page.partition("## Try it")[2].partition("\n## ")[0]
    monkeypatch.chdir(tmp_path)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "ops-key"], check=True)
    with stage(tmp_path, size=20, options=("--boot-time", "300ms")) as made:
        for name, value in made.environment().items():
            monkeypatch.setenv(name, value)
        with Walk(made, capsys) as walk:
            for line in commands_in(section)[1:]:  # the emulator runs
                walk.type(line)

    (*_, (_, drift), (_, listed)) = walk.printed
    rows, _, counts = drift.partition("\n\n")
    locked = rows.splitlines()[1:]
    assert all(" locked: " in row for row in locked), drift
    assert counts.startswith(f"{len(locked)} instances of ") and "Next:" not in listed


class Walk:
    """A user who types the commands of a page. `printed` has the output of each command."""

    def __init__(self, made: Stage, capsys: pytest.CaptureFixture[str]) -> None:
        self.made, self._capsys = made, capsys
        self.printed: list[tuple[str, str]] = []
        self.others: list[Popen[str]] = []
        """Processes in other terminals: the scheduler, then the run."""

    def type(self, line: str) -> None:
        """Run one command until it ends, or in another terminal if it stays."""
        words = shlex.split(line)[1:]
        match words[0]:
            case "serve":
                self.others.append(self.made.begin(*words))
                return
            case "apply":  # the time of the tick differs from that on the page
                words = shlex.split(self.printed[-1][1].rpartition("Next:  rollout ")[2])
                self.others.append(self.made.begin(*words))
                return
            case "promote":
                self._wait_for("promote:", "status")
            case "schedule" if self.others and words[1] == "list":
                self._wait_for("planned", *words)
        self.printed.append((line, self._ran(*words)))
        if words[0] == "init":
            self.made = Stage(self.made.folder / words[1], self.made.url)
            os.chdir(words[1])
        if words[0] == "promote":
            run = self.others.pop()
            assert run.communicate(timeout=60)[1] and run.returncode == 0

    def _ran(self, *words: str) -> str:
        """Return what a command of this process prints."""
        code = main.main(words)
        printed = self._capsys.readouterr()
        assert code == 0, (words, printed.err)
        return printed.out

    def _wait_for(self, text: str, *words: str) -> None:
        """Repeat a command until it prints a text."""
        patience = time.monotonic() + 60
        while main.main(words) or text not in self._capsys.readouterr().out:
            assert time.monotonic() < patience, words
            time.sleep(0.2)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Stop what still runs in other terminals."""
        for process in self.others:
            process.terminate()
            process.communicate(timeout=30)


def test_two_schedulers_of_which_one_is_killed_fire_each_tick_once(tmp_path: Path) -> None:
    """Two processes on one runs directory, and three kills while ticks are open: every tick fires
    once, no target is restarted twice, and both processes end with 143 after SIGTERM.
    """
    ticks = 2
    with stage(tmp_path, size=None, options=scheduled.fleet(tmp_path, ticks)) as made:
        for name in scheduled.names(ticks):
            scheduled.add(made, name)
        schedulers = scheduled.Schedulers(made, 2, random.Random(7))
        scheduled.drive(schedulers, ticks, kills=3, pause_s=4)

        assert schedulers.kills == 3
        assert schedulers.stop() == [143, 143]
        assert scheduled.wrong(made, ticks) == []
        assert made.run("serve", "--scheduler", "--once").returncode == 0
