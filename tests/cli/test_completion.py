"""Completion scripts know the commands, and a shell accepts them."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from rollout.cli import main
from rollout.errors import Exit


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_knows_commands_and_options(
    shell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """All commands and a common option are in it; an installed shell parses it."""
    assert main.main(["completion", shell]) == Exit.DONE

    script = capsys.readouterr().out
    assert all(words.split()[0] in script for words in main.COMMANDS)
    assert "runs-dir" in script
    if program := shutil.which(shell):
        subprocess.run([program, "-n"], input=script, text=True, check=True)
