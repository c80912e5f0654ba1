"""The corpus of replies to observations: each row goes through the real client over a real socket.

The rows follow docs/safety.md, "What a reply proves".
"""

from __future__ import annotations

import json

import pytest

from rollout.ecs import replies
from rollout.model.instance import OsFamily, Status
from rollout.model.observation import Described, KeyDescribed
from rollout.model.outcome import Unknown
from tests.ecs.replies import HTML, JSON, REGION, error, short, xml
from tests.ecs.scripted import NOW, REQUEST_ID, Scripted, reply, talking_to

IDS = ("i-1", "i-2", "i-3")


def instance(id_: str = "i-1", **fields: object) -> dict[str, object]:
    """A row of DescribeInstances as the service sends it."""
    row_: dict[str, object] = {
        "InstanceId": id_,
        "Status": "Running",
        "RegionId": "cn-shanghai",
        "ZoneId": "cn-shanghai-b",
        "OSType": "linux",
        "OSName": "Alibaba Cloud Linux  3.2104 LTS 64位",
        "KeyPairName": "old",
        "ImageId": "img",
        "StartTime": "2026-01-02T03:04Z",
        "ExpiredTime": "2099-12-31T15:59Z",
        "IoOptimized": True,
        "OperationLocks": {"LockReason": []},
        "Tags": {"Tag": [{"TagKey": "app", "TagValue": "cart"}]},
    }
    return row_ | fields


def page(*rows: object, **extra: object) -> Scripted:
    """A page of DescribeInstances."""
    body = {"RequestId": REQUEST_ID, "Instances": {"Instance": list(rows)}, **extra}
    return reply(200, json.dumps(body), headers=JSON)


LOOKS: dict[str, tuple[Scripted, str]] = {
    "empty": (page(), "seen"),
    "no list at all": (
        reply(200, json.dumps({"RequestId": REQUEST_ID})),
        "unknown proxy_or_gateway",
    ),
    "list of a wrong type": (
        reply(200, json.dumps({"RequestId": REQUEST_ID, "Instances": {"Instance": {"a": 1}}})),
        "unknown proxy_or_gateway",
    ),
    "row without an id": (page({"Status": "Running"}), "unknown proxy_or_gateway"),
    "tags as an object": (page(instance(Tags={"app": "cart"})), "unknown proxy_or_gateway"),
    "tags with other names": (
        page(instance(Tags={"Tag": [{"Key": "app", "Value": "cart"}]})),
        "unknown proxy_or_gateway",
    ),
    "locks of another form": (
        page(instance(OperationLocks={"Lock": [{"Reason": "security"}]})),
        "unknown proxy_or_gateway",
    ),
    "no locks and tags": (page(instance(OperationLocks={}, Tags={})), "seen"),
    "nothing said of locks and tags": (page(instance(OperationLocks=None, Tags=None)), "seen"),
    "HTML": (reply(200, HTML), "unknown proxy_or_gateway"),
    "cut": (
        reply(200, '{"RequestId":"A","Instances":{"Instance":[{"Ins'),
        "unknown proxy_or_gateway",
    ),
    "redirect": (reply(302), "unknown redirect"),
    "throttled": (error(400, "Throttling.User"), "refused Throttling.User throttled"),
    "denied": (error(403, "Forbidden.RAM"), "refused Forbidden.RAM denied"),
    "500": (error(500, "InternalError"), "unknown InternalError"),
    "region not found": (
        error(404, "InvalidRegionId.NotFound"),
        "refused InvalidRegionId.NotFound key_pair",
    ),
}


@pytest.mark.asyncio
@pytest.mark.parametrize("name", LOOKS)
async def test_look(name: str) -> None:
    """An observation is a list or an outcome; an unreadable reply is never an empty list."""
    script, expected = LOOKS[name]
    async with talking_to(script) as (client, _):
        seen = await client.observe_instances(REGION, IDS)
        assert ("seen" if isinstance(seen, Described) else short(seen)) == expected


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "script",
    [
        page(instance()),
        page(instance(InstanceId="i-1", Extra=1, GPUSpec="", VlanId=None)),
        page(instance(IoOptimized="true", Status="running", OSType="LINUX")),
        page(
            instance(OSNameEn="x", Tags={"Tag": [{"TagKey": "app", "TagValue": "cart"}]}),
            NextToken=None,
        ),
        reply(
            200,
            json.dumps(
                {
                    "requestid": REQUEST_ID,
                    "instances": {"instance": [{k.lower(): v for k, v in instance().items()}]},
                }
            ),
        ),
        xml(
            f"<DescribeInstancesResponse><RequestId>{REQUEST_ID}</RequestId><Instances><Instance>"
            "<InstanceId>i-1</InstanceId><Status>Running</Status><RegionId>cn-shanghai</RegionId>"
            "<ZoneId>cn-shanghai-b</ZoneId><OSType>linux</OSType><KeyPairName>old</KeyPairName>"
            "<OSName>Alibaba Cloud Linux  3.2104 LTS 64位</OSName><ImageId>img</ImageId>"
            "<StartTime>2026-01-02T03:04Z</StartTime><ExpiredTime>2099-12-31T15:59Z</ExpiredTime>"
            "<IoOptimized>true</IoOptimized><OperationLocks/><Tags><Tag><TagKey>app</TagKey>"
            "<TagValue>cart</TagValue></Tag></Tags></Instance></Instances><NextToken/>"
            "</DescribeInstancesResponse>"
        ),
    ],
)
async def test_rows_are_read_in_every_spelling(script: Scripted) -> None:
    """Numbers as texts, nulls, extra fields, another case, XML: the same instance comes out."""
    async with talking_to(script) as (client, _):
        seen = await client.observe_instances("cn-hangzhou", ["i-1"])
        assert isinstance(seen, Described)
        (found,) = seen.instances
        assert (found.id, found.account, found.region) == ("i-1", client.account, "cn-shanghai")
        assert (found.zone, found.image, found.key_pair) == ("cn-shanghai-b", "img", "old")
        assert (found.os, found.status) == (OsFamily.LINUX, Status.RUNNING)
        assert found.started_at == NOW // 60_000 * 60_000
        assert found.io_optimized and found.locks == () and found.tags == (("app", "cart"),)


@pytest.mark.asyncio
async def test_odd_words_of_a_row_are_unknown_not_guessed() -> None:
    """Unknown system, unknown state, no key, locks and an old generation are kept unchanged."""
    odd = instance(
        OSType="FreeBSD",
        Status="Migrating",
        KeyPairName=None,
        StartTime="soon",
        IoOptimized=False,
        RegionId="",
        OperationLocks={"LockReason": [{"LockReason": "financial"}, {"LockReason": "recycling"}]},
    )
    async with talking_to(page(odd)) as (client, _):
        seen = await client.observe_instances("cn-hangzhou", ["i-1"])
        assert isinstance(seen, Described)
        (found,) = seen.instances
        assert (found.os, found.status, found.key_pair) == (OsFamily.UNKNOWN, Status.UNKNOWN, "")
        assert (found.started_at, found.io_optimized) == (0, False)
        assert (found.region, found.locks) == ("cn-hangzhou", ("financial", "recycling"))


@pytest.mark.asyncio
async def test_a_lock_without_a_reason_is_a_lock() -> None:
    """An instance with a lock without a reason is not taken for unlocked."""
    row = instance(OperationLocks={"LockReason": [{"LockMsg": "ask the owner"}]})
    async with talking_to(page(row)) as (client, _):
        seen = await client.observe_instances(REGION, ["i-1"])

    assert isinstance(seen, Described)
    assert seen.instances[0].locks == ("no reason given",)


@pytest.mark.asyncio
async def test_an_observation_keeps_each_requested_row_once() -> None:
    """Foreign rows and doubled ones are dropped; two rows that contradict each other are none."""
    rows = [
        instance("i-1"),
        instance("i-1"),
        instance("i-2"),
        instance("i-2", Status="Stopped"),
        instance("i-9"),
    ]
    async with talking_to(page(*rows)) as (client, _):
        seen = await client.observe_instances(REGION, IDS)
        assert isinstance(seen, Described)
        assert [row_.id for row_ in seen.instances] == ["i-1"]


@pytest.mark.asyncio
async def test_an_observation_follows_pages_and_ends_at_a_cycle() -> None:
    """Short pages are joined; a token that never ends is no answer."""
    first, second = page(instance("i-1"), NextToken="t"), page(instance("i-2"), NextToken="")
    async with talking_to(first, second) as (client, server):
        seen = await client.observe_instances(REGION, IDS)
        assert isinstance(seen, Described)
        assert [row_.id for row_ in seen.instances] == ["i-1", "i-2"]
        assert "NextToken=t" in server.requests[1].query
        assert all("MaxResults=100" in request.query for request in server.requests)
    async with talking_to(first) as (client, _):
        assert await client.observe_instances(REGION, IDS) == Unknown("page_loop")


@pytest.mark.asyncio
async def test_an_observed_key_pair_has_exactly_the_requested_name() -> None:
    """DescribeKeyPairs matches wildcards, so neighbours by name are passed over."""
    rows = [{"KeyPairName": name, "PublicKey": f"ssh {name}"} for name in ("ops-2", "ops", "xops")]
    body = {"RequestId": REQUEST_ID, "KeyPairs": {"KeyPair": rows}, "TotalCount": 3}
    async with talking_to(reply(200, json.dumps(body))) as (client, _):
        assert await client.observe_key_pair(REGION, "ops") == KeyDescribed("ssh ops", "", NOW)
        assert await client.observe_key_pair(REGION, "Ops") == KeyDescribed(
            "", "", NOW, found=False
        )


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "script, expected",
    [
        (error(400, "DryRunOperation"), "done"),
        (error(400, "DRYRUN.SUCCESS"), "done"),
        (error(403, "Forbidden.RAM"), "refused Forbidden.RAM denied"),
        (page(), "unknown dry_run_ignored"),
        (reply(200, HTML), "unknown proxy_or_gateway"),
        (error(500, "InternalError"), "unknown InternalError"),
    ],
)
async def test_a_dry_run_passes_by_way_of_an_error(script: Scripted, expected: str) -> None:
    """Only the code of a passed dry run is a yes; a list proves nothing about permission."""
    async with talking_to(script) as (client, _):
        assert short(await client.may_describe(REGION)) == expected


@pytest.mark.asyncio
async def test_an_account_id_may_be_a_number() -> None:
    """GetCallerIdentity documents a text; a number is the same account."""
    body = {"RequestId": REQUEST_ID, "AccountId": 1234, "Arn": "acs:ram::1234:user/x"}
    async with talking_to(reply(200, json.dumps(body))) as (client, _):
        identity = await client.identify()
        assert identity == replies.CallerIdentity("1234", "acs:ram::1234:user/x")
        assert client.account == "1234"
