"""`rollout promote`: continue a paused run, or open the manual gate after a wave."""

from __future__ import annotations

from functools import partial

from rollout.cli.options import Common, Flag
from rollout.cli.terminal import Terminal
from rollout.errors import Exit
from rollout.model.phrase import say


def promote(
    run: str | None = None,
    /,
    *,
    full: Flag = False,
    reason: str = "",
    allow_unsafe_fs: Flag = False,
    common: Common = Common(),  # noqa: B008 - frozen
) -> Exit:
    """Continue a paused run, or open the manual gate that waits. Makes no API calls.

    Parameters
    ----------
    run
        The run's id or a unique prefix of it; left out, the newest run.
    full
        Continue a paused run, and open this gate and all later ones.
    reason
        Reason, for the journal.
    allow_unsafe_fs
        Accept a network or user-space file system for the runs directory.
    """
    from rollout.app import operate, runs
    from rollout.cli import eventloop, session

    terminal = Terminal.of(common)
    found = runs.find(common.runs_dir, run)
    made = session.make(terminal, common, unsafe_fs=allow_unsafe_fs)
    if eventloop.run(partial(operate.promote, found, reason, made, full=full)):
        terminal.say(say("Promoted. The process that drives the run continues after the bake."))
    else:
        terminal.say(say("Promoted.\nresume: rollout resume {run}", run=found.id))
    return Exit.DONE
