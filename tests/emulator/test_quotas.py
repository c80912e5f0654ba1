"""Quotas: minute buckets per account, region and action, shared by everyone of the account."""

from collections.abc import Mapping

from rollout.emulator.cloud.quotas import Foreign, Quota, Quotas, QuotaSettings
from rollout.emulator.cloud.users import Access, User
from rollout.emulator.dispatch import Cloud
from rollout.emulator.messages import Request
from tests.emulator import fixtures
from tests.emulator.fixtures import NOW, REGION, call

MINUTE_START = NOW - NOW % 60_000


def limited(settings: QuotaSettings) -> Cloud:
    """A cloud with two users of one account."""
    users = Access([User(), User(name="console", key_id="console")])
    return Cloud(fixtures.fleet(), quotas=Quotas(settings), access=users)


def describe(cloud: Cloud, at: int, caller: str = "emulator", region: str = REGION) -> str | None:
    """The code of one DescribeInstances."""
    return cloud.handle(Request("DescribeInstances", {"RegionId": region}, caller), at).code


def from_table(calls_per_minute: Mapping[str, int]) -> QuotaSettings:
    """Quotas by action alone, the same in every region."""
    return QuotaSettings(tuple(Quota(n, action) for action, n in calls_per_minute.items()))


def test_a_lane_is_throttled_until_the_next_minute() -> None:
    """The bucket is emptied by the minute of the clock, not by a sliding one."""
    cloud = limited(from_table({"DescribeInstances": 2}))
    at = MINUTE_START + 50_000
    assert [describe(cloud, at) for _ in range(3)] == [None, None, "Throttling"]
    assert describe(cloud, MINUTE_START + 59_999) == "Throttling"
    assert describe(cloud, MINUTE_START + 60_000) is None


def test_the_header_gives_milliseconds_to_the_next_minute() -> None:
    """Milliseconds, as the SDK sleeps them; and it can be left out."""
    for wanted in (True, False):
        cloud = limited(QuotaSettings((Quota(0),), code="Throttling.User", retry_after=wanted))
        reply = call(cloud, "DescribeInstances", RegionId=REGION, now=MINUTE_START + 15_000)
        assert (reply.status, reply.code) == (400, "Throttling.User")
        assert reply.retry_after_ms == (45_000 if wanted else None)


def test_people_share_the_bucket_and_other_lanes_do_not() -> None:
    """Console and tools of one account draw from one bucket; another region has its own."""
    cloud = limited(from_table({"DescribeInstances": 1}))
    assert describe(cloud, NOW) is None
    assert describe(cloud, NOW, "console") == "Throttling"
    assert describe(cloud, NOW, region="cn-beijing") is None
    assert call(cloud, "DescribeRegions").code is None


def test_a_call_without_region_fills_the_bucket_of_its_instance() -> None:
    """RebootInstance names no region; its lane is that of the instance."""
    cloud = limited(QuotaSettings((Quota(1, "RebootInstance", REGION),)))
    assert call(cloud, "RebootInstance", InstanceId="i-plain-1").code is None
    assert call(cloud, "RebootInstance", InstanceId="i-plain-2").code == "Throttling"
    assert call(cloud, "RebootInstance", InstanceId="i-far").code is None


def test_buckets_can_be_read() -> None:
    """Accepted and refused calls of the latest minute, per lane."""
    cloud = limited(from_table({"DescribeInstances": 1}))
    describe(cloud, NOW)
    describe(cloud, NOW)
    (usage,) = cloud.quotas.usage(NOW)
    assert (usage.region, usage.action) == (REGION, "DescribeInstances")
    assert (usage.accepted, usage.refused, usage.calls_per_minute) == (1, 1, 1)


def test_a_foreign_client_fills_the_bucket_evenly() -> None:
    """Other people call on their own: they take room, and are refused where there is none."""
    settings = QuotaSettings(
        (Quota(10, "DescribeInstances"),),
        (Foreign(6, "DescribeInstances", from_ms=MINUTE_START + 60_000),),
    )
    cloud = limited(settings)
    alone = [describe(cloud, MINUTE_START + second * 1_000) for second in range(12)]
    assert alone.count(None) == 10
    shared = [describe(cloud, MINUTE_START + 60_000 + second * 5_000) for second in range(12)]
    assert shared.count(None) == 7
    (usage,) = cloud.quotas.usage(MINUTE_START + 180_000)
    assert (usage.foreign_accepted, usage.foreign_refused) == (9, 3)
