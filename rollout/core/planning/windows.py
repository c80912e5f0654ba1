"""Expand the windows of a spec to intervals in absolute time.

Called by `app` while planning. Pure: the caller passes the time zone and the events of calendars.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, timedelta
from itertools import pairwise
from typing import Protocol

from rollout.errors import PlanError
from rollout.model.phrase import say
from rollout.model.time import Duration, Instant, format_duration, format_instant
from rollout.model.windows import (
    DAY_MINUTES,
    CalendarEvents,
    Dates,
    Hours,
    Interval,
    PlanWindows,
    Rule,
    Windows,
)

Span = tuple[Instant, Instant]
"""Start and end; the end is not included."""
_DAY = timedelta(days=1)


class Zone(Protocol):
    """The local time of a time zone. A minute counts from midnight and may be in the next days."""

    def first(self, day: date, minute: int) -> Instant:
        """Return the first instant whose local time is this one or, if it is skipped, later."""

    def after(self, day: date, minute: int) -> Instant:
        """Return the end of the last instant whose local time is before this one."""

    def day_of(self, at: Instant) -> date:
        """Return the local date of an instant."""

    def offset(self, at: Instant) -> int:
        """Return local time minus UTC at an instant, in minutes."""


def expand(
    windows: Windows, busy: Sequence[CalendarEvents], zone: Zone, start: Instant, end: Instant
) -> list[Interval]:
    """Return the open intervals between `start` and `end`, sorted and separate.

    A window opens once and closes once, also in an hour that the clocks repeat, and it opens at the
    next existing minute if they skip its opening. Denied times cover both passes of such an hour.
    """
    days = _days(zone, start, end)
    opened: Iterable[Span] = [(start, end)]
    if windows.allow:
        opened = (span for rule in windows.allow for span in _allowed(rule, zone, days))
    denied = [span for rule in windows.deny for span in _denied(rule, zone, days)]
    for calendar in busy:
        denied += _events(calendar, zone, days)
    clipped = _merged((max(opens, start), min(closes, end)) for opens, closes in opened)
    return [
        Interval(opens, closes, zone.offset(opens), zone.offset(closes))
        for opens, closes in _without(clipped, _merged(denied))
    ]


def usable(intervals: Iterable[Interval], longest_ms: Duration) -> tuple[Interval, ...]:
    """Return the intervals in which a restart of `longest_ms` can begin and end."""
    return tuple(one for one in intervals if one.closes - one.opens > longest_ms)


def check(
    windows: PlanWindows, made_at: Instant, expires_at: Instant, longest_ms: Duration
) -> None:
    """Raise PlanError R0345 if no restart can begin before the plan expires."""
    upcoming = (one for one in windows.open if made_at < one.closes - longest_ms)
    first = next(upcoming, None)
    if first is not None and first.opens <= expires_at:
        return
    if first is None:
        text = say(
            "no window until {until} is longer than a restart may take ({longest})",
            until=format_instant(windows.until),
            longest=format_duration(longest_ms),
        )
    else:
        text = say(
            "the next window opens at {opens}, but the plan would expire at {expires}",
            opens=first.opens_text,
            expires=format_instant(expires_at),
        )
    help_text = say(
        "plan again closer to a window or with a longer --max-age, or change spec.windows"
    )
    raise PlanError.of("R0345", text, help=help_text)


def years_without_events(
    calendar: CalendarEvents, zone: Zone, start: Instant, end: Instant
) -> tuple[int, ...]:
    """Return the years between two instants for which a calendar has no event."""
    years = range(zone.day_of(start).year, zone.day_of(end).year + 1)
    return tuple(year for year in years if year not in calendar.years)


def _days(zone: Zone, start: Instant, end: Instant) -> list[date]:
    """Return the local days from two before `start` to one after `end`."""
    first, last = zone.day_of(start) - 2 * _DAY, zone.day_of(end) + _DAY
    return [first + number * _DAY for number in range((last - first).days + 1)]


def _allowed(rule: Rule, zone: Zone, days: Sequence[date]) -> Iterator[Span]:
    if isinstance(rule, Dates):
        yield zone.first(rule.first, 0), zone.first(rule.last, DAY_MINUTES)
        return
    for day in _opening(rule, days):
        yield zone.first(day, rule.opens), zone.first(day, rule.opens + rule.minutes)


def _denied(rule: Rule, zone: Zone, days: Sequence[date]) -> Iterator[Span]:
    if isinstance(rule, Dates):
        yield zone.first(rule.first, 0), zone.after(rule.last, DAY_MINUTES)
        return
    for day in _opening(rule, days):
        yield zone.first(day, rule.opens), zone.after(day, rule.opens + rule.minutes)


def _events(calendar: CalendarEvents, zone: Zone, days: Sequence[date]) -> Iterator[Span]:
    """Yield the denied times of a calendar. A year without an event is denied as a whole."""
    yield from calendar.times
    for one in calendar.days:
        yield from _denied(one, zone, days)
    for year in range(days[0].year, days[-1].year + 1):
        if year not in calendar.years:
            yield from _denied(Dates(date(year, 1, 1), date(year, 12, 31)), zone, days)


def _opening(rule: Hours, days: Sequence[date]) -> list[date]:
    return [day for day in days if day.weekday() in rule.days]


def _merged(spans: Iterable[Span]) -> list[Span]:
    """Return sorted spans without empty ones; those that touch or overlap are one."""
    merged: list[Span] = []
    for opens, closes in sorted(span for span in spans if span[0] < span[1]):
        if merged and opens <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(merged[-1][1], closes)
        else:
            merged.append((opens, closes))
    return merged


def _without(opened: Sequence[Span], denied: Sequence[Span]) -> Iterator[Span]:
    """Yield what is left of the open spans. Both are sorted and separate."""
    for opens, closes in opened:
        cuts = [cut for cut in denied if cut[0] < closes and opens < cut[1]]
        edges = [(opens, opens), *cuts, (closes, closes)]
        for before, after in pairwise(edges):
            if before[1] < after[0]:
                yield before[1], after[0]
