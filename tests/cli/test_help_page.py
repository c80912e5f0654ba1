"""Help pages: how their texts are wrapped."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise

import pytest

from rollout.cli import main
from rollout.errors import Exit

INDENT_MAX_OF_NAMES = 3
"""Columns before the name of an option; texts begin further to the right."""


@pytest.mark.parametrize("columns", [80, 200])
@pytest.mark.parametrize("command", ["emulator", "apply", "plan"])
def test_english_texts_are_wrapped_to_the_terminal(
    columns: int, command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line breaks only where the next word does not fit, not where the docstring breaks."""
    monkeypatch.setenv("COLUMNS", str(columns))
    assert main.main([command, "--help"]) == Exit.DONE

    rows = [line[1:-1] for line in capsys.readouterr().out.splitlines() if line.startswith("│")]
    for row, below in pairwise(rows):
        indent = len(below) - len(below.lstrip())
        if indent > INDENT_MAX_OF_NAMES:  # the text continues in the next row
            (word, *_) = below.split()
            assert len(row.rstrip()) + len(f" {word}") > columns - 3, row


@pytest.mark.parametrize("command", ["apply", "init", "plan"])
def test_an_empty_default_is_not_mentioned(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """An option without a default says nothing of one; the others name theirs."""
    assert main.main([command, "--help"]) == Exit.DONE

    out = capsys.readouterr().out
    assert "[default: " in out and '""' not in out


def test_only_a_help_page_imports_its_printer() -> None:
    """Other commands start without rich."""
    code = (
        "import sys; from rollout.cli import main; main.main(['version']);"
        "sys.exit('rich' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
