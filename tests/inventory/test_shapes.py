"""Which instances JSON of SDKs and tools names, and which JSON is refused with a fix."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rollout.inventory import shapes
from rollout.inventory.rows import RowError
from tests.inventory import samples

A, B = "i-bp1aaaa0001", "i-bp1aaaa0002"
STATE = {
    "version": 4,
    "terraform_version": "1.9.0",
    "lineage": "x",
    "resources": [
        {
            "mode": "managed",
            "type": "alicloud_instance",
            "instances": [
                {"attributes": {"id": A, "availability_zone": "cn-hangzhou-h", "tags": {"a": "b"}}},
                {"attributes": {"id": B, "availability_zone": "cn-hangzhou-h"}},
            ],
        },
        {"mode": "managed", "type": "alicloud_vpc", "instances": [{"attributes": {"id": "vpc-1"}}]},
        {
            "mode": "data",
            "type": "alicloud_instance",
            "instances": [{"attributes": {"id": "i-bp1other"}}],
        },
    ],
}
SHOWN = {
    "format_version": "1.0",
    "values": {
        "root_module": {
            "resources": [{"type": "alicloud_instance", "mode": "managed", "values": {"id": A}}],
            "child_modules": [
                {"resources": [{"type": "alicloud_instance", "values": {"id": B}}]},
                {"resources": [{"type": "alicloud_vpc", "values": {"id": "vpc-1"}}]},
            ],
        }
    },
}
KNOWN: list[tuple[str, Any]] = [
    ("ids", [A, B]),
    ("a page", {"Instances": {"Instance": [{"InstanceId": A}, {"InstanceId": B}]}}),
    (
        "an SDK's reply",
        {"headers": {}, "statusCode": 200, "body": {"Instances": {"Instance": [A, B]}}},
    ),
    (
        "another SDK's",
        {"body": {"instances": {"instance": [{"instanceId": A}, {"instanceId": B}]}}},
    ),
    ("rows of an SDK", [{"instanceId": A}, {"instance_id": B, "region_id": "cn-hangzhou"}]),
    ("RunInstances", {"RequestId": "R", "InstanceIdSets": {"InstanceIdSet": [A, B]}}),
    (
        "statuses",
        {
            "InstanceStatuses": {
                "InstanceStatus": [{"InstanceId": A, "Status": "Running"}, {"InstanceId": B}]
            }
        },
    ),
    ("Ansible", {"changed": False, "ids": [A, B], "instances": [{"instance_id": A}, {"id": B}]}),
    ("only ids", {"changed": False, "ids": [A, B]}),
    (
        "outputs of Terraform",
        {
            "web": {"sensitive": False, "type": ["list", "string"], "value": [A]},
            "db": {"sensitive": False, "type": "string", "value": B},
            "vpc": {"sensitive": False, "type": "string", "value": "vpc-1"},
        },
    ),
    ("state of Terraform", STATE),
    ("terraform show", SHOWN),
    (
        "Resource Center",
        {
            "Resources": [
                {"ResourceId": A, "ResourceType": "ACS::ECS::Instance", "RegionId": "cn-hangzhou"},
                {"ResourceId": B, "ResourceType": "ACS::ECS::Instance", "RegionId": "cn-hangzhou"},
                {"ResourceId": "vpc-1", "ResourceType": "ACS::VPC::VPC"},
            ]
        },
    ),
    ("--cli-query", [[A, "cn-hangzhou"], [B, "cn-hangzhou", "web-02"]]),
    ("lists in lists", [[A], [B]]),
]

UNKNOWN: list[Any] = [
    {"Name": "x"},
    {"Code": "Forbidden.RAM", "Message": "no"},
    {"body": "text"},
    {"Resources": [{"ResourceId": "vpc-1", "ResourceType": "ACS::VPC::VPC"}]},
    {"vpc": {"type": "string", "value": "vpc-1"}},
    {"ids": ["vpc-1"]},
    {"a": {"value": [A]}, "b": {"value": [B, "vpc-1"]}},
    {"a": {"value": [A]}, "b": {"value": {"web": {"id": B}}}},
    {"Instances": {"Instance": 7}},
    {"Instances": [7]},
    7,
    [None],
    {},
]


@pytest.mark.parametrize("kind", ["json", "jsonl"])
@pytest.mark.parametrize("value", [row[1] for row in KNOWN], ids=[row[0] for row in KNOWN])
def test_json_of_other_tools_names_its_instances(tmp_path: Path, kind: str, value: Any) -> None:
    """Replies of SDKs, outputs and states of Terraform, Ansible and Resource Center are read."""
    found = samples.read(tmp_path, f"fleet.{kind}", json.dumps(value), region="cn-hangzhou")

    assert (sorted(found.instances), found.problems) == ([A, B], [])
    assert {one.region for one in found.instances.values()} == {"cn-hangzhou"}


@pytest.mark.parametrize("value", UNKNOWN, ids=[str(value)[:40] for value in UNKNOWN])
def test_json_that_names_no_instance_is_refused(value: Any) -> None:
    """An unknown form is refused: nothing is guessed, and no part of a value is ignored."""
    with pytest.raises(RowError):
        list(shapes.pages(value))


def test_a_row_of_texts_is_a_row_only_with_one_region(tmp_path: Path) -> None:
    """A list with two regions or two ids is not one row: its items are read singly and refused."""
    for row in ([A, "cn-hangzhou", "cn-shanghai"], [A, B, "cn-hangzhou"], [A, "web-01"]):
        found = samples.read(tmp_path, "fleet.json", json.dumps([row]), region="cn-hangzhou")

        assert [problem.code for problem in found.problems] == ["R0203"]


def test_the_state_of_terraform_says_region_and_tags(tmp_path: Path) -> None:
    """The region is derived from the zone, and an offline plan has the tags."""
    found = samples.read(tmp_path, "fleet.json", json.dumps(STATE))

    assert found.instances[A].region == "cn-hangzhou"
    assert found.instances[A].tags == (("a", "b"),)


def test_names_of_fields_differ_in_case_and_separators_only() -> None:
    """`InstanceId`, `instance_id`, `instance-id` and `instanceId` are the same field."""
    names = ("InstanceId", "instance_id", "instance-id", "instanceId", "Instance ID")

    assert {shapes.fold(name) for name in names} == {"instanceid"}
