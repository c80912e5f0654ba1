"""Make a plan of the instances that a closed run did not rotate.

Called by `retry`. The plan is reviewed and applied like any other. Sends Describe* and
GetCallerIdentity only.
"""

from __future__ import annotations

import msgspec

from rollout.app import connect, derived, former_keys
from rollout.app.plan import PlanResult, check_key
from rollout.app.runs import Folded
from rollout.app.session import Session
from rollout.core.planning.scope import LeftOut, Scope
from rollout.core.running.journey import Phase
from rollout.engines.service import Service
from rollout.model import limits
from rollout.model.instance import Inventory
from rollout.model.plan import OriginKind, Reason, RegionKey, WantedKey
from rollout.model.spec import Ensure, KeyPairSpec
from rollout.model.time import Duration

FAILED = frozenset({Phase.FAILED, Phase.STRANDED})
LEFT = FAILED | {Phase.SKIPPED}
"""Phases of instances that a closed run did not rotate. Skipped: never reached, or drifted."""


async def retry(
    run: str | None,
    session: Session,
    *,
    failed: bool = False,
    in_doubt: bool = False,
    age_max_ms: Duration = limits.PLAN_AGE_MAX_MS,
) -> PlanResult:
    """Return a plan of what is left of a closed run, with the run's keys and settings.

    Targets are failed, stranded and skipped instances; with `failed` no skipped ones. `in_doubt`
    adds instances whose restart is in doubt, which may be restarted a second time.

    Errors: UsageError R0003; ConflictError R0606, R0611, R0613; PlanError R0314; as `derived.make`.
    """
    folded = derived.closed_run(session.store, run)
    phases = (FAILED if failed else LEFT) | ({Phase.IN_DOUBT} if in_doubt else frozenset())
    state = folded.run
    chosen = [one for one, phase in enumerate(state.phases) if phase in phases]
    async with connect.connect(session.connection, session.notices) as service:
        derived.check_settled(folded, chosen, service.clock.now())
        inventory = await derived.read(folded, service)
        keys = await _keys(folded, chosen, service)
        scope = _scope(folded, chosen, inventory, keys)
        return await derived.make(folded, scope, inventory, service, session.store, age_max_ms)


async def _keys(folded: Folded, chosen: list[int], service: Service) -> tuple[WantedKey, ...]:
    """Return the run's keys with their current state in the regions of these targets."""
    layout = folded.run.layout
    spec = derived.spec_of(folded).key_pair
    used = sorted({layout.key_site_of(ordinal) for ordinal in chosen})
    names = [(one.site, layout.keys[one.key].name) for one in used]
    found = await former_keys.describe(service, names)
    regions: dict[int, list[RegionKey]] = {}
    for (site, index), name in zip(used, names, strict=True):
        key = found[name]
        wanted = layout.keys[index]
        ensure = spec.ensure if wanted.name == spec.name else Ensure.REQUIRE
        check_key(KeyPairSpec(wanted.name, wanted.public_key, ensure), site.region, key)
        one = RegionKey(*site, bool(key.public_key), key.fingerprint)
        regions.setdefault(index, []).append(one)
    return tuple(
        msgspec.structs.replace(key, regions=tuple(regions.get(index, ())))
        for index, key in enumerate(layout.keys)
    )


def _scope(
    folded: Folded, chosen: list[int], inventory: Inventory, keys: tuple[WantedKey, ...]
) -> Scope:
    """Return the chosen targets, and a reason for each other instance."""
    run = folded.run
    ordinals = {target.instance: one for one, target in enumerate(run.layout.targets)}
    key_of = {run.layout.targets[one].instance: run.layout.targets[one].key for one in chosen}
    left_out: dict[str, LeftOut] = {}
    for one in inventory.instances:
        if one.id not in key_of:
            ordinal = ordinals.get(one.id)
            detail = "excluded" if ordinal is None else run.phase(ordinal).label
            left_out[one.id] = Reason.OUTSIDE_RUN, f"{detail} in the run"
    return Scope(keys, key_of, left_out, derived.origin(folded, OriginKind.RETRY))
