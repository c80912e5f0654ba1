"""The same seed is the same run: twice in a process, and in processes of other hash seeds."""

import os
import subprocess
import sys

import pytest

from rollout.sim.check import trial

SEEDS = range(5, 17)
CARRIED_SEEDS = range(5, 7)

CARRY = """
from rollout.core.running.decider import Decider
turn = Decider.turn
def carried(self, now):
    self.load(self.carry())
    return turn(self, now)
Decider.turn = carried
"""
"""Each turn begins in a new object that was loaded from the bytes of the one before."""


def digests(seeds: range, hash_seed: str, before: str = "") -> list[str]:
    """The digests of seeds in a process of its own."""
    code = (
        f"{before}\nfrom rollout.sim.check import trial\n"
        f"print(*[trial.run(seed).digest for seed in range({seeds.start}, {seeds.stop})])"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    )
    return printed.stdout.split()


def test_a_seed_gives_the_same_trace_again() -> None:
    """Journal and hidden ledger of a seed are equal to the byte when it is run twice."""
    assert [trial.run(seed).digest for seed in SEEDS] == [trial.run(seed).digest for seed in SEEDS]


@pytest.mark.parametrize("hash_seed", ["1", "7"])
def test_a_seed_gives_the_same_trace_under_any_hash_seed(hash_seed: str) -> None:
    """No order of a set of texts, nothing of this process finds its way into a run."""
    assert digests(SEEDS, hash_seed) == [trial.run(seed).digest for seed in SEEDS]


@pytest.mark.parametrize("hash_seed", ["0", "1", "7"])
def test_a_run_that_is_carried_before_every_turn_has_the_same_trace(hash_seed: str) -> None:
    """A run that continues in another process after every turn writes the same journal."""
    plain = [trial.run(seed).digest for seed in CARRIED_SEEDS]

    assert digests(CARRIED_SEEDS, hash_seed, CARRY) == plain
