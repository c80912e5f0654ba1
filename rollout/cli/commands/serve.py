"""`rollout serve --scheduler`: fire the ticks of all schedules of a runs directory."""

from __future__ import annotations

from functools import partial

from rollout.cli.options import CloudOptions, Common, Flag
from rollout.cli.terminal import Terminal
from rollout.errors import Exit, UsageError
from rollout.model.phrase import say


def serve(
    *,
    scheduler: Flag = False,
    once: Flag = False,
    allow_unsafe_fs: Flag = False,
    cloud: CloudOptions = CloudOptions(),  # noqa: B008 - frozen
    common: Common = Common(),  # noqa: B008 - frozen
) -> Exit:
    """Run until SIGTERM or Ctrl-C, and fire due schedules.

    Parameters
    ----------
    scheduler
        Fire the schedules of the runs directory. Required: this version serves nothing else.
    once
        Fire what is due now, continue an open run, and end. For cron and tests.
    allow_unsafe_fs
        Accept a network or user-space file system for the runs directory.
    """
    from rollout.app import scheduler as schedulers
    from rollout.cli import eventloop, session

    if not scheduler:
        text = say("this version serves only schedules")
        raise UsageError.of("R0001", text, help="rollout serve --scheduler")
    terminal = Terminal.of(common)
    make = partial(session.make, terminal, common, cloud, unsafe_fs=allow_unsafe_fs)
    return eventloop.run(partial(schedulers.serve, make, once=once))
