"""Expand the windows of a spec for a plan: with the time zone's data and the calendar files.

Called by `plan` and `derived`. Relative paths of calendars start at the working directory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from rollout.core.planning import windows
from rollout.core.planning.planner import PlanContext
from rollout.model.plan import Warn
from rollout.model.spec import Spec
from rollout.model.time import Instant
from rollout.model.windows import (
    HORIZON_MS,
    CalendarEvents,
    PlanWindows,
    Windows,
    both_texts,
    current_or_next,
)
from rollout.specfile import calendars, zones


def add(context: PlanContext, spec: Spec, at: Instant) -> PlanContext:
    """Return the context of a plan made at `at` with the windows of its spec and their warnings.

    Errors: SpecError R0141 if a calendar cannot be read.
    """
    if spec.windows is None:
        return context
    zone = zones.LocalZone(spec.windows.time_zone)
    until = at + context.age_max_ms + HORIZON_MS
    busy = _events(spec.windows, zone, at, until)
    intervals = windows.expand(spec.windows, busy, zone, at, until)
    made = PlanWindows(
        spec.windows.time_zone,
        zones.VERSION,
        until,
        windows.usable(intervals, spec.restart.longest_ms),
    )
    warnings = (*context.warnings, *_closed_now(made, at), *_years(busy, zone, at, until))
    return msgspec.structs.replace(context, windows=made, warnings=warnings)


def check_calendars(spec: Spec, at: Instant) -> None:
    """Raise SpecError R0141 if a calendar of the spec's windows cannot be read."""
    if spec.windows is not None:
        _events(spec.windows, zones.LocalZone(spec.windows.time_zone), at, at + HORIZON_MS)


def _events(
    rules: Windows, zone: zones.LocalZone, at: Instant, until: Instant
) -> list[CalendarEvents]:
    start, end = zone.day_of(at), zone.day_of(until)
    return [calendars.read(Path(path), zone.tzinfo, start, end) for path in rules.calendars]


def _closed_now(made: PlanWindows, at: Instant) -> Iterator[Warn]:
    """Yield the warning of a plan that is made outside its windows."""
    upcoming = current_or_next(made.open, at)
    if upcoming is not None and at < upcoming.opens:
        opens = both_texts(upcoming.opens, upcoming.opens_offset)
        text = f"The window is closed now. It opens {opens}; apply waits until then."
        yield Warn("R0346", 0, text)


def _years(
    busy: Iterable[CalendarEvents], zone: windows.Zone, at: Instant, until: Instant
) -> Iterator[Warn]:
    """Yield the warning of each calendar that has no event for a year of the plan's windows."""
    for calendar in busy:
        for year in windows.years_without_events(calendar, zone, at, until):
            text = f"{calendar.path} has no events for {year}: the windows are closed in this year."
            yield Warn("R0347", 0, text)
