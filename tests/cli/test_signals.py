"""Signals outside a run."""

from __future__ import annotations

import subprocess
import sys

from rollout.errors import Exit
from tests import tree

PROGRAM = """
import os, signal, time
from rollout.cli import signals

class Destroyed:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)

signals.install()
Destroyed()
time.sleep(20)
"""


def test_a_signal_inside_a_destructor_ends_the_command_without_noise() -> None:
    """The interpreter swallows the exception there; the timer ends the process with its code."""
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=tree.ROOT,
        capture_output=True,
        text=True,
        timeout=15,
        check=False,
    )

    assert (ended.returncode, ended.stderr) == (Exit.TERMINATED, "")
