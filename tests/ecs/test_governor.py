"""The pace of a lane: its arithmetic on handed-in instants, and the waiting in virtual time."""

from __future__ import annotations

import asyncio
import heapq
from dataclasses import dataclass, field

import pytest

from rollout.ecs import governor
from rollout.ecs.governor import HEADROOM, Governor, Lane, Rate, Ticket
from rollout.model.time import HOUR, MINUTE, SECOND, Duration, Instant
from tests.ecs.pretend import JumpClock

NOW: Instant = 1_767_323_040_000
"""The start of a minute."""
LANE = Lane("1234567890123456", "cn-beijing", "AttachKeyPair")
LEAVE_PPM = 300_000


def drive(rate: Rate, now: Instant, until: Instant, quota: int = 1 << 40) -> dict[int, list[int]]:
    """Send whenever the pace allows; accepted and throttled calls by minute."""
    told: dict[int, list[int]] = {}
    while (now := rate.earliest(now)) < until:
        counts = told.setdefault(now // MINUTE, [0, 0])
        minute = rate.leave(now)
        if counts[0] < quota:
            counts[0] += 1
            rate.accept(minute)
        else:
            counts[1] += 1
            rate.throttle(minute, now)
    return told


def learned(quota: int, leave_ppm: int = LEAVE_PPM) -> tuple[Rate, Instant]:
    """A pace that has found a quota, at the start of the minute after."""
    rate = Rate(NOW, leave_ppm=leave_ppm)
    at = NOW
    while rate.quota is None:
        drive(rate, at, at + MINUTE, quota)
        at += MINUTE
    return rate, at


def test_it_starts_at_sixty_and_doubles_every_five_seconds() -> None:
    """The climb of the contract, while every call is accepted."""
    rate = Rate(NOW, leave_ppm=LEAVE_PPM)
    paces = []
    for second in range(0, 30, 5):
        drive(rate, NOW + second * SECOND, NOW + (second + 5) * SECOND)
        paces.append(rate.per_minute)
    assert paces == [60, 120, 240, 480, 960, 1920]
    assert rate.quota is None


def test_the_climb_ends_at_a_bound() -> None:
    """However long nothing is throttled, there is a fastest pace."""
    rate = Rate(NOW, leave_ppm=0, start=governor.RATE_MAX)
    drive(rate, NOW, NOW + 7 * SECOND)
    assert rate.per_minute == governor.RATE_MAX


def test_a_pace_that_is_not_used_does_not_climb() -> None:
    """One call in five seconds proves nothing about twelve."""
    rate = Rate(NOW, leave_ppm=LEAVE_PPM)
    for second in range(0, 60, 5):
        at = rate.earliest(NOW + second * SECOND)
        rate.accept(rate.leave(at))
    assert rate.per_minute == 60


def test_what_was_accepted_in_the_first_throttled_minute_is_the_quota() -> None:
    """It settles at the share that is ours, with a little headroom, even for late replies."""
    rate = Rate(NOW, leave_ppm=LEAVE_PPM)
    minutes = [rate.leave(NOW) for _ in range(120)]
    for minute in minutes[:90]:
        rate.accept(minute)
    rate.throttle(minutes[90], NOW)
    assert rate.quota == 90
    for minute in minutes[91:101]:
        rate.accept(minute)
    assert rate.quota == 100
    assert rate.per_minute == rate.goal == pytest.approx(70 * HEADROOM)


def test_a_stray_first_throttle_teaches_no_quota() -> None:
    """Somebody else's burst in our first minute does not cripple the lane for the whole run."""
    rate = Rate(NOW, leave_ppm=LEAVE_PPM)
    rate.accept(rate.leave(NOW))
    rate.throttle(rate.leave(NOW), NOW)
    assert rate.quota is None
    told = drive(rate, NOW + MINUTE, NOW + 3 * MINUTE)
    assert sum(accepted for accepted, _ in told.values()) > 1_000


def test_a_small_quota_is_learned_from_the_second_throttled_minute() -> None:
    """A lane whose quota is below the starting pace is found out in two minutes."""
    rate = Rate(NOW, leave_ppm=LEAVE_PPM)
    drive(rate, NOW, NOW + 3 * MINUTE, quota=20)
    assert rate.quota == 20


def test_a_throttle_closes_the_lane_until_the_next_minute() -> None:
    """Whatever is left of the minute is for people."""
    rate = Rate(NOW, leave_ppm=LEAVE_PPM)
    rate.throttle(rate.leave(NOW + 10 * SECOND), NOW + 10 * SECOND)
    assert rate.earliest(NOW + 11 * SECOND) == NOW + MINUTE


@pytest.mark.parametrize(
    "at, wait_ms, open_at",
    [
        (10 * SECOND, 0, MINUTE),
        (10 * SECOND, 1_500, MINUTE),
        (59 * SECOND, 1_500, 60_500),
        (59 * SECOND, 60_000, 119 * SECOND),
    ],
)
def test_the_services_own_wait_is_obeyed(at: int, wait_ms: int, open_at: int) -> None:
    """`x-acs-retry-after` in milliseconds, where it is later than the next minute."""
    rate = Rate(NOW, leave_ppm=LEAVE_PPM)
    rate.throttle(rate.leave(NOW + at), NOW + at, wait_ms)
    assert rate.earliest(NOW + at) == NOW + open_at


def test_a_later_throttle_halves_once_a_minute_and_comes_back_in_two() -> None:
    """Half the goal after one clean minute, all of it after the next."""
    rate, at = learned(1000)
    goal = rate.goal
    drive(rate, at, at + MINUTE, 1000)
    at += MINUTE
    minute = rate.leave(at)
    for _ in range(5):
        rate.throttle(minute, at)
    assert rate.per_minute == pytest.approx(goal / 2)
    rate.throttle(rate.leave(at + MINUTE), at + MINUTE)
    assert rate.per_minute == pytest.approx(goal / 4)
    paces = []
    for n in (2, 3, 4):
        drive(rate, at + n * MINUTE, at + (n + 1) * MINUTE, 1000)
        rate.earliest(at + (n + 1) * MINUTE)
        paces.append(rate.per_minute)
    assert paces == pytest.approx([goal / 2, goal, goal])


def test_the_pace_never_falls_below_one_a_minute() -> None:
    """A lane that only meets throttles still asks."""
    rate, at = learned(1)
    for n in range(10):
        rate.throttle(rate.leave(at + n * MINUTE), at + n * MINUTE)
    assert rate.per_minute == governor.RATE_MIN


def test_an_unused_minute_earns_nothing() -> None:
    """Silence does not prove that the bucket is free."""
    rate, at = learned(1000)
    rate.throttle(rate.leave(at), at)
    halved = rate.per_minute
    for n in range(1, 10):
        rate.earliest(at + n * MINUTE)
    assert rate.per_minute == halved


def test_lost_time_is_made_good_for_one_second_only() -> None:
    """After a pause a lane does not burst."""
    rate = Rate(NOW, leave_ppm=LEAVE_PPM, start=600)
    at = NOW + 30 * SECOND
    burst = 0
    while rate.earliest(at) == at:
        rate.leave(at)
        burst += 1
    assert burst == 11


def test_a_larger_share_for_others_holds_at_once_and_a_smaller_one_after_a_clean_minute() -> None:
    """`leave_to_others` moves a lane that has already learned its quota."""
    rate, at = learned(1000)
    rate.leave_to_others(500_000)
    assert rate.per_minute == rate.goal == pytest.approx(500 * HEADROOM)
    rate.leave_to_others(100_000)
    assert rate.per_minute == pytest.approx(500 * HEADROOM)
    drive(rate, at, at + MINUTE, 1000)
    rate.earliest(at + MINUTE)
    assert rate.per_minute == rate.goal == pytest.approx(900 * HEADROOM)


def test_a_clock_that_is_set_back_closes_no_lane() -> None:
    """A date that was wrong for one reply costs at most the rest of a minute."""
    rate = Rate(NOW, leave_ppm=LEAVE_PPM)
    wrong = NOW + 20 * HOUR
    minute = rate.leave(wrong)
    rate.throttle(minute, wrong)
    assert rate.earliest(NOW) <= NOW + MINUTE
    rate.throttle(minute, NOW + MINUTE)
    assert rate.earliest(NOW + MINUTE) <= NOW + 2 * MINUTE
    told = drive(rate, NOW + 2 * MINUTE, NOW + 12 * MINUTE, 100)
    assert all(accepted > 0 for accepted, _ in told.values())


# the waiting


class VirtualClock:
    """Time that moves on when nobody has anything left to do now."""

    def __init__(self) -> None:
        self.at = NOW
        self._sleepers: list[tuple[Instant, int, asyncio.Event]] = []
        self._count = 0

    def now(self) -> Instant:
        return self.at

    def expired(self, not_after: Instant) -> bool:
        return self.at > not_after

    async def sleep_until(self, instant: Instant) -> None:
        if instant > self.at:
            self._count += 1
            event = asyncio.Event()
            heapq.heappush(self._sleepers, (instant, self._count, event))
            await event.wait()

    async def run(self, until: Instant) -> None:
        """Wake sleepers in order, up to an instant."""
        while True:
            for _ in range(8):
                await asyncio.sleep(0)
            if not self._sleepers or self._sleepers[0][0] > until:
                return
            self.at, _, event = heapq.heappop(self._sleepers)
            event.set()


@dataclass
class Bucket:
    """A minute bucket that nobody is told about, and who got what out of it."""

    quota: int
    taken: dict[int, int] = field(default_factory=dict)
    told: dict[tuple[str, int], list[int]] = field(default_factory=dict)

    def ask(self, who: str, now: Instant) -> bool:
        """True where the call is let through."""
        minute = now // MINUTE
        let = self.taken.get(minute, 0) < self.quota
        self.taken[minute] = self.taken.get(minute, 0) + let
        self.told.setdefault((who, minute), [0, 0])[not let] += 1
        return let

    def sum(self, who: str, minutes: range) -> tuple[int, int]:
        """Calls accepted and throttled, minutes counted from the start."""
        rows = [self.told.get((who, NOW // MINUTE + m), [0, 0]) for m in minutes]
        return sum(row[0] for row in rows), sum(row[1] for row in rows)


async def worker(pace: Governor, clock: VirtualClock, bucket: Bucket, latency_ms: Duration) -> None:
    """One caller who always has something to ask."""
    while True:
        ticket = await pace.admit(LANE, NOW + HOUR)
        assert ticket is not None
        await clock.sleep_until(clock.now() + latency_ms // 2)
        let = bucket.ask("us", clock.now())
        await clock.sleep_until(clock.now() + latency_ms // 2)
        pace.release(LANE)
        if let:
            ticket.accepted()
        else:
            ticket.throttled(pace.now(), 0)


async def foreigner(clock: VirtualClock, bucket: Bucket, per_minute: float) -> None:
    """Somebody else, evenly, after two minutes of silence."""
    n = 0
    while True:
        await clock.sleep_until(NOW + 2 * MINUTE + round((n + 0.5) * MINUTE / per_minute))
        bucket.ask("others", clock.now())
        n += 1


@pytest.mark.asyncio
@pytest.mark.parametrize("latency_ms", [80, 600])
@pytest.mark.parametrize("leave_ppm", [300_000, 100_000])
@pytest.mark.parametrize("quota", [90, 600, 1500])
async def test_a_hidden_quota_is_found_used_and_shared(
    quota: int, leave_ppm: int, latency_ms: int
) -> None:
    """After two minutes: 95 % of our share used, 2 % throttled at most, others served at 99 %."""
    clock, bucket = VirtualClock(), Bucket(quota)
    pace = Governor(clock, leave_ppm=leave_ppm)
    theirs = leave_ppm * quota / 1_000_000
    tasks = [asyncio.create_task(worker(pace, clock, bucket, latency_ms)) for _ in range(40)]
    tasks.append(asyncio.create_task(foreigner(clock, bucket, theirs)))
    await clock.run(NOW + 6 * MINUTE - 1)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    minutes = range(2, 6)
    accepted, throttled = bucket.sum("us", minutes)
    served, turned_away = bucket.sum("others", minutes)
    assert accepted >= 0.95 * (quota - theirs) * len(minutes)
    assert throttled <= 0.02 * (accepted + throttled)
    assert served >= 0.99 * (served + turned_away) > 0
    assert pace.rate(LANE).quota == quota


@pytest.mark.asyncio
async def test_nothing_is_admitted_past_its_time() -> None:
    """A call that could only leave too late is refused at once, without waiting for it."""
    clock = JumpClock(NOW)
    pace = Governor(clock)
    first = await pace.admit(LANE, NOW)
    assert isinstance(first, Ticket)
    assert await pace.admit(LANE, NOW + 999) is None
    assert clock.now() == NOW
    assert isinstance(await pace.admit(LANE, NOW + 1000), Ticket)
    assert clock.now() == NOW + 1000


@pytest.mark.asyncio
async def test_a_lane_that_closes_while_somebody_waits_stays_closed() -> None:
    """The sleeper looks again when it wakes, and keeps to its own time."""
    clock = VirtualClock()
    pace = Governor(clock)
    first = await pace.admit(LANE, NOW)
    assert first is not None
    patient = asyncio.create_task(pace.admit(LANE, NOW + 2 * MINUTE))
    await clock.run(NOW)
    first.throttled(clock.now(), 0)
    hasty = asyncio.create_task(pace.admit(LANE, NOW + 59 * SECOND))
    await clock.run(NOW + 3 * MINUTE)
    assert isinstance(await patient, Ticket)
    assert await hasty is None
    assert clock.now() == NOW + MINUTE


@pytest.mark.asyncio
async def test_lanes_do_not_wait_for_each_other() -> None:
    """Another region or action has a bucket of its own."""
    clock = JumpClock(NOW)
    pace = Governor(clock)
    lanes = [LANE, LANE._replace(region="cn-hangzhou"), LANE._replace(action="RebootInstance")]
    assert all([await pace.admit(lane, NOW) for lane in lanes])
    assert clock.now() == NOW


@pytest.mark.asyncio
async def test_places_bound_what_is_on_its_way_in_the_order_of_asking() -> None:
    """With two places the third call leaves when one of the first has ended."""
    clock = JumpClock(NOW)
    pace = Governor(clock, rate_start=governor.RATE_MAX, in_flight_max=2)
    assert await pace.admit(LANE, NOW + HOUR)
    assert await pace.admit(LANE, NOW + HOUR)
    waiting = [asyncio.create_task(pace.admit(LANE, NOW + HOUR)) for _ in range(2)]
    await asyncio.sleep(0.01)
    assert [task.done() for task in waiting] == [False, False]
    pace.release(LANE)
    await asyncio.sleep(0.01)
    assert [task.done() for task in waiting] == [True, False]
    pace.release(LANE)
    assert await waiting[1]


@pytest.mark.asyncio
async def test_who_is_cancelled_while_waiting_keeps_no_place() -> None:
    """A lane of one place goes on after a waiter was cancelled."""
    clock = VirtualClock()
    pace = Governor(clock, in_flight_max=1)
    assert await pace.admit(LANE, NOW)
    pace.release(LANE)
    waiting = asyncio.create_task(pace.admit(LANE, NOW + HOUR))
    await clock.run(NOW)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    following = asyncio.create_task(pace.admit(LANE, NOW + HOUR))
    await clock.run(NOW + MINUTE)
    assert isinstance(await following, Ticket)


@pytest.mark.asyncio
async def test_the_share_for_others_reaches_lanes_old_and_new() -> None:
    """What the plan says holds for lanes that were opened before it was read."""
    pace = Governor(JumpClock(NOW))
    old = pace.rate(LANE)
    for _ in range(100):
        old.accept(old.leave(NOW))
    old.throttle(NOW // MINUTE, NOW)
    pace.leave_to_others(600_000)
    assert old.goal == pytest.approx(40 * HEADROOM)
    new = pace.rate(LANE._replace(region="cn-hangzhou"))
    for _ in range(200):
        new.accept(new.leave(NOW))
    new.throttle(NOW // MINUTE, NOW)
    assert new.goal == pytest.approx(80 * HEADROOM)


@pytest.mark.asyncio
async def test_minutes_are_those_of_the_service() -> None:
    """With a service ten seconds ahead, a closed lane opens ten seconds before our minute."""
    clock = JumpClock(NOW)
    pace = Governor(clock)
    pace.skew_ms = 10 * SECOND
    ticket = await pace.admit(LANE, NOW)
    assert ticket is not None
    ticket.throttled(pace.now(), 0)
    assert await pace.admit(LANE, NOW + MINUTE)
    assert clock.now() == NOW + 50 * SECOND


@pytest.mark.asyncio
async def test_who_waits_when_the_run_stops_is_turned_away_at_once() -> None:
    """A drain does not last as long as a closed lane."""
    clock = JumpClock(NOW)
    pace = Governor(clock)
    pace.rate(LANE).throttle(pace.rate(LANE).leave(NOW), NOW)
    looks = iter([False, False, True])
    assert await pace.admit(LANE, NOW + MINUTE, lambda: next(looks)) is None
    assert clock.at <= NOW + 2 * governor.NAP_MS
