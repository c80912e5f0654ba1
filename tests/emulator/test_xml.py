"""XML replies: each action compared with a file in the documented form, with our own data.

The files are indented for people; the service sends none of that, so it is taken out first.
"""

import json
import re
from pathlib import Path

import msgspec
import pytest
from alibabacloud_ecs20140526 import models
from alibabacloud_sts20150401 import models as sts_models

from rollout.ecs import contract
from rollout.emulator.http.render import Format, body_bytes
from rollout.emulator.messages import Reply, Request
from tests.emulator import fixtures
from tests.emulator.fixtures import FRESH, FRESH_BODY, NOW, REGION, attach, ids

FILES = Path(__file__).parents[1] / "data" / "xml"
REQUEST_ID = "AA340C78-9244-2432-1AAA-DF72B7F5D181"
PRIVATE = "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n"

ONE = {"RegionId": REGION, "InstanceId.1": "i-plain-1"}
BOTH = {"RegionId": REGION, "KeyPairName": FRESH, "InstanceIds": ids("i-plain-1", "i-windows")}
TAGGED = {"RegionId": REGION, "ResourceType": "keypair", "ResourceId.1": FRESH}
NEW = {"RegionId": REGION, "KeyPairName": "k-1", "Tag.1.Key": "app", "Tag.1.Value": "cart"}

CASES: dict[str, tuple[str, dict[str, str]]] = {
    "AttachKeyPair": ("AttachKeyPair", BOTH),
    "DetachKeyPair": ("DetachKeyPair", BOTH),
    "ImportKeyPair": ("ImportKeyPair", {**NEW, "PublicKeyBody": FRESH_BODY}),
    "CreateKeyPair": ("CreateKeyPair", NEW),
    "DeleteKeyPairs": ("DeleteKeyPairs", {"RegionId": REGION, "KeyPairNames": ids(FRESH)}),
    "TagResources": ("TagResources", {**TAGGED, "Tag.1.Key": "app", "Tag.1.Value": "cart"}),
    "UntagResources": ("UntagResources", {**TAGGED, "TagKey.1": "app"}),
    "DescribeKeyPairs": ("DescribeKeyPairs", {"RegionId": REGION, "IncludePublicKey": "true"}),
    "DescribeKeyPairs.none": ("DescribeKeyPairs", {"RegionId": REGION, "KeyPairName": "none"}),
    "DescribeInstances": (
        "DescribeInstances",
        {"RegionId": REGION, "InstanceIds": ids("i-security")},
    ),
    "DescribeInstanceStatus": (
        "DescribeInstanceStatus",
        {"RegionId": REGION, "InstanceId.1": "i-stopped"},
    ),
    "DescribeInstanceAttribute": ("DescribeInstanceAttribute", {"InstanceId": "i-security"}),
    "DescribeInstancesFullStatus": ("DescribeInstancesFullStatus", ONE),
    "RebootInstance": ("RebootInstance", {"InstanceId": "i-plain-1"}),
    "RebootInstances": ("RebootInstances", ONE),
    "StartInstance": ("StartInstance", {"InstanceId": "i-stopped"}),
    "StartInstance.refused": ("StartInstance", {"InstanceId": "i-plain-1"}),
    "StartInstances": ("StartInstances", {"RegionId": REGION, "InstanceId.1": "i-stopped"}),
    "StopInstance": ("StopInstance", {"InstanceId": "i-plain-1"}),
    "StopInstances": ("StopInstances", ONE),
    "DescribeRegions": ("DescribeRegions", {"AcceptLanguage": "en-US"}),
    "RunCommand": (
        "RunCommand",
        {**ONE, "Type": "RunShellScript", "CommandContent": "echo <now>"},
    ),
    "DescribeInvocationResults": (
        "DescribeInvocationResults",
        {"RegionId": REGION, "ContentEncoding": "PlainText"},
    ),
    "DescribeCloudAssistantStatus": ("DescribeCloudAssistantStatus", ONE),
    "GetCallerIdentity": ("GetCallerIdentity", {}),
}


def answered(action: str, params: dict[str, str]) -> tuple[Reply, str]:
    """The answer to one call, two seconds after a command was sent."""
    cloud = fixtures.cloud()
    cloud.make_key = lambda: (FRESH_BODY, PRIVATE)
    version = contract.ACTIONS[action].version
    if action == "DescribeInvocationResults":
        cloud.handle(Request(*CASES["RunCommand"]), NOW - 2_000)
    return cloud.handle(Request(action, params, version=version), NOW), action


def xml(reply: Reply, action: str) -> str:
    """The XML body with the request id of the files."""
    return body_bytes(reply, action, Format.XML).decode().replace(reply.request_id, REQUEST_ID)


@pytest.mark.parametrize("name", CASES)
def test_answers_in_xml(name: str) -> None:
    """The root is action plus `Response`, or `Error`; a list repeats its singular element, and an
    empty one is an empty element."""
    typed = (FILES / f"{name}.xml").read_text(encoding="utf-8")
    assert xml(*answered(*CASES[name])) == re.sub(r">\n\s*<", "><", typed.rstrip("\n"))


def test_every_action_has_its_file() -> None:
    """None is left out, and no file is left over."""
    assert {action for action, _ in CASES.values()} == set(contract.ACTIONS)
    assert {path.stem for path in FILES.iterdir()} == set(CASES)


@pytest.mark.parametrize("name", [n for n in CASES if n in contract.ACTIONS])
def test_no_name_in_an_answer_is_unknown_to_the_sdk(name: str) -> None:
    """Its typed models pass over what they do not know: nothing of the same answer may get lost."""
    reply, action = answered(*CASES[name])
    body = json.loads(body_bytes(reply, action, Format.JSON))
    module = sts_models if action == "GetCallerIdentity" else models
    kept = getattr(module, f"{action}ResponseBody")().from_map(body).to_map()
    assert kept == body


def test_odd_characters_are_escaped() -> None:
    """A name with markup cannot break out of its element."""
    reply = attach(fixtures.cloud(), "i-plain-1")
    odd = msgspec.structs.replace(reply, body={**reply.body, "KeyPairName": f"<{FRESH}>&"})
    assert "<KeyPairName>&lt;fresh&gt;&amp;</KeyPairName>" in xml(odd, "AttachKeyPair")
