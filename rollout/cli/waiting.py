"""Show which calls the service has not answered yet, before a run starts.

Used by `wiring` around each connection. Reads the client's patience and writes to stderr; it makes
no calls and delays none.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from typing import Final

import anyio

from rollout import logs
from rollout.cli.terminal import Terminal, write
from rollout.ecs import causes
from rollout.ecs.patience import Patience, Waiting
from rollout.model.outcome import Refused
from rollout.model.time import SECOND, Instant, format_instant

FIRST_AFTER_MS: Final = 2 * SECOND
"""Calls that are answered sooner are not shown."""
LINE_EVERY_MS: Final = 10 * SECOND
TICK_MS: Final = SECOND // 2
REGIONS_SHOWN: Final = 3
_CLEAR = "\r\x1b[K"


class Waits:
    """Show waiting calls: in one line on a terminal, elsewhere in a log line every 10 s."""

    def __init__(self, patience: Patience, terminal: Terminal) -> None:
        self._patience, self._terminal = patience, terminal
        self._next: Instant = 0
        self._drawn = False

    def tick(self) -> None:
        """Show the waiting calls if a line is due."""
        now = self._patience.now()
        late = [one for one in self._patience.waiting if now >= one.since + FIRST_AFTER_MS]
        if not late:
            self.clear()
        elif self._terminal.live:
            self._drawn = True
            write(sys.stderr, _CLEAR + logs.redact(line(late))[: self._terminal.width - 1], end="")
        elif now >= self._next:
            self._next = now + LINE_EVERY_MS
            logs.say("api.waiting", level="info", **fields(late))

    def clear(self) -> None:
        """Erase the line on the terminal, so that other output starts on an empty line."""
        if self._drawn:
            self._drawn = False
            write(sys.stderr, _CLEAR, end="")


@contextlib.asynccontextmanager
async def shown(patience: Patience, terminal: Terminal) -> AsyncIterator[None]:
    """Show waiting calls while the block runs."""
    waits = Waits(patience, terminal)
    patience.on_calm = waits.clear

    async def watch() -> None:
        while True:
            await anyio.sleep(TICK_MS / SECOND)
            waits.tick()

    watching = asyncio.create_task(watch())
    try:
        yield
    finally:
        watching.cancel()
        waits.clear()


def line(late: list[Waiting]) -> str:
    """Return the line for a terminal. `late` holds at least one call, oldest first."""
    known = fields(late)
    where = f" in {known['region']}" if known["region"] else ""
    tried = f", tried {known['tries']}×" if known["tries"] else ""
    since, until = (str(known[name])[11:19] for name in ("since", "until"))
    head = f"waiting for {known['action']}{where} since {since}, until {until} UTC"
    return f"{head}: {known['cause']}{tried}"


def fields(late: list[Waiting]) -> dict[str, object]:
    """Return the oldest call as fields, with all regions that wait for the same action."""
    oldest = late[0]
    same = [one for one in late if one.lane.action == oldest.lane.action]
    return {
        "action": oldest.lane.action,
        "region": _regions(same),
        "cause": _cause(oldest),
        "tries": oldest.tries,
        "since": format_instant(oldest.since),
        "until": format_instant(oldest.until),
    }


def _regions(waiting: list[Waiting]) -> str:
    """Return the regions of these calls as text, the first few by name."""
    names = list(dict.fromkeys(one.lane.site.region for one in waiting if one.lane.site.region))
    more = len(names) - REGIONS_SHOWN
    text = ", ".join(names[:REGIONS_SHOWN])
    return f"{text} and {more} more" if more > 0 else text


def _cause(waiting: Waiting) -> str:
    """Return why the last attempt failed."""
    if waiting.last is None:
        return "no reply yet"
    known = waiting.last.code if isinstance(waiting.last, Refused) else waiting.last.why
    cause = causes.explain(known)
    return cause.text if cause else known
