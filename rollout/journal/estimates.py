"""Estimates from earlier runs: the time of a boot, and the calls that a lane accepts.

Called by `rehearse`. Reads only journals, newest run first, and ignores damaged runs.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator

import msgspec

from rollout.core.running.state import Run, lane_of_call
from rollout.errors import RolloutError
from rollout.journal.store import RunStore
from rollout.model import limits
from rollout.model.command import RestartCall
from rollout.model.event import AnyEvent, Issued, Moved, Settled, Trigger
from rollout.model.outcome import Done, Outcome, Refused, RetryClass, api_time_of
from rollout.model.plan import Plan
from rollout.model.site import Site
from rollout.model.time import MINUTE, Duration, Instant

RUNS_MAX = 10
"""Number of newest runs that are read."""
BOOTS_MIN = 5
"""Fewer boots give no estimate."""
SPREAD_PERCENT_MAX = 90


class Boots(msgspec.Struct, frozen=True):
    """Boots of one run: their median, and the distance of nine in ten from it, in percent."""

    run: str
    count: int
    median_ms: Duration
    spread_percent: int


class LaneQuota(msgspec.Struct, frozen=True):
    """Calls a minute of one action in one region that were accepted while it was throttled."""

    run: str
    region: str
    action: str
    calls_per_minute: int


class Estimates(msgspec.Struct, frozen=True):
    """The newest estimate of each kind."""

    boots: Boots | None = None
    quotas: tuple[LaneQuota, ...] = ()


def learn(store: RunStore, plan: Plan) -> Estimates:
    """Return estimates from runs at the same sites, emulated runs for an emulated plan only."""
    boots: Boots | None = None
    quotas: dict[tuple[str, str], LaneQuota] = {}
    for run in reversed(store.runs()[-RUNS_MAX:]):
        if run.started is None:
            continue
        with contextlib.suppress(RolloutError):
            measured = _Measured(run.plan(run.started.plan_digest))
            if not _comparable(measured.run.plan, plan):
                continue
            for line in run.read():
                for event in line.body:
                    measured.take(event)
            boots = boots or measured.boots(run.id)
            for quota in measured.quotas(run.id):
                quotas.setdefault((quota.region, quota.action), quota)
    regions = {region for _, region in _sites(plan)}
    known = (quota for quota in quotas.values() if quota.region in regions)
    return Estimates(boots, tuple(sorted(known, key=lambda one: (one.region, one.action))))


def _comparable(earlier: Plan, plan: Plan) -> bool:
    """Whether what one of them met is to be expected of the other."""
    return earlier.emulated == plan.emulated and not _sites(earlier).isdisjoint(_sites(plan))


def _sites(plan: Plan) -> frozenset[Site]:
    return frozenset(cell.site for _, cell in plan.cells())


class _Measured:
    """Boots and throttled calls of one journal, event by event."""

    def __init__(self, plan: Plan) -> None:
        self.run = Run.of(plan)
        self._open: dict[int, Issued] = {}
        self._restarted: dict[int, Instant] = {}
        self._boots: list[Duration] = []
        self._accepted: Counter[tuple[str, str, int]] = Counter()
        self._throttled: dict[tuple[str, str, int], None] = {}

    def take(self, event: AnyEvent) -> None:
        """Take the next event."""
        match event:
            case Issued():
                self._open[event.n] = event
            case Settled():
                issued = self._open.pop(event.n, None)
                if issued is not None:
                    self._settled(issued, event)
            case Moved(trigger=Trigger.OBSERVED_RUNNING, ordinals=ordinals, api_time=at) if at:
                for ordinal in ordinals:
                    begun = self._restarted.pop(ordinal, None)
                    if begun is not None:
                        self._boots.append(max(0, at - begun - limits.OBSERVE_TICK_MS // 2))
            case _:
                pass

    def boots(self, run: str) -> Boots | None:
        """Return the boots after restarts that were accepted at first, by the service's clock.

        A boot is observed up to one tick after its end: half a tick is subtracted.
        """
        ordered = sorted(self._boots)
        if len(ordered) < BOOTS_MIN:
            return None
        low, median, high = (ordered[len(ordered) * share // 20] for share in (1, 10, 19))
        spread = max(high - median, median - low) * 100 // max(1, median)
        return Boots(run, len(ordered), median, min(spread, SPREAD_PERCENT_MAX))

    def quotas(self, run: str) -> Iterator[LaneQuota]:
        """Yield the maximum number of accepted calls in a minute with throttled calls."""
        best: dict[tuple[str, str], int] = {}
        for region, action, minute in self._throttled:
            accepted = self._accepted[region, action, minute]
            best[region, action] = max(best.get((region, action), 0), accepted)
        for (region, action), accepted in best.items():
            if accepted:
                yield LaneQuota(run, region, action, accepted)

    def _settled(self, issued: Issued, settled: Settled) -> None:
        lane = lane_of_call(self.run, issued)
        minute = (lane.site.region, lane.action, settled.at // MINUTE)
        outcome = settled.outcome
        if isinstance(outcome, Refused) and outcome.retry is RetryClass.THROTTLED:
            self._throttled[minute] = None
        elif not isinstance(outcome, Refused) or outcome.retry is not RetryClass.UNSENT:
            self._accepted[minute] += 1
        if isinstance(issued.command, RestartCall):
            others = dict(settled.items)
            for ordinal in issued.command.ordinals:
                ended = others.get(ordinal, outcome)
                self._answered(ordinal, ended, settled.at, first=issued.attempt == 1)

    def _answered(self, ordinal: int, outcome: Outcome, at: Instant, *, first: bool) -> None:
        self._restarted.pop(ordinal, None)
        if first and isinstance(outcome, Done):
            self._restarted[ordinal] = api_time_of(outcome, at)
