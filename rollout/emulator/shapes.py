"""Facts that many instances share, stored once: images, shapes (what was bought, where) and tags.

Filled by the fleets, read by the rows and filters. An instance holds two small numbers instead of a
tree of objects; everything that cannot change through the API lives here.
"""

from collections.abc import Callable, Hashable, Mapping
from typing import Final, Generic, TypeVar

import msgspec

from rollout.ecs import wire
from rollout.emulator.regions import Region

FAR_EXPIRY: Final = "2099-12-31T15:59Z"  # what pay-as-you-go instances show as ExpiredTime

_T = TypeVar("_T", bound=Hashable)


class Image(msgspec.Struct, frozen=True):
    """An image. `os_type` is `linux` or `windows`, or empty where the service does not know."""

    image_id: str
    os_type: str
    os_name: str
    login_user: str = "root"


class Shape(msgspec.Struct, frozen=True):
    """What an instance is, apart from its id, its state, its names and its tags."""

    region: Region
    zone: str
    image: Image
    instance_type: str = "ecs.g7.large"
    cpu: int = 2
    memory_mb: int = 8192
    vpc: str = ""
    vswitch: str = ""
    security_group: str = ""
    network_type: str = "vpc"
    charge_type: str = "PostPaid"
    internet_charge_type: str = "PayByTraffic"
    spot_strategy: str = "NoSpot"
    io_optimized: bool = True
    resource_group: str = ""
    deployment_set: str = ""
    expired_time: str = FAR_EXPIRY

    @property
    def family(self) -> str:
        """`ecs.g7` of `ecs.g7.large`."""
        return self.instance_type.rpartition(".")[0]

    @property
    def windows(self) -> bool:
        """Whether the service counts it as Windows."""
        return self.image.os_type.lower() == "windows"


Tags = tuple[tuple[str, str], ...]


class Pool(Generic[_T]):
    """Values with a small number each: equal values share one. `rendered` is kept beside."""

    def __init__(self, render: Callable[[_T], str]) -> None:
        self.values: list[_T] = []
        self.rendered: list[str] = []
        self._numbers: dict[_T, int] = {}
        self._render = render

    def add(self, value: _T) -> int:
        """The number of `value`, a new one the first time."""
        number = self._numbers.setdefault(value, len(self.values))
        if number == len(self.values):
            self.values.append(value)
            self.rendered.append(self._render(value))
        return number


def shape_pool() -> Pool[Shape]:
    """A pool of shapes, rendered by `shape_fragment`."""
    return Pool(shape_fragment)


def tags_pool() -> Pool[Tags]:
    """A pool of tag sets that renders the `Tags` field of a row."""
    return Pool(lambda tags: fragment({"Tags": tags_field(tags)}))


ADDRESS_CLOSE: Final = "]}}"
"""What ends the members of a shape after its private address."""


def shape_fragment(shape: Shape) -> str:
    """The constant members of a DescribeInstances row, open where the private address comes."""
    network = {
        "VpcId": shape.vpc,
        "VSwitchId": shape.vswitch,
        "NatIpAddress": "",
        "PrivateIpAddress": {"IpAddress": [""]},
    }
    whole = fragment({**shape_fields(shape), "VpcAttributes": network})
    return whole.removesuffix(f'""{ADDRESS_CLOSE}')


def fragment(fields: Mapping[str, object]) -> str:
    """JSON members without the braces, ready to be set between others."""
    return wire.encode_json(fields).decode()[1:-1]


def tags_field(tags: Tags) -> dict[str, list[dict[str, str]]]:
    """Tags as the service writes them."""
    return {"Tag": [{"TagKey": key, "TagValue": value} for key, value in tags]}


def shape_fields(shape: Shape) -> dict[str, object]:
    """The members of a DescribeInstances row that follow from the shape alone."""
    spot = shape.spot_strategy != "NoSpot"
    return {
        "RegionId": shape.region.name,
        "ZoneId": shape.zone,
        "OSType": shape.image.os_type,
        "OSName": shape.image.os_name,
        "OSNameEn": shape.image.os_name,
        "ImageId": shape.image.image_id,
        "ImageOptions": {
            "LoginAsNonRoot": shape.image.login_user != "root",
            "CurrentOSNVMeSupported": False,
        },
        "InstanceType": shape.instance_type,
        "InstanceTypeFamily": shape.family,
        "Cpu": shape.cpu,
        "Memory": shape.memory_mb,
        "IoOptimized": shape.io_optimized,
        "InstanceNetworkType": shape.network_type,
        "PublicIpAddress": {"IpAddress": []},
        "InnerIpAddress": {"IpAddress": []},
        "EipAddress": {"IpAddress": "", "AllocationId": "", "InternetChargeType": ""},
        "SecurityGroupIds": {"SecurityGroupId": [shape.security_group]},
        "InstanceChargeType": shape.charge_type,
        "InternetChargeType": shape.internet_charge_type,
        "SpotStrategy": shape.spot_strategy,
        "SpotDuration": 1 if spot else 0,
        "SpotInterruptionBehavior": "Terminate" if spot else "",
        "ExpiredTime": shape.expired_time,
        "AutoReleaseTime": "",
        "Recyclable": False,
        "DeletionProtection": False,
        "DeploymentSetId": shape.deployment_set,
        "DedicatedHostAttribute": {"DedicatedHostId": "", "DedicatedHostName": ""},
        "ResourceGroupId": shape.resource_group,
        "MetadataOptions": {"HttpEndpoint": "enabled", "HttpTokens": "optional"},
        "HibernationOptions": {"Configured": False},
        "GPUAmount": 0,
        "GPUSpec": "",
        "VlanId": "",
        "ClusterId": "",
        "Description": "",
    }
