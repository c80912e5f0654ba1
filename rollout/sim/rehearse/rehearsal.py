"""Rehearse a plan: simulate one seed on the emulated cloud that the plan describes.

Called by `rollout rehearse`. The same decider as in `apply` runs on the simulator's heap, without a
journal and without any call outside this process.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import msgspec

from rollout.core.running.decide_run import classes, exit_of
from rollout.core.running.decider import Decider
from rollout.core.running.state import Run
from rollout.ecs import governor
from rollout.emulator.cloud.quotas import Quota, Quotas, QuotaSettings
from rollout.emulator.cloud.switches import Switches
from rollout.emulator.dispatch import Cloud
from rollout.emulator.fault_plan import FaultPlan
from rollout.emulator.faults import INSTANCE_FAULTS, Fault
from rollout.errors import Exit
from rollout.model import event as ev
from rollout.model.event import Actor, AnyEvent, OperatorCommand, OperatorVerb
from rollout.model.plan import Plan
from rollout.model.spec import FLEET, WaveGate
from rollout.model.time import HOUR, MINUTE, SECOND, Duration, Instant
from rollout.sim.rehearse import planned
from rollout.sim.rehearse.series import Series
from rollout.sim.time.dice import Dice
from rollout.sim.time.heap import Heap
from rollout.sim.world.disk import CrashPoints
from rollout.sim.world.driver import Endless
from rollout.sim.world.guests import Guests
from rollout.sim.world.network import Arrivals, Call, Conditions, Network
from rollout.sim.world.process import Process
from rollout.sim.world.values import ValueArrivals

LIFE_DAYS_MAX = 30
"""A longer run is not simulated to its end."""

OnTurn = Callable[[int, int], None]
"""Called after every turn with the number of unfinished targets, and of all."""


class Assumed(msgspec.Struct, frozen=True, kw_only=True):
    """Assumptions of a rehearsal about the service.

    `quota` is calls a minute of each action in each region, None = unlimited; `lanes` are more
    specific quotas. `latency_ms` is one way.
    """

    boot_ms: Duration
    boot_spread_percent: int
    quota: int | None
    latency_ms: tuple[Duration, Duration]
    rate_start: float = governor.RATE_START
    lanes: tuple[Quota, ...] = ()
    faults: tuple[Fault, ...] = ()

    def quota_of(self, region: str, action: str) -> int | None:
        """Calls a minute of one lane."""
        return Quotas(self.quotas).limit(region, action)

    @property
    def quotas(self) -> QuotaSettings:
        """Return the quotas for the emulator: the first that fits applies."""
        general = (Quota(self.quota),) if self.quota else ()
        return QuotaSettings((*self.lanes, *general))


class Down(msgspec.Struct, frozen=True):
    """Permits in use of one budget of the fleet, or of all other budgets together where there is
    none: the most at once, and over time in steps of `step_ms`.
    """

    key: str
    cap: int
    peak: int
    step_ms: Duration
    points: tuple[int, ...]


class LaneCalls(msgspec.Struct, frozen=True):
    """Calls of one action in one region: all, and in the fullest minute."""

    region: str
    action: str
    calls: int
    peak: int
    throttled: int


class RehearsedSeed(msgspec.Struct, frozen=True):
    """The result of one seed. `halted` says why the run stopped before its end; `exit` is the exit
    code of `apply`. `waves` are the names and ends of those that were closed.
    """

    seed: int
    duration_ms: Duration
    exit: int
    halted: str
    counts: dict[str, int]
    waves: tuple[tuple[str, Duration], ...]
    lanes: tuple[LaneCalls, ...]
    down: tuple[Down, ...]


def simulate(
    plan: Plan, assumed: Assumed, seed: int, on_turn: OnTurn | None = None
) -> RehearsedSeed:
    """Simulate one seed. The same plan, assumptions and seed give the same figures. Manual gates
    are promoted at once, and the plan needs no approval.
    """
    plan = msgspec.structs.replace(plan, approvals=msgspec.UNSET)
    dice = Dice(seed, "rehearsal")
    heap = Heap(begin(plan, seed))
    cloud = cloud_of(plan, assumed, seed, heap.now)
    decider = Decider(plan)
    watch = _Watch(decider.run, heap.now, on_turn)
    process = Process(heap, CrashPoints(), watch, decider)
    process.on_step = watch.on_step
    process.steps_max, process.life_ms_max = 1 << 60, LIFE_DAYS_MAX * 24 * HOUR
    conditions = Conditions(assumed.rate_start, assumed.latency_ms, plan.limits.leave_quota_ppm)
    arrivals = _arrivals(plan, assumed, cloud, heap)
    process.network = Network(arrivals, heap, dice, watch.sending, conditions)
    process.guests = Guests(cloud, plan, dice)
    decider.start("r-rehearsal", plan.spec_digest, _NOBODY, heap.now)
    if any(wave.gate is WaveGate.MANUAL for wave in plan.waves):
        promotion = OperatorCommand("1", OperatorVerb.PROMOTE, _NOBODY, heap.now, "rehearsal")
        decider.operate(msgspec.structs.replace(promotion, full=True), heap.now)
    with contextlib.suppress(Endless):
        process.drive()
    return watch.rehearsed(seed, heap.now, process.network.throttled)


def begin(plan: Plan, seed: int) -> Instant:
    """Return the start of a seed: any second of a minute, as quotas and StartTime have minutes."""
    second = Dice(seed, "begin").between(0, MINUTE // SECOND - 1)
    return plan.made_at // MINUTE * MINUTE + second * SECOND


_NOBODY = Actor("nobody", "", "simulator", 0, "rollout rehearse")


def cloud_of(plan: Plan, assumed: Assumed, seed: int, now: Instant) -> Cloud:
    """Return the emulated cloud that the plan describes, with its assumptions."""
    switches = Switches(
        boot_time_ms=assumed.boot_ms,
        boot_spread_percent=assumed.boot_spread_percent,
        boot_seed=seed,
    )
    quotas = Quotas(assumed.quotas)
    fleet = planned.fleet_of(plan, now)
    faults = FaultPlan(assumed.faults, seed)
    cloud = Cloud(fleet, switches, quotas=quotas, faults=faults, seed=seed)
    planned.add_key_pairs(plan, cloud, now)
    return cloud


def _arrivals(plan: Plan, assumed: Assumed, cloud: Cloud, heap: Heap) -> Arrivals:
    """Return arrivals with replies as values, unless a fault may damage their bytes."""
    if any(fault.fault not in INSTANCE_FAULTS for fault in assumed.faults):
        return Arrivals(cloud, heap)
    return ValueArrivals(cloud, heap, planned.account_of(plan))


class _Watch:
    """Replaces the journal: stores no event, only figures."""

    def __init__(self, run: Run, begun: Instant, on_turn: OnTurn | None) -> None:
        self.run = run
        self._plan = plan = run.plan
        self._begun = begun
        self._on_turn = on_turn
        self._fleet = [number for number, one in enumerate(plan.groups) if one.key == FLEET]
        self._down = [Series() for _ in self._fleet or (0,)]
        self._used = [-1] * len(self._down)
        self._calls: dict[tuple[str, str], _Minutes] = {}
        self._waves: list[tuple[str, Duration]] = []

    def sending(self, call: Call) -> None:
        """Count a call that is sent."""
        lane = (call.request.region, call.request.action)
        minutes = self._calls.get(lane)
        if minutes is None:
            minutes = self._calls[lane] = _Minutes()
        minutes.count(call.left_at // MINUTE)

    def on_step(self, events: list[AnyEvent], at: Instant) -> None:
        """Count the events of one step."""
        for event in events:
            if isinstance(event, ev.WaveClosed):
                name = self._plan.waves[event.wave].name
                self._waves.append((name, at - self._begun))
        ledger = self.run.ledger
        down = [ledger.used[group] for group in self._fleet] or [ledger.down]
        for group, used in enumerate(down):
            if used != self._used[group]:
                self._used[group] = used
                self._down[group].note(at - self._begun, used)
        if self._on_turn is not None:
            self._on_turn(self.run.left, len(self.run.phases))

    def append(self, events: list[AnyEvent], at: Instant) -> None:
        """See Journal: no line is kept."""

    def sync_now(self) -> None:
        """See Journal: nothing to make durable."""

    def append_final(self, events: list[AnyEvent], at: Instant) -> bool:
        """See Journal: there is no disk."""
        return False

    def low_space(self) -> bool:
        """See Journal."""
        return False

    def close(self) -> None:
        """See Journal."""

    def release(self) -> None:
        """See Journal."""

    def rehearsed(
        self, seed: int, now: Instant, throttled: dict[tuple[str, str], int]
    ) -> RehearsedSeed:
        """Return the result of the seed."""
        run, after = self.run, now - self._begun
        code, halted = _ending(run)
        down = []
        caps = [self._plan.groups[group].cap for group in self._fleet] or [run.ledger.down_max]
        for cap, series in zip(caps, self._down, strict=True):
            series.until(after)
            down.append(Down(FLEET, cap, series.peak, series.step, tuple(series.points)))
        lanes = tuple(
            LaneCalls(*lane, minutes.calls, minutes.peak, throttled[lane])
            for lane, minutes in sorted(self._calls.items())
        )
        waves = tuple(self._waves)
        return RehearsedSeed(seed, after, code, halted, classes(run), waves, lanes, tuple(down))


def _ending(run: Run) -> tuple[int, str]:
    """Return the exit code, and why the run did not finish."""
    if not run.stopping:
        return Exit.IN_PROGRESS, f"not over after {LIFE_DAYS_MAX} days"
    return exit_of(run), f"{run.halted.reason}: {run.halted.detail}" if run.halted else ""


class _Minutes:
    """Calls of one lane, and of its fullest minute; minutes are counted in order."""

    __slots__ = ("_in_minute", "_minute", "calls", "peak")

    def __init__(self) -> None:
        self.calls = self.peak = self._minute = self._in_minute = 0

    def count(self, minute: int) -> None:
        """Count a call in this minute."""
        if minute != self._minute:
            self._minute, self._in_minute = minute, 0
        self.calls += 1
        self._in_minute += 1
        self.peak = max(self.peak, self._in_minute)
