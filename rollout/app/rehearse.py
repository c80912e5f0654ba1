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
from rollout.model.phrase import Wording, say, say_many
from rollout.model.plan import Plan
from rollout.model.time import Duration, Instant
from rollout.sim.rehearse import forecast, rehearsal
from rollout.sim.rehearse.forecast import Forecast, RunEnding, Spread
from rollout.sim.rehearse.rehearsal import Assumed, Down, RehearsedSeed

__all__ = [
    "Assumed",
    "Down",
    "Forecast",
    "LaneQuota",
    "Rehearsal",
    "RehearsalOptions",
    "RehearsalSettings",
    "RehearsedSeed",
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


class AssumptionSources(msgspec.Struct, frozen=True):
    """Where each assumption comes from, as text; `lanes` are quotas that an earlier run reached."""

    boot: Wording
    quota: Wording
    lanes: tuple[LaneQuota, ...]
    seeds: Wording


class RehearsalOptions(msgspec.Struct, frozen=True):
    """Assumptions of the caller; None means that the program chooses.

    `quota` is in calls a minute for each action in each region. `faults` is a YAML file.
    """

    seeds: int | None = None
    boot_ms: Duration | None = None
    quota: int | None = None
    faults: Path | None = None


class RehearsalSettings(msgspec.Struct, frozen=True):
    """The assumptions of a rehearsal, and where they come from."""

    seeds: int
    assumed: Assumed
    sources: AssumptionSources
    faults: str


class Rehearsal(msgspec.Struct, frozen=True):
    """A finished rehearsal: its settings, forecast and seeds. It ended at `at`."""

    chosen: RehearsalSettings
    forecast: Forecast
    results: list[RehearsedSeed]
    at: Instant


OnProgress = Callable[[int, int, float], None]
"""Called with the finished seeds, all seeds, and the finished share of the current one."""


def rehearse(
    plan: Plan,
    given: RehearsalOptions = RehearsalOptions(),  # noqa: B008 - frozen
    runs_dir: Path | None = None,
    on_progress: OnProgress = lambda *_: None,
) -> Rehearsal:
    """Simulate a plan with each seed. The runs in `runs_dir` improve the assumptions.

    Errors: PlanError R0321 for another rules version; ConfigError R0013 for unreadable faults.
    """
    preflight.check_rules(plan)
    learned = None if runs_dir is None else estimates.learn(DirectoryStore(runs_dir), plan)
    chosen = prepare(plan, given, learned)
    results = simulate_all(plan, chosen, on_progress)
    return Rehearsal(chosen, forecast.forecast(results), results, LoopClock().now())


def prepare(
    plan: Plan, given: RehearsalOptions, learned: Estimates | None = None
) -> RehearsalSettings:
    """Return the settings: each is an option, else learned from runs, else a default.

    Errors: ConfigError R0013 if the faults cannot be read.
    """
    emulated, learned = plan.emulated, learned or Estimates()
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
    sources = AssumptionSources(boot_why, quota_why, lanes, seeds_why)
    return RehearsalSettings(seeds, assumed, sources, str(given.faults or ""))


def _boot(plan: Plan, given: RehearsalOptions, learned: Estimates) -> tuple[Duration, int, Wording]:
    """Return the boot time, its spread in percent, and the source of both."""
    if given.boot_ms is not None:
        return given.boot_ms, BOOT_SPREAD_PERCENT, "--boot-time"
    if learned.boots is not None:
        known = learned.boots
        learned_from = say_many(
            "{number:,} boot of run {run}; change it with --boot-time",
            "{number:,} boots of run {run}; change it with --boot-time",
            known.count,
            run=known.run,
        )
        return known.median_ms, known.spread_percent, learned_from
    why = say("assumed, as in the plan's estimate; change it with --boot-time")
    return plan.estimate.boot_time_ms, BOOT_SPREAD_PERCENT, why


def _quota(given: RehearsalOptions, *, emulated: bool) -> tuple[int | None, Wording]:
    if given.quota is not None:
        return given.quota, "--quota"
    if emulated:
        return None, say("no quota on an emulator; change it with --quota")
    return QUOTA, say("assumed; change it with --quota")


def _seeds(plan: Plan, given: RehearsalOptions) -> tuple[int, Wording]:
    if given.seeds is not None:
        return given.seeds, "--seeds"
    targets = max(1, plan.counts.targets)
    seeds = min(SEEDS_MAX, max(1, INSTANCES_BY_DEFAULT // targets))
    why = say_many(
        "limited by {number:,} target to take a minute or two; change it with --seeds",
        "limited by {number:,} targets to take a minute or two; change it with --seeds",
        targets,
    )
    return seeds, why


def simulate_all(
    plan: Plan, chosen: RehearsalSettings, on_progress: OnProgress
) -> list[RehearsedSeed]:
    """Return the results of all seeds in order; in parallel processes if there is enough work."""
    seeds = range(1, chosen.seeds + 1)
    cores = min(os.cpu_count() or 1, chosen.seeds)
    targets = plan.counts.targets
    if (
        cores == 1
        or targets * chosen.seeds < PARALLEL_INSTANCES_MIN
        or targets > PARALLEL_TARGETS_MAX
    ):
        return list(_one_by_one(plan, chosen, seeds, on_progress))
    context = multiprocessing.get_context("forkserver")
    arguments = (planmodel.encode(plan), chosen.assumed)
    pool = ProcessPoolExecutor(cores, context, _set_plan, arguments)
    try:
        waiting = [pool.submit(_simulate, seed) for seed in seeds]
        for finished, _ in enumerate(as_completed(waiting), 1):
            on_progress(finished, chosen.seeds, 0.0)
        return [one.result() for one in waiting]
    except BaseException:  # also Ctrl-C: do not wait for running seeds
        for child in multiprocessing.active_children():
            child.terminate()
        raise
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


PARALLEL_INSTANCES_MIN = 5_000
"""Instances over all seeds from which worker processes save time."""
PARALLEL_TARGETS_MAX = 200_000
"""Targets up to which each process may hold a copy of the plan."""


def _one_by_one(
    plan: Plan, chosen: RehearsalSettings, seeds: range, on_progress: OnProgress
) -> Iterator[RehearsedSeed]:
    for finished, seed in enumerate(seeds):

        def on_turn(left: int, targets: int, finished: int = finished) -> None:
            on_progress(finished, chosen.seeds, 1 - left / targets)

        yield rehearsal.simulate(plan, chosen.assumed, seed, on_turn)
        on_progress(finished + 1, chosen.seeds, 0.0)


_PLAN: list[tuple[Plan, Assumed]] = []
"""The plan and the assumptions of a worker process, set when it starts."""


def _set_plan(raw: bytes, assumed: Assumed) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _PLAN[:] = [(planmodel.decode(raw), assumed)]


def _simulate(seed: int) -> RehearsedSeed:
    plan, assumed = _PLAN[0]
    return rehearsal.simulate(plan, assumed, seed)
