"""Report calls that the service has not answered yet, before a run starts.

Used by `connect` around each connection. Reads the client's patience; makes no calls, delays none.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Final

import anyio

from rollout.app.notices import Notices, WaitingCall
from rollout.ecs import causes
from rollout.ecs.patience import Patience, UnansweredCall
from rollout.model.outcome import Refused
from rollout.model.time import SECOND

FIRST_AFTER_MS: Final = 2 * SECOND
"""Calls that are answered sooner are not reported."""
TICK_MS: Final = SECOND // 2


@contextlib.asynccontextmanager
async def reported(patience: Patience, notices: Notices) -> AsyncIterator[None]:
    """Report waiting calls while the block runs."""

    def report_none() -> None:
        notices.waiting(None, patience.now())

    async def watch() -> None:
        while True:
            await anyio.sleep(TICK_MS / SECOND)
            tick(patience, notices)

    patience.on_calm = report_none
    watching = asyncio.create_task(watch())
    try:
        yield
    finally:
        watching.cancel()
        report_none()


def tick(patience: Patience, notices: Notices) -> None:
    """Report the oldest call that has waited for two seconds, or that none has."""
    now = patience.now()
    late = [one for one in patience.waiting if now >= one.since + FIRST_AFTER_MS]
    notices.waiting(oldest(late) if late else None, now)


def oldest(late: Sequence[UnansweredCall]) -> WaitingCall:
    """Return the first of these calls with all regions that wait for the same action."""
    first = late[0]
    regions = [one.lane.site.region for one in late if one.lane.action == first.lane.action]
    return WaitingCall(
        first.lane.action,
        tuple(dict.fromkeys(filter(None, regions))),
        _cause(first),
        first.tries,
        first.since,
        first.until,
    )


def _cause(waiting: UnansweredCall) -> str:
    """Return why the last attempt failed."""
    if waiting.last is None:
        return "no reply yet"
    known = waiting.last.code if isinstance(waiting.last, Refused) else waiting.last.why
    cause = causes.explain(known)
    return cause.text if cause else known
