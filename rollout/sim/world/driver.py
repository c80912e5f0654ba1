"""A process of a run as its world sees it, whatever drives the decider in it.

Two implement it: the heap driver of `process`, and the real engine of `shell`.
"""

from __future__ import annotations

import enum
from typing import Protocol

from rollout.core.running import decide_instances, decide_run
from rollout.core.running.decider import Decider
from rollout.model.event import OperatorCommand
from rollout.model.time import HOUR, Duration, Instant

LIFE_MS_MAX: Duration = 24 * HOUR
"""No process of a scenario may take longer: one that does has lost its way."""


class Stuck(Exception):
    """The run goes on without end, or waits for something that nobody will send."""


class Endless(Stuck):
    """It goes on, and has taken longer than any run may."""


class End(enum.StrEnum):
    """How a process ended."""

    CLOSED = "closed"
    STOPPED = "stopped"
    POISONED = "poisoned"
    CRASHED = "crashed"


class Driver(Protocol):
    """A process as the world sees it, whatever drives the decider in it."""

    decider: Decider
    words: set[str]

    def drive(self) -> End:
        """Go on until it ends. `Crash` where it dies."""

    @property
    def alive(self) -> bool:
        """Whether it still hears anybody."""

    @property
    def poisoned(self) -> bool:
        """The journal could not be written: the state knows more than it."""

    def decides_nothing_more(self) -> bool:
        """After a turn nothing is left to decide, however often one asks (I-59)."""

    def receive_signal(self, name: str) -> None:
        """The operating system sends SIGINT or SIGTERM."""

    def command(self, order: OperatorCommand) -> None:
        """An operator commands this."""

    def bury(self) -> None:
        """What it waited for is heard by nobody; what it sent still arrives."""


def nothing_left(decider: Decider, now: Instant) -> bool:
    """Whether a decider that took its turn has nothing more to say."""
    events, _ = decide_run.decide(decider.run, decider.watching, now)
    return not events and not decide_instances.decide(decider.waiting, now)
