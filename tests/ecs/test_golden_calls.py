"""The request of each method, typed by hand, independent of the contract table."""

from __future__ import annotations

from urllib.parse import parse_qsl

import pytest

from rollout.ecs.client import EcsClient
from rollout.ecs.transport import SignedCall
from rollout.ecs.wire import HttpReply
from rollout.model.plan import RestartKind
from tests.ecs.scripted import FAR, JumpClock, client_on
from tests.inprocess import InProcessTransport

REGION = "cn-hangzhou"
IDS = ("i-1", "i-2")
MANY = {"RegionId": REGION, "InstanceId.1": "i-1", "InstanceId.2": "i-2"}
KEY_PAIR = {"RegionId": REGION, "ResourceType": "keypair", "ResourceId.1": "ops"}

GOLDEN: list[tuple[str, dict[str, str]]] = [
    (
        "AttachKeyPair",
        {"RegionId": REGION, "KeyPairName": "team key~1*", "InstanceIds": '["i-1","i-2"]'},
    ),
    ("RebootInstance", {"InstanceId": "i-1"}),
    ("StartInstance", {"InstanceId": "i-1"}),
    ("RebootInstances", MANY | {"BatchOptimization": "SuccessFirst"}),
    ("StartInstances", MANY | {"BatchOptimization": "SuccessFirst"}),
    (
        "ImportKeyPair",
        {"RegionId": REGION, "KeyPairName": "ops", "PublicKeyBody": "ssh-ed25519 AAAA x"},
    ),
    ("DeleteKeyPairs", {"RegionId": REGION, "KeyPairNames": '["ops"]'}),
    (
        "TagResources",
        KEY_PAIR | {"Tag.1.Key": "rollout-run", "Tag.1.Value": "r-1 1"},
    ),
    ("UntagResources", KEY_PAIR | {"TagKey.1": "rollout-run"}),
    (
        "DescribeInstances",
        {"RegionId": REGION, "InstanceIds": '["i-1","i-2"]', "MaxResults": "100"},
    ),
    (
        "DescribeInstances",
        {"RegionId": REGION, "MaxResults": "100", "Status": "Running", "NextToken": "t+/="},
    ),
    (
        "DescribeInstances",
        {
            "RegionId": REGION,
            "MaxResults": "100",
            "InstanceNetworkType": "vpc",
            "PrivateIpAddresses": '["10.0.0.1"]',
        },
    ),
    ("DescribeInstances", {"RegionId": REGION, "DryRun": "true"}),
    ("RebootInstance", {"InstanceId": "i-1", "DryRun": "true"}),
    ("StartInstances", {"RegionId": REGION, "InstanceId.1": "i-1", "DryRun": "true"}),
    ("DescribeInstanceStatus", MANY | {"PageSize": "50"}),
    (
        "DescribeKeyPairs",
        {"RegionId": REGION, "KeyPairName": "ops", "IncludePublicKey": "true", "PageSize": "50"},
    ),
    ("DescribeKeyPairs", {"RegionId": REGION, "KeyPairName": "ops", "PageSize": "50"}),
    ("DescribeKeyPairs", {"RegionId": REGION, "PageNumber": "1", "PageSize": "50"}),
    ("DescribeRegions", {}),
    ("GetCallerIdentity", {}),
]


async def _every_method(client: EcsClient) -> None:
    """Call each once, in the order of the table; the replies do not matter."""
    await client.attach_key_pair(REGION, "team key~1*", IDS, not_after=FAR)
    await client.restart(RestartKind.REBOOT, REGION, IDS[:1], not_after=FAR)
    await client.restart(RestartKind.START, REGION, IDS[:1], not_after=FAR)
    await client.restart(RestartKind.REBOOT, REGION, IDS, not_after=FAR)
    await client.restart(RestartKind.START, REGION, IDS, not_after=FAR)
    await client.import_key_pair(REGION, "ops", "ssh-ed25519 AAAA x", not_after=FAR)
    await client.delete_key_pair(REGION, "ops", not_after=FAR)
    await client.tag_key_pair(REGION, "ops", "rollout-run", "r-1 1", not_after=FAR)
    await client.untag_key_pair(REGION, "ops", "rollout-run", not_after=FAR)
    await client.observe_instances(REGION, IDS)
    await client.describe_instances(REGION, {"Status": "Running"}, next_token="t+/=")
    await client.find_by_address(REGION, ["10.0.0.1"])
    await client.may_describe(REGION)
    await client.may_restart(RestartKind.REBOOT, REGION, ["i-1"])
    await client.may_restart(RestartKind.START, REGION, ["i-1"], many=True)
    await client.describe_instance_status(REGION, IDS)
    await client.observe_key_pair(REGION, "ops")
    await client.key_pair_tags(REGION, "ops")
    await client.list_key_pairs(REGION)
    await client.describe_regions()
    await client.get_caller_identity()


@pytest.mark.asyncio
async def test_every_method_says_exactly_what_the_reference_says() -> None:
    """A mistake in the contract table, which client and emulator share, cannot hide here."""
    calls: list[SignedCall] = []

    def record(call: SignedCall) -> HttpReply:
        calls.append(call)
        return HttpReply(200, {}, b"{}")

    await _every_method(client_on(InProcessTransport(record), JumpClock()))
    assert [(call.action, dict(parse_qsl(call.query))) for call in calls] == GOLDEN
    versions = [call.headers["x-acs-version"] for call in calls]
    assert versions == ["2014-05-26"] * (len(GOLDEN) - 1) + ["2015-04-01"]
    assert all(call.headers["x-acs-action"] == call.action for call in calls)
    assert "KeyPairName=team%20key~1%2A" in calls[0].query
