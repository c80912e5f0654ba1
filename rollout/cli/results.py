"""Print the result of a command about a run, and return its exit code."""

from __future__ import annotations

from rollout.app.runs import RunResult
from rollout.cli.terminal import Terminal
from rollout.cli.views import render, report
from rollout.errors import Exit

RESULT_S = 60.0
"""Time limit for reading the result, so that unattended commands end."""


def show(terminal: Terminal, ended: RunResult, output: str) -> Exit:
    """Print the state of the run and return its exit code. Errors: R0804, R0806."""
    terminal.show(text(terminal, ended, output), RESULT_S)
    return ended.exit


def text(terminal: Terminal, ended: RunResult, output: str) -> str:
    """Return the summary in the requested format."""
    match output:
        case "json":
            return render.as_json(report.data(ended.view, ended.facts))
        case "ids":
            return report.left_ids(ended.view.left)
        case _:
            return report.summary(ended.view, ended.facts, terminal.width)
