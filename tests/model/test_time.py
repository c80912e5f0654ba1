"""Durations and instants in their two text forms."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.model import time


@given(st.integers(0, 10**10))
def test_what_is_printed_is_read_back(duration: int) -> None:
    """Every duration survives its own text."""
    text = time.format_duration(duration)

    assert time.parse_duration(text, milliseconds=True) == duration


@given(st.lists(st.tuples(st.integers(0, 10**6), st.sampled_from("smh")), min_size=1))
def test_the_parts_of_a_duration_add_up(parts: list[tuple[int, str]]) -> None:
    """`1h30m` is the sum of its parts, in any order."""
    text = "".join(f"{number}{unit}" for number, unit in parts)
    units = {"s": time.SECOND, "m": time.MINUTE, "h": time.HOUR}

    assert time.parse_duration(text) == sum(number * units[unit] for number, unit in parts)


@given(st.text())
def test_no_text_breaks_the_parser(text: str) -> None:
    """Any text is a duration or a ValueError."""
    with contextlib.suppress(ValueError):
        assert time.parse_duration(text, milliseconds=True) >= 0


@pytest.mark.parametrize(
    "text", ["", "30", "-5m", "1.5h", "1d", "5 m", "m", "5M", "\u0663s", "1e3s"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    """Days, signs, fractions, spaces and foreign digits are no durations."""
    with pytest.raises(ValueError):
        time.parse_duration(text)


def test_milliseconds_are_for_the_emulator_alone() -> None:
    """`ms` is accepted only on request."""
    assert time.parse_duration("1s250ms", milliseconds=True) == 1_250
    with pytest.raises(ValueError, match="milliseconds"):
        time.parse_duration("250ms")


def test_an_instant_is_printed_in_utc() -> None:
    """RFC 3339 with seconds."""
    assert time.format_instant(1_797_379_200_999) == "2026-12-16T00:00:00Z"


def test_instants_of_one_minute_share_it() -> None:
    """A minute begins at its first millisecond."""
    assert time.minute(59_999) == 0
    assert time.minute(60_000) == 1
