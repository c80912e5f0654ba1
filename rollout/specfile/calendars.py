"""Read iCalendar files whose events are denied times.

Called by `app` while planning. Parses with icalendar, expands recurrences with dateutil.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from pathlib import Path
from typing import Any, cast

from rollout.errors import Place, SpecError
from rollout.model.phrase import Wording, say
from rollout.model.time import Instant
from rollout.model.windows import CalendarEvents, Dates

BYTES_MAX = 5 * 1024**2
EVENTS_MAX = 100_000
_DAY = timedelta(days=1)


class _UnreadableEventError(ValueError):
    """An event that cannot be expanded."""


def read(path: Path, zone: tzinfo, start: date, end: date) -> CalendarEvents:
    """Return the events of a calendar file in the years from `start` to `end`.

    An event without a time zone of its own has the local time of `zone`. Canceled events are left
    out; `TRANSP` is ignored, because calendars of holidays are often marked as free time.
    Errors: SpecError R0141 if the file cannot be read or an event cannot be expanded.
    """
    import icalendar

    try:
        with path.open("rb") as file:
            raw = file.read(BYTES_MAX + 1)
        if len(raw) > BYTES_MAX:
            raise _unreadable(
                path, say("it is larger than {mebibytes} MiB", mebibytes=BYTES_MAX // 1024**2)
            )
        calendars = icalendar.Calendar.from_ical(raw, multiple=True)
        events = [event for one in calendars for event in one.walk("VEVENT")]
        if not calendars:
            raise _unreadable(path, say("it contains no VCALENDAR"))
        first, last = date(start.year, 1, 1), date(end.year, 12, 31)
        return _busy(str(path), events, zone, first, last)
    except OSError as error:
        raise _unreadable(path, error.strerror or type(error).__name__) from None
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        own = isinstance(error, _UnreadableEventError)
        raise _unreadable(path, error.args[0] if own else str(error)[:200]) from None


def _unreadable(path: Path, why: Wording) -> SpecError:
    fix = say("name an iCalendar file (RFC 5545), as calendar programs export it")
    message = say("the calendar cannot be read: {why}", why=why)
    return SpecError.of("R0141", message, place=Place(str(path)), help=fix)


def _busy(path: str, events: list[Any], zone: tzinfo, first: date, last: date) -> CalendarEvents:
    days: set[Dates] = set()
    times: set[tuple[Instant, Instant]] = set()
    years: set[int] = set()
    for begin, length in _occurrences(events, zone, first, last):
        if isinstance(begin, datetime):
            finish = begin + length
            times.add((_instant(begin), _instant(finish)))
            final = finish.astimezone(zone).date()
            years.update(range(begin.astimezone(zone).year, final.year + 1))
        else:
            one = Dates(begin, begin + max(length, _DAY) - _DAY)
            days.add(one)
            years.update(range(one.first.year, one.last.year + 1))
    ordered = sorted(days, key=lambda one: (one.first, one.last))
    return CalendarEvents(path, tuple(ordered), tuple(sorted(times)), frozenset(years))


def _occurrences(
    events: list[Any], zone: tzinfo, first: date, last: date
) -> Iterator[tuple[date, timedelta]]:
    """Yield start and length of each event that is not canceled, recurrences included."""
    moved: dict[str, set[date]] = {}
    for event in events:
        if "RECURRENCE-ID" in event:
            if event["RECURRENCE-ID"].params.get("RANGE"):
                text = say("RECURRENCE-ID with RANGE is not supported")
                raise _UnreadableEventError(text)
            moved.setdefault(str(event.get("UID")), set()).add(
                _aware(event["RECURRENCE-ID"].dt, zone)
            )
    for event in events:
        if str(event.get("STATUS", "")).upper() == "CANCELLED":
            continue
        begin, length = _extent(event, zone)
        if "RECURRENCE-ID" in event:
            starts: Iterator[date] = iter([begin])
        else:
            known = moved.get(str(event.get("UID")), set())
            starts = (one for one in _starts(event, begin, zone, last) if one not in known)
        for one in starts:
            day = one.astimezone(zone).date() if isinstance(one, datetime) else one
            if day <= last and day + length + _DAY >= first:
                yield one, length


def _extent(event: Any, zone: tzinfo) -> tuple[date, timedelta]:
    """Return start and length of an event, by the rules of RFC 5545, section 3.6.1."""
    if "DTSTART" not in event:
        text = say("event {event} has no DTSTART", event=event.get("UID", ""))
        raise _UnreadableEventError(text)
    begin = _aware(event["DTSTART"].dt, zone)
    if "DURATION" in event:
        length = event["DURATION"].dt
    elif "DTEND" in event:
        length = _aware(event["DTEND"].dt, zone) - begin
    else:
        length = timedelta() if isinstance(begin, datetime) else _DAY
    if length < timedelta():
        text = say("event {event} ends before it begins", event=event.get("UID", ""))
        raise _UnreadableEventError(text)
    return begin, length


def _starts(event: Any, begin: date, zone: tzinfo, last: date) -> Iterator[date]:
    """Yield the starts of an event: its own and its recurrences up to the day `last`.

    Recurrences are computed in the event's own local time, so a change of the clocks shifts none.
    """
    place = (begin.tzinfo or zone) if isinstance(begin, datetime) else None
    for number, one in enumerate(_recurrences(event, _naive(begin, place, zone), place, zone)):
        if one.date() > last:
            return
        if number > EVENTS_MAX:
            message = say("an event recurs more than {most:,} times", most=EVENTS_MAX)
            raise _UnreadableEventError(message)
        yield one.date() if place is None else one.replace(tzinfo=place)


def _recurrences(
    event: Any, begin: datetime, place: tzinfo | None, zone: tzinfo
) -> Iterator[datetime]:
    from dateutil import rrule

    occurrences = rrule.rruleset()
    occurrences.rdate(begin)
    for rule in _listed(event, "RRULE"):
        text = _local_until(rule.to_ical().decode(), place)
        occurrences.rrule(cast("rrule.rrule", rrule.rrulestr(text, dtstart=begin)))
    for name, add in (("RDATE", occurrences.rdate), ("EXDATE", occurrences.exdate)):
        for one in (one for given in _listed(event, name) for one in given.dts):
            add(_naive(one.dt, place, zone))
    return iter(occurrences)


def _local_until(rule: str, place: tzinfo | None) -> str:
    """Return a rule whose UNTIL, which is in UTC for events with a zone, is in local time."""
    parts = []
    for part in rule.split(";"):
        name, _, value = part.partition("=")
        if name.upper() == "UNTIL" and value.endswith("Z"):
            until = datetime.strptime(value, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
            shown = until.astimezone(place) if place is not None else until
            value = shown.strftime("%Y%m%dT%H%M%S")
        parts.append(f"{name}={value}")
    return ";".join(parts)


def _listed(event: Any, name: str) -> list[Any]:
    found = event.get(name, [])
    return found if isinstance(found, list) else [found]


def _aware(value: Any, zone: tzinfo) -> date:
    """Return a date unchanged, and a time with its zone, which is `zone` if it has none."""
    if isinstance(value, datetime):
        return value if value.tzinfo is not None else value.replace(tzinfo=zone)
    if isinstance(value, date):
        return value
    text = say("not a date: {value}", value=value)
    raise _UnreadableEventError(text)


def _naive(value: Any, place: tzinfo | None, zone: tzinfo) -> datetime:
    """Return the local time at `place`; for a date without `place`, its midnight."""
    given = _aware(value, zone)
    if isinstance(given, datetime):
        return given.astimezone(place).replace(tzinfo=None)
    return datetime.combine(given, time())


def _instant(at: datetime) -> Instant:
    return int(at.timestamp() * 1000)
