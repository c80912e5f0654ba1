"""Make a plan from a closed run: read its plan, its instances and their key pairs.

Called by `undo` and `retry`. Sends Describe* and GetCallerIdentity only.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import msgspec

from rollout.app import (
    about,
    former_keys,
    own_machine,
    person,
    plan_file,
    preflight,
    runs,
    stored_spec,
    windows,
)
from rollout.app.plan import InventoryReading, PlanResult, sites_of
from rollout.app.runs import Folded
from rollout.core.planning import planner
from rollout.core.planning.narrowing import Narrowing
from rollout.core.planning.scope import Scope
from rollout.core.running.journey import Phase
from rollout.engines.service import Service
from rollout.errors import ConflictError
from rollout.inventory import live
from rollout.journal import proofs, store
from rollout.journal.store import RunStore
from rollout.model.instance import Inventory, MissingInstance
from rollout.model.override import UNPROVEN
from rollout.model.phrase import say
from rollout.model.plan import Origin, OriginKind, Plan, PlanOverride, Reason
from rollout.model.site import Site
from rollout.model.spec import NAME_MAX, Spec
from rollout.model.time import Duration, Instant, format_instant


def closed_run(runs_of: RunStore, run: str | None) -> Folded:
    """Return a closed run, given by its id or a unique prefix; None means the newest run.

    Errors: as `runs.fold`; ConflictError R0611 if the run is open.
    """
    folded = runs.fold(store.find(runs_of, run))
    if folded.run.closed is None:
        raise ConflictError.of(
            "R0611",
            say("run {run} is not closed", run=folded.stored.id),
            help=say(
                "run `rollout resume {run}` to finish it, or `rollout abort {run}` to close it",
                run=folded.stored.id,
            ),
        )
    return folded


def origin(folded: Folded, kind: OriginKind) -> Origin:
    """Return the run and its plan's digest, for the new plan."""
    return Origin(kind, folded.stored.id, folded.started.plan_digest)


def check_settled(folded: Folded, ordinals: Iterable[int], now: Instant) -> None:
    """Raise ConflictError R0613 while the lost restart of one of these targets can take effect.

    A restart of the new plan would be a second one.
    """
    run = folded.run
    doubtful = [one for one in ordinals if run.phase(one) is Phase.IN_DOUBT]
    end = max((run.settle_end(ordinal) for ordinal in doubtful), default=0)
    if now < end:
        raise ConflictError.of(
            "R0613",
            say(
                "a lost restart of run {run} may take effect until {end}",
                run=folded.stored.id,
                end=format_instant(end),
            ),
            help=say("repeat this command after that time"),
        )


def spec_of(folded: Folded) -> Spec:
    """Return the spec that the run's plan stores. Errors: as `stored_spec.read`."""
    plan = folded.run.plan
    return stored_spec.read(plan, kept_overrides(plan))


def kept_overrides(plan: Plan) -> tuple[PlanOverride, ...]:
    """Return the overrides of a run's plan that hold for its undo and its retry: the run's
    settings, without the permission to cover unproven rotations.
    """
    return tuple(one for one in plan.overridden() if one.field != UNPROVEN)


async def read(folded: Folded, service: Service) -> Inventory:
    """Return the current state of all instances that the run's plan found, targets or not.

    All of them count for the budgets. Errors: AccessError R0405 for another account,
    or for an emulator instead of the service; ConflictError R0617 if none of the instances exists
    there, as on another emulator; as `live.hydrate`.
    """
    plan = folded.run.plan
    preflight.check_identity(plan, service)
    sites: dict[str, Site] = {
        one.instance: one.site for one in plan.exclusions if one.reason is not Reason.NOT_FOUND
    }
    sites |= {target.instance: cell.site for _, cell in plan.cells() for target in cell.targets()}
    ids: defaultdict[str, list[str]] = defaultdict(list)
    for instance in sorted(sites):
        ids[sites[instance].region].append(instance)
    now = service.clock.now()
    listed = await live.hydrate(service.client, ids)
    rows = sorted(listed.instances, key=lambda one: (one.region, one.id))
    found = {one.id for one in rows}
    if sites and not found:
        raise ConflictError.of(
            "R0617",
            say(
                "the service lists none of the {number:,} instances of run {run}",
                number=len(sites),
                run=folded.stored.id,
            ),
            help=say(
                "use the endpoint and the credentials of the run: another emulator, or the same "
                "one after a restart, has other instances"
            ),
        )
    lost = [MissingInstance(one, *sites[one]) for one in sorted(sites) if one not in found]
    return Inventory(tuple(rows), now, lost=tuple(lost), calls=listed.calls)


async def make(
    folded: Folded,
    scope: Scope,
    inventory: Inventory,
    service: Service,
    runs_of: RunStore,
    age_max_ms: Duration,
) -> PlanResult:
    """Return the plan of this scope, with the settings of the run's spec and its --max-down.

    A retry is named like the run's plan: the retry of an undo attaches the former keys too.
    Errors: as `planner.make_plan`; SpecError if the stored spec cannot be read.
    """
    narrowed = folded.run.plan.narrowed
    cap = 0 if isinstance(narrowed, msgspec.UnsetType) else narrowed.max_down
    narrowing = Narrowing(max_down=cap)
    identity = (service.identity,)
    earlier = proofs.fold(runs_of)
    context = planner.PlanContext(
        about.tool(),
        identity,
        (),
        age_max_ms,
        narrowing,
        scope=scope,
        unproven=earlier.unproven,
        overrides=kept_overrides(folded.run.plan),
        user=person.user(),
        own=await own_machine.find(service, sites_of(inventory)),
    )
    now = service.clock.now()
    spec = msgspec.structs.replace(spec_of(folded), name=folded.run.plan.name)
    if scope.origin is not None and scope.origin.kind is OriginKind.UNDO:
        name = f"{spec.name.removesuffix(_UNDO)[: NAME_MAX - len(_UNDO)]}{_UNDO}"
        spec = msgspec.structs.replace(spec, name=name)
    context = windows.add(context, spec, now)
    made = planner.make_plan(spec, inventory, earlier.proofs, now, context)
    recorded = await former_keys.record(service, made)
    took = service.clock.now() - inventory.as_of
    return PlanResult(plan_file.with_digest(recorded), InventoryReading(inventory.calls, took))


_UNDO = "-undo"
"""The end of the name of a plan that undoes a run, so that its confirmation is another word."""
