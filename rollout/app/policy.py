"""Make the least RAM policy that planning or applying needs.

Called by `doctor --policy`. Pure: makes no API calls. Source of the actions' resources: the RAM
sections of the ECS API reference. GetCallerIdentity needs no permission.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Literal

import msgspec

from rollout.model.plan import Plan, RestartKind
from rollout.model.site import Site
from rollout.model.spec import Calls

Purpose = Literal["plan", "apply"]

CHARACTERS_MAX: Final = 6144
"""Maximum length of a custom policy's document in RAM (its limits page)."""
_MARK: Final = ("ecs:TagResources", "ecs:UntagResources")
"""For the marks on key pairs. A run goes without them where they are not permitted."""
_OBSERVE: Final = ("ecs:DescribeInstanceStatus", "ecs:DescribeInstances")


def make(purpose: Purpose, plan: Plan | None = None) -> dict[str, Any]:
    """Return a policy document. With a plan, it is limited to the plan's instances and key pairs.

    Restarts may be reboots or starts: an instance may be stopped or started after planning.
    """
    statements = list(_of_plan(purpose, plan) if plan is not None else _of_any(purpose))
    return {"Version": "1", "Statement": statements}


def is_too_long(policy: dict[str, Any]) -> bool:
    """Return whether RAM refuses the policy for its length."""
    return len(msgspec.json.encode(policy)) > CHARACTERS_MAX


def _of_any(purpose: Purpose) -> Iterator[dict[str, Any]]:
    """Yield the statements for any instance and key pair of the account."""
    instances, keys = "acs:ecs:*:*:instance/*", "acs:ecs:*:*:keypair/*"
    yield _allow(_OBSERVE if purpose == "apply" else _OBSERVE[1:], [instances])
    yield _allow(["ecs:DescribeKeyPairs"], [keys])
    if purpose == "apply":
        yield _allow(["ecs:ImportKeyPair"], [keys])
        yield _allow(_MARK, [keys])
        yield _allow(["ecs:AttachKeyPair"], [instances, keys])
        yield _allow([f"ecs:{action}" for action in _restarts(list(Calls))], [instances])


def _of_plan(purpose: Purpose, plan: Plan) -> Iterator[dict[str, Any]]:
    """Yield the statements for the instances and key pairs of a plan.

    DescribeInstances lists a region, so that its resource is the region's `instance/*`. A census
    observes excluded members of the targets' groups too, which may be in other regions.
    """
    sites = sorted({cell.site for _, cell in plan.cells()})
    members = {out.site for out in plan.exclusions if out.groups}
    yield _allow(
        _OBSERVE if purpose == "apply" else _OBSERVE[1:],
        [_arn(site, "instance", "*") for site in sorted(members.union(sites))],
    )
    yield _allow(["ecs:DescribeKeyPairs"], [_arn(site, "keypair", "*") for site in sites])
    if purpose == "plan":
        return
    keys = {(one.site, key.name, one.present) for key in plan.keys for one in key.regions}
    wanted = sorted(_arn(site, "keypair", name) for site, name, _ in keys if site in sites)
    imported = sorted(
        _arn(site, "keypair", name) for site, name, present in keys if site in sites and not present
    )
    targets = [(cell.site, one) for _, cell in plan.cells() for one in cell.targets()]
    attached = [_arn(site, "instance", one.instance) for site, one in targets if one.attach]
    restarted = [_arn(site, "instance", one.instance) for site, one in targets]
    if wanted:
        yield _allow(_MARK, wanted)
    if imported:
        yield _allow(["ecs:ImportKeyPair"], imported)
    if attached:
        yield _allow(["ecs:AttachKeyPair"], [*wanted, *sorted(attached)])
    if restarted:
        yield _allow([f"ecs:{one}" for one in _restarts([plan.calls])], sorted(restarted))


def _restarts(calls: list[Calls]) -> list[str]:
    """Return the actions that restart. With batch calls, a single instance has a single call."""
    many = (False, True) if Calls.BATCH in calls else (False,)
    return [kind.action(many=one) for one in many for kind in RestartKind]


def _arn(site: Site, kind: str, name: str) -> str:
    return f"acs:ecs:{site.region}:{site.account}:{kind}/{name}"


def _allow(actions: list[str] | tuple[str, ...], resources: list[str]) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": list(actions), "Resource": resources}
