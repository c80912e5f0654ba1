"""Retry read-only calls before a run starts, and keep the list of waiting calls.

Called by the client around each such call until a run starts; from then on the core retries its own
observations. It must never get a call that changes anything.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

import msgspec
import tenacity

from rollout.ecs import jitter, replies
from rollout.ecs.breaker import RetryBudget
from rollout.model import limits
from rollout.model.outcome import Refused, RetryClass, Unknown, Unsent
from rollout.model.site import Lane
from rollout.model.time import MINUTE, SECOND, Clock, Duration, Instant

T = TypeVar("T")

PAUSE_MS_MIN: Final = SECOND // 2
PAUSE_MS_MAX: Final = 10 * SECOND
"""The pause after a failed attempt doubles from the first to the second."""

_TRANSIENT: Final = frozenset({RetryClass.THROTTLED, RetryClass.UNSENT, RetryClass.STATE})
_CONCLUSIVE: Final = frozenset({RetryClass.DENIED, RetryClass.CLOCK})
_CERTIFICATE: Final = "certificate"
"""Reason of the transport for a certificate that is not accepted: a retry gets the same one."""
_OUT_OF_TIME: Final = "connect_timeout"
"""Reason of the transport that the end of the budget itself causes."""


def is_transient(outcome: Refused | Unknown) -> bool:
    """Return whether a retry may succeed: the call was throttled or lost, or a proxy replied.

    A dry run that the service executed is not retried, although its outcome is unknown.
    """
    if isinstance(outcome, Unknown):
        return outcome.why != replies.DRY_RUN_IGNORED
    return outcome.retry in _TRANSIENT and outcome.code != _CERTIFICATE


@dataclass(eq=False, slots=True)
class UnansweredCall:
    """One call without a reply. It fails at `until`; `last` is its last failure."""

    lane: Lane
    since: Instant
    until: Instant
    tries: int = 0
    last: Refused | Unknown | None = None
    crowded: bool = False
    """The lane had no free slot for another attempt before `until`."""


class Patience:
    """Retries calls until the service replies, for at most `budget_ms`.

    The time counts from the first failure since the last reply in the same lane, so that calls
    that wait together wait once. After one call has failed no other is retried, since the command
    has failed.
    """

    def __init__(self, clock: Clock, budget_ms: Duration = limits.API_TIMEOUT_MS) -> None:
        self.on_calm: Callable[[], None] = lambda: None
        """Called when no call is waiting any more."""
        self._clock, self._budget_ms = clock, budget_ms
        self._waiting: dict[UnansweredCall, None] = {}
        self._failing_since: dict[Lane, Instant] = {}
        self._repeats: dict[Lane, RetryBudget] = {}
        self._given_up: dict[Lane, Refused | Unknown] = {}

    def now(self) -> Instant:
        """Return the time of the clock that `since` and `until` of a call refer to."""
        return self._clock.now()

    @property
    def waiting(self) -> tuple[UnansweredCall, ...]:
        """The calls without a reply, oldest first."""
        return tuple(self._waiting)

    async def retry(
        self,
        lane: Lane,
        attempt: Callable[[Instant, int], Awaitable[T | Refused | Unknown]],
        *,
        alternatives: int = 1,
    ) -> T | Refused | Unknown:
        """Return the first outcome that is not transient, or the last one when time is over.

        `attempt` gets the instant until which its call may leave, and the number of attempts
        before it. With `alternatives` it varies the call by that number: if the refusal of one
        proves nothing about access, the next is tried. A failure names the number of attempts.
        """
        if lane in self._given_up:
            return self._given_up[lane]
        now = self._clock.now()
        waiting = UnansweredCall(lane, now, now + self._budget_ms)
        self._repeats.setdefault(lane, RetryBudget()).note_call(now)

        async def once() -> T | Refused | Unknown:
            outcome = await attempt(waiting.until, waiting.tries)
            self._note(waiting, outcome, alternatives)
            return outcome

        repeated = _REPEATS.copy(
            retry=tenacity.retry_if_result(lambda _: waiting.last is not None),
            stop=lambda _: waiting.crowded or self._clock.now() >= waiting.until,
            wait=lambda _: self._pause_ms(waiting, alternatives) / SECOND,
            sleep=self._sleep_s,
            retry_error_callback=lambda _: self._give_up(waiting),
        )
        self._waiting[waiting] = None
        try:
            found: T | Refused | Unknown = await repeated(once)
        finally:
            del self._waiting[waiting]
            if not self._waiting:
                self.on_calm()
        return found

    def _note(self, waiting: UnansweredCall, outcome: object, alternatives: int) -> None:
        """Record a failure that is worth a retry; any other outcome shows that the lane works."""
        if isinstance(outcome, Refused) and outcome.code == Unsent.EXPIRED:
            waiting.crowded = True
            return
        waiting.tries += 1
        former, waiting.last = waiting.last, None
        if isinstance(outcome, Refused | Unknown) and is_transient(outcome):
            since = self._failing_since.setdefault(waiting.lane, self._clock.now())
            waiting.until = since + (0 if self._given_up else self._budget_ms)
            over = self._clock.now() >= waiting.until
            hides = over and isinstance(outcome, Refused) and outcome.code == _OUT_OF_TIME
            waiting.last = former if former and hides else outcome
            return
        self._failing_since.pop(waiting.lane, None)
        if isinstance(outcome, Refused) and outcome.retry not in _CONCLUSIVE:
            waiting.last = outcome if waiting.tries < alternatives else None

    def _pause_ms(self, waiting: UnansweredCall, alternatives: int) -> Duration:
        """Return the pause before the next attempt: 0 before another alternative, and the time that
        the service named if the lane is throttled, since the governor delays that call.
        """
        now, last = self._clock.now(), waiting.last
        if waiting.tries < alternatives:
            return 0
        if isinstance(last, Refused) and last.retry is RetryClass.THROTTLED:
            pause_ms = last.retry_after_ms
        elif self._repeats[waiting.lane].take(now):
            ceiling = min(PAUSE_MS_MAX, PAUSE_MS_MIN << min(waiting.tries, 16))
            pause_ms = round(ceiling / 2 * (1 + jitter.share_of(f"{waiting.lane}{now}")))
        else:
            pause_ms = MINUTE - now % MINUTE
        return max(0, min(pause_ms, waiting.until - now))

    def _give_up(self, waiting: UnansweredCall) -> Refused | Unknown:
        """Return the last failure with the number of attempts; the lane has failed."""
        assert waiting.last is not None  # noqa: S101 - only failures are retried
        seconds = (self._clock.now() - waiting.since) // SECOND
        times = "once" if waiting.tries == 1 else f"{waiting.tries} times"
        text = f"{waiting.last.message} (tried {times} in {seconds} s)".strip()
        known = msgspec.structs.replace(waiting.last, message=text)
        return self._given_up.setdefault(waiting.lane, known)

    async def _sleep_s(self, seconds: float) -> None:
        """Wait by the injected clock; tenacity counts in seconds."""
        await self._clock.sleep_until(self._clock.now() + round(seconds * SECOND))


_REPEATS = tenacity.AsyncRetrying()
"""A template: copied for each call, since one object cannot serve two calls at once."""
