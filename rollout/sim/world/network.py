"""The network between one process and the emulated cloud: pace, delays, faults, lost replies.

Replaces the real client and its transport: lanes have the pace of the real governor's arithmetic,
the emulator's faults decide how each call ends, and a copy in flight arrives even if its process
has died. Judges nothing: callers get the replies.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable, Mapping

import msgspec

from rollout.ecs import contract, verdict, wire
from rollout.ecs.governor import IN_FLIGHT_MAX, Leave, Rate
from rollout.emulator.dispatch import Cloud
from rollout.emulator.faults import Damage, Ending, Injection
from rollout.emulator.http import damage
from rollout.emulator.http.render import Format
from rollout.emulator.messages import Reply, Request
from rollout.model import limits
from rollout.model.observation import Described
from rollout.model.outcome import Answer, Refused, RetryClass, Unknown, Unsent
from rollout.model.time import MINUTE, Duration, Instant
from rollout.sim.time.dice import Dice
from rollout.sim.time.heap import Heap, Time
from rollout.sim.time.suspension import ProcessClock
from rollout.sim.world.calls import ApiRequest

WAIT_MS_MAX: Duration = 2 * MINUTE
"""Maximum wait of an observation for its lane, as in the real client."""
RATE_START = 600.0
"""Calls a minute at first: ten times the real start, so that seeds are short."""
REPEAT_MS: Duration = 400
LATENCY_MS = (5, 150)

NO_INSTANCE = "i-none"
"""An id that no cloud has."""

Received = verdict.JudgedReply | Answer | Described | Refused | Unknown
"""What a caller gets: a reply to read, a value that was read already, or why there is neither."""


class Conditions(msgspec.Struct, frozen=True):
    """Initial calls a minute of a lane, milliseconds one way, millionths left to other clients."""

    rate_start: float = RATE_START
    latency_ms: tuple[Duration, Duration] = LATENCY_MS
    leave_ppm: int = limits.LEAVE_QUOTA_PPM


class Call:
    """One call in flight. `n` is the number of its intent, 0 for an observation; `left_at` is when
    its last attempt was sent.
    """

    __slots__ = ("attempts", "left_at", "n", "not_after", "on_reply", "request", "signed_again")

    def __init__(
        self,
        request: ApiRequest,
        n: int,
        not_after: Instant,
        on_reply: Callable[[Call, Received], None],
    ) -> None:
        self.request = request
        self.n = n
        self.not_after = not_after
        self.on_reply = on_reply
        self.attempts = 0
        self.left_at: Instant = 0
        self.signed_again = False


class Arrivals:
    """Requests that reached the cloud: the intent of each request id, and duplicate copies."""

    def __init__(self, cloud: Cloud, heap: Time) -> None:
        self.cloud = cloud
        self.heap = heap
        self.calls: dict[str, int] = {}
        self.duplicates: dict[str, int] = {}
        self.unlisted: dict[str, Instant] = {}
        """Instances that DescribeInstances does not list, and until when."""
        self.late = 0

    def deliver(self, request: Request, n: int, *, duplicate: bool) -> Reply:
        """Let the cloud handle one copy now. A duplicate is a copy of an earlier arrival."""
        if self.unlisted and request.action == "DescribeInstances":
            request = _without(request, self.unlisted, self.heap.now)
        reply = self.cloud.handle(request, self.heap.now)
        (self.duplicates if duplicate else self.calls)[reply.request_id] = n
        return reply

    def read(
        self,
        injection: Injection,
        request: Request,
        reply: Reply | None,
        answered_at: Instant,
        now: Instant,
    ) -> Received:
        """Return what the caller gets. `reply` is None if the call never arrived. The service
        dates its answer, which a suspended machine reads later.
        """
        if injection.ending is Ending.CUT:
            return Unknown("cut_off")
        if injection.damage is Damage.HUGE:
            return Unknown("too_large")
        answer = damage.answer(self.cloud, injection, request, reply)
        rendered = damage.to_bytes(injection, answer, request.action, Format.JSON)
        headers = {name.lower(): value for name, value in rendered.headers.items()}
        headers["date"] = wire.http_date(answered_at)
        return verdict.received(wire.HttpReply(rendered.status, headers, rendered.body), now)


def _without(request: Request, unlisted: Mapping[str, Instant], now: Instant) -> Request:
    """Return the request as if the service did not know these instances now."""
    named = wire.json_array(request.params.get("InstanceIds", "")) or ()
    known = [name if unlisted.get(name, 0) <= now else NO_INSTANCE for name in named]
    if NO_INSTANCE not in known:
        return request
    params = {**request.params, "InstanceIds": msgspec.json.encode(known).decode()}
    return msgspec.structs.replace(request, params=params)


class _Lane:
    """Calls of one action in one region: waiting calls, pace, number in flight."""

    def __init__(self, now: Instant, conditions: Conditions) -> None:
        leave_ppm, start = conditions.leave_ppm, conditions.rate_start
        self.rate = Rate(now, leave_ppm=leave_ppm, start=start)
        self.waiting: deque[Call] = deque()
        self.in_flight = 0
        self.throttled = 0
        self.pump_at: Instant | None = None


class Network:
    """The connection of one process. `sending` is called right before each call is sent."""

    def __init__(
        self,
        arrivals: Arrivals,
        heap: Heap,
        dice: Dice,
        sending: Callable[[Call], None],
        conditions: Conditions = Conditions(),  # noqa: B008 - frozen
    ) -> None:
        self.heap = heap
        self.clock = ProcessClock(heap)
        self.stopped = False
        self.lost: Callable[[], str] = lambda: ""
        """Returns why the process no longer owns its run; then no mutation is sent."""
        self.alive = True
        self._arrivals = arrivals
        self._cloud = arrivals.cloud
        self._dice = dice
        self._sending = sending
        self._conditions = conditions
        self._lanes: dict[tuple[str, str], _Lane] = {}

    def submit(self, call: Call) -> None:
        """Send the call as soon as its lane allows; refuse it unsent if that is too late."""
        key = (call.request.region, call.request.action)
        if key not in self._lanes:
            self._lanes[key] = _Lane(self.clock.now, self._conditions)
        self._lanes[key].waiting.append(call)
        self._pump(self._lanes[key])

    @property
    def throttled(self) -> dict[tuple[str, str], int]:
        """Number of throttled calls by region and action."""
        return {key: lane.throttled for key, lane in self._lanes.items()}

    # the lane

    def _pump(self, lane: _Lane) -> None:
        if self.clock.suspended:
            self.heap.at(self.clock.wakes_at, functools.partial(self._pump_alive, lane))
            return
        now = self.clock.now
        while lane.waiting and lane.in_flight < IN_FLIGHT_MAX:
            call = lane.waiting[0]
            due = lane.rate.earliest(now)
            if due > call.not_after:
                lane.waiting.popleft()
                self._reply_soon(call, Unsent.EXPIRED.refusal())
            elif due > now:
                self._pump_later(lane, due)
                return
            else:
                lane.waiting.popleft()
                lane.in_flight += 1
                self._send(call, lane, lane.rate.leave(now))

    def _pump_later(self, lane: _Lane, due: Instant) -> None:
        if lane.pump_at is not None and self.clock.now < lane.pump_at <= due:
            return
        lane.pump_at = due
        self.heap.at(self.clock.world(due), functools.partial(self._pump_alive, lane))

    def _pump_alive(self, lane: _Lane) -> None:
        lane.pump_at = None  # a paused clock may be behind that time
        if self.alive:
            self._pump(lane)

    # one call

    def _send(self, call: Call, lane: _Lane, leave: Leave) -> None:
        received = self._unsent(call)
        if received is not None:
            self._ended(call, lane, leave, received)
            return
        call.attempts += 1
        call.left_at = self.clock.now
        self._sending(call)
        action = contract.ACTIONS[call.request.action]
        request = Request(action.name, call.request.params, version=action.version)
        injection = self._cloud.faults.injection(request)
        if injection.lag_ms:
            request = msgspec.structs.replace(request, lag_ms=injection.lag_ms)
        self._travel(call, request, injection, functools.partial(self._ended, call, lane, leave))

    def _unsent(self, call: Call) -> Refused | None:
        if self.clock.expired(call.not_after):
            return Unsent.EXPIRED.refusal()
        if call.n and (self.stopped or self.lost()):
            return Unsent.HALTED.refusal()
        return None

    def _travel(
        self, call: Call, request: Request, injection: Injection, ended: Callable[[Received], None]
    ) -> None:
        """Schedule all arrivals of a call and its ending."""
        heap, begun = self.heap, self.heap.now
        latency_ms = self._conditions.latency_ms
        there, back = self._dice.between(*latency_ms), self._dice.between(*latency_ms)
        patience = begun + contract.ACTIONS[request.action].timeout_read_ms
        answered = injection.ending in (Ending.ANSWER, Ending.CUT)
        ends = begun + there + injection.answer_after_ms + back
        if injection.ending is Ending.HANG or ends > patience:
            answered, ends = False, patience
            lost = Unknown("timeout")
        else:
            lost = Unknown("reset")
        replies: list[Reply] = []
        for index, delay_ms in enumerate(injection.arrivals_ms):
            arrives = begun + there + delay_ms

            def arrive(*, duplicate: bool = index > 0, late: bool = arrives > ends) -> None:
                self._arrivals.late += late
                replies.append(self._arrivals.deliver(request, call.n, duplicate=duplicate))

            heap.at(arrives, arrive)

        def end() -> None:
            if self.clock.suspended:
                heap.at(self.clock.wakes_at, end)
            elif self.alive:
                reply = replies[0] if replies and injection.arrivals_ms else None
                ended(
                    self._arrivals.read(injection, request, reply, ends, self.clock.now)
                    if answered
                    else lost
                )

        heap.at(ends, end)

    def _ended(self, call: Call, lane: _Lane, leave: Leave, received: Received) -> None:
        """Report to lane and caller, or retry where the real client does."""
        lane.in_flight -= 1
        self._pace(lane, leave, received)
        if call.n == 0 and isinstance(received, Unknown) and call.attempts < limits.ATTEMPTS_MAX:
            self.heap.at(self.heap.now + REPEAT_MS, lambda: self._again(call))
        elif _clock_refused(received) and not call.signed_again:
            call.signed_again = True
            lane.waiting.appendleft(call)
        else:
            call.on_reply(call, received)
        self._pump(lane)

    def _again(self, call: Call) -> None:
        if self.alive:
            self.submit(call)

    def _pace(self, lane: _Lane, leave: Leave, received: Received) -> None:
        if isinstance(received, Refused | Unknown):
            return
        outcome = received.failure if isinstance(received, verdict.JudgedReply) else None
        if isinstance(outcome, Refused) and outcome.retry is RetryClass.THROTTLED:
            lane.throttled += 1
            lane.rate.throttle(leave, self.clock.now, outcome.retry_after_ms)
        else:
            lane.rate.accept(leave)

    def _reply_soon(self, call: Call, received: Received) -> None:
        def reply() -> None:
            if self.alive:
                call.on_reply(call, received)

        self.heap.at(self.heap.now, reply)


def _clock_refused(received: Received) -> bool:
    """Whether the gateway refused the call for its time, before it was processed."""
    failure = received.failure if isinstance(received, verdict.JudgedReply) else None
    return isinstance(failure, Refused) and failure.retry is RetryClass.CLOCK
