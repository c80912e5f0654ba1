"""The pace of a lane: its arithmetic on handed-in instants, and the waiting in virtual time."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from dataclasses import dataclass, field

import pytest

from rollout.ecs import governor
from rollout.ecs.governor import HEADROOM, Governor, Rate, Ticket
from rollout.emulator import fault_plan
from rollout.model.site import Lane, Site
from rollout.model.time import HOUR, MINUTE, SECOND, Duration, Instant
from tests.ecs.scripted import JumpClock

NOW: Instant = 1_767_323_040_000
"""The start of a minute."""
LANE = Lane(Site("1234567890123456", "cn-beijing"), "AttachKeyPair")
LEAVE_PPM = 300_000


def drive(rate: Rate, now: Instant, until: Instant, quota: int = 1 << 40) -> dict[int, list[int]]:
    """Send whenever the pace allows; accepted and throttled calls by minute."""
    told: dict[int, list[int]] = {}
    while (now := rate.earliest(now)) < until:
        counts = told.setdefault(now // MINUTE, [0, 0])
        leave = rate.leave(now)
        if counts[0] < quota:
            counts[0] += 1
            rate.accept(leave)
        else:
            counts[1] += 1
            rate.throttle(leave, now)
    return told


def empty(rate: Rate, now: Instant, retry_after_ms: Duration = 0) -> Instant:
    """The bucket is empty: whatever leaves is throttled until the lane closes. The last instant."""
    minute = now // MINUTE
    while now // MINUTE == minute:
        rate.throttle(rate.leave(now), now, retry_after_ms)
        last, now = now, rate.earliest(now)
    return last


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
    leaves = [rate.leave(NOW) for _ in range(120)]
    for leave in leaves[:90]:
        rate.accept(leave)
    empty(rate, NOW)
    assert rate.quota == 90
    for leave in leaves[91:101]:
        rate.accept(leave)
    assert rate.quota == 100
    assert rate.per_minute == rate.goal == pytest.approx(70 * HEADROOM)


def test_a_stray_first_throttle_teaches_no_quota() -> None:
    """A burst of another client in our first minute does not slow the lane for the whole run."""
    rate = Rate(NOW, leave_ppm=LEAVE_PPM)
    rate.accept(rate.leave(NOW))
    empty(rate, NOW)
    assert rate.quota is None
    told = drive(rate, NOW + MINUTE, NOW + 3 * MINUTE)
    assert sum(accepted for accepted, _ in told.values()) > 1_000


def test_a_small_quota_is_learned_from_the_second_throttled_minute() -> None:
    """A lane whose quota is below the starting pace is found out in two minutes."""
    rate = Rate(NOW, leave_ppm=LEAVE_PPM)
    drive(rate, NOW, NOW + 3 * MINUTE, quota=20)
    assert rate.quota == 20


def test_one_throttle_pauses_the_lane_for_a_few_seconds() -> None:
    """Random throttling must not make a run crawl."""
    rate = Rate(NOW, leave_ppm=LEAVE_PPM)
    at = NOW + 10 * SECOND
    rate.throttle(rate.leave(at), at)
    assert at + SECOND <= rate.earliest(at) < at + 2 * SECOND
    assert rate.quota is None


@pytest.mark.parametrize("wait_ms", [300, 1_500, 20_000, 60_000])
def test_the_services_own_wait_is_obeyed(wait_ms: Duration) -> None:
    """`x-acs-retry-after` in milliseconds, whatever the minute."""
    rate = Rate(NOW, leave_ppm=LEAVE_PPM)
    at = NOW + 10 * SECOND
    rate.throttle(rate.leave(at), at, wait_ms)
    assert rate.earliest(at) == at + wait_ms


def test_throttles_in_a_row_pause_longer_and_close_the_lane_until_the_next_minute() -> None:
    """The rest of the minute is left to others; the next one is closed sooner."""
    rate = Rate(NOW, leave_ppm=LEAVE_PPM)
    calls, at = [], NOW
    while at < NOW + 3 * MINUTE:
        calls.append(at - NOW)
        rate.throttle(rate.leave(at), at)
        at = rate.earliest(at)
    pauses = [later - earlier for earlier, later in itertools.pairwise(calls)]
    assert SECOND <= pauses[0] <= 2 * SECOND <= pauses[1] <= 4 * SECOND <= pauses[2] <= 8 * SECOND
    assert [call // MINUTE for call in calls] == [0, 0, 0, 0, 1, 1, 2, 2]
    assert [call for call in calls if call % MINUTE == 0] == [0, MINUTE, 2 * MINUTE]


def test_calls_that_were_on_their_way_at_a_throttle_are_part_of_it() -> None:
    """A burst of thirty is one throttle, not thirty in a row."""
    rate = Rate(NOW, leave_ppm=LEAVE_PPM)
    for leave in [rate.leave(NOW) for _ in range(30)]:
        rate.throttle(leave, NOW)
    assert rate.earliest(NOW) < NOW + 2 * SECOND


def test_after_a_pause_one_call_probes_the_lane() -> None:
    """The others are sent after it was accepted, or after two seconds without a reply."""
    rate = Rate(NOW, leave_ppm=LEAVE_PPM, start=6_000)
    rate.throttle(rate.leave(NOW), NOW, 1_000)
    at = rate.earliest(NOW)
    probe = rate.leave(at)
    assert rate.earliest(at) == at + governor.PROBE_MS
    rate.accept(probe)
    assert rate.earliest(at) <= at + 10


def test_an_accepted_probe_disproves_a_quota() -> None:
    """No bucket is empty where a call passes in the minute of a throttle."""
    rate, at = learned(1000)
    at += 10 * SECOND
    rate.throttle(rate.leave(at), at, 1_000)
    assert rate.quota is not None
    rate.accept(rate.leave(rate.earliest(at)))
    assert rate.quota is None


def test_a_probe_at_the_turn_of_the_minute_disproves_nothing() -> None:
    """The service's minute may have started already."""
    rate, at = learned(1000)
    at += 57 * SECOND
    rate.throttle(rate.leave(at), at, 1_000)
    rate.accept(rate.leave(rate.earliest(at)))
    assert rate.quota is not None


def test_a_throttle_before_the_turn_of_the_minute_teaches_the_quota_too() -> None:
    """The minute is nearly over, and nothing was accepted after the throttled call."""
    rate = Rate(NOW, leave_ppm=LEAVE_PPM)
    for _ in range(90):
        rate.accept(rate.leave(NOW + 50 * SECOND))
    rate.throttle(rate.leave(NOW + 59 * SECOND), NOW + 59 * SECOND)
    rate.accept(rate.leave(rate.earliest(NOW + 59 * SECOND)))
    assert rate.quota == 90


def test_a_few_calls_teach_no_quota() -> None:
    """However often a minute is closed: a handful may be anybody's burst."""
    rate = Rate(NOW, leave_ppm=LEAVE_PPM)
    told = drive(rate, NOW, NOW + 30 * MINUTE, quota=governor.LEARN_MIN - 1)
    assert rate.quota is None
    assert sum(throttled for _, throttled in told.values()) <= 30 * governor.STRIKES_MAX


def random_throttling(share: float, calls: int, start: float) -> Duration:
    """How long a lane needs for so many calls where each is throttled with this probability."""
    rate = Rate(NOW, leave_ppm=LEAVE_PPM, start=start)
    at, n, accepted = NOW, 0, 0
    while accepted < calls:
        at, n = rate.earliest(at), n + 1
        leave = rate.leave(at)
        if fault_plan.draw(7, "throttle", b"", n) < share:
            rate.throttle(leave, at, 1_000)
        else:
            rate.accept(leave)
            accepted += 1
    return at - NOW


@pytest.mark.parametrize("start", [governor.RATE_START, governor.EMULATOR_RATE_START])
def test_random_throttling_does_not_make_a_lane_crawl(start: float) -> None:
    """With 30 % of all calls throttled a thousand calls go at more than half a call a second, where
    a lane that closed at each throttle made a handful a minute."""
    assert random_throttling(0.3, 1_000, start) < 2_000 * SECOND


def test_an_outage_of_throttling_is_not_amplified() -> None:
    """Ten minutes in which everything is throttled cost a lane two calls a minute, and the minute
    after it has its former pace."""
    rate, at = learned(1000)
    end = at + 10 * MINUTE
    told = drive(rate, at, end, quota=0)
    assert sum(throttled for _, throttled in told.values()) <= 10 * governor.STRIKES_AGAIN + 2
    told = drive(rate, rate.earliest(end), end + 3 * MINUTE, quota=1000)
    assert told[end // MINUTE + 2][0] >= 0.8 * rate.goal


def test_a_minute_closed_later_halves_the_pace_once_and_it_comes_back_in_two() -> None:
    """Half the goal after one clean minute, all of it after the next."""
    rate, at = learned(1000)
    goal = rate.goal
    drive(rate, at, at + MINUTE, 1000)
    at += MINUTE
    empty(rate, at)
    assert rate.per_minute == pytest.approx(goal / 2)
    empty(rate, at + MINUTE)
    assert rate.per_minute == pytest.approx(goal / 4)
    paces = []
    for n in (2, 3, 4):
        drive(rate, at + n * MINUTE, at + (n + 1) * MINUTE, 1000)
        rate.earliest(at + (n + 1) * MINUTE)
        paces.append(rate.per_minute)
    assert paces == pytest.approx([goal / 2, goal, goal])


def test_the_pace_never_falls_below_one_a_minute() -> None:
    """A lane that only meets throttles still tries."""
    rate, at = learned(20)
    for n in range(10):
        empty(rate, at + n * MINUTE)
    assert rate.per_minute == governor.RATE_MIN


def test_an_unused_minute_earns_nothing() -> None:
    """Silence does not prove that the bucket is free."""
    rate, at = learned(1000)
    empty(rate, at)
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
    """Time that advances when no task can run."""

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
    """A hidden bucket per minute, and its calls by client."""

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
    """One client that always has a call to send."""
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
    """Another client, at an even pace, after two minutes without calls."""
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
    """A waiting call checks again when it wakes, and keeps its own deadline."""
    clock = VirtualClock()
    pace = Governor(clock)
    first = await pace.admit(LANE, NOW)
    assert first is not None
    patient = asyncio.create_task(pace.admit(LANE, NOW + 2 * MINUTE))
    await clock.run(NOW)
    first.throttled(clock.now(), MINUTE)
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
    lanes = [
        LANE,
        Lane(Site("1234567890123456", "cn-hangzhou"), LANE.action),
        LANE._replace(action="RebootInstance"),
    ]
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
    """A lane with one slot continues after a waiting call was cancelled."""
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
    """The share of the plan holds for lanes that were opened before it was read."""
    pace = Governor(JumpClock(NOW))
    old = pace.rate(LANE)
    for _ in range(100):
        old.accept(old.leave(NOW))
    empty(old, NOW)
    pace.leave_to_others(600_000)
    assert old.goal == pytest.approx(40 * HEADROOM)
    new = pace.rate(Lane(Site("1234567890123456", "cn-hangzhou"), LANE.action))
    for _ in range(200):
        new.accept(new.leave(NOW))
    empty(new, NOW)
    assert new.goal == pytest.approx(80 * HEADROOM)


@pytest.mark.asyncio
async def test_minutes_are_those_of_the_service() -> None:
    """With a service ten seconds ahead, a closed lane opens ten seconds before our minute."""
    clock = JumpClock(NOW)
    pace = Governor(clock)
    pace.skew_ms = 10 * SECOND
    empty(pace.rate(LANE), pace.now())
    assert await pace.admit(LANE, NOW + MINUTE)
    assert clock.now() == NOW + 50 * SECOND


@pytest.mark.asyncio
async def test_who_waits_when_the_run_stops_is_turned_away_at_once() -> None:
    """A drain does not last as long as a closed lane."""
    clock = JumpClock(NOW)
    pace = Governor(clock)
    pace.rate(LANE).throttle(pace.rate(LANE).leave(NOW), NOW, MINUTE)
    looks = iter([False, False, True])
    assert await pace.admit(LANE, NOW + MINUTE, lambda: next(looks)) is None
    assert clock.at <= NOW + 2 * governor.NAP_MS
