"""`rollout events`: print a run's events as CloudEvents, one JSON object on each line."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from rollout.cli.options import Common
from rollout.cli.terminal import Terminal
from rollout.cli.views import render
from rollout.errors import UsageError
from rollout.model.phrase import say

if TYPE_CHECKING:
    from rollout.app.events import CloudEvent


def events(
    run: str | None = None,
    /,
    *,
    follow: Annotated[
        bool, Parameter(name=("--follow", "-f"), negative="", show_default=False)
    ] = False,
    after: int = 0,
    instance: str | None = None,
    common: Common = Common(),  # noqa: B008 - frozen
) -> None:
    """Print a run's events as CloudEvents, one JSON object on each line.

    Parameters
    ----------
    run
        The run's id or a unique prefix of it. Default: the newest run.
    follow
        Wait for further events until the run closes.
    after
        Leave out the events of all journal lines up to this number: the first part of an event's
        id.
    instance
        Print only events of this instance.
    """
    from rollout.app import events as streams
    from rollout.app import runs

    if after < 0:
        raise UsageError.of("R0001", say("--after {after}: write 0 or a line number", after=after))
    terminal = Terminal.of(common)
    found = runs.find(common.runs_dir, run)
    if follow:
        from rollout.cli import eventloop

        eventloop.run(_print_all, terminal, streams.follow(found, after, instance))
        return
    for event in streams.read(found, after, instance):
        if not terminal.show(_line(event)):
            return


async def _print_all(terminal: Terminal, found: AsyncIterator[CloudEvent]) -> None:
    async for event in found:
        if not terminal.show(_line(event)):
            return


def _line(event: CloudEvent) -> str:
    import msgspec

    return render.as_json(msgspec.to_builtins(event))
