"""The table of stations, and the column that follows it."""

from __future__ import annotations

import itertools

import pytest

from rollout.core.invariant import Bug
from rollout.core.running.stations import TABLE, Station, Stations

PAIRS = list(itertools.product(Station, Station))


def test_each_station_can_be_reached_and_left() -> None:
    """No station is forgotten, and none keeps an instance: each has a way in and a way out."""
    assert set(TABLE) == set(Station)
    assert set().union(*TABLE.values()) == set(Station) - {Station.NONE}


def test_a_call_begins_on_a_checked_or_a_ready_instance() -> None:
    """An attach follows a comparison with the plan, a restart follows an observation."""
    before = {one for one, after in TABLE.items() if Station.CALLING in after}

    assert before == {Station.CHECKED, Station.READY}


@pytest.mark.parametrize("before, after", PAIRS, ids=lambda station: station.name.lower())
def test_a_move_that_is_not_in_the_table_is_a_bug(before: Station, after: Station) -> None:
    """Legal moves change the column; others raise and change nothing. All can end."""
    stations = Stations(bytearray(2))
    stations.column[1] = before
    if after in TABLE[before] or after is Station.NONE:
        stations.move(1, after)
        assert stations.at(1) is after
    else:
        with pytest.raises(Bug, match=f"ordinal 1 moves from {before.name} to {after.name}"):
            stations.move(1, after)
        assert stations.at(1) is before
    assert stations.at(0) is Station.NONE
