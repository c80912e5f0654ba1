"""Calendars: events of iCalendar files as denied days and times."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from rollout.errors import SpecError
from rollout.model.windows import CalendarEvents, Dates
from rollout.specfile import calendars
from rollout.specfile.zones import LocalZone

SHANGHAI = LocalZone("Asia/Shanghai").tzinfo


def events(folder: Path, *texts: str) -> CalendarEvents:
    """The events of 2026 in a file with these events."""
    body = "".join(f"BEGIN:VEVENT\n{text}\nEND:VEVENT\n" for text in texts)
    path = folder / "freezes.ics"
    path.write_text(f"BEGIN:VCALENDAR\nVERSION:2.0\n{body}END:VCALENDAR\n", "utf-8")
    return calendars.read(path, SHANGHAI, date(2026, 6, 1), date(2026, 12, 31))


def utc(*parts: int) -> int:
    """The instant of a time in UTC."""
    return int(datetime(*parts, tzinfo=UTC).timestamp() * 1000)  # type: ignore[misc,arg-type]


def test_events_of_whole_days_end_before_their_last_date(tmp_path: Path) -> None:
    """DTEND of a whole day is not included; without DTEND it is one day."""
    found = events(
        tmp_path,
        "DTSTART;VALUE=DATE:20261001\nDTEND;VALUE=DATE:20261004\nTRANSP:TRANSPARENT",
        "DTSTART;VALUE=DATE:20261225",
    )

    assert found.days == (
        Dates(date(2026, 10, 1), date(2026, 10, 3)),
        Dates(date(2026, 12, 25), date(2026, 12, 25)),
    )
    assert found.years == {2026} and not found.times


@pytest.mark.parametrize(
    "text",
    [
        "DTSTART:20261201T100000Z\nDTEND:20261201T120000Z",
        "DTSTART:20261201T180000\nDURATION:PT2H",
        "DTSTART;TZID=America/New_York:20261201T050000\nDTEND:20261201T120000Z",
    ],
)
def test_events_with_a_time(tmp_path: Path, text: str) -> None:
    """In UTC, in their own zone, or without one in the zone of the windows."""
    assert events(tmp_path, text).times == ((utc(2026, 12, 1, 10), utc(2026, 12, 1, 12)),)


def test_recurrences_moved_and_canceled_events(tmp_path: Path) -> None:
    """Local time stays the same across a change of the clocks; exceptions are respected."""
    found = events(
        tmp_path,
        "UID:1\nDTSTART;TZID=America/New_York:20261018T010000\nDURATION:PT1H\n"
        "RRULE:FREQ=WEEKLY;UNTIL=20261115T060000Z\n"
        "EXDATE;TZID=America/New_York:20261025T010000",
        "UID:1\nRECURRENCE-ID;TZID=America/New_York:20261101T010000\n"
        "DTSTART:20261102T000000Z\nDURATION:PT1H",
        "UID:2\nDTSTART:20261201T000000Z\nSTATUS:CANCELLED",
    )

    assert [begin for begin, _ in found.times] == [
        utc(2026, 10, 18, 5),
        utc(2026, 11, 2),
        utc(2026, 11, 8, 6),
        utc(2026, 11, 15, 6),
    ]


def test_a_yearly_event_of_earlier_years_has_occurrences_now(tmp_path: Path) -> None:
    """A rule without an end covers every year that a plan can need."""
    found = events(tmp_path, "DTSTART;VALUE=DATE:20201111\nRRULE:FREQ=YEARLY")

    assert Dates(date(2026, 11, 11), date(2026, 11, 11)) in found.days
    assert 2026 in found.years


@pytest.mark.parametrize(
    "text", ["SUMMARY:x", "DTSTART:20261201T100000Z\nDTEND:20261201T090000Z", "DTSTART:soon"]
)
def test_an_event_that_cannot_be_read_refuses_the_calendar(tmp_path: Path, text: str) -> None:
    """Fail closed: an unread event could be a freeze."""
    with pytest.raises(SpecError) as refused:
        events(tmp_path, text)
    assert refused.value.problems[0].code == "R0141"


def test_a_file_that_is_no_calendar_is_refused(tmp_path: Path) -> None:
    """Also a missing one."""
    path = tmp_path / "freezes.ics"
    for text in ("", "hello", None):
        path.unlink(missing_ok=True) if text is None else path.write_text(text, "utf-8")
        with pytest.raises(SpecError) as refused:
            calendars.read(path, SHANGHAI, date(2026, 1, 1), date(2026, 12, 31))
        assert refused.value.problems[0].code == "R0141"
