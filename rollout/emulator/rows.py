"""One DescribeInstances row as JSON text, set together from parts that were rendered before.

Called by the describe actions a hundred times per page: a simulated run describes ten million rows,
so a row is one formatted string and neither a struct nor a dict, and kept for the next look.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final, Protocol

import msgspec

from rollout.ecs import wire
from rollout.emulator.instances import MINUTE_MS, STATUS_NAMES, Instances, Lock, Status, View
from rollout.emulator.keypairs import KeyPairs
from rollout.emulator.shapes import ADDRESS_CLOSE

_DAY_MINUTES: Final = 24 * 60
_MINUTES_OF_DAY: Final = [f"T{m // 60:02d}:{m % 60:02d}Z" for m in range(_DAY_MINUTES)]

ROWS_KEPT_MAX: Final = 8_192
"""Rows remembered: most looks at an instance find it as the one before did. About 14 MiB."""

_LOCK_MESSAGE: Final = {
    Lock.FINANCIAL: "the instance is locked for overdue payment",
    Lock.SECURITY: "the instance is locked for security",
    Lock.RECYCLING: "the spot instance is about to be reclaimed",
    Lock.DEDICATEDHOSTFINANCIAL: "the dedicated block is locked for overdue payment",
    Lock.REFUNDED: "the instance was refunded",
}


_Facts = tuple[int, int, int, int, int, int]
"""What can change in a row: status, recorded key pair, StartTime, lock, shape and tags."""


class Shown(Protocol):
    """What stands for an instance in the answer of a DescribeInstances."""

    def render(self, ordinals: Sequence[int], now: int, lag_ms: int = 0) -> Sequence[object]:
        """One item for each instance as it is at `now`, or was `lag_ms` before."""


class Rows:
    """Renders rows of one fleet."""

    def __init__(self, instances: Instances, pairs: KeyPairs) -> None:
        self._instances = instances
        self._pairs = pairs
        self._kept: dict[int, tuple[_Facts, msgspec.Raw]] = {}

    def render(self, ordinals: Sequence[int], now: int, lag_ms: int = 0) -> list[msgspec.Raw]:
        """The JSON object of each instance, as DescribeInstances shows it at `now`."""
        i = self._instances
        if lag_ms or not i.moves.keys().isdisjoint(ordinals):
            views = i.views(ordinals, now, lag_ms)
            return [self._row(o, view) for o, view in zip(ordinals, views, strict=True)]
        known = self._kept.get
        base, record, start_ms = i.base, i.record, i.start_ms
        lock, shape, tags = i.lock, i.shape, i.tags
        return [
            kept[1]
            if (kept := known(o))
            and kept[0] == (base[o], record[o], start_ms[o], lock[o], shape[o], tags[o])
            else self._row(o, (base[o], record[o], start_ms[o]))
            for o in ordinals
        ]

    def _row(self, ordinal: int, seen: View) -> msgspec.Raw:
        """The row as it was kept, if nothing in it has changed since."""
        i = self._instances
        facts = (*seen, i.lock[ordinal], i.shape[ordinal], i.tags[ordinal])
        kept = self._kept.get(ordinal)
        if kept is None or kept[0] != facts:
            if len(self._kept) >= ROWS_KEPT_MAX:
                self._kept.clear()
            kept = self._kept[ordinal] = facts, self._render(ordinal, facts)
        return kept[1]

    def _render(self, ordinal: int, facts: _Facts) -> msgspec.Raw:
        """One row. Whatever can change is in `facts`, so that a kept row is a true one.

        Ids need no escape: every builder of a fleet takes letters, digits and hyphens only.
        """
        i = self._instances
        status, record, start_ms, lock, shape, tags = facts
        name = _json_text(i.names[ordinal]) if ordinal in i.names else f'"ecs-{ordinal:07d}"'
        stopped = "KeepCharging" if status == Status.STOPPED else "Not-applicable"
        text = (
            f'{{"InstanceId":"{i.ids.id_of(ordinal)}","InstanceName":{name},'
            f'"HostName":{name},"Status":"{STATUS_NAMES[status]}",'
            f'"KeyPairName":{self._pairs.all[record].name_json},'
            f'"StartTime":"{_minute_text(start_ms // MINUTE_MS)}",'
            f'"CreationTime":"{_minute_text(i.created_minute[ordinal])}",'
            f'"StoppedMode":"{stopped}","SerialNumber":"{ordinal:032x}",'
            f'"OperationLocks":{_locks(lock)},'
            f"{i.tag_sets.rendered[tags]},"
            f'{i.shapes.rendered[shape]}"{i.address_of(ordinal)}"{ADDRESS_CLOSE}}}'
        )
        return msgspec.Raw(text.encode())


def _json_text(text: str) -> str:
    """A text with its quotes; the short way for what needs no escape."""
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    return wire.encode_json({"t": text}).decode()[5:-1]


@lru_cache(maxsize=4096)
def _minute_text(minute: int) -> str:
    """`2026-01-02T03:04Z`, set together from a day and a minute of the day."""
    day, rest = divmod(minute, _DAY_MINUTES)
    return _day_text(day) + _MINUTES_OF_DAY[rest]


@lru_cache(maxsize=4096)
def _day_text(day: int) -> str:
    return wire.iso_minutes(day * _DAY_MINUTES * MINUTE_MS)[:10]


@lru_cache(maxsize=64)
def _locks(lock: int) -> str:
    """`OperationLocks` of a lock column."""
    reasons = [
        {"LockReason": str(flag.name).lower(), "LockMsg": _LOCK_MESSAGE[flag]}
        for flag in Lock
        if lock & flag
    ]
    return wire.encode_json({"LockReason": reasons}).decode()
