"""DescribeRegions, and GetCallerIdentity of STS on the same endpoint."""

from collections.abc import Mapping

from rollout.emulator.actions.context import Context
from rollout.emulator.messages import Refusal

Body = Mapping[str, object]

_RESOURCE_TYPES = ("", "instance", "disk", "reservedinstance", "scu")


def describe_regions(call: Context) -> Body:
    """List every known region.

    RegionEndpoint is the address of this call: a tool that follows it must not reach the real
    service.
    """
    if call.text("ResourceType") not in _RESOURCE_TYPES:
        raise Refusal("InvalidResourceType.NotFound")
    language = call.text("AcceptLanguage") or "zh-CN"
    if language not in {"zh-CN", "en-US", "ja"}:
        raise Refusal("InvalidAcceptLanguage.NotFound")
    everywhere = call.user.unrestricted
    regions = [
        {
            "RegionId": region.name,
            "RegionEndpoint": call.address,
            "LocalName": region.local_name if language == "zh-CN" else region.name,
            "Status": "available",
        }
        for region in call.cloud.fleet.regions.values()
        if everywhere or call.may(region.name)
    ]
    if not regions:
        raise Refusal("Unauthorized.EmptyRegion")
    return {"Regions": {"Region": regions}}


def get_caller_identity(call: Context) -> Body:
    """Return the identity of the caller. It needs no permission."""
    user = call.user
    assumed = user.kind == "AssumedRoleUser"
    role, _, session = user.name.partition("/")
    principal = f"{role}:{session}" if assumed else user.name
    return {
        "AccountId": user.account,
        "Arn": user.arn,
        "IdentityType": user.kind,
        "PrincipalId": principal,
        **({"RoleId": role} if assumed else {"UserId": user.name}),
    }
