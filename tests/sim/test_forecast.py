"""Forecasts: percentiles and peaks are the value of one seed, halts are listed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rollout.sim.rehearse.forecast import RunEnding, forecast, spread
from rollout.sim.rehearse.rehearsal import Down, LaneCalls, RehearsedSeed


def rehearsed(
    seed: int, duration_ms: int, *, peak: int = 5, halted: str = "", exit_code: int = 0
) -> RehearsedSeed:
    """One seed of two regions and one group."""
    return RehearsedSeed(
        seed=seed,
        duration_ms=duration_ms,
        exit=exit_code,
        halted=halted,
        counts={"done": 10 * seed},
        waves=() if halted else (("all", duration_ms),),
        lanes=(
            LaneCalls("cn-a", "RebootInstance", 4, peak, 0),
            LaneCalls("cn-b", "RebootInstance", 6, peak + seed, seed),
        ),
        down=(Down("fleet", 9, peak, 1000, (peak,)),),
    )


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=200))
def test_a_percentile_is_a_value_that_so_many_do_not_pass(values: list[int]) -> None:
    """At least so many of a hundred lie at or below it, and it is one of them."""
    found = spread(values)

    assert {found.p50, found.p90, found.most} <= set(values)
    assert 2 * sum(one <= found.p50 for one in values) >= len(values)
    assert 10 * sum(one <= found.p90 for one in values) >= 9 * len(values)
    assert found.p50 <= found.p90 <= found.most == max(values)


def test_the_picture_is_of_the_seed_in_the_middle() -> None:
    """The seed whose duration is the P50 is shown; the peak is the largest of all."""
    found = forecast([rehearsed(1, 300, peak=9), rehearsed(2, 100), rehearsed(3, 200)])

    assert (found.shown, found.duration_ms.p50, found.duration_ms.most) == (3, 200, 300)
    assert found.down_most == (9,)
    assert found.waves[0].after_ms == found.duration_ms


def test_calls_are_summed_over_regions_and_the_fullest_minute_is_of_one() -> None:
    """A quota is a region's own: adding up minutes of regions would say nothing."""
    (calls,) = forecast([rehearsed(1, 100), rehearsed(3, 100)]).calls

    assert (calls.calls.p50, calls.peak, calls.region) == (10, 8, "cn-b")
    assert calls.throttled.most == 3


def test_seeds_that_stopped_do_not_shorten_the_forecast() -> None:
    """A run that halts early is not a fast run; it is listed separately, by its kind."""
    halts = [rehearsed(n, 5, halted=f"denied: no. {n}", exit_code=4) for n in (2, 3)]

    found = forecast([rehearsed(1, 100), *halts])

    assert (found.duration_ms.p50, found.ended) == (100, 1)
    assert found.endings == (RunEnding(2, 4, "denied", "denied: no. 2"), RunEnding(1, 0, "", ""))
    assert (forecast(halts).duration_ms.p50, forecast(halts).ended) == (5, 0)
