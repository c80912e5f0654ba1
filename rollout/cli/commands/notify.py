"""`rollout notify`: send the messages about a run that its receivers lack."""

from __future__ import annotations

from typing import Annotated, Literal

from rollout.cli.options import OUTPUT, Common, Flag
from rollout.cli.terminal import Terminal
from rollout.errors import Exit


def notify(
    run: str | None = None,
    /,
    *,
    allow_unsafe_fs: Flag = False,
    output: Annotated[Literal["table", "json"], OUTPUT] = "table",
    common: Common = Common(),  # noqa: B008 - frozen
) -> Exit:
    """Send the messages about a run that its receivers lack. Makes no API calls.

    Parameters
    ----------
    run
        The run's id or a unique prefix of it. Default: the newest run.
    allow_unsafe_fs
        Accept a network or user-space file system for the runs directory.
    output
        Format of the result.
    """
    from rollout.app import notifications
    from rollout.cli import eventloop, session
    from rollout.cli.views import receivers, render

    terminal = Terminal.of(common)
    made = session.make(terminal, common, unsafe_fs=allow_unsafe_fs)
    found, states = eventloop.run(notifications.deliver, run, made)
    if output == "json":
        terminal.show(render.as_json(receivers.data(found.id, states)))
    else:
        terminal.show("\n".join(receivers.lines(found.id, states, terminal.width)))
    return Exit.DONE
