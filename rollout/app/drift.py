"""Compare a fleet with its spec: which instances do not have the wanted key pair in force.

Called by `rollout drift`. Sends Describe* and GetCallerIdentity only.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from rollout.app import plan
from rollout.app.plan import Allow
from rollout.app.session import Session
from rollout.model.phrase import say
from rollout.model.plan import Exclusion, Plan, Reason, Target

DELAYED: Final = {
    Reason.LOCKED: say("locked"),
    Reason.EXPIRED: say("expired"),
    Reason.TRANSITIONAL: say("neither Running nor Stopped"),
    Reason.FORMER_ROTATION_UNPROVEN: say("an earlier rotation is unproven"),
}
"""Why a plan leaves out instances that the spec wants to have the key pair. The other exclusions
are decisions of the spec, or instances that cannot have a key pair.
"""


class DriftedInstance(NamedTuple):
    """An instance without the wanted key pair in force, as far as known. `key_pair` is the one it
    has; None for an instance that a plan leaves out, whose key pair is not compared. `detail`: such
    as the names of its locks.
    """

    instance: str
    region: str
    key_pair: str | None
    why: str
    detail: str = ""


class FleetDrift(NamedTuple):
    """The drifted instances of a spec. `excluded` counts those that need no key pair."""

    key_pair: str
    found: int
    drifted: Sequence[DriftedInstance]
    excluded: dict[str, int]
    current: int


async def drift(path: Path, session: Session, allow: Allow) -> FleetDrift:
    """Return how the fleet of a spec differs from it. Errors: as `plan.plan`."""
    planned = await plan.plan(path, session, allow=allow)
    return of_plan(planned.saved.plan)


def of_plan(made: Plan) -> FleetDrift:
    """Return what a plan would correct, and what it leaves out only for now.

    An instance with the wanted key pair counts as restarted only if a run in the runs directory
    observed a boot after the attach.
    """
    drifted = [_of_target(one, cell.region) for _, cell in made.cells() for one in cell.targets()]
    drifted += [_of_exclusion(one) for one in made.exclusions if one.reason in DELAYED]
    excluded = dict(made.counts.excluded)
    current = excluded.pop(Reason.ALREADY_DONE, 0)
    for reason in DELAYED:
        excluded.pop(reason, None)
    return FleetDrift(made.keys[0].name, made.counts.found, drifted, excluded, current)


def _of_target(target: Target, region: str) -> DriftedInstance:
    if not target.attach:
        why = say("not restarted since the attach, as far as known")
    else:
        why = say("another key pair") if target.former_key else say("no key pair")
    return DriftedInstance(target.instance, region, target.former_key, str(why))


def _of_exclusion(one: Exclusion) -> DriftedInstance:
    return DriftedInstance(one.instance, one.region, None, str(DELAYED[one.reason]), one.detail)
