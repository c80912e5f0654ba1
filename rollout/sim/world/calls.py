"""Requests of commands and observations, with the parameters that the real client sends.

Called by the simulator. A test compares them with the requests of the real client.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from rollout.ecs import contract
from rollout.model.command import (
    Attach,
    ImportKey,
    ObserveInstances,
    ObserveKeyPair,
    ObserveStatuses,
    RestartCall,
    ServiceObservation,
)
from rollout.model.event import Issued
from rollout.model.plan import Plan, RestartKind
from rollout.model.site import Site


class ApiRequest(msgspec.Struct, frozen=True):
    """A request of the API: action, region of the site, parameters, and instance ids."""

    action: str
    region: str
    params: Mapping[str, str]
    ids: tuple[str, ...] = ()


def of_intent(issued: Issued, site: Site, plan: Plan) -> ApiRequest:
    """Return the request of an intent."""
    region = site.region
    match issued.command:
        case Attach(instances=ids, key=key):
            name = plan.keys[key].name
            params = {"RegionId": region, "KeyPairName": name, "InstanceIds": _json_array(ids)}
            return ApiRequest("AttachKeyPair", region, params, ids)
        case RestartCall(kind=kind, instances=ids):
            return _restart(kind, region, ids)
        case ImportKey(key=key):
            wanted = plan.keys[key]
            params = {"RegionId": region, "KeyPairName": wanted.name}
            params["PublicKeyBody"] = wanted.public_key
            return ApiRequest("ImportKeyPair", region, params)


def of_observation(observation: ServiceObservation, plan: Plan) -> ApiRequest:
    """Return the request of an observation."""
    match observation:
        case ObserveInstances(site=(_, region), instances=ids):
            return describe(region, {"InstanceIds": _json_array(ids)}, ids)
        case ObserveKeyPair(site=(_, region), key=key):
            return describe_key(region, plan.keys[key].name)
        case ObserveStatuses(site=(_, region), instances=ids):
            params = {f"InstanceId.{number}": one for number, one in enumerate(ids, 1)}
            params |= {"RegionId": region, "PageSize": str(contract.STATUS_PAGE_SIZE_MAX)}
            return ApiRequest("DescribeInstanceStatus", region, params, ids)


def describe(region: str, filters: Mapping[str, str], ids: tuple[str, ...] = ()) -> ApiRequest:
    """Return the request of one page of instances."""
    params = {"RegionId": region, "MaxResults": "100", **filters}
    return ApiRequest("DescribeInstances", region, params, ids)


def describe_key(region: str, name: str) -> ApiRequest:
    """Return the request for the key pair of that name."""
    params = {"RegionId": region, "KeyPairName": name, "IncludePublicKey": "true"}
    params["PageSize"] = str(contract.KEY_PAIRS_PAGE_SIZE_MAX)
    return ApiRequest("DescribeKeyPairs", region, params)


def _restart(kind: RestartKind, region: str, ids: tuple[str, ...]) -> ApiRequest:
    action = kind.action(many=len(ids) > 1)
    if len(ids) == 1:
        return ApiRequest(action, region, {"InstanceId": ids[0]}, ids)
    params = {f"InstanceId.{number}": one for number, one in enumerate(ids, 1)}
    params |= {"RegionId": region, "BatchOptimization": "SuccessFirst"}
    return ApiRequest(action, region, params, ids)


def _json_array(ids: Sequence[str]) -> str:
    return msgspec.json.encode(list(ids)).decode()
