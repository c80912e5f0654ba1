"""`rollout notify`: send the messages about a run that its receivers lack."""

from __future__ import annotations

import msgspec

from rollout.cli import output
from rollout.cli.options import Common, Flag
from rollout.cli.output import Output, Shown
from rollout.cli.terminal import Terminal
from rollout.errors import Exit


def notify(
    run: str | None = None,
    /,
    *,
    allow_unsafe_fs: Flag = False,
    form: Output = Output(),  # noqa: B008 - frozen
    common: Common = Common(),  # noqa: B008 - frozen
) -> Exit:
    """Send the messages about a run that its receivers lack. Makes no API calls.

    Parameters
    ----------
    run
        The run's id or a unique prefix of it. Default: the newest run.
    allow_unsafe_fs
        Accept a network or user-space file system for the runs directory.
    """
    from rollout.app import notifications
    from rollout.cli import eventloop, session
    from rollout.cli.views import receivers

    terminal = Terminal.of(common)
    made = session.make(terminal, common, unsafe_fs=allow_unsafe_fs)
    found, states = eventloop.run(notifications.deliver, run, made)
    result = Shown(
        text=lambda: "\n".join(receivers.lines(found.id, states, terminal.width)),
        document=lambda: receivers.data(found.id, states),
        rows=lambda: msgspec.to_builtins(receivers.rows(states)),
        ids=lambda: (one.to for one in states if one.waiting),
    )
    output.show(terminal, form, result)
    return Exit.DONE
