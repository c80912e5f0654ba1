"""Replies of the emulated cloud as values, without encoding and decoding bytes.

Used for rehearsals of a million instances: JSON is half the cost of an observation. Only possible
without faults, because damage applies to bytes. A test compares values with bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from rollout.ecs import wire
from rollout.emulator.cloud.cache import Cache
from rollout.emulator.cloud.instances import View
from rollout.emulator.cloud.lifecycle import STATUS_NAMES
from rollout.emulator.cloud.shapes import TAG_SETS_CACHED_MAX, Shape
from rollout.emulator.dispatch import Cloud
from rollout.emulator.faults import Injection
from rollout.emulator.messages import Reply, Request
from rollout.model.instance import Instance, OsFamily, os_family, status_of
from rollout.model.observation import Described
from rollout.model.outcome import Answer, Done
from rollout.model.time import MINUTE, SECOND, Instant
from rollout.sim.time.heap import Time
from rollout.sim.world.network import Arrivals, Received

ROWS_KEPT_MAX = 100_000
"""Cached rows: those that are observed every two seconds. About 35 MiB."""

_STATUSES = tuple(status_of(name) for name in STATUS_NAMES)


class ValueArrivals(Arrivals):
    """Arrivals whose successful replies are values."""

    def __init__(self, cloud: Cloud, heap: Time, account: str) -> None:
        super().__init__(cloud, heap)
        cloud.rows = _Rows(cloud, account)

    def deliver(self, request: Request, n: int, *, duplicate: bool) -> Reply:
        """See Arrivals; request ids are not recorded."""
        return self.cloud.handle(request, self.heap.now)

    def read(
        self,
        injection: Injection,
        request: Request,
        reply: Reply | None,
        answered_at: Instant,
        now: Instant,
    ) -> Received:
        """See Arrivals."""
        if reply is not None and reply.code is None:
            body: Mapping[str, Any] = reply.body
            at = answered_at // SECOND * SECOND
            if request.action == "DescribeInstances":
                rows = tuple(body["Instances"]["Instance"])
                return Described(rows, at, body["NextToken"], reply.request_id)
            if request.action in _SINGLE or _all_went_well(body):
                return Answer(Done(reply.request_id, at))
        return super().read(injection, request, reply, answered_at, now)


_SINGLE = ("RebootInstance", "StartInstance")


def _all_went_well(body: Mapping[str, Any]) -> bool:
    """Return whether there are results and all of them succeeded."""
    if "FailCount" in body:
        return bool(body["FailCount"] == 0)
    results = body.get("InstanceResponses", {}).get("InstanceResponse")
    return bool(results) and all(item["Code"] == "200" for item in results)


class _Rows:
    """See RowRenderer: each row is a cached instance of the model."""

    def __init__(self, cloud: Cloud, account: str) -> None:
        self._instances = cloud.instances
        self._pairs = cloud.pairs
        self._account = account
        self._kept: dict[int, tuple[View, Instance]] = {}
        self._tag_sets = Cache(cloud.instances.tag_sets.value, TAG_SETS_CACHED_MAX)

    def render(self, ordinals: Sequence[int], now: Instant, lag_ms: int = 0) -> list[Instance]:
        """See RowRenderer."""
        rows, kept = [], self._kept
        for ordinal, view in zip(
            ordinals, self._instances.views(ordinals, now, lag_ms), strict=True
        ):
            known = kept.get(ordinal)
            if known is None or known[0] != view:
                if len(kept) >= ROWS_KEPT_MAX:
                    kept.clear()
                kept[ordinal] = known = (view, self._row(ordinal, view))
            rows.append(known[1])
        return rows

    def _row(self, ordinal: int, view: View) -> Instance:
        i = self._instances
        status, record, start_ms = view
        shape = i.shape_of(ordinal)
        region, zone, family, os_name, image, expires, optimized = _facts(shape)
        return Instance(
            i.ids.id_of(ordinal),
            self._account,
            region,
            zone,
            family,
            os_name,
            _STATUSES[status],
            self._pairs.all[record].name,
            image,
            start_ms // MINUTE * MINUTE,
            expires,
            optimized,
            tuple(i.locks_of(ordinal)) if i.lock[ordinal] else (),
            self._tag_sets[i.tags[ordinal]],
            shape.resource_group,
            shape.deployment_set,
            shape.instance_type,
        )


@lru_cache(maxsize=4096)
def _facts(shape: Shape) -> tuple[str, str, OsFamily, str, str, Instant, bool]:
    """Return the values that all instances of a shape share."""
    image = shape.image
    return (
        shape.region.name,
        shape.zone,
        os_family(image.os_type),
        image.os_name,
        image.image_id,
        wire.parse_iso(shape.expired_time) or 0,
        shape.io_optimized,
    )
