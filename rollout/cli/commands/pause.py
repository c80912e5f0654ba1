"""`rollout pause`: start nothing new in a run until an operator continues it."""

from __future__ import annotations

from rollout.cli.options import Common, Flag
from rollout.cli.terminal import Terminal
from rollout.errors import Exit
from rollout.model.phrase import say


def pause(
    run: str | None = None,
    /,
    *,
    reason: str = "",
    allow_unsafe_fs: Flag = False,
    common: Common = Common(),  # noqa: B008 - frozen
) -> Exit:
    """Start nothing new in a run until an operator continues it. Makes no API calls.

    Parameters
    ----------
    run
        The run's id or a unique prefix of it; left out, the newest run.
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
    eventloop.run(operate.pause, found, reason, made)
    terminal.say(
        say(
            "Paused: no attach and no restart starts; open calls and boots are observed.\n"
            "resume: rollout resume {run}",
            run=found.id,
        )
    )
    return Exit.DONE
