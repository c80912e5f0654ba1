"""The table of one instance's life."""

from __future__ import annotations

import itertools

import pytest

from rollout.core.invariant import Bug
from rollout.core.journey import DOWN, EXPOSED, FINAL, TABLE, Phase, move
from rollout.model.event import Happening

PAIRS = list(itertools.product(Phase, Happening))


@pytest.mark.parametrize("pair", [pair for pair in PAIRS if pair in TABLE])
def test_a_pair_of_the_table_moves_as_it_says(pair: tuple[Phase, Happening]) -> None:
    """`move` is the table."""
    assert move(*pair) is TABLE[pair]


@pytest.mark.parametrize("pair", [pair for pair in PAIRS if pair not in TABLE])
def test_a_pair_that_is_absent_is_a_bug(pair: tuple[Phase, Happening]) -> None:
    """What the table does not allow is a defect, not a shrug."""
    with pytest.raises(Bug, match=pair[1].value):
        move(*pair)


def test_nothing_happens_to_what_is_final() -> None:
    """A final phase has no way out."""
    assert not [pair for pair in TABLE if pair[0] in FINAL]


def test_every_phase_is_reached_and_left_unless_final() -> None:
    """No phase of the table is an island or a trap."""
    reached = {Phase.PLANNED, *TABLE.values()}
    left = {phase for phase, _ in TABLE}

    assert reached == set(Phase)
    assert left == set(Phase) - FINAL


def test_done_is_reached_only_from_a_boot() -> None:
    """Only an instance that booted after its attach is ever done."""
    ways = [pair for pair, after in TABLE.items() if after is Phase.DONE]

    assert ways == [(Phase.SETTLING, Happening.SEEN_RUNNING)]
    assert {happening for (_, happening), after in TABLE.items() if after is Phase.SETTLING} == {
        Happening.SEEN_BOOTED
    }


def test_a_lost_restart_is_never_final() -> None:
    """In doubt an instance is down and exposed, and only evidence or the operator ends it."""
    assert Phase.IN_DOUBT in DOWN & EXPOSED
    assert move(Phase.RESTARTING, Happening.ANSWER_LOST) is Phase.IN_DOUBT
