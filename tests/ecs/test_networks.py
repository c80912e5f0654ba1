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
    assert networks.macs(page(NetworkInterfaces=cards)) == {"i-1": frozenset(expected)}


def test_xml_pages_have_addresses_too() -> None:
    """The same facts in the other form of a reply."""
    body = Path(XML).read_bytes()

    assert "00:16:3e:00:00:10" in {mac for own in networks.macs(body).values() for mac in own}
    assert networks.addresses(body).keys() == networks.macs(body).keys()
