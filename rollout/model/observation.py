"""Observed state of instances before a call: the evidence on which an intent is judged.

`Observed` describes one instance. An intent holds neighbors with the same state in one
`ObservedGroup`, because the instances of a batch mostly differ only in their last start.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from rollout.model.instance import Instance, Status
from rollout.model.time import Instant


class Observed(msgspec.Struct, frozen=True, gc=False):
    """The observed state of one instance; `api_time` is the service's time of the reply."""

    status: Status
    key_pair: str
    started_at: Instant
    api_time: Instant


class ObservedGroup(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Neighbors in one call with the same state: `started_at` has one entry for each of them.

    A single number is the StartTime of a single instance.
    """

    status: Status
    key_pair: str
    started_at: Instant | tuple[Instant, ...]
    api_time: Instant


class Described(msgspec.Struct, frozen=True):
    """Observed instances: one page of a listing, or all that were requested by id.

    `api_time` is the service's time of the reply, `left_at` our time when the request left (0 if
    unknown). `next_token` is empty at the end. `total` is the service's TotalCount, 0 where it does
    not count, as with NextToken paging.
    """

    instances: tuple[Instance, ...]
    api_time: Instant
    next_token: str = ""
    request_id: str = ""
    left_at: Instant = 0
    total: int = 0


class StatusesDescribed(msgspec.Struct, frozen=True):
    """The status of each observed instance, by id."""

    statuses: dict[str, Status]
    api_time: Instant


class KeyDescribed(msgspec.Struct, frozen=True):
    """An observed key pair; `public_key` and `fingerprint` are empty where `found` is false."""

    public_key: str
    fingerprint: str
    api_time: Instant
    found: bool = True


def gather(observed: Iterable[Observed]) -> tuple[ObservedGroup, ...]:
    """Return the observed states in order, neighbors with the same state as one group."""
    runs: list[list[Observed]] = []
    for one in observed:
        if runs and _state(runs[-1][0]) == _state(one):
            runs[-1].append(one)
        else:
            runs.append([one])
    return tuple(_group(run) for run in runs)


def spread(groups: Iterable[ObservedGroup]) -> Iterator[Observed]:
    """Yield one state for each instance, in the order of the call: the inverse of `gather`."""
    for group in groups:
        starts = group.started_at if isinstance(group.started_at, tuple) else (group.started_at,)
        for started_at in starts:
            yield Observed(group.status, group.key_pair, started_at, group.api_time)


def _state(one: Observed) -> tuple[Status, str, Instant]:
    return one.status, one.key_pair, one.api_time


def _group(run: list[Observed]) -> ObservedGroup:
    first = run[0]
    starts = first.started_at if len(run) == 1 else tuple(one.started_at for one in run)
    return ObservedGroup(first.status, first.key_pair, starts, first.api_time)
