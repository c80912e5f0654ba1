"""Simulate and check one seed, and sum up many of them.

Called by the command line of the simulator and by its tests.
"""

from __future__ import annotations

import hashlib
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from rollout.sim.check import checkers, coverage
from rollout.sim.world import scenario
from rollout.sim.world.world import World


@dataclass(frozen=True, slots=True)
class Trial:
    """The result of one seed. `digest` is always the same for the same seed and code."""

    seed: int
    wrong: list[str]
    met: dict[str, int]
    digest: str
    real: bool

    @property
    def replay(self) -> str:
        """Return the command that repeats exactly this seed."""
        command = f"python -m rollout.sim --start {self.seed} --seeds 1"
        return f"{command} --shell" if self.real else command


@dataclass
class Tally:
    """The sum of many trials."""

    seeds: int = 0
    failed: list[Trial] = field(default_factory=list)
    met: dict[str, int] = field(default_factory=dict)

    def add(self, trial: Trial) -> None:
        """Add one trial."""
        self.seeds += 1
        if trial.wrong:
            self.failed.append(trial)
        for incident, number in trial.met.items():
            self.met[incident] = self.met.get(incident, 0) + number


def run(seed: int, *, real: bool = False) -> Trial:
    """Simulate and check one seed. Any exception is a finding.

    With `real` the real engine and client run it, else the heap driver.
    """
    try:
        record = _world(real=real)(scenario.draw(seed)).run()
        wrong = checkers.violations(record)
        met = coverage.met(record)
    except Exception as error:  # noqa: BLE001 - any other end is the finding
        where = traceback.extract_tb(error.__traceback__)[-1]
        text = f"{type(error).__name__}: {error} ({where.name}, line {where.lineno})"
        return Trial(seed, [text], {}, "", real)
    trace = hashlib.blake2b(digest_size=16)
    if record.lines:
        trace.update(f"{record.verdict.head if record.verdict else ''}".encode())
    for entry in record.entries():
        trace.update(repr(entry).encode())
    return Trial(seed, wrong, met, trace.hexdigest(), real)


def run_many(seeds: Iterable[int], *, real: bool = False) -> Iterator[Trial]:
    """Yield the trials of these seeds in order."""
    return (run(seed, real=real) for seed in seeds)


def _world(*, real: bool) -> type[World]:
    """Return the kind of world. HTTP is imported only if needed."""
    if not real:
        return World
    from rollout.sim.world.shell import ShellWorld

    return ShellWorld
