"""Addresses of instances, read from a page of DescribeInstances."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rollout.ecs import networks
from tests import tree

XML = tree.ROOT / "tests" / "data" / "xml" / "DescribeInstances.xml"


def page(**fields: Any) -> bytes:
    """A page with one instance."""
    return json.dumps({"Instances": {"Instance": [{"InstanceId": "i-1", **fields}]}}).encode()


@pytest.mark.parametrize(
    "cards,expected",
    [
        ({"NetworkInterface": [{"MacAddress": "00:16:3E:00:00:10"}]}, {"00:16:3e:00:00:10"}),
        ({"NetworkInterface": [{"MacAddress": "a"}, {"MacAddress": "b"}, {}, 7]}, {"a", "b"}),
        ({"NetworkInterface": {"MacAddress": "a"}}, {"a"}),
        ({}, set()),
        (None, set()),
        ([1], set()),
        ("none", set()),
    ],
)
def test_an_instance_has_the_macs_of_its_interfaces(cards: object, expected: set[str]) -> None:
    """In lower case; an interface that cannot be read is none."""
    assert networks.macs(page(NetworkInterfaces=cards), ["10.0.0.1"]) == {
        "i-1": frozenset(expected)
    }


CARDS = {
    "NetworkInterface": [
        {"MacAddress": "a", "PrimaryIpAddress": "10.0.0.2"},
        {
            "MacAddress": "b",
            "PrivateIpSets": {
                "PrivateIpSet": [
                    {"PrivateIpAddress": "10.0.0.3", "Primary": True},
                    {"PrivateIpAddress": "10.0.0.4", "Primary": False},
                ]
            },
        },
    ]
}


@pytest.mark.parametrize("address", ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5"])
def test_an_instance_at_another_address_is_ignored(address: str) -> None:
    """A service that ignores the filter lists other instances too. The addresses of an instance are
    those of its VPC and of its interfaces.
    """
    network = {"PrivateIpAddress": {"IpAddress": ["10.0.0.1"]}}
    body = page(VpcAttributes=network, NetworkInterfaces=CARDS)

    assert networks.macs(body, ["10.9.9.9", address]).keys() == (
        set() if address == "10.0.0.5" else {"i-1"}
    )


@pytest.mark.parametrize(
    "network", [None, {}, 7, {"PrivateIpAddress": None}, {"PrivateIpAddress": {"IpAddress": []}}]
)
def test_an_instance_without_addresses_is_not_ignored(network: object) -> None:
    """A row that shows no address proves nothing: its MAC address decides."""
    assert networks.macs(page(VpcAttributes=network), ["10.0.0.1"]) == {"i-1": frozenset()}


def test_xml_pages_have_addresses_too() -> None:
    """The same facts in the other form of a reply."""
    body = Path(XML).read_bytes()

    found = networks.addresses(body)
    macs = networks.macs(body, [own.private for own in found.values()])
    assert "00:16:3e:00:00:10" in {mac for own in macs.values() for mac in own}
    assert found.keys() == macs.keys()
