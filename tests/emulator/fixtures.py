"""What the tests of the emulator share: a small cloud with one of each kind, a way to call it."""

import json
from collections.abc import Mapping
from typing import Any

from rollout.emulator.cloud.fleet import Fleet, FleetBuilder
from rollout.emulator.cloud.lifecycle import BaseStatus, OperationLock
from rollout.emulator.cloud.shapes import Shape
from rollout.emulator.cloud.state import ObservedInstance
from rollout.emulator.cloud.switches import Switches
from rollout.emulator.dispatch import Cloud
from rollout.emulator.fault_plan import FaultPlan
from rollout.emulator.fleet import synthetic
from rollout.emulator.http.render import Format, body_bytes
from rollout.emulator.messages import Reply, Request

NOW = 1_770_000_000_000
STARTED = NOW - 7_200_000
CREATED_MINUTE = NOW // 60_000 - 9_999
REGION = "cn-hangzhou"
FORMER = synthetic.FORMER_KEY_PAIR
FRESH = "fresh"
FRESH_BODY = synthetic.ed25519_line(b"\x07" * 32, "fresh")


def fleet() -> Fleet:
    """Ids that say what they are: i-plain-1 to i-plain-12 and one of each odd kind."""
    builder = FleetBuilder(NOW)
    region = builder.open_region(REGION)
    former = builder.key_pair(FORMER, synthetic.former_public_key(1, REGION)).number
    builder.key_pair(FRESH, FRESH_BODY)
    linux = builder.shape(Shape(region, region.zones[0], synthetic.LINUX_IMAGES[0], vpc="vpc-1"))
    windows = builder.shape(Shape(region, region.zones[1], synthetic.WINDOWS_IMAGE))
    old = builder.shape(
        Shape(region, region.zones[0], synthetic.LINUX_IMAGES[0], io_optimized=False)
    )
    kinds: list[tuple[str, int, int, OperationLock, BaseStatus]] = [
        *(
            (f"i-plain-{n}", linux, former, OperationLock.NONE, BaseStatus.RUNNING)
            for n in range(1, 13)
        ),
        ("i-stopped", linux, former, OperationLock.NONE, BaseStatus.STOPPED),
        ("i-keyless", linux, 0, OperationLock.NONE, BaseStatus.RUNNING),
        ("i-windows", windows, 0, OperationLock.NONE, BaseStatus.RUNNING),
        ("i-old", old, former, OperationLock.NONE, BaseStatus.RUNNING),
        ("i-security", linux, former, OperationLock.SECURITY, BaseStatus.RUNNING),
        ("i-arrears", linux, former, OperationLock.FINANCIAL, BaseStatus.STOPPED),
    ]
    tags = builder.tags((("app", "cart"), ("tier", "web")))
    for name, shape, record, lock, status in kinds:
        builder.add(
            shape,
            tags,
            status=status,
            record=record,
            lock=lock,
            instance=name,
            start_ms=STARTED,
            created_minute=CREATED_MINUTE,
        )
    beijing = builder.open_region("cn-beijing")
    builder.key_pair(FORMER, synthetic.former_public_key(1, "cn-beijing"))
    far = builder.shape(Shape(beijing, beijing.zones[0], synthetic.LINUX_IMAGES[0]))
    builder.add(far, tags, instance="i-far", start_ms=STARTED, created_minute=CREATED_MINUTE)
    return builder.finish(1)


def cloud(switches: Switches = Switches(), faults: FaultPlan | None = None) -> Cloud:  # noqa: B008
    """A cloud over that fleet."""
    return Cloud(fleet(), switches, faults=faults, seed=1)


def call(
    cloud: Cloud,
    action: str,
    params: Mapping[str, str] | None = None,
    *,
    now: int = NOW,
    **named: str,
) -> Reply:
    """One call by the default user; the name `InstanceId_1` stands for `InstanceId.1`."""
    dotted = {name.replace("_", "."): value for name, value in named.items()}
    return cloud.handle(Request(action, {**(params or {}), **dotted}), now)


def body(reply: Reply, action: str = "DescribeInstances") -> dict[str, Any]:
    """The JSON body of a reply, read back from its bytes."""
    decoded: dict[str, Any] = json.loads(body_bytes(reply, action, Format.JSON))
    return decoded


def ids(*names: str) -> str:
    """InstanceIds as one JSON text."""
    return json.dumps(list(names))


def attach(cloud: Cloud, *names: str, now: int = NOW, key: str = FRESH) -> Reply:
    """AttachKeyPair in the first region."""
    return call(
        cloud, "AttachKeyPair", now=now, RegionId=REGION, KeyPairName=key, InstanceIds=ids(*names)
    )


def rows(
    cloud: Cloud, params: Mapping[str, str] | None = None, *, now: int = NOW
) -> list[dict[str, Any]]:
    """The rows of DescribeInstances in the first region, up to 100."""
    given = {"RegionId": REGION, "PageSize": "100", **(params or {})}
    answer = body(call(cloud, "DescribeInstances", given, now=now))
    found: list[dict[str, Any]] = answer["Instances"]["Instance"]
    return found


def row(cloud: Cloud, instance: str, now: int = NOW) -> dict[str, Any]:
    """One row."""
    return rows(cloud, {"InstanceIds": ids(instance)}, now=now)[0]


def observed_one(cloud: Cloud, instance: str, now: int = NOW) -> ObservedInstance:
    """One instance with what is hidden."""
    return next(s for s in cloud.observe(now) if s.instance == instance)
