"""The filters of the Describe actions.

All filters of a call are ANDed. Filters of a shape or a set of tags are evaluated once per
call, not once per instance.
"""

import re
from collections.abc import Callable, Mapping
from fnmatch import translate
from functools import lru_cache
from typing import Final

from rollout.ecs import contract, wire
from rollout.emulator.actions.context import Context
from rollout.emulator.cloud.cache import Cache
from rollout.emulator.cloud.instances import Instances
from rollout.emulator.cloud.lifecycle import MINUTE_MS, STATUS_NAMES, BaseStatus, OperationLock
from rollout.emulator.cloud.shapes import Shape, Tags
from rollout.emulator.messages import Refusal

Matches = Callable[[int], bool]
"""Whether the instance of this ordinal matches."""

_JUDGED_CACHED_MAX: Final = 65_536
"""Shapes and sets of tags whose result is cached for one call. About 8 MiB."""

_TAG: Final = re.compile(r"(Tag|ResourceTag)\.(\d+)\.(Key|Value|key|value)")

# Other values are refused with the code in the row.
_CLOSED: Final = {
    "Status": (STATUS_NAMES[: BaseStatus.RELEASED], "InvalidStatus.NotFound"),
    "InstanceNetworkType": (("vpc", "classic"), "InvalidNetworkType.NotFound"),
    "InstanceChargeType": (("PrePaid", "PostPaid"), "InvalidInstanceChargeType.NotFound"),
    "InternetChargeType": (
        ("PayByTraffic", "PayByBandwidth"),
        "InvalidInternetChargeType.ValueNotSupported",
    ),
    "LockReason": (
        tuple(str(flag.name).lower() for flag in OperationLock),
        "InvalidLockReason.NotFound",
    ),
}

# The parameters of a plain page or read-back: most calls have no others.
_NO_FILTERS: Final = frozenset(
    {"RegionId", "InstanceIds", "MaxResults", "NextToken", "PageNumber", "PageSize", "DryRun"}
)

_SHAPE_FIELDS: Final[Mapping[str, Callable[[Shape], str]]] = {
    "ZoneId": lambda shape: shape.zone,
    "ImageId": lambda shape: shape.image.image_id,
    "InstanceType": lambda shape: shape.instance_type,
    "InstanceTypeFamily": lambda shape: shape.family,
    "VpcId": lambda shape: shape.vpc,
    "VSwitchId": lambda shape: shape.vswitch,
    "SecurityGroupId": lambda shape: shape.security_group,
    "InstanceNetworkType": lambda shape: shape.network_type,
    "InstanceChargeType": lambda shape: shape.charge_type,
    "InternetChargeType": lambda shape: shape.internet_charge_type,
    "ResourceGroupId": lambda shape: shape.resource_group,
    "HttpEndpoint": lambda _: "enabled",
    "HttpTokens": lambda _: "optional",
}

# Addresses of these kinds do not exist here: a filter by one matches nothing.
_NO_ADDRESSES: Final = ("PublicIpAddresses", "InnerIpAddresses", "EipAddresses", "RdmaIpAddresses")


def matcher(call: Context) -> Matches | None:
    """Return the filters of a DescribeInstances call; None if it has none.

    Errors: Refusal for values that the service does not know.
    """
    params = call.params
    if _NO_FILTERS.issuperset(params):
        return None
    for name, (known, code) in _CLOSED.items():
        if (value := params.get(name)) and _folded(name, value) not in known:
            raise Refusal(code)
    if params.get("HpcClusterId"):  # no instance has one
        raise Refusal("InvalidHpcClusterId.NotFound")
    tests = [*_of_shape(call), *_of_tags(call), *_of_columns(call), *_of_times(call)]
    if not tests:
        return None
    return lambda ordinal: all(test(ordinal) for test in tests)


def wildcard(pattern: str, text: str) -> bool:
    """Return a matcher: `*` matches any text; without it the whole text must be equal."""
    return _pattern(pattern).match(text) is not None


def requested_tags(params: Mapping[str, str]) -> Tags:
    """Return `Tag.N.Key` and `Tag.N.Value`, in the order of N; a missing value is empty.

    Errors: Refusal for more than 20 tags and for a value without its key.
    """
    return _tags(params, "Tag", too_many="InvalidTagCount", no_key="InvalidTag.Mismatch")


def resource_tags(params: Mapping[str, str]) -> Tags:
    """Return `ResourceTag.N.Key` and `.Value` of RunCommand, which select its instances."""
    return _tags(
        params,
        "ResourceTag",
        too_many="NumberExceed.ResourceTags",
        no_key="MissingParameter.ResourceTagKey",
    )


def tags_given(params: Mapping[str, str], *, too_many: str = "QuotaExceed.Tags") -> Tags:
    """Return the tags for a resource. Errors: Refusal for forbidden keys and values."""
    tags = _tags(params, "Tag", too_many=too_many, no_key="InvalidTagKey.Malformed")
    if len(dict(tags)) < len(tags):
        raise Refusal("Duplicate.TagKey")
    for key, value in tags:
        if key.startswith(contract.TAG_KEYS_RESERVED) or not _plain(key):
            raise Refusal("InvalidTagKey.Malformed")
        if not _plain(value):
            raise Refusal("InvalidTagValue.Malformed")
    return tags


def tagged(instances: Instances, requested: Tags) -> Matches:
    """Return which instances have all these tags."""
    value = instances.tag_sets.value
    verdicts = Cache[int, bool](
        lambda number: has_tags(value(number), requested), _JUDGED_CACHED_MAX
    )
    return lambda ordinal: verdicts[instances.tags[ordinal]]


def has_tags(tags: Tags, requested: Tags) -> bool:
    """Return whether all these tags are present; an empty value matches any value."""
    return all(any(k == key and value in {"", v} for k, v in tags) for key, value in requested)


@lru_cache(maxsize=64)
def _pattern(pattern: str) -> re.Pattern[str]:
    return re.compile(translate(pattern.replace("[", "[[]").replace("?", "[?]")))


def _tags(params: Mapping[str, str], prefix: str, *, too_many: str, no_key: str) -> Tags:
    """Return `prefix.N.Key` and `prefix.N.Value`, in the order of N, up to 20."""
    found: dict[int, dict[str, str]] = {}
    for name, value in params.items():
        if (match := _TAG.fullmatch(name)) and match[1] == prefix:
            found.setdefault(int(match[2]), {})[match[3].title()] = value
    if len(found) > contract.TAGS_MAX:
        raise Refusal(too_many)
    pairs = [found[n] for n in sorted(found)]
    if any(not pair.get("Key") for pair in pairs):
        raise Refusal(no_key)
    return tuple((pair["Key"], pair.get("Value", "")) for pair in pairs)


def _plain(text: str) -> bool:
    """Return whether a text is short enough for a tag and contains no URL."""
    address = "http://" in text or "https://" in text
    return len(text) <= contract.TAG_CHARS_MAX and not address


def _of_shape(call: Context) -> list[Matches]:
    requested = [(get, call.params[n]) for n, get in _SHAPE_FIELDS.items() if call.params.get(n)]
    optimized = wire.parse_bool(call.text("IoOptimized"))
    if not requested and optimized is None:
        return []

    def fits(shape: Shape) -> bool:
        return all(get(shape) == value for get, value in requested) and (
            optimized is None or shape.io_optimized is optimized
        )

    instances = call.cloud.instances
    shapes = instances.shapes.values
    verdicts = Cache[int, bool](lambda number: fits(shapes[number]), _JUDGED_CACHED_MAX)
    return [lambda ordinal: verdicts[instances.shape[ordinal]]]


def _of_tags(call: Context) -> list[Matches]:
    requested = requested_tags(call.params)
    return [tagged(call.cloud.instances, requested)] if requested else []


def _of_columns(call: Context) -> list[Matches]:
    """Add filters by status, key pair, name, lock and address, which differ by instance."""
    instances, pairs, params = call.cloud.instances, call.cloud.pairs.all, call.params
    now, lag_ms = call.now, call.lag_ms
    tests: list[Matches] = []
    if status := params.get("Status"):
        wanted = STATUS_NAMES.index(status)
        tests.append(lambda o: instances.view(o, now, lag_ms)[0] == wanted)
    if key := params.get("KeyPairName"):
        tests.append(lambda o: pairs[instances.view(o, now, lag_ms)[1]].name == key)
    if name := params.get("InstanceName"):
        tests.append(lambda o: wildcard(name, instances.name_of(o)))
    if reason := params.get("LockReason"):
        flag = OperationLock[reason.upper()]
        tests.append(lambda o: bool(instances.lock[o] & flag))
    if text := params.get("PrivateIpAddresses"):
        addresses = frozenset(wire.json_array(text) or ())
        tests.append(lambda o: instances.address_of(o) in addresses)
    if any(params.get(n) for n in _NO_ADDRESSES) or wire.numbered(params, "Ipv6Address"):
        tests.append(lambda _: False)
    return tests


def _of_times(call: Context) -> list[Matches]:
    """Add filters by `Filter.N.Key` and `.Value`: creation and expiry, each from and to."""
    instances = call.cloud.instances
    tests: list[Matches] = []
    for number in range(1, 5):
        key = call.text(f"Filter.{number}.Key")
        if not key:
            continue
        if key not in {
            "CreationStartTime",
            "CreationEndTime",
            "ExpiredStartTime",
            "ExpiredEndTime",
        }:
            raise Refusal("InvalidFilterKey.NotFound")
        instant = wire.parse_iso(call.text(f"Filter.{number}.Value"))
        if instant is None:
            raise Refusal("InvalidParameter", f"Filter.{number}.Value")
        if key.startswith("Creation"):
            tests.append(_within(lambda o: instances.created_minute[o] * MINUTE_MS, key, instant))
        else:
            tests.append(
                _within(
                    lambda o: wire.parse_iso(instances.shape_of(o).expired_time) or 0, key, instant
                )
            )
    return tests


def _within(time_of: Callable[[int], int], key: str, instant: int) -> Matches:
    if key.endswith("StartTime"):
        return lambda ordinal: time_of(ordinal) >= instant
    return lambda ordinal: time_of(ordinal) <= instant


def _folded(name: str, value: str) -> str:
    """Return a lock by reason, also with the capital of one place in the reference."""
    return value.lower() if name == "LockReason" else value
