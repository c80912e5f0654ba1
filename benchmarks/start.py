"""Measure the CPU time that the program takes to start, print its help and end."""

from __future__ import annotations

import subprocess
import sys

from benchmarks.report import Row, Size

_RUNS = {Size.TINY: 1, Size.DEFAULT: 7, Size.FULL: 21}
_SECONDS = 0.3
_SCRIPT = (
    "import sys, time; from rollout.cli import main; main.main({words!r});"
    "print(time.process_time(), file=sys.stderr)"
)


def run(size: Size) -> list[Row]:
    """Return the least CPU time of several starts; other work on the machine only adds to it."""
    return [
        Row("rollout --help, CPU", _least(["--help"], _RUNS[size]), "s", most=_SECONDS),
        Row("rollout apply --help, CPU", _least(["apply", "--help"], _RUNS[size]), "s"),
    ]


def _least(words: list[str], runs: int) -> float:
    command = [sys.executable, "-c", _SCRIPT.format(words=words)]
    ended = [
        subprocess.run(command, capture_output=True, text=True, check=True) for _ in range(runs)
    ]
    return min(float(one.stderr) for one in ended)
