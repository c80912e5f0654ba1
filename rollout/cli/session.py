"""Make the session of a use case from a command's options, and print the result of a run."""

from __future__ import annotations

from rollout.app.runs import RunResult
from rollout.app.session import Connection, Session
from rollout.cli import progress
from rollout.cli.notices import TerminalNotices
from rollout.cli.options import CloudOptions, Common, Driving
from rollout.cli.terminal import Terminal
from rollout.cli.views import render, report
from rollout.errors import Exit

RESULT_S = 60.0
"""Time limit for reading the result, so that unattended commands end."""


def make(
    terminal: Terminal,
    common: Common,
    cloud: CloudOptions | None = None,
    driving: Driving = Driving(),  # noqa: B008 - frozen
    *,
    unsafe_fs: bool = False,
) -> Session:
    """Return a session that reports to `terminal`. `unsafe_fs` is the option `--allow-unsafe-fs` of
    a command that drives no run.
    """
    return Session(
        runs_dir=common.runs_dir,
        connection=Connection() if cloud is None else cloud.connection(),
        allow_unsafe_fs=unsafe_fs or driving.allow_unsafe_fs,
        wait=not driving.no_wait,
        until_wave=driving.until_wave or "",
        fence=not driving.no_fence,
        notices=TerminalNotices(terminal),
        progress=progress.make(common, live=terminal.live),
    )


def show(terminal: Terminal, ended: RunResult, output: str) -> Exit:
    """Print the state of the run and return its exit code. Errors: R0804, R0806."""
    terminal.show(_text(terminal, ended, output), RESULT_S)
    return ended.exit


def _text(terminal: Terminal, ended: RunResult, output: str) -> str:
    """Return the summary in the requested format."""
    match output:
        case "json":
            return render.as_json(report.data(ended.view, ended.facts))
        case "ids":
            return report.left_ids(ended.view.left)
        case _:
            return report.summary(ended.view, ended.facts, terminal.width)
