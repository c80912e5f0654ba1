"""What a use case reports while it works: warnings, messages, waiting calls and progress.

Implemented by the command line. The classes here are the defaults for Python programs.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple, Self

from rollout.errors import Problem
from rollout.model.phrase import Wording
from rollout.model.time import Instant

if TYPE_CHECKING:
    from rollout.core.running.state import Run
    from rollout.model.event import AnyEvent

_LOG = logging.getLogger("rollout")


class WaitingCall(NamedTuple):
    """The oldest API call without a reply. Times are UTC milliseconds."""

    action: str
    regions: tuple[str, ...]
    """Regions that wait for the same action. Empty for GetCallerIdentity."""
    cause: str
    tries: int
    since: Instant
    until: Instant


class Notices:
    """Receives warnings and messages. This class writes them to the standard logger `rollout`."""

    def warn(self, problem: Problem) -> None:
        """Report a warning."""
        _LOG.warning("%s: %s", problem.code, problem.message)

    def say(self, text: Wording) -> None:
        """Report a message."""
        _LOG.info("%s", text)

    def waiting(self, call: WaitingCall | None, now: Instant) -> None:
        """Report twice a second which call waits for a reply, and once that none waits."""


class Progress:
    """Receives the events of a run, inside `with`. This class ignores them."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Do nothing: no resource is held."""

    def on_turn(self, run: Run, events: list[AnyEvent], now: Instant) -> None:
        """Report the events of one turn. Must neither raise nor wait."""
