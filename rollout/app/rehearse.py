"""Simulate a plan: choose the assumptions, run all seeds, and summarize them in a forecast.

Called by `rehearse`. Makes no API calls: the input is the plan, the options and earlier runs.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import msgspec

from rollout.app import preflight
from rollout.ecs import governor
from rollout.emulator import settings_files
from rollout.emulator.cloud.quotas import Quota
from rollout.engines.clock import LoopClock
from rollout.journal import estimates
from rollout.journal.directory import DirectoryStore
from rollout.journal.estimates import Estimates, LaneQuota
from rollout.model import plan as planmodel
from rollout.model.plan import Plan
from rollout.model.time import Duration, Instant
from rollout.sim.rehearse import forecast, rehearsal
from rollout.sim.rehearse.forecast import CallForecast, Forecast, RunEnding, Spread
from rollout.sim.rehearse.rehearsal import Assumed, Down, Lived

__all__ = [
    "Assumed",
    "CallForecast",
    "Down",
    "Forecast",
    "Given",
    "LaneQuota",
    "Lived",
    "Rehearsal",
    "Rehearsed",
    "RunEnding",
    "Spread",
    "prepare",
    "rehearse",
]

SEEDS_MAX = 100
INSTANCES_BY_DEFAULT = 200_000
"""Default limit of simulated instances over all seeds: about a minute on two cores."""
QUOTA = 300
"""Default calls a minute of an action in a region, as in the plan's estimate."""
BOOT_SPREAD_PERCENT = 20
LATENCY_MS = (25, 150)
EMULATOR_LATENCY_MS = (1, 3)


class Choice(msgspec.Struct, frozen=True):
    """Where each assumption comes from, in words; `lanes` are quotas that an earlier run met."""

    boot: str
    quota: str
    lanes: tuple[LaneQuota, ...]
    seeds: str


class Given(msgspec.Struct, frozen=True):
    """Assumptions of the caller; None means that the program chooses.

    `quota` is in calls a minute for each action in each region. `faults` is a YAML file.
    """

    seeds: int | None = None
    boot_ms: Duration | None = None
    quota: int | None = None
    faults: Path | None = None


class Rehearsal(msgspec.Struct, frozen=True):
    """The assumptions of a rehearsal, and where they come from."""

    seeds: int
    assumed: Assumed
    because: Choice
    faults: str


class Rehearsed(msgspec.Struct, frozen=True):
    """A finished rehearsal: its assumptions, forecast and seeds. It ended at `at`, in UTC."""

    chosen: Rehearsal
    forecast: Forecast
    lived: list[Lived]
    at: Instant


OnProgress = Callable[[int, int, float], None]
"""Called with the finished seeds, all seeds, and the finished share of the current one."""


def rehearse(
    plan: Plan,
    given: Given = Given(),  # noqa: B008 - frozen
    runs_dir: Path | None = None,
    on_progress: OnProgress = lambda *_: None,
) -> Rehearsed:
    """Simulate a plan with each seed. The runs in `runs_dir` improve the assumptions.

    Errors: PlanError R0321 for another rules version; ConfigError R0013 for unreadable faults.
    """
    preflight.check_rules(plan)
    learned = Estimates() if runs_dir is None else estimates.learn(DirectoryStore(runs_dir), plan)
    chosen = prepare(plan, given, learned)
    lived = live_all(plan, chosen, on_progress)
    return Rehearsed(chosen, forecast.forecast(lived), lived, LoopClock().now())


def prepare(plan: Plan, given: Given, learned: Estimates = Estimates()) -> Rehearsal:  # noqa: B008 - frozen
    """Settle every assumption: as given, else as learned, else a default.

    Errors: ConfigError R0013 where the faults cannot be read.
    """
    emulated = plan.emulated
    faults = settings_files.load_faults(given.faults) if given.faults is not None else ()
    boot_ms, spread, boot_why = _boot(plan, given, learned)
    quota, quota_why = _quota(given, emulated=emulated)
    lanes = () if given.quota is not None else learned.quotas
    seeds, seeds_why = _seeds(plan, given)
    assumed = Assumed(
        boot_ms=boot_ms,
        boot_spread_percent=spread,
        quota=quota,
        lanes=tuple(Quota(one.calls_per_minute, one.action, one.region) for one in lanes),
        latency_ms=EMULATOR_LATENCY_MS if emulated else LATENCY_MS,
        rate_start=governor.EMULATOR_RATE_START if emulated else governor.RATE_START,
        faults=faults,
    )
    named = str(given.faults) if given.faults is not None else ""
    return Rehearsal(seeds, assumed, Choice(boot_why, quota_why, lanes, seeds_why), named)


def _boot(plan: Plan, given: Given, learned: Estimates) -> tuple[Duration, int, str]:
    """Duration, spread in percent, and why."""
    if given.boot_ms is not None:
        return given.boot_ms, BOOT_SPREAD_PERCENT, "--boot-time"
    if learned.boots is not None:
        known = learned.boots
        why = f"{known.count:,} boots of run {known.run}; change it with --boot-time"
        return known.median_ms, known.spread_percent, why
    why = "assumed, as in the plan's estimate; change it with --boot-time"
    return plan.estimate.boot_time_ms, BOOT_SPREAD_PERCENT, why


def _quota(given: Given, *, emulated: bool) -> tuple[int | None, str]:
    if given.quota is not None:
        return given.quota, "--quota"
    if emulated:
        return None, "no quota on an emulator; change it with --quota"
    return QUOTA, "assumed; change it with --quota"


def _seeds(plan: Plan, given: Given) -> tuple[int, str]:
    if given.seeds is not None:
        return given.seeds, "--seeds"
    targets = max(1, plan.counts.targets)
    seeds = min(SEEDS_MAX, max(1, INSTANCES_BY_DEFAULT // targets))
    return seeds, f"limited by {targets:,} targets to take a minute or two; change it with --seeds"


def live_all(plan: Plan, chosen: Rehearsal, on_progress: OnProgress) -> list[Lived]:
    """All seeds from 1 on, in the order of their numbers; side by side where that pays."""
    seeds = range(1, chosen.seeds + 1)
    cores = min(os.cpu_count() or 1, chosen.seeds)
    targets = plan.counts.targets
    if cores == 1 or targets * chosen.seeds < ALONE_BELOW or targets > TOGETHER_MAX:
        return list(_one_by_one(plan, chosen, seeds, on_progress))
    context = multiprocessing.get_context("forkserver")
    taken = (planmodel.encode(plan), chosen.assumed)
    pool = ProcessPoolExecutor(cores, context, _take_plan, taken)
    try:
        waiting = [pool.submit(_live, seed) for seed in seeds]
        for over, _ in enumerate(as_completed(waiting), 1):
            on_progress(over, chosen.seeds, 0.0)
        return [one.result() for one in waiting]
    except BaseException:  # also Ctrl-C: do not wait for running seeds
        for child in multiprocessing.active_children():
            child.terminate()
        raise
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


ALONE_BELOW = 5_000
"""Instances over all seeds that are not worth the start of another process."""
TOGETHER_MAX = 200_000
"""Targets of a plan up to which every process may have a copy of it."""


def _one_by_one(
    plan: Plan, chosen: Rehearsal, seeds: range, on_progress: OnProgress
) -> Iterator[Lived]:
    for over, seed in enumerate(seeds):

        def on_turn(left: int, targets: int, over: int = over) -> None:
            on_progress(over, chosen.seeds, 1 - left / targets)

        yield rehearsal.live(plan, chosen.assumed, seed, on_turn)
        on_progress(over + 1, chosen.seeds, 0.0)


_PLAN: list[tuple[Plan, Assumed]] = []
"""What a process of the pool lives through, set once when it begins."""


def _take_plan(raw: bytes, assumed: Assumed) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _PLAN[:] = [(planmodel.decode(raw), assumed)]


def _live(seed: int) -> Lived:
    plan, assumed = _PLAN[0]
    return rehearsal.live(plan, assumed, seed)
