"""Compute the ticks of a cron expression in a time zone, as Debian's cron does.

Called by `due`, by `specfile` to check an expression, and by `rollout schedule next`. Reads no
clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, tzinfo

from cronsim import CronSim, CronSimError

from rollout.model.time import Instant

Ticks = Callable[[Instant], Iterator[Instant]]
"""Returns the ticks after an instant, in order."""

FIELDS = 5
"""Minute, hour, day of month, month, day of week. A sixth field would be seconds."""


def check(cron: str) -> None:
    """Raise ValueError if the text is not a cron expression, or has no tick in 50 years."""
    if len(cron.split()) != FIELDS:
        message = "a cron expression has 5 fields: minute, hour, day of month, month, day of week"
        raise ValueError(message)
    try:
        found = next(CronSim(cron, datetime(2000, 1, 1, tzinfo=UTC)), None)
    except CronSimError as error:
        raise ValueError(str(error)) from None
    if found is None:
        message = "no day matches this cron expression"
        raise ValueError(message)


def ticks(cron: str, zone: tzinfo) -> Ticks:
    """Return the ticks of an expression that `check` accepts.

    If minute and hour are fixed, a local time that the clock skips is due at the next existing
    minute, and a repeated local time is due once, the first time. With `*` in either field, ticks
    follow elapsed time.
    Source: cronsim, which follows Debian's cron(8).
    """

    def after(instant: Instant) -> Iterator[Instant]:
        start = datetime.fromtimestamp(instant / 1000, UTC).astimezone(zone)
        for local in CronSim(cron, start):
            tick = round(local.timestamp()) * 1000
            if tick > instant:  # after the second pass of a repeated hour: it was due before
                yield tick

    return after
