"""Time in integer milliseconds, UTC.

Used by every layer. Nothing here reads a clock; the two text forms are parsed and printed here.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Protocol

from rollout.model.phrase import say

Instant = int
"""Milliseconds since 1970-01-01T00:00:00Z."""
Duration = int
"""Milliseconds."""

SECOND: Duration = 1_000
MINUTE: Duration = 60 * SECOND
HOUR: Duration = 60 * MINUTE
DAY: Duration = 24 * HOUR

_UNITS = {"ms": 1, "s": SECOND, "m": MINUTE, "h": HOUR}
_PART = re.compile(r"(\d+)(ms|s|m|h)", re.ASCII)
_WHOLE = re.compile(r"(?:\d+(?:ms|s|m|h))+", re.ASCII)


class Clock(Protocol):
    """The source of time of clients and engines."""

    def now(self) -> Instant:
        """Return milliseconds UTC; never runs backwards within one process."""

    def expired(self, not_after: Instant) -> bool:
        """Return whether a call with this `not_after` must not be sent any more."""

    async def sleep_until(self, instant: Instant) -> None:
        """Return at the instant or a little later; at once if it has passed."""


def parse_duration(text: str, *, milliseconds: bool = False) -> Duration:
    """Parse `90s`, `30m`, `1h30m` to milliseconds; `ms` only if allowed. ValueError otherwise."""
    if not _WHOLE.fullmatch(text):
        raise ValueError(
            say("a duration needs a unit") if text.isdigit() else say("not a duration")
        )
    parts = _PART.findall(text)
    if not milliseconds and any(unit == "ms" for _, unit in parts):
        raise ValueError(say("milliseconds are not accepted here"))
    return sum(int(number) * _UNITS[unit] for number, unit in parts)


def format_duration(duration: Duration) -> str:
    """Return `1h30m`, `45s`, `250ms`: the shortest text that `parse_duration` accepts."""
    if duration == 0:
        return "0s"
    parts = []
    for unit in ("h", "m", "s", "ms"):
        number, duration = divmod(duration, _UNITS[unit])
        if number:
            parts.append(f"{number}{unit}")
    return "".join(parts)


def format_instant(instant: Instant) -> str:
    """Return RFC 3339 in UTC with seconds, the format of all printed times."""
    return datetime.fromtimestamp(instant / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def minute(instant: Instant) -> int:
    """Return the minute of an instant, counted from the epoch: the precision of `StartTime`."""
    return instant // MINUTE
