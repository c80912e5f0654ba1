"""Circuit breaker and retry budget of a lane.

Called by the client around every call. Pure: instants are arguments. An open breaker stops the
calls of its lane; a read-only probe closes it again.
Source of the figures: docs/safety.md, "Pace, retries and circuit breakers".
"""

from __future__ import annotations

import enum
from collections import deque
from typing import Final

from rollout.model.outcome import Outcome, Refused, RetryClass, Unknown
from rollout.model.time import MINUTE, SECOND, Instant

SAMPLE: Final = 20
"""Number of calls that a storm is judged by: more than half of them failed in the service."""
OPEN_MS: Final = 30 * SECOND
RETRIES_SHARE: Final = 0.1
"""Retries may add this share to the calls of a minute, so that they cannot make an outage worse."""
RETRIES_FLOOR: Final = 5
"""Retries that are always allowed in a minute, because a lane with few calls must recover too."""


class Admission(enum.Enum):
    """Whether a call may be sent, or must be replaced by a probe."""

    GO = "go"
    PROBE = "probe"
    STOP = "stop"


class Breaker:
    """The circuit breaker of one lane. `reason` is empty while it is closed."""

    def __init__(self) -> None:
        self.reason = ""
        self._failed: deque[bool] = deque(maxlen=SAMPLE)
        self._open_until: Instant = 0
        self._probing = False

    def admit(self, now: Instant) -> Admission:
        """Return whether a call may be sent now. After the pause exactly one caller gets PROBE."""
        if not self.reason:
            return Admission.GO
        if now < self._open_until or self._probing:
            return Admission.STOP
        self._probing = True
        return Admission.PROBE

    def note(self, outcome: Outcome, now: Instant) -> None:
        """Record the outcome of a call, and open for errors that retries cannot fix."""
        if isinstance(outcome, Refused) and outcome.retry is RetryClass.DENIED:
            self._open("denied", now)
        elif isinstance(outcome, Refused) and outcome.retry is RetryClass.CLOCK:
            self._open("clock", now)
        elif not (isinstance(outcome, Refused) and outcome.retry is RetryClass.UNSENT):
            self._failed.append(isinstance(outcome, Unknown) and is_service_failure(outcome))
            if len(self._failed) == SAMPLE and sum(self._failed) * 2 > SAMPLE:
                self._open("storm", now)

    def probed(self, outcome: Outcome, now: Instant) -> None:
        """Record the outcome of the probe: a sound reply closes the breaker, others delay it.

        A denial shows that the service works again, so it closes a breaker that a storm opened: the
        caller may lack permission for the probing action.
        """
        self._probing = False
        unsound = {RetryClass.CLOCK, RetryClass.UNSENT}
        if self.reason != "storm":
            unsound.add(RetryClass.DENIED)
        refused = isinstance(outcome, Refused) and outcome.retry in unsound
        if not refused and not isinstance(outcome, Unknown):
            self.reason = ""
            self._failed.clear()
        else:
            self._open_until = now + OPEN_MS

    def left_ms(self, now: Instant) -> int:
        """Return the remaining time of the pause."""
        return max(0, self._open_until - now)

    def _open(self, reason: str, now: Instant) -> None:
        """Open the breaker for `OPEN_MS`."""
        self.reason, self._open_until = reason, now + OPEN_MS


class RetryBudget:
    """The retry budget of a lane for each minute."""

    def __init__(self) -> None:
        self._minute = -1
        self._calls = self._retries = 0

    def note_call(self, now: Instant) -> None:
        """Count a call that is not a retry."""
        self._turn(now)
        self._calls += 1

    def take(self, now: Instant) -> bool:
        """Take one retry from the budget; False if it is used up."""
        self._turn(now)
        if self._retries >= RETRIES_FLOOR + RETRIES_SHARE * self._calls:
            return False
        self._retries += 1
        return True

    def _turn(self, now: Instant) -> None:
        """Reset the counts in a new minute."""
        if now // MINUTE != self._minute:
            self._minute = now // MINUTE
            self._calls = self._retries = 0


def is_service_failure(outcome: Unknown) -> bool:
    """Return whether the service itself failed: a 5xx or one of its own codes for that."""
    return (
        outcome.why.startswith("http_5")
        or outcome.why in _SERVICE_CODES
        or (outcome.why.startswith(("ServiceUnavailable", "InternalError")))
    )


_SERVICE_CODES = frozenset({"UnknownError", "LimitedOperation.ServiceUnavailable"})
