"""The interface of a simulated process for its world, and how a process may end.

Implemented by `process` on a heap, and by `shell` with the production engine.
"""

from __future__ import annotations

import enum
from typing import Protocol

from rollout.core.running import decide_instances, decide_run
from rollout.core.running.decider import Decider
from rollout.model.event import OperatorCommand
from rollout.model.time import HOUR, Duration, Instant

LIFE_MS_MAX: Duration = 24 * HOUR
"""No process of a scenario needs longer: one that does never ends."""


class Stuck(Exception):
    """The run never ends, or waits for an arrival that no part of the world will send."""


class Endless(Stuck):
    """The run has taken longer than any run may."""


class End(enum.StrEnum):
    """How a process ended."""

    CLOSED = "closed"
    STOPPED = "stopped"
    POISONED = "poisoned"
    CRASHED = "crashed"


class Driver(Protocol):
    """One process of a run."""

    decider: Decider
    incidents: set[str]

    def drive(self) -> End:
        """Return how the process ended. `Crash` where it dies."""

    @property
    def alive(self) -> bool:
        """Whether it still receives replies and signals."""

    @property
    def poisoned(self) -> bool:
        """Whether the journal could not be written, so that the state has more events than it."""

    def decides_nothing_more(self) -> bool:
        """Whether nothing is left to decide after a turn (I-59)."""

    def receive_signal(self, name: str) -> None:
        """Receive SIGINT or SIGTERM."""

    def command(self, order: OperatorCommand) -> None:
        """Receive an operator's command."""

    def cut_off(self) -> None:
        """End the process: it receives no reply any more, but its sent calls still arrive."""


def nothing_left(decider: Decider, now: Instant) -> bool:
    """Return whether a decider that took its turn has nothing left to decide."""
    events, _ = decide_run.decide(decider.run, decider.watching, now)
    return not events and not decide_instances.decide(decider.waiting, now)
