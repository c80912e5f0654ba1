"""Make the session of a use case from the options of a command."""

from __future__ import annotations

from rollout.app.session import Connection, Session
from rollout.cli import progress
from rollout.cli.notices import TerminalNotices
from rollout.cli.options import CloudOptions, Common
from rollout.cli.terminal import Terminal


def make(
    terminal: Terminal,
    common: Common,
    cloud: CloudOptions | None = None,
    *,
    unsafe_fs: bool = False,
) -> Session:
    """Return a session that reports to `terminal`. `unsafe_fs` is `--allow-unsafe-fs`."""
    return Session(
        runs_dir=common.runs_dir,
        connection=Connection() if cloud is None else cloud.connection(),
        allow_unsafe_fs=unsafe_fs,
        notices=TerminalNotices(terminal),
        progress=progress.make(common, live=terminal.live),
    )
