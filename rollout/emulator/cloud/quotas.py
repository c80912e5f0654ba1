"""Request quotas: one bucket per account, region and action for each minute.

Called by the cloud before an action runs. A lane that is throttled in minute T is free in T+1, as
the service documents its flow control. There is no quota by default.
"""

from typing import Final

import msgspec

from rollout.ecs import contract
from rollout.ecs.contract import THROTTLE_BUCKET_MS, ErrorClass

ANY: Final = "*"


class Quota(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Calls a minute of one action (`*` = of each) in one region (`*` = in each)."""

    calls_per_minute: int
    action: str = ANY
    region: str = ANY

    def fits(self, region: str, action: str) -> bool:
        """Return whether the quota applies to this lane."""
        return self.action in {ANY, action} and self.region in {ANY, region}


class Foreign(Quota, frozen=True, forbid_unknown_fields=True):
    """A foreign client that calls at an even rate from an instant on (UTC ms)."""

    from_ms: int = 0


class QuotaSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Quotas and foreign clients. The first of each kind that fits a lane applies.

    `code` is the code of the refusal. `retry_after` adds the header `x-acs-retry-after`:
    milliseconds until the next minute.
    """

    quotas: tuple[Quota, ...] = ()
    foreign: tuple[Foreign, ...] = ()
    code: str = "Throttling"
    retry_after: bool = True

    def problem(self) -> str:
        """Return why these settings are invalid; empty if they are valid."""
        if contract.error_class(self.code) is not ErrorClass.THROTTLED:
            return f"{self.code} is no code of throttling"
        for quota in (*self.quotas, *self.foreign):
            if quota.calls_per_minute < 0:
                return "calls_per_minute is not negative"
            if quota.action not in {ANY, *contract.ACTIONS}:
                return f"no action {quota.action}"
        return ""


class Usage(msgspec.Struct, frozen=True):
    """Calls in the latest minute of one bucket, and results of foreign calls in all minutes."""

    account: str
    region: str
    action: str
    minute: int
    accepted: int
    refused: int
    calls_per_minute: int
    foreign_accepted: int = 0
    foreign_refused: int = 0


class _Bucket:
    """The latest minute of one lane. `taken` counts foreign calls too."""

    __slots__ = (
        "accepted",
        "foreign_accepted",
        "foreign_counted",
        "foreign_refused",
        "minute",
        "refused",
        "taken",
    )

    def __init__(self, minute: int) -> None:
        self.foreign_accepted = 0
        self.foreign_refused = 0
        self.begin(minute)

    def begin(self, minute: int) -> None:
        """Empty the bucket for a new minute."""
        self.minute = minute
        self.taken = 0
        self.accepted = 0
        self.refused = 0
        self.foreign_counted = 0

    def foreign_until(self, due: int, limit: int) -> None:
        """Count the foreign calls of this minute that are due by now."""
        fresh = max(due - self.foreign_counted, 0)
        accepted = min(fresh, max(limit - self.taken, 0))
        self.foreign_counted += fresh
        self.taken += accepted
        self.foreign_accepted += accepted
        self.foreign_refused += fresh - accepted


class Quotas:
    """The buckets of one emulated cloud; memory is one bucket per lane ever used."""

    def __init__(self, settings: QuotaSettings = QuotaSettings()) -> None:  # noqa: B008 - frozen
        self.settings = settings
        self._buckets: dict[tuple[str, str, str], _Bucket] = {}

    def admit(self, account: str, region: str, action: str, now: int) -> int | None:
        """Count one call. Return None if it is admitted, else milliseconds to the next minute."""
        if not self.settings.quotas:
            return None
        limit = self.limit(region, action)
        if limit is None:
            return None
        bucket = self._advance((account, region, action), limit, now)
        if bucket.taken < limit:
            bucket.taken += 1
            bucket.accepted += 1
            return None
        bucket.refused += 1
        return THROTTLE_BUCKET_MS - now % THROTTLE_BUCKET_MS

    def limit(self, region: str, action: str) -> int | None:
        """Return the calls per minute of a lane; None = no limit."""
        for quota in self.settings.quotas:
            if quota.fits(region, action):
                return quota.calls_per_minute
        return None

    def usage(self, now: int) -> list[Usage]:
        """Return all buckets in the order of first use, with foreign calls up to `now` counted."""
        for lane in self._buckets:
            limit = self.limit(lane[1], lane[2])
            if limit is not None:
                self._advance(lane, limit, now)
        return [
            Usage(
                *lane,
                bucket.minute,
                bucket.accepted,
                bucket.refused,
                self.limit(lane[1], lane[2]) or 0,
                bucket.foreign_accepted,
                bucket.foreign_refused,
            )
            for lane, bucket in self._buckets.items()
        ]

    def _advance(self, lane: tuple[str, str, str], limit: int, now: int) -> _Bucket:
        """Return the bucket of this minute, with foreign calls up to now counted."""
        minute = now // THROTTLE_BUCKET_MS
        bucket = self._buckets.get(lane)
        if bucket is None:
            bucket = self._buckets[lane] = _Bucket(minute)
        foreign = next((f for f in self.settings.foreign if f.fits(lane[1], lane[2])), None)
        while foreign is not None and bucket.minute < minute:
            end = (bucket.minute + 1) * THROTTLE_BUCKET_MS
            bucket.foreign_until(_due(foreign, bucket.minute, end), limit)
            bucket.begin(bucket.minute + 1)
        if bucket.minute != minute:
            bucket.begin(minute)
        if foreign is not None:
            bucket.foreign_until(_due(foreign, minute, now), limit)
        return bucket


def _due(foreign: Foreign, minute: int, now: int) -> int:
    """Return how many calls of a foreign client fall into a minute up to `now`."""
    begin = max(minute * THROTTLE_BUCKET_MS, foreign.from_ms)
    return max(now - begin, 0) * foreign.calls_per_minute // THROTTLE_BUCKET_MS
