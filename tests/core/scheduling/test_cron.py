"""Ticks of cron expressions: compared with a minute-by-minute model, mostly on days with DST."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import takewhile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.core.scheduling import cron
from rollout.model.time import HOUR, MINUTE, Instant, format_instant
from rollout.specfile.zones import LocalZone
from tests.core.test_fuzz_schedules import STARTS
from tests.fuzz import cases

SPAN = 40 * HOUR


def found(expression: str, zone: str, after: Instant, span: int = SPAN) -> list[Instant]:
    """Return the ticks of a time span."""
    ticks = cron.ticks(expression, LocalZone(zone).tzinfo)(after)
    return list(takewhile(lambda tick: tick <= after + span, ticks))


def model(minute: int, hour: int, zone: str, after: Instant) -> list[Instant]:
    """Return the ticks of a fixed minute and hour: a skipped time is moved to the next existing
    minute, a repeated one counts once.
    """
    tzinfo = LocalZone(zone).tzinfo
    day = datetime.fromtimestamp(after / 1000, UTC).astimezone(tzinfo).date() - timedelta(days=1)
    made = set()
    for later in range(5):
        wall = datetime(day.year, day.month, day.day, hour, minute) + timedelta(days=later)  # noqa: DTZ001 - local
        while True:
            local = wall.replace(tzinfo=tzinfo)
            if local.astimezone(UTC).astimezone(tzinfo).replace(tzinfo=None) == wall:
                break
            wall += timedelta(minutes=1)
        made.add(round(local.timestamp()) * 1000)
    return sorted(tick for tick in made if after < tick <= after + SPAN)


@cases(200)
@given(
    st.integers(0, 59),
    st.integers(0, 4),
    st.sampled_from(("Europe/Berlin", "America/New_York", "Australia/Sydney", "Asia/Shanghai")),
    st.sampled_from(STARTS),
    st.integers(-10 * HOUR, 10 * HOUR),
)
def test_a_fixed_time_is_due_once_a_day(
    minute: int, hour: int, zone: str, start: Instant, later: int
) -> None:
    """Also on the days on which the clocks change, from whatever instant the search starts."""
    after = start + later

    assert found(f"{minute} {hour} * * *", zone, after) == model(minute, hour, zone, after)


@pytest.mark.parametrize(
    "expression,expected",
    [
        ("30 2 * * *", ["2026-03-29T01:00:00Z"]),  # 02:30 does not exist: 03:00 local
        ("0,30 2,3 * * *", ["2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z"]),
        ("*/30 2 * * *", []),  # with `*` ticks follow elapsed time
    ],
)
def test_a_skipped_hour(expression: str, expected: list[str]) -> None:
    """In Berlin on 2026-03-29 the clocks go from 02:00 to 03:00."""
    ticks = found(expression, "Europe/Berlin", 1_774_738_800_000, 12 * HOUR)

    assert [format_instant(tick) for tick in ticks] == expected


@pytest.mark.parametrize(
    "expression,expected",
    [("30 2 * * *", 1), ("*/30 2 * * *", 4), ("0 * * * *", 25), ("*/30 * * * *", 50)],
)
def test_a_repeated_hour(expression: str, expected: int) -> None:
    """In Berlin on 2026-10-25 the hour from 02:00 to 03:00 happens twice."""
    ticks = found(expression, "Europe/Berlin", 1_792_879_200_000 - MINUTE, 25 * HOUR)

    assert len(ticks) == expected


@pytest.mark.parametrize(
    "text", ["", "* * * *", "0 0 0 * * *", "60 * * * *", "0 0 31 2 *", "@daily", "a b c d e"]
)
def test_other_texts_are_refused(text: str) -> None:
    """Five fields, and at least one tick."""
    with pytest.raises(ValueError):
        cron.check(text)
