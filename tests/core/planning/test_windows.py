"""Windows in local time become intervals in absolute time, also where clocks change."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.core.planning import windows as planning
from rollout.errors import PlanError
from rollout.model.time import HOUR, MINUTE, Instant, format_instant
from rollout.model.windows import CalendarEvents, Dates, Hours, Interval, PlanWindows, Rule, Windows
from rollout.specfile.zones import LocalZone
from tests.fuzz import cases

ZONES = (
    *("Asia/Shanghai", "America/New_York", "Europe/London", "Australia/Lord_Howe"),
    *("America/Havana", "Pacific/Apia", "America/Sao_Paulo", "Asia/Kathmandu"),
)
CHANGES = (
    *("2026-03-08", "2026-11-01", "2026-03-29", "2026-10-25", "2026-04-05", "2026-10-04"),
    *("2011-12-30", "2017-10-15", "2018-02-18", "2026-12-31"),
)
"""Days on which some of these zones change their clocks or skip a day, and the end of a year."""


def at(text: str) -> Instant:
    """The instant of a time in UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1000


def opened(rules: Windows, start: str, end: str, *busy: CalendarEvents) -> list[str]:
    """The open intervals as `from/to` in UTC."""
    zone = LocalZone(rules.time_zone)
    found = planning.expand(rules, busy, zone, at(start), at(end))
    return [f"{format_instant(one.opens)[:16]}/{format_instant(one.closes)[:16]}" for one in found]


def test_a_window_over_midnight_belongs_to_the_day_it_opens() -> None:
    """Thursday's window ends on Friday, and Friday has none of its own."""
    rules = Windows("Asia/Shanghai", (Hours(22 * 60 + 30, 4 * 60 + 30, (3,)),))

    assert opened(rules, "2026-11-30", "2026-12-07") == ["2026-12-03T14:30/2026-12-03T20:30"]


def test_a_range_of_dates_includes_both_ends() -> None:
    """Local days, from the first midnight to the last."""
    rules = Windows("Asia/Shanghai", (), (Dates(date(2026, 12, 31), date(2027, 1, 2)),))

    assert opened(rules, "2026-12-30", "2027-01-05") == [
        "2026-12-30T00:00/2026-12-30T16:00",
        "2027-01-02T16:00/2027-01-05T00:00",
    ]


def test_deny_has_priority_over_allow() -> None:
    """A denied day cuts the window that reaches into it."""
    rules = Windows(
        "UTC", (Hours(22 * 60, 4 * 60),), (Dates(date(2026, 12, 2), date(2026, 12, 2)),)
    )

    assert opened(rules, "2026-12-01T12:00", "2026-12-04") == [
        "2026-12-01T22:00/2026-12-02T00:00",
        "2026-12-03T00:00/2026-12-03T04:00",
        "2026-12-03T22:00/2026-12-04T00:00",
    ]


@pytest.mark.parametrize(
    "rule,day,expected",
    [
        (Hours(150, 240), "2026-03-08", "2026-03-08T07:00/2026-03-08T08:00"),
        (Hours(60, 150), "2026-03-08", "2026-03-08T06:00/2026-03-08T07:00"),
        (Hours(75, 105), "2026-11-01", "2026-11-01T05:15/2026-11-01T05:45"),
        (Hours(60, 240), "2026-11-01", "2026-11-01T05:00/2026-11-01T09:00"),
    ],
    ids=["skipped opening", "skipped close", "repeated hour", "over the change"],
)
def test_changes_of_the_clocks(rule: Hours, day: str, expected: str) -> None:
    """A skipped time is the next existing minute, and a repeated hour opens once."""
    rules = Windows("America/New_York", (rule,))

    assert opened(rules, f"{day}T04:00", f"{day}T12:00") == [expected]


def test_a_denied_repeated_hour_is_denied_twice() -> None:
    """A freeze until 02:00 ends at the second 02:00; a freeze until 01:00 at the first 01:00."""
    late = Windows("America/New_York", (), (Hours(0, 120, (6,)),))
    early = Windows("America/New_York", (), (Hours(0, 60, (6,)),))

    assert opened(late, "2026-11-01T05:00", "2026-11-01T09:00") == [
        "2026-11-01T07:00/2026-11-01T09:00"
    ]
    assert opened(early, "2026-11-01T04:00", "2026-11-01T09:00") == [
        "2026-11-01T05:00/2026-11-01T09:00"
    ]


def test_a_freeze_over_the_date_line() -> None:
    """A-10. Samoa skipped 30 December 2011: a freeze from 29 to 31 lasts two days."""
    rules = Windows("Pacific/Apia", (), (Dates(date(2011, 12, 29), date(2011, 12, 31)),))

    assert opened(rules, "2011-12-28", "2012-01-03") == [
        "2011-12-28T00:00/2011-12-29T10:00",
        "2011-12-31T10:00/2012-01-03T00:00",
    ]


def test_events_of_a_calendar_are_denied_and_a_year_without_events_is_closed() -> None:
    """The calendar ends in 2026, so that 2027 is closed as a whole, in local time."""
    calendar = CalendarEvents(
        "holidays.ics",
        (Dates(date(2026, 12, 25), date(2026, 12, 26)),),
        ((at("2026-12-28T10:00"), at("2026-12-28T12:00")),),
        frozenset({2026}),
    )
    rules = Windows("Asia/Shanghai", (), (), ("holidays.ics",))

    assert opened(rules, "2026-12-24T16:00", "2027-01-20", calendar) == [
        "2026-12-26T16:00/2026-12-28T10:00",
        "2026-12-28T12:00/2026-12-31T16:00",
    ]
    zone = LocalZone("Asia/Shanghai")
    years = planning.years_without_events(calendar, zone, at("2026-12-24"), at("2027-01-20"))
    assert years == (2027,)


def windows(*spans: tuple[int, int]) -> PlanWindows:
    """The windows of a plan, in hours after the epoch."""
    intervals = tuple(Interval(opens * HOUR, closes * HOUR) for opens, closes in spans)
    return PlanWindows("UTC", "2026a", 100 * HOUR, planning.usable(intervals, HOUR))


def test_a_plan_without_a_usable_window_is_refused() -> None:
    """It would only expire, so the error says when the next window opens."""
    for made, text in (
        (windows((2, 3)), "longer than a restart may take"),
        (windows((30, 40)), "1970-01-02 06:00"),
        (windows((0, 5)), "longer than a restart may take"),
    ):
        with pytest.raises(PlanError, match=text) as refused:
            planning.check(made, 4 * HOUR, 28 * HOUR, HOUR)
        assert refused.value.problems[0].code == "R0345"
    planning.check(windows((20, 30)), 4 * HOUR, 28 * HOUR, HOUR)


times = st.builds(
    lambda opens, length, days: Hours(opens, (opens + length - 1) % 1440 + 1, tuple(sorted(days))),
    st.integers(0, 1439),
    st.integers(1, 1440),
    st.sets(st.integers(0, 6), min_size=1),
).filter(lambda rule: rule.opens != rule.closes)


def rules_near(day: date) -> st.SearchStrategy[Rule]:
    """Daily times, and ranges of dates around a day."""
    ranges = st.builds(
        lambda first, days: Dates(day + timedelta(days=first), day + timedelta(days=first + days)),
        st.integers(-3, 3),
        st.integers(0, 2),
    )
    return st.one_of(times, ranges)


@given(st.data())
@cases(40)
def test_generated_rules_agree_with_a_walk_minute_by_minute(data: st.DataObject) -> None:
    """An oracle without time zone arithmetic: it reads the local clock at every minute of days
    around a change of the clocks.
    """
    name = data.draw(st.sampled_from(ZONES))
    day = date.fromisoformat(data.draw(st.sampled_from(CHANGES)))
    several = st.lists(rules_near(day), max_size=3)
    rules = Windows(name, tuple(data.draw(several)), tuple(data.draw(several)))
    start = at(f"{day - timedelta(days=1)}")
    end = start + 3 * 24 * HOUR

    found = planning.expand(rules, (), LocalZone(name), start, end)

    is_open = [any(one.opens <= t < one.closes for one in found) for t in range(start, end, MINUTE)]
    assert is_open == walk(rules, start, end)


def walk(rules: Windows, start: Instant, end: Instant) -> list[bool]:
    """Return for every minute whether it is open."""
    zone = LocalZone(rules.time_zone).tzinfo
    margin = 4 * 24 * HOUR
    minutes = range(start - margin, end + margin, MINUTE)
    clock = [
        datetime.fromtimestamp(one / 1000, UTC).astimezone(zone).replace(tzinfo=None)
        for one in minutes
    ]
    allowed = bytearray(len(clock)) if rules.allow else bytearray(b"\1" * len(clock))
    for opens, closes in (span for rule in rules.allow for span in spans(rule, clock)):
        first = next((n for n, now in enumerate(clock) if now >= opens), len(clock))
        last = next((n for n, now in enumerate(clock) if now >= closes), len(clock))
        allowed[first:last] = b"\1" * (last - first)
    for opens, closes in (span for rule in rules.deny for span in spans(rule, clock)):
        first = next((n for n, now in enumerate(clock) if now >= opens), len(clock))
        last = max((n for n, now in enumerate(clock) if now < closes), default=-1) + 1
        if first < last:
            allowed[first:last] = bytes(last - first)
    skip = margin // MINUTE
    return [bool(one) for one in allowed[skip:-skip]]


def spans(rule: Rule, clock: list[datetime]) -> list[tuple[datetime, datetime]]:
    """Return start and end of a rule, by the local clock."""
    midnight = datetime.min.time()
    if isinstance(rule, Dates):
        last = datetime.combine(rule.last, midnight) + timedelta(days=1)
        return [(datetime.combine(rule.first, midnight), last)]
    first, days = clock[0].date(), (clock[-1].date() - clock[0].date()).days
    made = []
    for number in range(-1, days + 1):
        day = first + timedelta(days=number)
        if day.weekday() in rule.days:
            opens = datetime.combine(day, midnight) + timedelta(minutes=rule.opens)
            later = rule.closes + (1440 if rule.closes <= rule.opens else 0)
            made.append((opens, datetime.combine(day, midnight) + timedelta(minutes=later)))
    return made
