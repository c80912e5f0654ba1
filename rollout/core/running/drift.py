"""Compare a target of the plan with a new observation: what differs, and what follows.

Called by `attach_evidence` before an attach (compare and set). The kinds are those of
`model.event.DriftKind`.
"""

from __future__ import annotations

import msgspec

from rollout.core.planning.selection import rotatable_os
from rollout.model.event import DriftKind
from rollout.model.instance import Instance, Status
from rollout.model.plan import Target

STOPPED_SINCE_PLAN = "stopped_since_plan"
"""An operator stopped it after planning: the run does not start it against that decision."""


class Drift(msgspec.Struct, frozen=True):
    """A difference. `ends` is the reason why the instance is not changed any more."""

    kind: DriftKind
    detail: str
    ends: str = ""


def judge(
    target: Target, instance: Instance, wanted: str, *, own_attach: bool, at_api: int
) -> Drift | None:
    """None where the instance is as planned, or in a state that passes by itself.

    `own_attach`: an attach of this run may have taken effect. `at_api` is the service's own time
    of the observation, 0 where it did not say.
    """
    reason = rotatable_os(instance)
    if reason is not None:
        return Drift(
            DriftKind.MATERIAL, f"OS is {instance.os.value} {instance.os_name}", "os_changed"
        )
    if instance.key_pair not in (target.former_key, wanted):
        return Drift(DriftKind.CONFLICT, f"key pair is `{instance.key_pair or 'none'}`")
    if instance.locks:
        return Drift(DriftKind.NARROWING, f"locked: {', '.join(instance.locks)}", "locked")
    if 0 < instance.expires_at <= at_api:
        return Drift(DriftKind.NARROWING, "expired", "expired")
    if instance.status is Status.STOPPED and target.status is not Status.STOPPED:
        return Drift(DriftKind.STATE, "Stopped", STOPPED_SINCE_PLAN)
    if instance.status is Status.RUNNING and target.status is not Status.RUNNING:
        return Drift(DriftKind.STATE, "Running")
    if target.attach and instance.key_pair == wanted:
        if own_attach:
            return Drift(DriftKind.BENIGN, "already on the new key")
        return Drift(DriftKind.ELSEWHERE, "has the new key, which this run did not attach")
    return None
