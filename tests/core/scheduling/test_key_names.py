"""Dates in the names of key pairs."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from rollout.core.scheduling import key_names
from rollout.core.scheduling.key_names import UnknownPlaceholder


@pytest.mark.parametrize(
    "on,expected",
    [(date(2026, 12, 31), "ops-2026q4-12-31"), (date(2027, 1, 5), "ops-2027q1-01-05")],
)
def test_the_parts_of_a_date(on: date, expected: str) -> None:
    """Month and day have two digits, so that names sort by date."""
    text = "ops-{year}q{quarter}-{month}-{day}"

    assert key_names.has_placeholder(text)
    assert key_names.render(text, on) == expected


def test_quarters_begin_in_january_april_july_and_october() -> None:
    """The name changes four times a year."""
    days = [date(2027, 1, 1) + timedelta(days=number) for number in range(365)]
    first = {}
    for day in reversed(days):
        first[key_names.render("{quarter}", day)] = day

    assert [day.month for day in sorted(first.values())] == [1, 4, 7, 10]


def test_an_unknown_placeholder_has_its_position() -> None:
    """Texts without a placeholder are unchanged."""
    with pytest.raises(UnknownPlaceholder) as caught:
        key_names.render("ops-{yeer}", date(2027, 1, 5))

    assert (caught.value.name, caught.value.offset) == ("yeer", 4)
    assert key_names.render("ops-2026q4", date(2027, 1, 5)) == "ops-2026q4"
    assert not key_names.has_placeholder("ops-2026q4")
