"""Counts and shares."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.model.spec import PPM, Amount, parse_amount


@given(st.integers(1, 999_999_999))
def test_a_number_is_a_count(count: int) -> None:
    """A count is itself, whatever it is taken of."""
    amount = parse_amount(str(count))

    assert (amount.count, amount.of(7), str(amount)) == (count, count, str(count))


@given(st.integers(1, PPM))
def test_a_share_is_read_back_from_its_text(share_ppm: int) -> None:
    """Four digits behind the point are all that a millionth needs."""
    amount = Amount(share_ppm=share_ppm)

    assert parse_amount(str(amount)) == amount


@given(st.integers(1, PPM), st.integers(0, 10**6))
def test_a_share_is_rounded_down(share_ppm: int, base: int) -> None:
    """Never more than the share of the base, and less than one instance below it."""
    amount = Amount(share_ppm=share_ppm)

    assert 0 <= base * share_ppm - amount.of(base) * PPM < PPM


@given(st.text())
def test_no_text_breaks_the_parser(text: str) -> None:
    """Any text is an amount above 0 or a ValueError."""
    try:
        amount = parse_amount(text)
    except ValueError:
        return
    assert (amount.count or amount.share_ppm or 0) > 0


@pytest.mark.parametrize(
    "text, words",
    [
        ("0", "at least 1"),
        ("00", "at least 1"),
        ("1" * 10, "at most 9 digits"),
        ("0%", "more than 0"),
    ],
)
def test_a_number_out_of_bounds_is_reported(text: str, words: str) -> None:
    """`0` is refused as a count that is too small."""
    with pytest.raises(ValueError, match=words):
        parse_amount(text)


@pytest.mark.parametrize(
    "text",
    ["", "0", "-1", "05", "+5", "1e9", "NaN", "0%", "0.0%", "101%", "10%%", "5 %", "\u0665", "1_0"],
)
def test_what_is_no_amount_is_refused(text: str) -> None:
    """Zero, signs, exponents, doubled percents and foreign digits are no amounts."""
    with pytest.raises(ValueError):
        parse_amount(text)
