"""What is remembered is what would be made, and never more than asked for."""

from hypothesis import given
from hypothesis import strategies as st

from rollout.emulator.cloud.cache import Cache


@given(st.lists(st.integers(0, 20)), st.integers(1, 8))
def test_a_cached_value_is_the_computed_one_and_the_cache_is_bounded(
    keys: list[int], most: int
) -> None:
    """Results are the function's, a repeated key computes nothing, memory is bounded."""
    made: list[int] = []

    def square(key: int) -> int:
        made.append(key)
        return key * key

    kept = Cache(square, most)
    for key in keys:
        assert kept[key] == key * key
        count = len(made)
        assert kept[key] == key * key
        assert len(made) == count
        assert len(kept) <= most
