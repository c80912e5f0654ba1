"""The pace of each lane, learned from throttled calls, and the queue of waiting calls.

Called by the client before and after every call. A lane is account × region × action, the unit the
service throttles, minute by minute, and shares between this program, operators and their other
tools. `Rate` computes on the instants it is given; `Governor` waits.
Source of the figures: docs/safety.md, "Pace, retries and circuit breakers".
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from rollout.ecs import jitter
from rollout.model import limits
from rollout.model.site import Lane
from rollout.model.time import MINUTE, SECOND, Clock, Duration, Instant

RATE_START: Final = 60.0
"""Calls a minute before anything is known."""
EMULATOR_RATE_START: Final = 1_200.0
"""The same on the emulator, whose quota is not shared and is unlimited by default."""
RATE_MIN: Final = 1.0
RATE_MAX: Final = 60_000.0
DOUBLE_EVERY_MS: Final = 5 * SECOND
HEADROOM: Final = 0.98
"""Our minute and the service's differ by a call's latency: a full minute of ours must fit."""
CATCH_UP_MS: Final = 1 * SECOND
"""How much time lost by a late wake-up may be caught up at once."""
NAP_MS: Final = SECOND // 2
"""Interval at which a waiting call checks whether the run stops."""
STRIKES_MAX: Final = 4
"""Throttles in a row, each of a call that left after the pause of the one before, that close a lane
until the next minute: then its bucket is empty."""
STRIKES_AGAIN: Final = 2
"""Number of strikes that close the minute after a closed one."""
PAUSE_MS: Final = 2 * SECOND
"""Pause after the first throttled call if the service names none; each in a row doubles it."""
LEARN_MIN: Final = 10
"""Fewest accepted calls in a minute that teach a quota: fewer may be a burst of others."""
PROBE_MS: Final = 2 * SECOND
"""After a pause one call is sent, and the next after its reply or after this time."""
EDGE_MS: Final = 3 * SECOND
"""Maximum difference between our minute and the service's."""
IN_FLIGHT_MAX: Final = 32
"""Calls of one lane in flight at once: 64 calls a second at half a second each."""


class Leave(NamedTuple):
    """When a call was sent, and after how many pauses of its lane."""

    at: Instant
    pauses: int

    @property
    def minute(self) -> int:
        """The minute that the call counts in."""
        return self.at // MINUTE


class Rate:
    """The pace of one lane, in calls a minute, on the service's clock.

    A throttled call pauses the lane for as long as the service says, else for a few seconds; then
    one call probes it. `STRIKES_MAX` throttles in a row show that the bucket of the minute is
    empty, and close the lane until the next minute.

    The pace starts at `start` and doubles every five seconds in which it was used and nothing was
    throttled, until a minute is closed. The calls accepted in that minute are the quota; from then
    on it keeps to `1 - leave` of it. Each minute closed later halves the pace, one clean minute
    brings half of the goal back, the next all of it. A call that is accepted after a throttle of
    the same minute shows that no bucket was empty: a quota that was learned is forgotten.

    A first closed minute with fewer than `start` accepted calls teaches nothing: it is a burst of
    other clients, unless the next minute ends the same way. Fewer than `LEARN_MIN` never do.
    """

    def __init__(self, now: Instant, *, leave_ppm: int, start: float = RATE_START) -> None:
        self.per_minute = self._start = start
        self.quota: int | None = None
        self._burst = False
        self.closed_until: Instant = 0
        self.throttled = 0
        self.throttled_at: Instant = 0
        self.leave_to_others(leave_ppm)
        self._due = float(now)
        self._minute = now // MINUTE
        self._accepted: dict[int, int] = {}
        self._learned_in = -1
        self._throttled_in = -1
        self._clean_minutes = 2
        self._pauses = 0
        self._strikes = 0
        self._struck = Leave(0, 0)
        """The last call that was throttled and paused the lane."""
        self._period_began, self._period_sent, self._period_pauses = now, 0, 0

    def leave_to_others(self, leave_ppm: int) -> None:
        """Keep this share of the quota, in millionths, for operators and other programs."""
        self._share = (1 - leave_ppm / 1_000_000) * HEADROOM
        self.per_minute = min(self.per_minute, self.goal)

    @property
    def goal(self) -> float:
        """Where the pace settles once the quota is known."""
        return RATE_MAX if self.quota is None else max(RATE_MIN, self._share * self.quota)

    def earliest(self, now: Instant) -> Instant:
        """Return when the next call may be sent; not before `now`."""
        self._advance(now)
        return max(now, self.closed_until, -int(-self._due // 1))

    def leave(self, now: Instant) -> Leave:
        """Record that a call is sent; pass the result to `accept` or `throttle`."""
        self._advance(now)
        self._due = max(self._due, now - CATCH_UP_MS) + MINUTE / self.per_minute
        self._period_sent += 1
        if self._strikes:
            self.closed_until = now + PROBE_MS
        return Leave(now, self._pauses)

    def accept(self, leave: Leave) -> None:
        """Record that a call was not throttled, regardless of its outcome."""
        minute = min(leave.minute, self._minute)  # the clock may have been set back meanwhile
        self._accepted[minute] = self._accepted.get(minute, 0) + 1
        if self._strikes and leave.pauses == self._pauses:
            self._reopen(leave)
        if minute == self._learned_in:
            self._learn(minute)

    def throttle(self, leave: Leave, now: Instant, retry_after_ms: Duration = 0) -> None:
        """Record that a call was throttled."""
        self._advance(now)
        self.throttled, self.throttled_at = self.throttled + 1, now
        if leave.pauses < self._pauses:  # it was sent before the pause that another call caused
            self.closed_until = max(self.closed_until, now + retry_after_ms)
            return
        self._pauses += 1
        self._strikes += 1
        self._struck = leave
        self.closed_until = now + (retry_after_ms or self._pause_ms(now))
        if self._strikes >= STRIKES_MAX:
            self._strikes = STRIKES_MAX - STRIKES_AGAIN
            minute = min(leave.minute, self._minute)
            self.closed_until = max(self.closed_until, (minute + 1) * MINUTE)
            self._judge(minute)
        self._due = min(self._due, self.closed_until)  # refused calls used nothing up

    def _pause_ms(self, now: Instant) -> Duration:
        """Return a random share, at least half, of a time that doubles with each strike."""
        longest = PAUSE_MS << min(self._strikes - 1, STRIKES_MAX)
        return round(longest / 2 * (1 + jitter.share_of(f"{now} {self._pauses}")))

    def _reopen(self, probe: Leave) -> None:
        """A call that left after the last pause was accepted. Within one minute that disproves an
        empty bucket, and with it a quota that was learned from one.
        """
        self._strikes = 0
        self.closed_until = probe.at
        same_minute = self._struck.minute == probe.minute
        if same_minute and probe.at % MINUTE < MINUTE - EDGE_MS:
            self.quota, self._learned_in, self._burst = None, -1, False

    def _judge(self, minute: int) -> None:
        """Nothing was accepted after the last throttle of a minute: its bucket was empty."""
        if minute <= self._throttled_in:
            return
        self._throttled_in = minute
        if self.quota is None and self._may_be_a_burst(self._accepted.get(minute, 0)):
            self._burst = True
            self.per_minute = max(RATE_MIN, self.per_minute / 2)
        elif self.quota is None:
            self._learned_in = minute
            self._learn(minute)
        else:
            self.per_minute = max(RATE_MIN, self.per_minute / 2)
            self._clean_minutes = 0

    def _may_be_a_burst(self, accepted: int) -> bool:
        """Return whether so few calls in a closed minute prove nothing about the quota."""
        return accepted < (LEARN_MIN if self._burst else max(LEARN_MIN, self._start))

    def _learn(self, minute: int) -> None:
        """Take the accepted calls of the first throttled minute for the quota."""
        self.quota = max(1, self._accepted.get(minute, 0))
        if self._clean_minutes >= 2:
            self.per_minute = self.goal

    def _advance(self, now: Instant) -> None:
        """Close the minutes and growth periods that have ended."""
        if now // MINUTE < self._minute:
            self._set_back(now)
        elif now // MINUTE > self._minute:
            if self._strikes and self._struck.minute == self._minute:
                self._judge(self._minute)
            self._recover(self._minute)
            self._minute = now // MINUTE
            self._accepted = {m: n for m, n in self._accepted.items() if m >= self._minute - 1}
        if now - self._period_began >= DOUBLE_EVERY_MS:
            expected = self.per_minute * DOUBLE_EVERY_MS / MINUTE
            calm = self._pauses == self._period_pauses
            if self.quota is None and calm and self._period_sent * 2 >= expected:
                self.per_minute = min(RATE_MAX, self.per_minute * 2)
            self._begin_period(now)

    def _set_back(self, now: Instant) -> None:
        """Follow a corrected clock, so that no call waits for a skipped minute."""
        self._minute = minute = now // MINUTE
        self._due = min(self._due, now + MINUTE / self.per_minute)
        self.closed_until = min(self.closed_until, (minute + 1) * MINUTE)
        self._throttled_in = min(self._throttled_in, minute - 1)
        self._learned_in = min(self._learned_in, minute - 1)
        self._accepted = {m: n for m, n in self._accepted.items() if m <= minute}
        self._begin_period(now)

    def _begin_period(self, now: Instant) -> None:
        """Begin to count the calls that may double the pace."""
        self._period_began, self._period_sent, self._period_pauses = now, 0, self._pauses

    def _recover(self, minute: int) -> None:
        """Judge a minute that has ended: used and without a throttle, it earns pace back."""
        if self._throttled_in >= minute or not self._accepted.get(minute):
            return
        self._clean_minutes += 1
        self._burst = False
        if self.quota is not None:
            share = 0.5 if self._clean_minutes == 1 else 1.0
            self.per_minute = max(self.per_minute, share * self.goal)


class Ticket:
    """The right to send one call now; the holder reports its outcome."""

    def __init__(self, rate: Rate, leave: Leave) -> None:
        self._rate, self._leave = rate, leave

    def accepted(self) -> None:
        """The service let the call through: it counts against the bucket."""
        self._rate.accept(self._leave)

    def throttled(self, now: Instant, retry_after_ms: Duration) -> None:
        """The service refused the call for its pace."""
        self._rate.throttle(self._leave, now, retry_after_ms)


class Governor:
    """Admits calls at their lane's pace, in order of arrival, and never after their time.

    `skew_ms` is how far the service's clock is ahead of ours: buckets follow the service's minute.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        leave_ppm: int = limits.LEAVE_QUOTA_PPM,
        rate_start: float = RATE_START,
        in_flight_max: int = IN_FLIGHT_MAX,
    ) -> None:
        self.skew_ms = 0
        self._clock = clock
        self._leave_ppm, self._rate_start = leave_ppm, rate_start
        self._in_flight_max = in_flight_max
        self._lanes: dict[Lane, _Waiting] = {}

    async def admit(
        self, lane: Lane, not_after: Instant, stopped: Callable[[], bool] = lambda: False
    ) -> Ticket | None:
        """Wait for the lane; None if the call could only be sent after `not_after`, or once
        `stopped` returns true.

        The holder of a ticket holds one of the lane's slots until `release`.
        """
        waiting = self._lane(lane)
        async with waiting.turn:
            await waiting.slots.acquire()
            try:
                ticket = await self._ticket(waiting.rate, not_after, stopped)
            except BaseException:
                waiting.slots.release()
                raise
        if ticket is None:
            waiting.slots.release()
        return ticket

    def leave_to_others(self, leave_ppm: int) -> None:
        """Leave this share of every lane's quota, in millionths, to operators and other tools."""
        self._leave_ppm = leave_ppm
        for waiting in self._lanes.values():
            waiting.rate.leave_to_others(leave_ppm)

    def release(self, lane: Lane) -> None:
        """Free the slot: the call has ended."""
        self._lanes[lane].slots.release()

    def rate(self, lane: Lane) -> Rate:
        """Return the pace of a lane."""
        return self._lane(lane).rate

    def throttled_lanes(self) -> Iterator[tuple[Lane, Rate]]:
        """Yield the lanes that were throttled at least once, with their paces."""
        return ((lane, one.rate) for lane, one in self._lanes.items() if one.rate.throttled)

    def now(self) -> Instant:
        """Return the service's time, by the latest known skew."""
        return self._clock.now() + self.skew_ms

    async def _ticket(
        self, rate: Rate, not_after: Instant, stopped: Callable[[], bool]
    ) -> Ticket | None:
        """Sleep until the pace allows; check again, since the lane may have closed meanwhile."""
        while True:
            now = self.now()
            due = rate.earliest(now)
            if due - self.skew_ms > not_after or stopped():
                return None
            if due <= now:
                return Ticket(rate, rate.leave(now))
            await self._clock.sleep_until(min(due, now + NAP_MS) - self.skew_ms)

    def _lane(self, lane: Lane) -> _Waiting:
        """Open a lane on first use."""
        if lane not in self._lanes:
            rate = Rate(self.now(), leave_ppm=self._leave_ppm, start=self._rate_start)
            self._lanes[lane] = _Waiting(rate, self._in_flight_max)
        return self._lanes[lane]


class _Waiting:
    """One lane: its pace, the queue, and the slots for calls in flight."""

    def __init__(self, rate: Rate, in_flight_max: int) -> None:
        self.rate = rate
        self.turn = asyncio.Lock()
        self.slots = asyncio.Semaphore(in_flight_max)
