"""Events of a run for other programs, once or as they happen.

Called by `rollout events`. Changes nothing and makes no API calls.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from rollout.app import about, runs
from rollout.core.invariant import Bug
from rollout.journal.projection import Projection
from rollout.journal.record import Line
from rollout.journal.store import StoredRun
from rollout.model.cloud_event import CloudEvent

__all__ = ["CloudEvent", "follow", "read"]


def read(run: StoredRun, after: int = 0, instance: str | None = None) -> Iterator[CloudEvent]:
    """Yield the events of all lines after number `after`, preceded by the version of the stream.

    With `instance`, only its events. Errors: as `runs.fold`.
    """
    projection = Projection(runs.plan_of(run))
    for line in run.read():
        yield from _of_line(run, projection, line, after, instance)


async def follow(
    run: StoredRun, after: int = 0, instance: str | None = None
) -> AsyncIterator[CloudEvent]:
    """Yield the same events as they are written, up to the event that closes the run.

    Errors: as `runs.fold`.
    """
    projection = Projection(runs.plan_of(run))
    async for line in run.follow().stream():
        for event in _of_line(run, projection, line, after, instance):
            yield event


def _of_line(
    run: StoredRun, projection: Projection, line: Line, after: int, instance: str | None
) -> list[CloudEvent]:
    """Return the wanted events of a line. R0905 if it contradicts the lines before it."""
    try:
        events = list(projection.of_line(line))
    except (Bug, LookupError) as error:
        raise runs.contradiction(run.id, line, error) from error
    wanted = [
        event
        for event in events
        if line.seq > after and (instance is None or event.about(instance))
    ]
    return [projection.version(about.tool(), line), *wanted] if line.seq == 1 else wanted
