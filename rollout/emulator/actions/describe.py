"""DescribeInstances and the actions that describe status and attributes of instances.

Members stand in the order of real answers; the sources are in `tests/data/rows/README.md`.

Two ways of paging: MaxResults with NextToken, or PageNumber with PageSize (10 by default: asking
for 100 ids without a page size answers 10). A caller without permission gets an empty list.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice

import msgspec

from rollout.ecs import contract, wire
from rollout.emulator.actions import filters
from rollout.emulator.actions.context import Context
from rollout.emulator.actions.instance_rows import serial_number
from rollout.emulator.actions.row_template import credit_specification, no_elastic_address
from rollout.emulator.cloud.lifecycle import MINUTE_MS, STATUS_NAMES, BaseStatus
from rollout.emulator.messages import Refusal

Body = Mapping[str, object]

_EVENT_FILTERS = ("EventId.", "EventType", "EventPublishTime.", "InstanceEventType.", "NotBefore.")


def describe_instances(call: Context) -> Body:
    """List instances of a region, or the named ones that exist there."""
    region = call.region()
    ids = _ids(call)
    matches = filters.matcher(call)
    permitted = call.may(region)
    if call.flag("DryRun"):
        if not permitted:
            raise Refusal("Forbidden.RAM")
        raise Refusal("DryRunOperation", status=call.cloud.switches.dry_run_status)
    candidates = _candidates(call, region, ids) if permitted else ()
    if call.text("MaxResults") or call.text("NextToken"):
        return _by_token(call, candidates, matches)
    return _by_number(call, candidates, matches)


def describe_instance_status(call: Context) -> Body:
    """Return id and status only: the cheapest poll. At most 50 a page, 10 by default."""
    region = call.region()
    zone = call.text("ZoneId")
    if zone and zone not in call.cloud.fleet.regions[region].zones:
        raise Refusal("InvalidZoneId.NotFound")
    ids = call.numbered_ids()
    instances = call.cloud.instances
    known = _candidates(call, region, ids or None) if call.may(region) else ()
    found = [o for o in known if instances.shape_of(o).zone == zone] if zone else list(known)
    page = call.number_in("PageNumber", 1, 1, 10**9)
    size = call.number_in("PageSize", contract.PAGE_SIZE_DEFAULT, 1, contract.STATUS_PAGE_SIZE_MAX)
    on_page = found[(page - 1) * size : page * size]
    named = list(map(instances.ids.id_of, on_page))
    statuses = instances.statuses(on_page, call.now, call.lag_ms)
    return {
        "TotalCount": len(found),
        "RequestId": "",
        "PageSize": size,
        "PageNumber": page,
        "InstanceStatuses": {"InstanceStatus": _status_rows(named, statuses)},
    }


def describe_instances_full_status(call: Context) -> Body:
    """Return status, health and planned system events.

    The emulated cloud has no events, so a filter by events matches nothing.
    """
    region = call.region()
    ids = call.numbered_ids()
    wanted = call.text("Status")
    health = call.text("HealthStatus")
    instances = call.cloud.instances
    rows = []
    of_events = any(name.startswith(_EVENT_FILTERS) for name in call.params)
    nothing = of_events or not call.may(region)
    for ordinal in () if nothing else _candidates(call, region, ids or None):
        status = STATUS_NAMES[instances.view(ordinal, call.now, call.lag_ms)[0]]
        if wanted in {"", status} and health in {"", _health(status)["Name"]}:
            rows.append(_full_status(instances.ids.id_of(ordinal), status))
    page = call.number_in("PageNumber", 1, 1, 10**9)
    size = call.number_in("PageSize", contract.PAGE_SIZE_DEFAULT, 1, 100)
    return {
        "PageNumber": page,
        "PageSize": size,
        "TotalCount": len(rows),
        "InstanceFullStatusSet": {"InstanceFullStatusType": rows[(page - 1) * size : page * size]},
    }


def describe_instance_attribute(call: Context) -> Body:
    """Return one instance, without KeyPairName, OSType, OSName and StartTime, as the service."""
    instance = call.required("InstanceId")
    instances = call.cloud.instances
    ordinal = instances.find(instance)
    if ordinal is None:
        raise Refusal("InvalidInstanceId.NotFound")
    shape = instances.shape_of(ordinal)
    call.demand(shape.region.name, instances=[instance])
    status = instances.view(ordinal, call.now, call.lag_ms)[0]
    name = instances.name_of(ordinal)
    return {
        "Description": "",
        "Memory": shape.memory_mb,
        "InstanceChargeType": shape.charge_type,
        "Cpu": shape.cpu,
        "InstanceNetworkType": shape.network_type,
        "PublicIpAddress": {"IpAddress": []},
        "InnerIpAddress": {"IpAddress": []},
        "EnableJumboFrame": False,
        "ExpiredTime": shape.expired_time,
        "ImageId": shape.image.image_id,
        "EipAddress": no_elastic_address(),
        "InstanceType": shape.instance_type,
        "VlanId": "",
        "HostName": name,
        "Status": STATUS_NAMES[status],
        "IoOptimized": "optimized" if shape.io_optimized else "none",
        "RequestId": "",
        "ZoneId": shape.zone,
        "ClusterId": "",
        "InstanceId": instance,
        "StoppedMode": instances.stopped_mode(ordinal, status),
        "DedicatedHostAttribute": {"DedicatedHostId": "", "DedicatedHostName": ""},
        "SecurityGroupIds": {"SecurityGroupId": [shape.security_group]},
        "VpcAttributes": {
            "PrivateIpAddress": {"IpAddress": [instances.address_of(ordinal)]},
            "VpcId": shape.vpc,
            "VSwitchId": shape.vswitch,
            "NatIpAddress": "",
        },
        "OperationLocks": {
            "LockReason": [{"LockReason": name} for name in instances.locks_of(ordinal)]
        },
        "InternetChargeType": shape.internet_charge_type,
        "InstanceName": name,
        "InternetMaxBandwidthOut": 0,
        "SerialNumber": serial_number(ordinal),
        "InternetMaxBandwidthIn": -1,
        "CreationTime": wire.iso_seconds(instances.created_minute[ordinal] * MINUTE_MS),
        "RegionId": shape.region.name,
        "CreditSpecification": credit_specification(shape),
    }


def _ids(call: Context) -> list[str] | None:
    """Return InstanceIds; None if absent. `[]` is a filter that matches nothing."""
    text = call.text("InstanceIds")
    if not text:
        return None
    ids = wire.json_array(text)
    if ids is None:
        raise Refusal("InvalidInstanceIds.ValueNotSupported")
    if len(ids) > contract.DESCRIBE_IDS_MAX:
        raise Refusal("InvalidParameter.TooManyInstanceIds")
    return ids


def _candidates(call: Context, region: str, ids: list[str] | None) -> Iterable[int]:
    """Return ordinals in fleet order, which tokens rely on; unknown ids are omitted."""
    instances = call.cloud.instances
    if ids is not None:
        found = instances.find_all(ids, region)
        return sorted({ordinal for ordinal in found if ordinal is not None})
    span = instances.spans.get(region, range(0))
    if not instances.released:
        return span
    return (o for o in span if instances.base[o] != BaseStatus.RELEASED)


def _by_token(
    call: Context, candidates: Iterable[int], matches: filters.Matches | None
) -> dict[str, object]:
    """Return one page from the token on. TotalCount means nothing here, so it is 0."""
    limit = call.number_in(
        "MaxResults", contract.PAGE_SIZE_DEFAULT, contract.MAX_RESULTS_MIN, contract.MAX_RESULTS_MAX
    )
    first = call.first()
    page = _page_from(candidates, first, matches, limit + 1)
    more = len(page) > limit
    return {
        "Instances": {"Instance": _rows(call, page[:limit])},
        "TotalCount": 0,
        "NextToken": call.next_token(page[limit]) if more else "",
        "PageSize": limit,
        "RequestId": "",
        "PageNumber": 1,
    }


def _by_number(
    call: Context, candidates: Iterable[int], matches: filters.Matches | None
) -> dict[str, object]:
    page = call.number_in("PageNumber", 1, 1, 10**9)
    size = call.number_in(
        "PageSize", contract.PAGE_SIZE_DEFAULT, 1, contract.INSTANCES_PAGE_SIZE_MAX
    )
    whole = isinstance(candidates, range | list) and matches is None
    found = candidates if whole else [o for o in candidates if matches is None or matches(o)]
    assert isinstance(found, range | list)  # noqa: S101 - for the type checker
    return {
        "Instances": {"Instance": _rows(call, found[(page - 1) * size : page * size])},
        "TotalCount": len(found),
        "NextToken": "",
        "PageSize": size,
        "RequestId": "",
        "PageNumber": page,
    }


def _page_from(
    candidates: Iterable[int], first: int, matches: filters.Matches | None, count: int
) -> Sequence[int]:
    """Return the next `count` from ordinal `first` on. A range is not walked up to there."""
    if isinstance(candidates, range):
        candidates = range(max(candidates.start, first), candidates.stop)
        first = 0
    if isinstance(candidates, range | list) and matches is None and not first:
        return candidates[:count]
    found = (o for o in candidates if o >= first and (matches is None or matches(o)))
    return list(islice(found, count))


def _rows(call: Context, ordinals: Sequence[int]) -> Sequence[object]:
    return call.rows.render(ordinals, call.now, call.lag_ms)


def _status_rows(ids: list[str], statuses: list[int]) -> msgspec.Raw:
    """Return the array of ids and statuses as JSON, joined without an object per row.

    An id that was found needs no escape: see `rows`.
    """
    if not ids:
        return msgspec.Raw(b"[]")
    parts = [""] * (2 * len(ids))
    parts[::2] = map(_BEFORE_ID.__getitem__, statuses)
    parts[1::2] = ids
    text = "".join(parts).removeprefix(_AFTER_ID)
    return msgspec.Raw(f'[{text}"}}]'.encode())


def _full_status(instance: str, status: str) -> dict[str, object]:
    return {
        "InstanceId": instance,
        "Status": {"Code": _STATUS_CODES[status], "Name": status},
        "HealthStatus": _health(status),
        "ScheduledSystemEventSet": {"ScheduledSystemEventType": []},
    }


def _health(status: str) -> dict[str, object]:
    return {"Code": 0, "Name": "Ok"} if status == "Running" else _NOT_APPLICABLE


_AFTER_ID = '"},'
_BEFORE_ID = tuple(f'{_AFTER_ID}{{"Status":"{name}","InstanceId":"' for name in STATUS_NAMES)

# The names are documented, the numbers are not: these are made up.
_STATUS_CODES = {"Pending": 0, "Starting": 16, "Running": 1, "Stopping": 4, "Stopped": 8}
_NOT_APPLICABLE = {"Code": 64, "Name": "NotApplicable"}
