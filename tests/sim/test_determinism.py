"""The same seed is the same run: twice in a process, and in processes of other hash seeds."""

import os
import subprocess
import sys

import pytest

from rollout.sim.check import trial

SEEDS = range(5, 17)


def test_a_seed_gives_the_same_trace_again() -> None:
    """Journal and hidden ledger of a seed are equal to the byte when it is run twice."""
    assert [trial.run(seed).digest for seed in SEEDS] == [trial.run(seed).digest for seed in SEEDS]


@pytest.mark.parametrize("hash_seed", ["1", "7"])
def test_a_seed_gives_the_same_trace_under_any_hash_seed(hash_seed: str) -> None:
    """No order of a set of texts, nothing of this process finds its way into a run."""
    code = (
        "from rollout.sim.check import trial\n"
        f"print(*[trial.run(seed).digest for seed in range({SEEDS.start}, {SEEDS.stop})])"
    )
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}

    told = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )

    assert told.stdout.split() == [trial.run(seed).digest for seed in SEEDS]
