"""Rows of the Describe actions against golden answers and the member order of the service."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rollout.ecs.contract import Edition
from rollout.emulator.cloud.fleet import FleetBuilder
from rollout.emulator.cloud.lifecycle import BaseStatus, OperationLock
from rollout.emulator.cloud.shapes import Image, Shape
from rollout.emulator.cloud.switches import Switches
from rollout.emulator.dispatch import Cloud
from rollout.emulator.fleet import synthetic
from rollout.emulator.http.render import Format, body_bytes
from rollout.emulator.messages import Request
from tests.emulator.fixtures import CREATED_MINUTE, FORMER, NOW, REGION, STARTED

FOLDER = Path(__file__).parents[1] / "data" / "rows"
MEMBERS = (FOLDER / "members.txt").read_text(encoding="utf-8").splitlines()
ACTIONS = {
    "DescribeInstances": {"RegionId": REGION, "PageSize": "50"},
    "DescribeInstanceStatus": {"RegionId": REGION, "PageSize": "50"},
    "DescribeKeyPairs": {"RegionId": REGION, "IncludePublicKey": "true"},
}
EDITIONS = pytest.mark.parametrize("edition", [Edition.CURRENT, Edition.SEED])


def cloud(edition: Edition) -> Cloud:
    """One instance of each kind whose row has other members than the rest."""
    builder = FleetBuilder(NOW)
    region = builder.open_region(REGION)
    former = builder.key_pair(FORMER, synthetic.former_public_key(1, REGION)).number
    linux = Shape(
        region,
        region.zones[0],
        synthetic.LINUX_IMAGES[0],
        vpc="vpc-1",
        vswitch="vsw-1",
        security_group="sg-1",
    )
    own = Image("m-1", "linux", "50% \u7a33\u5b9a", "ecs-user")
    shapes = {
        "linux": linux,
        "windows": msgspec.structs.replace(linux, image=synthetic.WINDOWS_IMAGE),
        "burstable": msgspec.structs.replace(linux, instance_type="ecs.t6-c1m2.large"),
        "spot": msgspec.structs.replace(linux, spot_strategy="SpotWithPriceLimit"),
        "disks": msgspec.structs.replace(linux, image=own, instance_type="ecs.i3.xlarge"),
    }
    none, tags = builder.tags(()), builder.tags((("app", "cart"), ("tier", "web")))
    kinds = [
        ("i-key", "linux", tags, former, OperationLock.NONE, BaseStatus.RUNNING),
        ("i-bare", "linux", none, 0, OperationLock.NONE, BaseStatus.STOPPED),
        ("i-locked", "linux", none, former, OperationLock.SECURITY, BaseStatus.RUNNING),
        *(
            (f"i-{kind}", kind, none, 0, OperationLock.NONE, BaseStatus.RUNNING)
            for kind in list(shapes)[1:]
        ),
    ]
    for name, kind, tagged, record, lock, status in kinds:
        builder.add(
            builder.shape(shapes[kind]),
            tagged,
            status=status,
            record=record,
            lock=lock,
            instance=name,
            name=f"{name} \u540d",
            start_ms=STARTED,
            created_minute=CREATED_MINUTE,
        )
    return Cloud(builder.finish(1), Switches(edition=edition), seed=1)


def answers(edition: Edition) -> dict[str, str]:
    """The JSON text of each action."""
    asked = cloud(edition)
    return {
        action: body_bytes(asked.handle(Request(action, params), NOW), action, Format.JSON).decode()
        for action, params in ACTIONS.items()
    }


def paths(value: Any, before: str = "") -> Iterator[str]:
    """Dotted names of all members in the order of the text; of a list, those of its first item."""
    if isinstance(value, list):
        yield from paths(value[0] if value else None, before)
    if isinstance(value, dict):
        for name, inner in value.items():
            yield f"{before}{name}"
            yield from paths(inner, f"{before}{name}.")


@EDITIONS
def test_answers_are_the_golden_ones(edition: Edition) -> None:
    """Every member, value and position of the three answers is fixed for each edition."""
    golden = (FOLDER / f"{edition.value}.json").read_text(encoding="utf-8")
    bodies = {action: json.loads(text) for action, text in answers(edition).items()}
    assert f"{json.dumps(bodies, indent=2, ensure_ascii=False)}\n" == golden


@EDITIONS
def test_members_stand_in_the_order_of_the_service(edition: Edition) -> None:
    """A row has every member that real answers have, in their order; only optional ones lack."""
    order = [line.removesuffix(" ?") for line in MEMBERS]
    needed = {line for line in MEMBERS if not line.endswith(" ?")}
    seen: set[str] = set()
    for row in json.loads(answers(edition)["DescribeInstances"])["Instances"]["Instance"]:
        members = list(paths(row))
        assert members == sorted(members, key=order.index)
        assert needed <= set(members)
        seen |= set(members)
    assert seen == set(order)


@EDITIONS
def test_a_client_that_scans_the_text_finds_the_members_one_after_the_other(
    edition: Edition,
) -> None:
    """Shell scripts read a row by the order of its text, without a JSON parser."""
    text = answers(edition)["DescribeInstances"]
    row = text[: text.index('"CreditSpecification"')]
    scanned = ("EipAddress", "Status", "InstanceId", "PublicIpAddress", "NetworkInterfaces")
    places = [row.index(f'"{name}":') for name in scanned]
    assert places == sorted(places)
