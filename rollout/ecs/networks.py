"""Read the addresses of instances from a page of DescribeInstances.

Called by the client for probes of instances, and to find the machine that runs rollout. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from rollout.ecs import wire
from rollout.ecs.wire import MalformedError
from rollout.model.verify import Addresses


def addresses(body: bytes) -> dict[str, Addresses]:
    """Return the addresses of the instances in a page of DescribeInstances that was read before.
    An elastic address comes before a public one.
    """
    found = {}
    for row in _rows(body):
        network = row.get("vpcattributes")
        inner = network if isinstance(network, Mapping) else {}
        private = _first(inner.get("privateipaddress")) or _first(row.get("inneripaddress"))
        elastic = row.get("eipaddress")
        bound = elastic.get("ipaddress") if isinstance(elastic, Mapping) else ""
        public = str(bound or "") or _first(row.get("publicipaddress"))
        found[str(row.get("instanceid"))] = Addresses(private, public)
    return found


def macs(body: bytes, at: Collection[str]) -> dict[str, frozenset[str]]:
    """Return the MAC addresses of the instances in a page that was read before, in lower case; none
    for an instance whose interfaces cannot be read.

    Leaves out instances that have private addresses, but none of `at`.
    """
    found = {}
    for row in _rows(body):
        own = _private(row)
        if own and own.isdisjoint(at):
            continue
        known = [card.get("macaddress") for card in _cards(row)]
        found[str(row.get("instanceid"))] = frozenset(str(mac).lower() for mac in known if mac)
    return found


def _private(row: Mapping[str, Any]) -> set[str]:
    """Return the private addresses of an instance and of its interfaces."""
    network = row.get("vpcattributes")
    inner = network.get("privateipaddress") if isinstance(network, Mapping) else None
    found = _readable(inner, "ipaddress")
    for card in _cards(row):
        found.append(card.get("primaryipaddress"))
        sets = _readable(card.get("privateipsets"), "privateipset")
        found += [one.get("privateipaddress") for one in sets if isinstance(one, Mapping)]
    return {str(address) for address in found if address}


def _cards(row: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the interfaces of an instance that can be read."""
    cards = _readable(row.get("networkinterfaces"), "networkinterface")
    return [one for one in cards if isinstance(one, Mapping)]


def _readable(parent: object, singular: str) -> list[object]:
    """Return the members of a list; none if it has another form."""
    try:
        return wire.items(parent, singular)
    except MalformedError:
        return []


def _rows(body: bytes) -> Iterator[Mapping[str, Any]]:
    rows = wire.items(wire.decode(body)["instances"], "instance")
    return (row for row in rows if isinstance(row, Mapping))


def _first(block: object) -> str:
    """Return the first address of a list as the service nests it; empty where there is none."""
    listed = wire.items(block, "ipaddress") if block else []
    return str(listed[0]) if listed else ""
