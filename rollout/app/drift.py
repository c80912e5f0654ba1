"""Compare a fleet with its spec: which instances do not have the wanted key pair in force.

Called by `rollout drift`. Sends Describe* and GetCallerIdentity only.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from rollout.app import plan
from rollout.app.plan import Allow
from rollout.app.session import Session
from rollout.model.phrase import say
from rollout.model.plan import Plan


class DriftedInstance(NamedTuple):
    """An instance without the wanted key pair in force. `key_pair` is the one it has."""

    instance: str
    region: str
    key_pair: str
    why: str


class FleetDrift(NamedTuple):
    """The drifted instances of a spec. `excluded` counts those that are not compared."""

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
    """Return the drift that a plan would correct: its targets.

    An instance with the wanted key pair counts as restarted only if a run in the runs directory
    observed a boot after the attach.
    """
    wanted = made.keys[0].name
    drifted = [
        DriftedInstance(one.instance, cell.region, one.former_key, _why(one.attach, one.former_key))
        for _, cell in made.cells()
        for one in cell.targets()
    ]
    excluded = dict(made.counts.excluded)
    current = excluded.pop("already_done", 0)
    return FleetDrift(wanted, made.counts.found, drifted, excluded, current)


def _why(attach: bool, former: str) -> str:  # noqa: FBT001 - a field of a target
    if not attach:
        return str(say("not restarted since the attach, as far as known"))
    return str(say("another key pair") if former else say("no key pair"))
