"""Settings of all tests. Hypothesis has no deadline, so a slow machine fails no test."""

import os

import pytest
from hypothesis import settings

settings.register_profile("rollout", deadline=None)
settings.register_profile(  # a verdict on a mutant must not depend on chance
    "mutants", deadline=None, max_examples=25, derandomize=True, database=None
)
settings.register_profile("soak", deadline=None, max_examples=10_000)
settings.load_profile("rollout")

os.environ["XDG_CONFIG_HOME"] = os.devnull  # no test reads the settings of the person who runs it

WORKERS_PER_CORE = 2
"""Tests of whole commands mostly wait: for boots of the emulator, and for the ticks of a run."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return the number of test processes for `-n auto`."""
    return WORKERS_PER_CORE * (os.cpu_count() or 1)
