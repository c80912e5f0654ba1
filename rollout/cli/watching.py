"""Show the progress of a run on stderr until no process drives it any more.

Called by `rollout status --watch`: the whole state on a terminal, elsewhere a line every 10 s.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, Self

from rollout import logs
from rollout.app.watch import RunWatch, in_progress
from rollout.cli import eventloop
from rollout.cli.terminal import Terminal
from rollout.cli.views import report
from rollout.model.time import SECOND, Duration

if TYPE_CHECKING:
    from rollout.app.runs import RunFacts
    from rollout.model.view import RunView

POLL_S: Final = 1.0
LINE_EVERY_S: Final = 10.0


def until_stopped(
    terminal: Terminal, watch: RunWatch, limit_ms: Duration | None
) -> tuple[RunView, RunFacts]:
    """Return the state of the run when no process drives it, or after the time limit."""
    return eventloop.run(_watch, terminal, watch, limit_ms)


async def _watch(
    terminal: Terminal, watch: RunWatch, limit_ms: Duration | None
) -> tuple[RunView, RunFacts]:
    import anyio

    end = None if limit_ms is None else time.monotonic() + limit_ms / SECOND
    with _screen(terminal) as screen:
        while True:
            view, facts = watch.poll()
            now = time.monotonic()
            left = None if end is None else end - now
            if not in_progress(view, facts) or (left is not None and left <= 0):
                return view, facts
            screen.draw(view, facts, now)
            await anyio.sleep(POLL_S if left is None else min(POLL_S, left))


class _Lines:
    """A log line at most every 10 s."""

    def __init__(self) -> None:
        self._next = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to restore."""

    def draw(self, view: RunView, facts: RunFacts, now: float) -> None:
        """Log the counts of the run."""
        if now >= self._next:
            self._next = now + LINE_EVERY_S
            counts: dict[str, object] = {
                name: count for name, count in view.phases.items() if count
            }
            logs.say("run.progress", "info", run=view.run, state=view.state, **counts)


class _Screen(_Lines):
    """The whole state, redrawn in place."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self._width = width
        self._live: Any = None

    def __enter__(self) -> Self:
        from rich.console import Console
        from rich.live import Live

        self._live = Live(
            console=Console(stderr=True, highlight=False),
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            vertical_overflow="ellipsis",
        )
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def draw(self, view: RunView, facts: RunFacts, now: float) -> None:
        """Draw the state."""
        from rich.text import Text

        self._live.update(Text(report.status(view, facts, self._width)), refresh=True)


def _screen(terminal: Terminal) -> _Lines:
    return _Screen(terminal.width) if terminal.live else _Lines()
