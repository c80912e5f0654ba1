"""Settings of all tests. Hypothesis has no deadline, so a slow machine fails no test."""

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("rollout", deadline=None)
settings.register_profile(  # a verdict on a mutant must not depend on chance
    "mutants", deadline=None, max_examples=25, derandomize=True, database=None
)
settings.register_profile("soak", deadline=None, max_examples=10_000)
settings.load_profile("rollout")

OWN_SETTINGS = ("ROLLOUT_", "ALIBABA_CLOUD_", "ALIBABACLOUD_", "ALICLOUD_", "LC_", "LANGUAGE")
"""Prefixes of the variables that choose a service, an account, an option or a language."""
EMPTY_HOME = tempfile.TemporaryDirectory(prefix="rollout-home-")

# No test depends on the settings of the person who runs it. Git keeps its own: they may say that
# the folder of the project is safe.
os.environ.setdefault("GIT_CONFIG_GLOBAL", str(Path.home() / ".gitconfig"))
for variable in [name for name in os.environ if name.startswith(OWN_SETTINGS)]:
    del os.environ[variable]
os.environ.update(HOME=EMPTY_HOME.name, XDG_CONFIG_HOME=os.devnull, LANG="C.UTF-8")

WORKERS_PER_CORE = 2
"""Tests of whole commands mostly wait: for boots of the emulator, and for the ticks of a run."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return the number of test processes for `-n auto`."""
    return WORKERS_PER_CORE * (os.cpu_count() or 1)
