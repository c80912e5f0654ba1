"""The result of a command that drove or names a run, and the exit code it ends with."""

from __future__ import annotations

from rollout.cli import render, report
from rollout.cli.report import Ended
from rollout.cli.terminal import Terminal
from rollout.errors import Exit


def show(terminal: Terminal, ended: Ended, output: str) -> Exit:
    """Print how the run stands; its exit code."""
    terminal.show(spelled(terminal, ended, output))
    return ended.exit


def spelled(terminal: Terminal, ended: Ended, output: str) -> str:
    """The summary in the form that was asked for."""
    match output:
        case "json":
            return render.as_json(report.data(ended.view, ended.facts))
        case "ids":
            return report.left_ids(ended.view.left)
        case _:
            return report.summary(ended.view, ended.facts, terminal.width)
