"""The table of one instance's life."""

from __future__ import annotations

import itertools

import pytest

from rollout.core.invariant import Bug
from rollout.core.running.journey import DOWN, EXPOSED, FINAL, TABLE, Phase, move
from rollout.model.event import Trigger

PAIRS = list(itertools.product(Phase, Trigger))


def ways_into(phase: Phase) -> set[tuple[Phase, Trigger]]:
    """The moves that lead into a phase."""
    return {pair for pair in PAIRS if pair in TABLE and move(*pair) is phase}


def test_a_restart_is_issued_only_where_the_key_is_attached() -> None:
    """No restart precedes the proof of the attach, and none is issued by anything else."""
    assert ways_into(Phase.RESTARTING) == {(Phase.ATTACHED, Trigger.RESTART_ISSUED)}
    assert ways_into(Phase.ATTACHING) == {(Phase.PLANNED, Trigger.ATTACH_ISSUED)}


def test_a_second_restart_needs_evidence_or_the_operator() -> None:
    """An instance that may have been restarted returns to ATTACHED only where it surely was not,
    or where the operator asked for it."""
    assert {pair for pair in ways_into(Phase.ATTACHED) if pair[0] in DOWN} == {
        (Phase.RESTARTING, Trigger.RESTART_REPEATABLE),
        (Phase.IN_DOUBT, Trigger.OBSERVED_UNTOUCHED),
        (Phase.IN_DOUBT, Trigger.RETRIED),
        (Phase.RESTARTING, Trigger.STATED_UNTOUCHED),
        (Phase.IN_DOUBT, Trigger.STATED_UNTOUCHED),
    }


def test_a_second_attach_needs_proof_that_the_first_had_no_effect() -> None:
    """Back to PLANNED leads a refusal that may be repeated, or an observation of another key."""
    assert ways_into(Phase.PLANNED) == {
        (Phase.ATTACHING, Trigger.ATTACH_REPEATABLE),
        (Phase.ATTACHING, Trigger.OBSERVED_UNATTACHED),
    }


def test_what_has_the_key_and_no_restart_is_stranded() -> None:
    """A closed run ignores instances without the key and reports those with an unproved key."""
    closed = {phase: move(phase, Trigger.CLOSED) for phase in Phase if can_close(phase)}
    assert closed == {
        Phase.PLANNED: Phase.SKIPPED,
        Phase.ATTACHING: Phase.STRANDED,
        Phase.ATTACHED: Phase.STRANDED,
        Phase.VERIFYING: Phase.UNVERIFIED,
        Phase.COMPARING: Phase.UNVERIFIED,
        Phase.RESTARTING: Phase.IN_DOUBT,
        Phase.SETTLING: Phase.IN_DOUBT,
    }
    assert move(Phase.RESTARTING, Trigger.RESTART_REFUSED) is Phase.STRANDED


def can_close(phase: Phase) -> bool:
    """Whether the end of a run decides over an instance in this phase."""
    return (phase, Trigger.CLOSED) in TABLE


@pytest.mark.parametrize("pair", [pair for pair in PAIRS if pair not in TABLE])
def test_a_pair_that_is_absent_is_a_bug(pair: tuple[Phase, Trigger]) -> None:
    """What the table does not allow is a defect, not a shrug."""
    with pytest.raises(Bug, match=pair[1].value):
        move(*pair)


def test_nothing_happens_to_what_is_final() -> None:
    """A final phase has no way out, but for an operator who repaired what the run gave up."""
    assert {pair for pair in TABLE if pair[0] in FINAL} == {
        (Phase.FAILED, Trigger.STATED_RESTARTED),
        (Phase.STRANDED, Trigger.STATED_RESTARTED),
    }


def test_every_phase_is_reached_and_left_unless_final() -> None:
    """No phase of the table is an island or a trap."""
    reached = {Phase.PLANNED, *TABLE.values()}
    left = {phase for phase, how in TABLE if how is not Trigger.STATED_RESTARTED}

    assert reached == set(Phase)
    assert left == set(Phase) - FINAL


def test_done_is_reached_only_from_a_boot() -> None:
    """Only an instance that booted after its attach is ever done."""
    ways = [pair for pair, after in TABLE.items() if after is Phase.DONE]

    assert ways == [
        (Phase.SETTLING, Trigger.OBSERVED_RUNNING),
        (Phase.VERIFYING, Trigger.LOGIN_PROVED),
        (Phase.COMPARING, Trigger.KEY_PROVED),
    ]
    assert {pair[0] for pair, after in TABLE.items() if after is Phase.COMPARING} == {
        Phase.SETTLING,
        Phase.VERIFYING,
    }
    assert ways_into(Phase.VERIFYING) == {(Phase.SETTLING, Trigger.LOGIN_AWAITED)}
    assert {trigger for (_, trigger), after in TABLE.items() if after is Phase.SETTLING} == {
        Trigger.OBSERVED_BOOTED
    }


def test_a_lost_restart_is_never_final() -> None:
    """In doubt an instance is down and exposed, and only evidence or the operator ends it."""
    assert Phase.IN_DOUBT in DOWN & EXPOSED
    assert move(Phase.RESTARTING, Trigger.ANSWER_LOST) is Phase.IN_DOUBT
