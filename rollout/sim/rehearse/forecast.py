"""Forecast from many rehearsed seeds: percentiles, peaks, outcomes. Pure.

Called by `app.rehearse` with the results of `rehearsal.simulate`. A percentile is a seed's own
value (nearest rank), never a mean of two.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from rollout.model.time import Duration
from rollout.sim.rehearse.rehearsal import Down, RehearsedSeed


class Spread(msgspec.Struct, frozen=True):
    """One quantity over all seeds."""

    p50: int
    p90: int
    most: int


class WaveEnd(msgspec.Struct, frozen=True):
    """When a wave was closed, since the run began, in `seeds` seeds."""

    name: str
    after_ms: Spread
    seeds: int


class CallForecast(msgspec.Struct, frozen=True):
    """Calls of one action over all regions; `peak` is the fullest minute of one region."""

    action: str
    calls: Spread
    throttled: Spread
    peak: int
    region: str


class RunEnding(msgspec.Struct, frozen=True):
    """One ending and its seeds: the exit code of `apply`, and why it stopped.

    `example` is the text of the first of them.
    """

    seeds: int
    exit: int
    reason: str
    example: str


class Forecast(msgspec.Struct, frozen=True):
    """The results of all seeds. `duration_ms` counts the `ended`, seeds that finished, or all
    if none did. `outcomes` are instances by class. `down` is of the seed `shown`: its duration
    is the P50; `down_most` is the peak over all seeds, group by group.
    """

    seeds: int
    ended: int
    duration_ms: Spread
    waves: tuple[WaveEnd, ...]
    calls: tuple[CallForecast, ...]
    shown: int
    down: tuple[Down, ...]
    down_most: tuple[int, ...]
    outcomes: dict[str, Spread]
    endings: tuple[RunEnding, ...]


def forecast(rehearsed: Sequence[RehearsedSeed]) -> Forecast:
    """Return the forecast of one seed or more."""
    ended = [one for one in rehearsed if not one.halted]
    counted = ended or rehearsed
    durations = spread([one.duration_ms for one in counted])
    shown = next(one for one in counted if one.duration_ms == durations.p50)
    groups = range(len(shown.down))
    return Forecast(
        seeds=len(rehearsed),
        ended=len(ended),
        duration_ms=durations,
        waves=_waves(rehearsed),
        calls=_calls(rehearsed),
        shown=shown.seed,
        down=shown.down,
        down_most=tuple(max(one.down[group].peak for one in rehearsed) for group in groups),
        outcomes={name: spread([one.counts[name] for one in rehearsed]) for name in shown.counts},
        endings=_endings(rehearsed),
    )


def spread(values: Sequence[int]) -> Spread:
    """Return P50, P90 and the maximum of one value or more."""
    ordered = sorted(values)
    return Spread(_rank(ordered, 50), _rank(ordered, 90), ordered[-1])


def _rank(ordered: Sequence[int], percent: int) -> int:
    return ordered[math.ceil(len(ordered) * percent / 100) - 1]


def _waves(rehearsed: Sequence[RehearsedSeed]) -> tuple[WaveEnd, ...]:
    ends: dict[str, list[Duration]] = {}
    for one in rehearsed:
        for name, after in one.waves:
            ends.setdefault(name, []).append(after)
    return tuple(WaveEnd(name, spread(after), len(after)) for name, after in ends.items())


def _calls(rehearsed: Sequence[RehearsedSeed]) -> tuple[CallForecast, ...]:
    """Return the calls by action in alphabetical order."""
    lanes = [lane for one in rehearsed for lane in one.lanes]
    rows = []
    for action in sorted({lane.action for lane in lanes}):
        of_seeds = [[lane for lane in one.lanes if lane.action == action] for one in rehearsed]
        calls = spread([sum(lane.calls for lane in seed) for seed in of_seeds])
        throttled = spread([sum(lane.throttled for lane in seed) for seed in of_seeds])
        fullest = max((lane for lane in lanes if lane.action == action), key=lambda one: one.peak)
        rows.append(CallForecast(action, calls, throttled, fullest.peak, fullest.region))
    return tuple(rows)


def _endings(rehearsed: Sequence[RehearsedSeed]) -> tuple[RunEnding, ...]:
    """Return the endings by frequency. Halts are grouped by kind: details differ by seed."""
    kinds: dict[tuple[int, str], list[str]] = {}
    for one in rehearsed:
        kinds.setdefault((one.exit, one.halted.partition(":")[0]), []).append(one.halted)
    endings = [RunEnding(len(said), *kind, said[0]) for kind, said in kinds.items()]
    return tuple(sorted(endings, key=lambda one: (-one.seeds, one.exit, one.reason)))
