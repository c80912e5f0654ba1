"""Commands and looks as requests, with the parameters the real client sends.

Called by the network of the simulator. A test compares these with what the real client puts on the
wire.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from rollout.ecs import contract
from rollout.model.command import (
    Attach,
    ImportKey,
    Observation,
    ObserveInstances,
    ObserveKeyPair,
    ObserveStatuses,
    RestartCall,
)
from rollout.model.event import Issued
from rollout.model.plan import Plan, RestartKind
from rollout.model.site import Site


class Wish(msgspec.Struct, frozen=True):
    """What is to be sent: action, region (the site's), parameters, and the ids it names."""

    action: str
    region: str
    params: Mapping[str, str]
    ids: tuple[str, ...] = ()


def of_intent(issued: Issued, site: Site, plan: Plan) -> Wish:
    """The call of an intent."""
    region = site.region
    match issued.command:
        case Attach(instances=ids, key=key):
            name = plan.keys[key].name
            params = {"RegionId": region, "KeyPairName": name, "InstanceIds": _json_array(ids)}
            return Wish("AttachKeyPair", region, params, ids)
        case RestartCall(kind=kind, instances=ids):
            return _restart(kind, region, ids)
        case ImportKey(key=key):
            wanted = plan.keys[key]
            params = {"RegionId": region, "KeyPairName": wanted.name}
            params["PublicKeyBody"] = wanted.public_key
            return Wish("ImportKeyPair", region, params)


def of_look(look: Observation, plan: Plan) -> Wish:
    """The call of a look."""
    match look:
        case ObserveInstances(site=(_, region), instances=ids):
            return describe(region, {"InstanceIds": _json_array(ids)}, ids)
        case ObserveKeyPair(site=(_, region), key=key):
            return describe_key(region, plan.keys[key].name)
        case ObserveStatuses(site=(_, region), instances=ids):
            params = {f"InstanceId.{number}": one for number, one in enumerate(ids, 1)}
            params |= {"RegionId": region, "PageSize": str(contract.STATUS_PAGE_SIZE_MAX)}
            return Wish("DescribeInstanceStatus", region, params, ids)


def describe(region: str, filters: Mapping[str, str], ids: tuple[str, ...] = ()) -> Wish:
    """One page of instances."""
    params = {"RegionId": region, "MaxResults": "100", **filters}
    return Wish("DescribeInstances", region, params, ids)


def describe_key(region: str, name: str) -> Wish:
    """The key pair of that name."""
    params = {"RegionId": region, "KeyPairName": name, "IncludePublicKey": "true"}
    params["PageSize"] = str(contract.KEY_PAIRS_PAGE_SIZE_MAX)
    return Wish("DescribeKeyPairs", region, params)


def _restart(kind: RestartKind, region: str, ids: tuple[str, ...]) -> Wish:
    action = kind.action(many=len(ids) > 1)
    if len(ids) == 1:
        return Wish(action, region, {"InstanceId": ids[0]}, ids)
    params = {f"InstanceId.{number}": one for number, one in enumerate(ids, 1)}
    params |= {"RegionId": region, "BatchOptimization": "SuccessFirst"}
    return Wish(action, region, params, ids)


def _json_array(ids: Sequence[str]) -> str:
    return msgspec.json.encode(list(ids)).decode()
