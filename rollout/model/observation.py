"""Observed state of instances before a call: the evidence on which an intent is judged.

`Observed` describes one instance. An intent holds neighbors with the same state in one
`ObservedGroup`, because the instances of a batch mostly differ only in their last start.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from rollout.model.instance import Status
from rollout.model.time import Instant


class Observed(msgspec.Struct, frozen=True, gc=False):
    """What a look showed of one instance; `api_time` is when the service said so."""

    status: Status
    key_pair: str
    started_at: Instant
    api_time: Instant


class ObservedGroup(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Neighbours in one call that looked alike: `started_at` has one entry for each of them.

    A single number is the StartTime of a single instance.
    """

    status: Status
    key_pair: str
    started_at: Instant | tuple[Instant, ...]
    api_time: Instant


def gather(sights: Iterable[Observed]) -> tuple[ObservedGroup, ...]:
    """The sights in their order, neighbours that looked alike together."""
    runs: list[list[Observed]] = []
    for sight in sights:
        if runs and _look(runs[-1][0]) == _look(sight):
            runs[-1].append(sight)
        else:
            runs.append([sight])
    return tuple(_seen(run) for run in runs)


def spread(seen: Iterable[ObservedGroup]) -> Iterator[Observed]:
    """One sight for each instance, in the order of the call: undoes `gather`."""
    for group in seen:
        starts = group.started_at if isinstance(group.started_at, tuple) else (group.started_at,)
        for started_at in starts:
            yield Observed(group.status, group.key_pair, started_at, group.api_time)


def _look(sight: Observed) -> tuple[Status, str, Instant]:
    return sight.status, sight.key_pair, sight.api_time


def _seen(run: list[Observed]) -> ObservedGroup:
    first = run[0]
    starts = first.started_at if len(run) == 1 else tuple(sight.started_at for sight in run)
    return ObservedGroup(first.status, first.key_pair, starts, first.api_time)
