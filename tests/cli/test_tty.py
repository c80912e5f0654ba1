"""The command line on a terminal: the prompt, the bars, Ctrl-C."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pexpect
import pyte
import pytest

from rollout.errors import Exit
from tests.e2e.stage import Stage, stage

PATIENCE_S = 60
ROWS = 50


class Screen:
    """A command on a terminal with a number of columns, and its screen."""

    def __init__(self, made: Stage, columns: int, *words: str) -> None:
        environment = {**made.environment(), "TERM": "xterm-256color"}
        environment.pop("NO_COLOR")
        command = made.command(*words)
        self.process = pexpect.spawn(
            command[0],
            command[1:],
            cwd=str(made.folder),
            env=environment,
            dimensions=(ROWS, columns),
            encoding="utf-8",
        )
        self.screen = pyte.Screen(columns, ROWS)
        self.stream = pyte.Stream(self.screen)

    def lines(self) -> list[str]:
        """The screen's lines, without blanks at their ends."""
        return [line.rstrip() for line in self.screen.display]

    def until(self, seen: Callable[[str], bool]) -> str:
        """Read until the screen contains the text."""
        began = time.monotonic()
        while time.monotonic() - began < PATIENCE_S:
            text = "\n".join(self.lines())
            if seen(text):
                return text
            if not self._read():
                break
        message = "never seen:\n" + "\n".join(self.lines())
        raise AssertionError(message)

    def end(self) -> int:
        """Read to the end; the exit code."""
        while self._read():
            pass
        self.process.close()
        return int(self.process.exitstatus or 0)

    def _read(self) -> bool:
        """Read available output; False at its end."""
        try:
            self.stream.feed(self.process.read_nonblocking(65_536, timeout=0.1))
        except pexpect.TIMEOUT:
            return True
        except pexpect.EOF:
            return False
        return True


def assert_no_word_is_broken(made: Stage, columns: int, *words: str) -> None:
    """The screen contains only words that the command also prints into a pipe."""
    printed = set(made.run(*words).stdout.split())
    screen = Screen(made, columns, *words)
    assert screen.end() == 0
    lines = screen.lines()

    assert set(" ".join(lines).split()) - printed == set()


@pytest.mark.parametrize("columns", [80, 200])
def test_a_person_is_asked_sees_bars_and_stops_with_ctrl_c(tmp_path: Path, columns: int) -> None:
    """The typed name starts the run, bars fit the width, Ctrl-C drains and prints how to resume."""
    with stage(tmp_path, size=36, options=("--boot-time", "2s")) as made:
        made.write_spec("typed", max_down="20%")
        screen = Screen(made, columns, "apply", "typed.yaml")
        asked = screen.until(lambda text: "to start:" in text)
        assert "on EMULATOR?" in asked and "Type the spec's name, typed" in asked

        screen.process.sendline("typed")
        bars = screen.until(lambda text: "done    ━" in text and "permits" in text)
        rows = [line for line in bars.splitlines() if "━" in line]
        assert [row.split()[0] for row in rows] == ["attach", "restart", "done"]
        assert all(len(row) <= columns for row in rows)

        screen.process.sendintr()
        screen.until(lambda text: "rollout resume r-" in text)
        assert screen.end() == Exit.INTERRUPTED
        for words in (("history",), ("audit", "show"), ("audit", "verify"), ("status",)):
            assert_no_word_is_broken(made, columns, *words)


def test_another_answer_begins_nothing(tmp_path: Path) -> None:
    """`yes` is not the spec's name: exit 7, no run, no effect."""
    with stage(tmp_path, size=36) as made:
        made.write_spec("typed")
        screen = Screen(made, 80, "apply", "typed.yaml")
        screen.until(lambda text: "to start:" in text)

        screen.process.sendline("yes")
        screen.until(lambda text: "R0702" in text)

        assert screen.end() == Exit.CONFIRM
        assert made.admin("ledger") == []
        assert not list((tmp_path / "runs").glob("r-*"))


def test_ctrl_c_answers_the_question_with_no(tmp_path: Path) -> None:
    """One Ctrl-C at the prompt ends the command: exit 130, no run, no effect."""
    with stage(tmp_path, size=36) as made:
        made.write_spec("typed")
        screen = Screen(made, 80, "apply", "typed.yaml")
        screen.until(lambda text: "to start:" in text)

        screen.process.sendintr()
        screen.until(lambda text: "nothing was started" in text)

        assert screen.end() == Exit.INTERRUPTED
        assert made.admin("ledger") == []
        assert not list((tmp_path / "runs").glob("r-*"))
