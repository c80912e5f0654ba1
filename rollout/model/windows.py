"""Windows: the rules of a spec in local time, and the intervals in which a plan may act.

Created by `specfile` and `core.planning.windows`; read by `core.running.windows` and the views.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import msgspec

from rollout.model.time import DAY, Duration, Instant, format_instant

DAY_MINUTES = 24 * 60
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
HORIZON_MS: Duration = 60 * DAY
"""How long after a plan's expiry its windows are computed."""


class OnClose(enum.StrEnum):
    """What happens when a window closes: restarts that began settle, and none begins."""

    DRAIN = "drain"


class Hours(msgspec.Struct, frozen=True):
    """A daily time, in minutes after midnight, on these days of the week (Monday is 0). It belongs
    to the day on which it opens; `closes` not after `opens` is on the next day.
    """

    opens: int = 0
    closes: int = DAY_MINUTES
    days: tuple[int, ...] = tuple(range(7))

    @property
    def minutes(self) -> int:
        """Return its length by the clock: on a day without a change of the clocks."""
        over_midnight = DAY_MINUTES if self.closes <= self.opens else 0
        return self.closes + over_midnight - self.opens


class Dates(msgspec.Struct, frozen=True):
    """Whole local days, both ends included."""

    first: date
    last: date


class CalendarEvents(msgspec.Struct, frozen=True):
    """The events of a calendar file. `days`: events of whole days, both ends included. `times`:
    events with a time, as start and end. `years`: the years that have an event.
    """

    path: str
    days: tuple[Dates, ...] = ()
    times: tuple[tuple[Instant, Instant], ...] = ()
    years: frozenset[int] = frozenset()


Rule = Hours | Dates


class Windows(msgspec.Struct, frozen=True):
    """The windows of a spec. Without `allow`, everything that no `deny` covers is open.
    `calendars` are paths of calendar files whose events are denied.
    """

    time_zone: str
    allow: tuple[Rule, ...] = ()
    deny: tuple[Rule, ...] = ()
    calendars: tuple[str, ...] = ()
    on_close: OnClose = OnClose.DRAIN


class Interval(msgspec.Struct, frozen=True, gc=False):
    """A window: `opens` is in it, `closes` is not. The offsets are local time minus UTC at both
    ends, in minutes.
    """

    opens: Instant
    closes: Instant
    opens_offset: int = 0
    closes_offset: int = 0

    @property
    def opens_text(self) -> str:
        """Return when it opens, in local time."""
        return local_text(self.opens, self.opens_offset)

    @property
    def closes_text(self) -> str:
        """Return when it closes, in local time."""
        return local_text(self.closes, self.closes_offset)


class PlanWindows(msgspec.Struct, frozen=True):
    """The windows of a plan: the intervals before `until` in which a restart can begin and end, in
    order. After `until` everything is closed. `tz_version` is the version of the time zone data.
    """

    time_zone: str
    tz_version: str
    until: Instant
    open: tuple[Interval, ...]

    def next_text(self, opens: Instant) -> str:
        """Return that the next window opens then, local and in UTC; that none does for 0."""
        window = next((one for one in self.open if one.opens == opens), None)
        if window is None:
            return "no later window opens"
        return f"the next window opens {both_texts(opens, window.opens_offset)}"

    def closing(self, at: Instant) -> str:
        """Return the time of a close, local and in UTC; in UTC if no window closes then."""
        window = next((one for one in self.open if one.closes == at), None)
        return both_texts(at, window.closes_offset) if window else format_instant(at)


def current_or_next(intervals: Sequence[Interval], at: Instant) -> Interval | None:
    """Return the interval that is open at an instant, else the next one; None after the last."""
    return next((one for one in intervals if at < one.closes), None)


def local_text(at: Instant, offset: int) -> str:
    """Return `2026-12-01 22:30 +08:00`; with seconds only if they are not 0."""
    shifted = datetime.fromtimestamp(at // 1000, UTC) + timedelta(minutes=offset)
    hours, minutes = divmod(abs(offset), 60)
    seconds = ":%S" if shifted.second else ""
    zone = f"{'-' if offset < 0 else '+'}{hours:02}:{minutes:02}"
    return f"{shifted.strftime(f'%Y-%m-%d %H:%M{seconds}')} {zone}"


def both_texts(at: Instant, offset: int) -> str:
    """Return an instant in local time and in UTC."""
    return f"{local_text(at, offset)} ({format_instant(at)})"
