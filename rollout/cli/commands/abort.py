"""`rollout abort`: start nothing new in a run, settle its open calls, and close it."""

from __future__ import annotations

from typing import Annotated, Literal

from rollout.cli.options import OUTPUT, CloudOptions, Common, Flag
from rollout.cli.terminal import Terminal
from rollout.errors import Exit
from rollout.model.phrase import say


def abort(
    run: str | None = None,
    /,
    *,
    reason: str = "",
    confirm: str | None = None,
    allow_unsafe_fs: Flag = False,
    output: Annotated[Literal["table", "json", "ids"], OUTPUT] = "table",
    cloud: CloudOptions = CloudOptions(),  # noqa: B008 - frozen
    common: Common = Common(),  # noqa: B008 - frozen
) -> Exit:
    """Close an open run: start nothing new, settle open calls, classify every instance.

    Parameters
    ----------
    run
        The run's id or a unique prefix of it; left out, the newest run.
    reason
        Reason, for the journal.
    confirm
        The run's id or its spec's name: confirms without a prompt.
    allow_unsafe_fs
        Accept a network or user-space file system for the runs directory.
    output
        Format of the result. ids: the instances that need an operator.
    """
    from rollout.app import operate, runs
    from rollout.cli import confirmation, eventloop, session

    terminal = Terminal.of(common)
    found = runs.find(common.runs_dir, run)
    if (closed := runs.closed_result(found)) is not None:
        terminal.say(say("Nothing to do: run {run} is closed.", run=found.id))
        return session.show(terminal, closed, output)
    confirmation.confirm_abort(terminal, found.id, runs.plan_of(found).name, confirm)
    made = session.make(terminal, common, cloud, unsafe_fs=allow_unsafe_fs)
    return session.show(terminal, eventloop.run(operate.abort, found, reason, made), output)
