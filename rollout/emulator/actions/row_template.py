"""Templates of DescribeInstances rows: the JSON text that instances of one shape share.

Called by `instance_rows` once per shape. Members and their order are those of real replies; the
sources are in `tests/data/rows/README.md`.
"""

from typing import Final, NamedTuple

from rollout.emulator.cloud.shapes import Shape, fragment

_SLOT: Final = "\0"
"""Marks the position of an instance's value: no JSON text has this character."""

_THREADS_PER_CORE: Final = 2
_BURSTABLE: Final = frozenset({"ecs.t5", "ecs.t6"})
_SPOT_PRICE_LIMIT: Final = 0.98  # the price in the API reference; a fleet has none
_SPOT_PROTECTED_HOURS: Final = 1

_LOCAL_DISKS: Final = {
    f"ecs.{family}.{size}": disks
    for family, sizes in {
        "i2": {"xlarge": (1, 894), "2xlarge": (1, 1788), "4xlarge": (2, 1788)},
        "i3": {"xlarge": (1, 894), "2xlarge": (1, 1788), "4xlarge": (2, 1788)},
    }.items()
    for size, disks in sizes.items()
}
"""Number of local disks and GiB of each; instance types without an entry have none."""


class Values(NamedTuple):
    """The values of one instance in a row, in the order of the text.

    `host`, `name` and `locks` are JSON values. `tags` and `key` are members with a leading comma,
    or empty, because the service omits empty ones. The private address occurs three times.
    """

    host: str
    tags: str
    status: str
    instance: str
    mode: str
    started: str
    address: str
    name: str
    serial: str
    created: str
    primary: str
    mac: str
    interface: str
    private: str
    key: str
    locks: str


def row_template(shape: Shape) -> list[str]:
    """Return a row as pieces of text; every second one is empty and belongs to `Values`."""
    text = "".join(
        (
            "{",
            fragment(_purchase(shape)),
            f',"HostName":{_SLOT}{_SLOT},"VlanId":"","Status":"{_SLOT}",',
            fragment(_OPTIONS),
            f',"InstanceId":"{_SLOT}","StoppedMode":"{_SLOT}",',
            fragment({"CpuOptions": cpu_options(shape)}),
            f',"StartTime":"{_SLOT}",',
            fragment(_protection(shape)),
            f',"VpcAttributes":{{"PrivateIpAddress":{{"IpAddress":["{_SLOT}"]}},',
            fragment({"VpcId": shape.vpc, "VSwitchId": shape.vswitch, "NatIpAddress": ""}),
            "},",
            fragment({"InternetChargeType": shape.internet_charge_type}),
            f',"InstanceName":{_SLOT},',
            fragment(_placement(shape)),
            f',"SerialNumber":"{_SLOT}",',
            fragment({"OSType": shape.image.os_type}),
            f',"CreationTime":"{_SLOT}",',
            fragment(_family(shape)),
            _network_interface(shape.region.prefix),
            fragment(_offer(shape)),
            f"{_SLOT},",
            fragment(_hardware(shape)),
            f',"OperationLocks":{_SLOT},',
            fragment(_region(shape)),
            "}",
        )
    )
    pieces = [""] * (2 * len(Values._fields) + 1)
    pieces[::2] = text.split(_SLOT)
    return pieces


def filled(template: list[str], values: Values) -> str:
    """Return the row with these values."""
    pieces = template.copy()
    pieces[1::2] = values
    return "".join(pieces)


def _network_interface(prefix: str) -> str:
    return (
        ',"NetworkInterfaces":{"NetworkInterface":[{"Type":"Primary",'
        f'"PrimaryIpAddress":"{_SLOT}","MacAddress":"{_SLOT}",'
        f'"NetworkInterfaceId":"eni-{prefix}{_SLOT}",'
        f'"PrivateIpSets":{{"PrivateIpSet":[{{"PrivateIpAddress":"{_SLOT}","Primary":true}}]}}'
        "}]},"
    )


def cpu_options(shape: Shape) -> dict[str, object]:
    """Return `CpuOptions` of a shape."""
    cores = max(1, shape.cpu // _THREADS_PER_CORE)
    return {"ThreadsPerCore": _THREADS_PER_CORE, "Numa": "ON", "CoreCount": cores}


def credit_specification(shape: Shape) -> str:
    """Return `Standard` for burstable instances, an empty text for others."""
    return "Standard" if shape.family in _BURSTABLE else ""


def no_elastic_address() -> dict[str, object]:
    """Return `EipAddress` of an instance without one."""
    return {"AllocationId": "", "IpAddress": "", "InternetChargeType": ""}


_OPTIONS: Final = {
    "HibernationOptions": {"Configured": False},
    "MetadataOptions": {"HttpTokens": "", "HttpEndpoint": ""},
}


def _purchase(shape: Shape) -> dict[str, object]:
    image_options = {"LoginAsNonRoot": True} if shape.image.login_user != "root" else {}
    return {
        "ResourceGroupId": shape.resource_group,
        "Memory": shape.memory_mb,
        "InstanceChargeType": shape.charge_type,
        "Cpu": shape.cpu,
        "OSName": shape.image.os_name,
        "InstanceNetworkType": shape.network_type,
        "InnerIpAddress": {"IpAddress": []},
        "ExpiredTime": shape.expired_time,
        "ImageId": shape.image.image_id,
        "EipAddress": no_elastic_address(),
        "ImageOptions": image_options,
    }


def _protection(shape: Shape) -> dict[str, object]:
    return {
        "PrivateDnsNameOptions": {},
        "DeletionProtection": False,
        "SecurityGroupIds": {"SecurityGroupId": [shape.security_group]},
    }


def _placement(shape: Shape) -> dict[str, object]:
    spot = {"SpotInterruptionBehavior": "Terminate"} if shape.spot else {}
    return {"DeploymentSetId": shape.deployment_set, **spot, "InternetMaxBandwidthOut": 0}


def _family(shape: Shape) -> dict[str, object]:
    amount, gib = _LOCAL_DISKS.get(shape.instance_type, (0, 0))
    return {
        "AutoReleaseTime": "",
        "Description": "",
        **({"LocalStorageCapacity": gib} if amount else {}),
        "InstanceTypeFamily": shape.family,
        "DedicatedInstanceAttribute": {"Tenancy": "", "Affinity": ""},
        **({"SpotDuration": _SPOT_PROTECTED_HOURS} if shape.spot else {}),
        **({"LocalStorageAmount": amount} if amount else {}),
        "PublicIpAddress": {"IpAddress": []},
        "GPUSpec": "",
    }


def _offer(shape: Shape) -> dict[str, object]:
    limited = shape.spot_strategy == "SpotWithPriceLimit"
    return {
        "SpotPriceLimit": _SPOT_PRICE_LIMIT if limited else 0.0,
        "DeviceAvailable": True,
        "SaleCycle": "",
        "InstanceType": shape.instance_type,
        "SpotStrategy": shape.spot_strategy,
        "OSNameEn": shape.image.os_name,
    }


def _hardware(shape: Shape) -> dict[str, object]:
    return {
        "IoOptimized": shape.io_optimized,
        "ZoneId": shape.zone,
        "ClusterId": "",
        "EcsCapacityReservationAttr": {
            "CapacityReservationPreference": "",
            "CapacityReservationId": "",
        },
        "DedicatedHostAttribute": {
            "DedicatedHostId": "",
            "DedicatedHostName": "",
            "DedicatedHostClusterId": "",
        },
        "GPUAmount": 0,
    }


def _region(shape: Shape) -> dict[str, object]:
    return {
        "InternetMaxBandwidthIn": -1,
        "Recyclable": False,
        "RegionId": shape.region.name,
        "CreditSpecification": credit_specification(shape),
    }
