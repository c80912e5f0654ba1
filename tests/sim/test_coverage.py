"""What counts as a rare thing is what happened, not how the run ended."""

import pytest

from rollout.emulator.faults import Fault
from rollout.sim.check import coverage
from rollout.sim.check.crashes import calm
from rollout.sim.world.world import World

WORDS = ("attach refused", "restart refused", "in doubt by a lost answer", "results in part")


@pytest.mark.parametrize(
    "fault, action, word",
    [
        ("conflict", "AttachKeyPair", "attach refused"),
        ("conflict", "RebootInstance", "restart refused"),
        ("lost_after", "RebootInstance", "in doubt by a lost answer"),
    ],
)
def test_a_refusal_is_counted_where_it_was_and_a_doubt_though_it_ended(
    fault: str, action: str, word: str
) -> None:
    """Each word stands for its own kind of ending of a call, whatever became of the instance."""
    record = World(calm(faults=(Fault(fault, 0.5, (action,)),))).run()

    met = coverage.met(record)

    assert [one for one in WORDS if met.get(one)] == [word]


def test_a_calm_run_meets_nothing_rare() -> None:
    """Only that it closed, over its waves, and that StartTime was found to move. Its fleet
    has a locked instance that is Starting: a member that is down.
    """
    met = coverage.met(World(calm()).run())

    assert set(met) == {"closed", "wave after wave", "start time trusted", "member down"}
