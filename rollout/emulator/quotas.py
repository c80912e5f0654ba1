"""Request quotas: one bucket per account, region and action for each minute.

Asked by the cloud before an action runs. A lane that is throttled in minute T is free again in T+1,
as the service describes its own flow control. No quota is set unless somebody sets one.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from rollout.ecs.contract import THROTTLE_BUCKET_MS

ANY: Final = "*"


class Quota(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Calls a minute of one action (`*` = of each) in one region (`*` = in each)."""

    calls_per_minute: int
    action: str = ANY
    region: str = ANY


class QuotaSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All quotas; the first that fits a lane counts.

    `code` is the code of the refusal. `retry_after` adds the header `x-acs-retry-after`:
    milliseconds until the next minute.
    """

    quotas: tuple[Quota, ...] = ()
    code: str = "Throttling"
    retry_after: bool = True


class Usage(msgspec.Struct, frozen=True):
    """How full one bucket is in its latest minute."""

    account: str
    region: str
    action: str
    minute: int
    accepted: int
    refused: int
    calls_per_minute: int


class _Bucket:
    __slots__ = ("accepted", "minute", "refused")

    def __init__(self, minute: int) -> None:
        self.minute = minute
        self.accepted = 0
        self.refused = 0


class Quotas:
    """The buckets of one pretend cloud; memory is one bucket per lane ever used."""

    def __init__(self, settings: QuotaSettings = QuotaSettings()) -> None:  # noqa: B008 - frozen
        self.settings = settings
        self._buckets: dict[tuple[str, str, str], _Bucket] = {}

    def admit(self, account: str, region: str, action: str, now: int) -> int | None:
        """Take one call from the bucket; None = admitted, else milliseconds to the next minute."""
        if not self.settings.quotas:
            return None
        limit = self.limit(region, action)
        if limit is None:
            return None
        minute, passed = divmod(now, THROTTLE_BUCKET_MS)
        bucket = self._buckets.setdefault((account, region, action), _Bucket(minute))
        if bucket.minute != minute:
            bucket.minute, bucket.accepted, bucket.refused = minute, 0, 0
        if bucket.accepted < limit:
            bucket.accepted += 1
            return None
        bucket.refused += 1
        return THROTTLE_BUCKET_MS - passed

    def limit(self, region: str, action: str) -> int | None:
        """Calls a minute of a lane; None = no limit."""
        for quota in self.settings.quotas:
            if quota.action in {ANY, action} and quota.region in {ANY, region}:
                return quota.calls_per_minute
        return None

    def usage(self) -> list[Usage]:
        """Every bucket, in the order of first use."""
        return [
            Usage(
                *lane,
                bucket.minute,
                bucket.accepted,
                bucket.refused,
                self.limit(lane[1], lane[2]) or 0,
            )
            for lane, bucket in self._buckets.items()
        ]


def from_table(calls_per_minute: Mapping[str, int]) -> QuotaSettings:
    """Quotas by action alone, the same in every region."""
    return QuotaSettings(tuple(Quota(n, action) for action, n in calls_per_minute.items()))
