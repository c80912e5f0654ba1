"""`python -m rollout.sim --seeds N [--start S] [--jobs J]`: one line for each seed that fails.

With `--crash-pairs` it simulates no seeds, but two crashes at all pairs of points of one calm run.
Exit 0 if no checker found anything and coverage is complete, else 1. Coverage is required from
MET_FROM seeds on.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import multiprocessing
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import nullcontext

from rollout.sim.check import coverage, crashes, trial
from rollout.sim.check.crashes import FOURTEEN
from rollout.sim.check.trial import Tally, Trial
from rollout.sim.world.world import World

MET_FROM = 1_000
WRONG_SHOWN = 3
CHUNK = 20


def main(arguments: list[str] | None = None) -> int:
    """Run the requested seeds and print their results."""
    options = _parser().parse_args(arguments)
    if options.crash_pairs:
        return _crash_pairs(options.jobs)
    seeds = range(options.start, options.start + options.seeds)
    began, tally = time.perf_counter(), Tally()
    for one in _trials(seeds, options.jobs, real=options.shell):
        tally.add(one)
        if one.wrong:
            _report(one)
    took = time.perf_counter() - began
    return _conclude(tally, took, verbose=options.verbose)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m rollout.sim",
        description="Run simulated rotations with faults, crashes and external changes.",
    )
    parser.add_argument("--seeds", type=int, default=200, help="how many (200)")
    parser.add_argument("--start", type=int, default=0, help="the first of them (0)")
    parser.add_argument("--jobs", type=int, default=1, help="processes to share the work (1)")
    parser.add_argument(
        "--shell", action="store_true", help="the real engine and client, on cables to the emulator"
    )
    parser.add_argument(
        "--crash-pairs", action="store_true", help="all pairs of crash points of one run instead"
    )
    parser.add_argument("--verbose", action="store_true", help="print what was met, and how often")
    return parser


def _trials(seeds: Iterable[int], jobs: int, *, real: bool) -> Iterator[Trial]:
    if jobs <= 1:
        yield from trial.run_many(seeds, real=real)
        return
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap(functools.partial(trial.run, real=real), seeds, CHUNK)


def _crash_pairs(jobs: int) -> int:
    """Simulate two crashes at every pair of points of a run of fourteen instances."""
    began = time.perf_counter()
    expected = crashes.ends(World(FOURTEEN).run())
    after = functools.partial(crashes.pairs_after, FOURTEEN, expected)
    firsts = range(1, crashes.points(FOURTEEN) + 1)
    with multiprocessing.get_context("spawn").Pool(jobs) if jobs > 1 else nullcontext() as pool:
        found = list(pool.imap(after, firsts) if pool else map(after, firsts))
    wrong = {pair: texts for one in found for pair, texts in one.wrong.items()}
    for (first, second), texts in itertools.islice(wrong.items(), WRONG_SHOWN):
        print(f"crash at {first}, then at {second}: {texts[0]}", flush=True)
    count, took = sum(one.count for one in found), time.perf_counter() - began
    print(
        f"{count:,} pairs of crashes in a run of {len(expected)} instances, "
        f"{len(wrong)} wrong, {took:.1f} s"
    )
    return 1 if wrong else 0


def _report(one: Trial) -> None:
    for text in itertools.islice(one.wrong, WRONG_SHOWN):
        print(f"seed {one.seed}: {text}", flush=True)
    print(f"  replay: {one.replay}", flush=True)


def _conclude(tally: Tally, took: float, *, verbose: bool) -> int:
    missing = coverage.missing(tally.met)
    if verbose:
        for incident in coverage.RARE:
            print(f"  {tally.met.get(incident, 0):>8,}  {incident}")
    rate = tally.seeds / took if took else 0.0
    met = len(coverage.RARE) - len(missing)
    print(
        f"{tally.seeds:,} seeds, {len(tally.failed)} failed, {met} of {len(coverage.RARE)} rare "
        f"things met, {took:.1f} s ({rate:.1f} seeds/s)"
    )
    if missing and tally.seeds >= MET_FROM:
        print(f"never met: {', '.join(missing)}")
        return 1
    return 1 if tally.failed else 0


if __name__ == "__main__":
    sys.exit(main())
