"""Both official SDKs against the emulator on loopback: every action, sync and async, V1 and V3.

The SDKs are the judges here: what they send must be understood, what they read must be there.
"""

import asyncio
import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from alibabacloud_ecs20140526 import models
from alibabacloud_ecs20140526.client import Client as EcsClient
from alibabacloud_sts20150401.client import Client as StsClient
from alibabacloud_tea_openapi.exceptions import ClientException, ThrottlingException
from alibabacloud_tea_openapi.models import Config
from aliyunsdkcore.acs_exception.exceptions import ServerException
from aliyunsdkcore.client import AcsClient
from aliyunsdkecs.request.v20140526.AttachKeyPairRequest import AttachKeyPairRequest
from aliyunsdkecs.request.v20140526.DescribeInstancesRequest import DescribeInstancesRequest
from aliyunsdkecs.request.v20140526.DescribeInstanceStatusRequest import (
    DescribeInstanceStatusRequest,
)
from aliyunsdkecs.request.v20140526.DetachKeyPairRequest import DetachKeyPairRequest
from aliyunsdkecs.request.v20140526.ImportKeyPairRequest import ImportKeyPairRequest
from aliyunsdkecs.request.v20140526.RebootInstanceRequest import RebootInstanceRequest
from aliyunsdkecs.request.v20140526.RebootInstancesRequest import RebootInstancesRequest
from aliyunsdkecs.request.v20140526.StartInstanceRequest import StartInstanceRequest
from aliyunsdkecs.request.v20140526.StopInstanceRequest import StopInstanceRequest
from Tea.exceptions import UnretryableException

from rollout.ecs import contract
from rollout.emulator.cloud.switches import Switches
from rollout.emulator.cloud.users import Access, User
from rollout.emulator.dispatch import Cloud
from rollout.emulator.fault_plan import FaultPlan
from rollout.emulator.faults import Fault
from rollout.emulator.http import server
from tests.emulator import fixtures
from tests.emulator.fixtures import FRESH, FRESH_BODY, REGION, ids

STARTED = ("Starting", "Running")

# Action, arguments of its request model, and what must be true of the body it answers.
ACTIONS: list[tuple[str, dict[str, Any], Callable[[dict[str, Any]], bool]]] = [
    (
        "attach_key_pair",
        {"region_id": REGION, "key_pair_name": FRESH, "instance_ids": ids("i-plain-1")},
        lambda b: b["FailCount"] == 0 and b["Results"]["Result"][0]["Success"] is True,
    ),
    (
        "detach_key_pair",
        {"region_id": REGION, "key_pair_name": fixtures.FORMER, "instance_ids": ids("i-plain-1")},
        lambda b: b["FailCount"] == 0,
    ),
    (
        "import_key_pair",
        {"region_id": REGION, "key_pair_name": "k-1", "public_key_body": FRESH_BODY},
        lambda b: b["KeyPairName"] == "k-1",
    ),
    (
        "create_key_pair",
        {"region_id": REGION, "key_pair_name": "k-2"},
        lambda b: b["PrivateKeyBody"].startswith("-----BEGIN PRIVATE KEY-----"),
    ),
    (
        "delete_key_pairs",
        {"region_id": REGION, "key_pair_names": ids(FRESH)},
        lambda b: list(b) == ["RequestId"],
    ),
    (
        "tag_resources",
        {
            "region_id": REGION,
            "resource_type": "keypair",
            "resource_id": [FRESH],
            "tag": [models.TagResourcesRequestTag(key="app", value="cart")],
        },
        lambda b: list(b) == ["RequestId"],
    ),
    (
        "untag_resources",
        {
            "region_id": REGION,
            "resource_type": "keypair",
            "resource_id": [FRESH],
            "tag_key": ["app"],
        },
        lambda b: list(b) == ["RequestId"],
    ),
    (
        "describe_key_pairs",
        {"region_id": REGION, "include_public_key": True},
        lambda b: len(b["KeyPairs"]["KeyPair"]) == 2,
    ),
    (
        "describe_instances",
        {
            "region_id": REGION,
            "max_results": 10,
            "tag": [models.DescribeInstancesRequestTag(key="app", value="cart")],
        },
        lambda b: len(b["Instances"]["Instance"]) == 10 and b["NextToken"] != "",
    ),
    (
        "describe_instance_status",
        {"region_id": REGION, "instance_id": ["i-plain-1", "i-stopped"], "page_size": 50},
        lambda b: len(b["InstanceStatuses"]["InstanceStatus"]) == 2,
    ),
    (
        "describe_instance_attribute",
        {"instance_id": "i-plain-1"},
        lambda b: b["IoOptimized"] == "optimized",
    ),
    (
        "describe_instances_full_status",
        {"region_id": REGION, "instance_id": ["i-plain-1"]},
        lambda b: (
            b["InstanceFullStatusSet"]["InstanceFullStatusType"][0]["InstanceId"] == "i-plain-1"
        ),
    ),
    ("reboot_instance", {"instance_id": "i-plain-1"}, lambda b: list(b) == ["RequestId"]),
    (
        "reboot_instances",
        {
            "region_id": REGION,
            "instance_id": ["i-plain-1", "i-stopped"],
            "batch_optimization": "SuccessFirst",
        },
        lambda b: (
            [r["Code"] for r in b["InstanceResponses"]["InstanceResponse"]]
            == ["200", "IncorrectInstanceStatus"]
        ),
    ),
    ("start_instance", {"instance_id": "i-stopped"}, lambda b: list(b) == ["RequestId"]),
    (
        "start_instances",
        {"region_id": REGION, "instance_id": ["i-stopped"]},
        lambda b: b["InstanceResponses"]["InstanceResponse"][0]["CurrentStatus"] == "Starting",
    ),
    (
        "stop_instance",
        {"instance_id": "i-plain-1", "stopped_mode": "KeepCharging"},
        lambda b: list(b) == ["RequestId"],
    ),
    (
        "stop_instances",
        {"region_id": REGION, "instance_id": ["i-plain-1"]},
        lambda b: b["InstanceResponses"]["InstanceResponse"][0]["CurrentStatus"] == "Stopping",
    ),
    (
        "describe_regions",
        {"accept_language": "en-US"},
        lambda b: b["Regions"]["Region"][0]["RegionId"] == REGION,
    ),
    (
        "run_command",
        {
            "region_id": REGION,
            "type": "RunShellScript",
            "command_content": "whoami",
            "instance_id": ["i-plain-1"],
        },
        lambda b: b["InvokeId"].startswith("t-"),
    ),
    (
        "describe_invocation_results",
        {"region_id": REGION},
        lambda b: b["Invocation"]["TotalCount"] == 0,
    ),
    (
        "describe_cloud_assistant_status",
        {"region_id": REGION, "instance_id": ["i-plain-1"]},
        lambda b: (
            b["InstanceCloudAssistantStatusSet"]["InstanceCloudAssistantStatus"][0][
                "CloudAssistantStatus"
            ]
            == "true"
        ),
    ),
]


def config(url: str, **more: Any) -> Config:
    """Settings of the new SDK."""
    return Config(
        access_key_id="emulator",
        access_key_secret="emulator-secret",
        endpoint=url.removeprefix("http://"),
        protocol="http",
        region_id=REGION,
        **more,
    )


def model(action: str) -> Any:
    """The request class of an action of the new SDK."""
    return getattr(models, f"{''.join(part.title() for part in action.split('_'))}Request")


def classic(url: str) -> AcsClient:
    """A client of the classic SDK."""
    address, _, port = url.removeprefix("http://").partition(":")
    client = AcsClient("emulator", "emulator-secret", REGION, port=int(port))
    client.add_endpoint(REGION, "Ecs", address)
    return client


async def ask_classic(url: str, request: Any, **values: Any) -> dict[str, Any]:
    """Call an action by the classic SDK, in a thread as it blocks."""
    for name, value in values.items():
        getattr(request, f"set_{name}")(value)
    data = await asyncio.to_thread(classic(url).do_action_with_exception, request)
    answer: dict[str, Any] = json.loads(data)
    return answer


@pytest.mark.asyncio
@pytest.mark.parametrize("algorithm", [None, "v2"], ids=["V3", "V1"])
@pytest.mark.parametrize("action, arguments, holds", ACTIONS, ids=[a[0] for a in ACTIONS])
async def test_new_sdk_sync(
    action: str,
    arguments: dict[str, Any],
    holds: Callable[[dict[str, Any]], bool],
    algorithm: str | None,
) -> None:
    """Every action by its blocking method, with either signature."""
    async with server.serve(fixtures.cloud()) as url:
        client = EcsClient(config(url, signature_algorithm=algorithm))
        method = getattr(client, action)
        response = await asyncio.to_thread(method, model(action)(**arguments))
    assert response.status_code == 200
    assert holds(response.body.to_map())


@pytest.mark.asyncio
@pytest.mark.parametrize("algorithm", [None, "v2"], ids=["V3", "V1"])
@pytest.mark.parametrize("action, arguments, holds", ACTIONS, ids=[a[0] for a in ACTIONS])
async def test_new_sdk_async(
    action: str,
    arguments: dict[str, Any],
    holds: Callable[[dict[str, Any]], bool],
    algorithm: str | None,
) -> None:
    """Every action by its coroutine: the async SDK writes the same values otherwise."""
    async with server.serve(fixtures.cloud()) as url:
        client = EcsClient(config(url, signature_algorithm=algorithm))
        response = await getattr(client, f"{action}_async")(model(action)(**arguments))
    assert holds(response.body.to_map())


@pytest.mark.asyncio
@pytest.mark.parametrize("action, arguments, holds", ACTIONS, ids=[a[0] for a in ACTIONS])
async def test_classic_sdk(
    action: str, arguments: dict[str, Any], holds: Callable[[dict[str, Any]], bool]
) -> None:
    """Every action by the classic SDK, which spells its setters in its own way."""
    name = model(action).__name__
    module = importlib.import_module(f"aliyunsdkecs.request.v20140526.{name}")
    request = getattr(module, name)()
    values = {
        f"{field}s" if isinstance(value, list) else field: value
        for field, value in model(action)(**arguments).to_map().items()
        if value and field != "RegionId"  # the client's own
    }
    async with server.serve(fixtures.cloud()) as url:
        assert holds(await ask_classic(url, request, **values))


@pytest.mark.asyncio
async def test_the_longest_command_arrives() -> None:
    """24 KB of text for 100 ids: the SDK puts all of it into the query, with percent signs."""
    script = "echo " + "é%\n" * 4_500
    request = models.RunCommandRequest(
        region_id=REGION,
        type="RunShellScript",
        command_content=script,
        instance_id=["i-plain-1"] * 100,
    )
    async with server.serve(fixtures.cloud()) as url:
        response = await EcsClient(config(url)).run_command_async(request)
    assert response.body.invoke_id.startswith("t-")


# What the reference lists of each answer: action, and attribute of the SDK's typed model.
FIELDS = (Path(__file__).parents[1] / "data" / "sdk_fields.txt").read_text(encoding="utf-8")


def at_path(value: Any, path: str) -> Any:
    """What stands at a dotted path of a model; of a list, its first item."""
    for name in path.split("."):
        value = getattr(value[0] if isinstance(value, list) else value, name)
    return value


@pytest.mark.asyncio
async def test_every_listed_field_arrives_in_the_typed_model() -> None:
    """The SDK passes over what it does not know: a misspelt field would simply be None."""
    paths: dict[str, list[str]] = {}
    for line in FIELDS.splitlines():
        action, path = line.split()
        paths.setdefault(action, []).append(path)
    asked = {action: arguments for action, arguments, _ in ACTIONS}
    assert list(paths)[-1] == "describe_invocation_results"  # there is something to show by then
    async with server.serve(fixtures.cloud()) as url:
        client = EcsClient(config(url))
        for action, fields in paths.items():
            request = model(action)(**asked[action])
            body = (await getattr(client, f"{action}_async")(request)).body
            lacking = [path for path in fields if at_path(body, path) is None]
            assert lacking == [], action


@pytest.mark.asyncio
async def test_every_action_of_the_contract_is_called_by_an_sdk() -> None:
    """The table above leaves none out; STS has a test of its own."""
    asked = {"".join(part.title() for part in action.split("_")) for action, _, _ in ACTIONS}
    assert asked | {"GetCallerIdentity"} == set(contract.ACTIONS)


@pytest.mark.asyncio
async def test_classic_sdk_drives_a_rotation() -> None:
    """Attach, reboot, start, stop, describe by the classic SDK: V1, everything in the query."""
    cloud = fixtures.cloud(Switches(boot_time_ms=50))
    async with server.serve(cloud) as url:
        await ask_classic(url, ImportKeyPairRequest(), KeyPairName="k-1", PublicKeyBody=FRESH_BODY)
        attached = await ask_classic(
            url,
            AttachKeyPairRequest(),
            KeyPairName="k-1",
            InstanceIds=ids("i-plain-1", "i-stopped", "i-windows"),
        )
        assert (attached["TotalCount"], attached["FailCount"]) == (3, 1)
        await ask_classic(url, RebootInstanceRequest(), InstanceId="i-plain-1")
        await ask_classic(url, StartInstanceRequest(), InstanceId="i-stopped")
        await ask_classic(url, RebootInstancesRequest(), InstanceIds=["i-plain-2", "i-plain-3"])
        await ask_classic(url, StopInstanceRequest(), InstanceId="i-plain-4")
        status = await ask_classic(url, DescribeInstanceStatusRequest(), InstanceIds=["i-stopped"])
        assert status["InstanceStatuses"]["InstanceStatus"][0]["Status"] in STARTED
        await ask_classic(
            url, DetachKeyPairRequest(), KeyPairName=fixtures.FORMER, InstanceIds=ids("i-plain-5")
        )
        await asyncio.sleep(0.1)
        page = await ask_classic(
            url, DescribeInstancesRequest(), InstanceIds=ids("i-plain-1", "i-stopped")
        )
        shown = [(r["Status"], r["KeyPairName"]) for r in page["Instances"]["Instance"]]
        assert shown == [("Running", "k-1")] * 2
        now = server.wall_clock_ms()
        assert fixtures.observed_one(cloud, "i-stopped", now).key_in_force == "k-1"
        assert [entry.effect for entry in cloud.ledger] == [
            "import",
            "attach",
            "attach",
            "reboot",
            "start",
            "reboot",
            "reboot",
            "stop",
            "detach",
        ]


@pytest.mark.asyncio
async def test_sts_answers_on_the_same_endpoint() -> None:
    """GetCallerIdentity by the official STS client, sync and async."""
    async with server.serve(fixtures.cloud()) as url:
        client = StsClient(config(url))
        blocking = await asyncio.to_thread(client.get_caller_identity)
        awaited = await client.get_caller_identity_async()
    for response in (blocking, awaited):
        assert response.body.account_id == "1234567890123456"
        assert response.body.arn == "acs:ram::1234567890123456:user/emulator"
        assert response.body.identity_type == "RAMUser"


@pytest.mark.asyncio
async def test_errors_reach_the_sdks_with_code_and_status() -> None:
    """ClientException of the new SDK and ServerException of the classic one."""
    request = models.RebootInstanceRequest(instance_id="i-stopped")
    async with server.serve(fixtures.cloud()) as url:
        with pytest.raises(ClientException) as new:
            await EcsClient(config(url)).reboot_instance_async(request)
        with pytest.raises(ServerException) as old:
            await ask_classic(url, RebootInstanceRequest(), InstanceId="i-stopped")
    assert (new.value.code, new.value.status_code) == ("IncorrectInstanceStatus", 403)
    assert (old.value.get_error_code(), old.value.get_http_status()) == (
        "IncorrectInstanceStatus",
        403,
    )


@pytest.mark.asyncio
async def test_throttling_reaches_the_new_sdk_as_such_only_with_its_header() -> None:
    """`x-acs-retry-after` in milliseconds makes it a ThrottlingException."""
    request = models.DescribeRegionsRequest()
    for fault, raised in (
        ("throttle", ThrottlingException),
        ("throttle_no_header", ClientException),
    ):
        cloud = fixtures.cloud(faults=FaultPlan([Fault(fault)]))
        async with server.serve(cloud) as url:
            with pytest.raises(raised) as caught:
                await EcsClient(config(url)).describe_regions_async(request)
        assert caught.value.code == "Throttling"
        assert getattr(caught.value, "retry_after", None) == (
            1_000 if fault == "throttle" else None
        )


@pytest.mark.asyncio
async def test_a_wrong_secret_is_reported() -> None:
    """The classic SDK finds its own string to sign in our message and names the secret."""
    async with server.serve(fixtures.cloud()) as url:
        wrong = AcsClient("emulator", "wrong", REGION, port=int(url.rpartition(":")[2]))
        wrong.add_endpoint(REGION, "Ecs", "127.0.0.1")
        request = StartInstanceRequest()
        request.set_InstanceId("i-stopped")
        with pytest.raises(ServerException) as old:
            await asyncio.to_thread(wrong.do_action_with_exception, request)
        with pytest.raises(ClientException) as new:
            settings = config(url)
            settings.access_key_secret = "wrong"
            await EcsClient(settings).describe_regions_async(models.DescribeRegionsRequest())
    assert old.value.get_error_code() == "InvalidAccessKeySecret"
    assert new.value.code == "SignatureDoesNotMatch"


@pytest.mark.asyncio
async def test_temporary_credentials_pass_with_their_token() -> None:
    """STS keys: the new SDK signs the token as a header, the classic one as a parameter."""
    user = User(kind="AssumedRoleUser", name="ops/session", token="token")
    async with server.serve(Cloud(fixtures.fleet(), access=Access([user]))) as url:
        client = EcsClient(config(url, security_token="token", type="sts"))
        response = await client.describe_regions_async(models.DescribeRegionsRequest())
        assert response.status_code == 200
        with pytest.raises(ClientException) as caught:
            await EcsClient(config(url)).describe_regions_async(models.DescribeRegionsRequest())
    assert caught.value.code == "MissingSecurityToken"


@pytest.mark.asyncio
async def test_a_lost_reply_is_an_opaque_error_of_the_sdk() -> None:
    """It cannot say whether the attach happened; the ledger can."""
    cloud = fixtures.cloud(faults=FaultPlan([Fault("lost_after")]))
    request = models.AttachKeyPairRequest(
        region_id=REGION, key_pair_name=FRESH, instance_ids=ids("i-plain-1")
    )
    async with server.serve(cloud) as url:
        with pytest.raises(UnretryableException):
            await EcsClient(config(url)).attach_key_pair_async(request)
        assert len(cloud.ledger) == 1
