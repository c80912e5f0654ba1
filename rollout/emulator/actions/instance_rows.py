"""Render DescribeInstances rows as JSON text from parts that were rendered before.

Called by the describe actions a hundred times per page. A simulated run describes ten million rows,
so a row is one formatted string, not a struct or a dict, and is cached.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final, Protocol, cast

import msgspec

from rollout.ecs import wire
from rollout.emulator.actions.row_template import Values, filled, row_template
from rollout.emulator.cloud.cache import Cache
from rollout.emulator.cloud.instances import Instances, View
from rollout.emulator.cloud.keypairs import KeyPairs
from rollout.emulator.cloud.lifecycle import MINUTE_MS, STATUS_NAMES, OperationLock

_DAY_MINUTES: Final = 24 * 60
_MINUTES_OF_DAY: Final = [f"T{m // 60:02d}:{m % 60:02d}Z" for m in range(_DAY_MINUTES)]

ROWS_CACHED_MAX: Final = 8_192
"""Cached rows: most calls find an instance unchanged. About 20 MiB."""

SHAPES_CACHED_MAX: Final = 4_096
"""Shapes whose template is cached. About 8 MiB; most fleets have a few dozen shapes."""

_LOCK_MESSAGE: Final = {
    OperationLock.FINANCIAL: "the instance is locked for overdue payment",
    OperationLock.SECURITY: "the instance is locked for security",
    OperationLock.RECYCLING: "the spot instance is about to be reclaimed",
    OperationLock.DEDICATEDHOSTFINANCIAL: "the dedicated block is locked for overdue payment",
    OperationLock.REFUNDED: "the instance was refunded",
}


class RowRenderer(Protocol):
    """Renders instances for the reply of DescribeInstances."""

    def render(self, ordinals: Sequence[int], now: int, lag_ms: int = 0) -> Sequence[object]:
        """Return one item per instance, with its state at `now`, or `lag_ms` before."""


class Rows:
    """Renders rows of one fleet."""

    def __init__(self, instances: Instances, pairs: KeyPairs) -> None:
        self._instances = instances
        self._pairs = pairs
        self._row = lru_cache(ROWS_CACHED_MAX)(self._render)
        self._templates = Cache(self._template, SHAPES_CACHED_MAX)

    def render(self, ordinals: Sequence[int], now: int, lag_ms: int = 0) -> list[msgspec.Raw]:
        """Return the JSON object of each instance, as DescribeInstances returns it at `now`."""
        if lag_ms:
            return [self._cached(ordinal, now, lag_ms) for ordinal in ordinals]
        cached = list(map(self._instances.rendered.get, ordinals))
        if all(cached):
            return cast("list[msgspec.Raw]", cached)
        return [row or self._cached(o, now) for o, row in zip(ordinals, cached, strict=True)]

    def _cached(self, ordinal: int, now: int, lag_ms: int = 0) -> msgspec.Raw:
        """Return the row of one instance, cached unless it is in a transition."""
        i = self._instances
        view = i.view(ordinal, now, lag_ms)
        mode = i.stopped_mode(ordinal, view[0])
        facts = view, mode, i.lock[ordinal], i.shape[ordinal], i.tags[ordinal]
        if lag_ms or ordinal in i.moves:
            return self._row(ordinal, *facts)
        if len(i.rendered) >= ROWS_CACHED_MAX:
            i.rendered.clear()
        row = i.rendered[ordinal] = self._render(ordinal, *facts)
        return row

    def _render(
        self, ordinal: int, view: View, mode: str, lock: int, shape: int, tags: int
    ) -> msgspec.Raw:
        """Return one row. All values that can change are arguments, so that a cached row is valid.

        Ids need no escape: they consist of [A-Za-z0-9] and hyphens.
        """
        i = self._instances
        status, record, start_ms = view
        own = i.own_name(ordinal)
        name = _json_text(own) if own else f'"ecs-{ordinal:07d}"'
        address = i.address_of(ordinal)
        values = Values(
            host=name,
            tags=i.tag_sets.rendered[tags],
            status=STATUS_NAMES[status],
            instance=i.ids.id_of(ordinal),
            mode=mode,
            started=_minute_text(start_ms // MINUTE_MS),
            address=address,
            name=name,
            serial=serial_number(ordinal),
            created=_minute_text(i.created_minute[ordinal]),
            primary=address,
            mac=_mac_address(ordinal),
            interface=f"{ordinal:017x}",
            private=address,
            key=f',"KeyPairName":{self._pairs.all[record].name_json}' if record else "",
            locks=_locks(lock),
        )
        return msgspec.Raw(filled(self._templates[shape], values).encode())

    def _template(self, shape: int) -> list[str]:
        return row_template(self._instances.shapes.values[shape])


def serial_number(ordinal: int) -> str:
    """Return SerialNumber of an instance: a UUID computed from the ordinal."""
    return f"00000000-0000-4000-8000-{ordinal:012x}"


def _mac_address(ordinal: int) -> str:
    """Return an address in the block of the service, `00:16:3e`."""
    return f"00:16:3e:{ordinal >> 16 & 255:02x}:{ordinal >> 8 & 255:02x}:{ordinal & 255:02x}"


def _json_text(text: str) -> str:
    """Return a text in quotes; fast if it needs no escape."""
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    return wire.encode_json({"t": text}).decode()[5:-1]


@lru_cache(maxsize=4096)
def _minute_text(minute: int) -> str:
    """Return `2026-01-02T03:04Z`, joined from a day and a minute of the day."""
    day, rest = divmod(minute, _DAY_MINUTES)
    return _day_text(day) + _MINUTES_OF_DAY[rest]


@lru_cache(maxsize=4096)
def _day_text(day: int) -> str:
    return wire.iso_minutes(day * _DAY_MINUTES * MINUTE_MS)[:10]


@lru_cache(maxsize=64)
def _locks(lock: int) -> str:
    """Return `OperationLocks` of a lock column."""
    reasons = [
        {"LockReason": str(flag.name).lower(), "LockMsg": _LOCK_MESSAGE[flag]}
        for flag in OperationLock
        if lock & flag
    ]
    return wire.encode_json({"LockReason": reasons}).decode()
