"""Create a plan from a spec: read the files, call the service, run the planner.

Called by `plan` and by `apply SPEC`. Sends Describe* and GetCallerIdentity only.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, Self

import msgspec

from rollout.app import (
    about,
    connect,
    fence,
    former_keys,
    narrow,
    own_machine,
    parallel,
    person,
    plan_file,
    windows,
)
from rollout.app.plan_file import SavedPlan
from rollout.app.session import Session
from rollout.core.planning import planner, selection
from rollout.core.planning.narrowing import Narrowing
from rollout.engines.clock import LoopClock
from rollout.engines.service import Service
from rollout.errors import ConflictError, PlanError, RolloutError, UsageError
from rollout.inventory import sources
from rollout.journal import proofs
from rollout.journal.store import RunStore
from rollout.model import limits
from rollout.model.instance import Inventory, Proofs
from rollout.model.observation import KeyDescribed
from rollout.model.override import Override
from rollout.model.phrase import say
from rollout.model.plan import Plan, PlanOverride, RegionKey, Warn, public_key_digest
from rollout.model.site import Site
from rollout.model.spec import Ensure, KeyPairSpec, Spec
from rollout.model.time import Duration, Instant


class InventoryReading(NamedTuple):
    """The calls and the time that reading the inventory took. Not part of a saved plan."""

    calls: int
    took_ms: Duration


class PlanResult(NamedTuple):
    """A new plan, and how its inventory was read."""

    saved: SavedPlan
    reading: InventoryReading


class LoadedSpec(NamedTuple):
    """A spec, the warnings about its file, and the overrides that it contains."""

    spec: Spec
    warnings: tuple[Warn, ...] = ()
    overrides: tuple[PlanOverride, ...] = ()


class Overriding(NamedTuple):
    """Fields of the spec that options replace, and the reason."""

    overrides: tuple[Override, ...] = ()
    reason: str = ""

    @classmethod
    def of(cls, texts: Iterable[str], reason: str) -> Self:
        """Return the overrides of `--override` and `--reason`. Errors: UsageError R0150, R0002."""
        from rollout.specfile import overrides  # with pydantic, see `load`

        parsed = overrides.parse(texts)
        if reason and not parsed:
            raise UsageError.of("R0002", say("--reason is the reason of an --override"))
        return cls(parsed, reason)

    def recorded(self, applied: tuple[Override, ...]) -> tuple[PlanOverride, ...]:
        """Return the overrides for the plan. Errors: UsageError R0151 if a looser value has no
        reason.
        """
        looser = [one for one in applied if one.looser]
        if looser and not self.reason:
            first = looser[0]
            text = say("--override {field}={value}", field=first.field, value=first.value)
            if first.former:
                text = say("{override} instead of {former}", override=text, former=first.former)
            raise UsageError.of(
                "R0151",
                say("{override} may be less safe than the spec", override=text),
                help=say("add --reason TEXT; the plan and the journal record it"),
            )
        return tuple(
            PlanOverride(one.field, one.value, one.former, one.looser, self.reason)
            for one in applied
        )


class Allow(NamedTuple):
    """Findings that planning accepts: an empty inventory, an incomplete listing of instances, and
    regions that the program does not know, without a DescribeRegions call.
    """

    empty: bool = False
    partial: bool = False
    unknown_region: bool = False


def make_plan(spec: Spec, inventory: Inventory, at: Instant) -> Plan:
    """Return a plan for an inventory that the caller built, without API calls. Not applyable.

    `at` is the planning time in UTC milliseconds. Errors: PlanError.
    """
    context = windows.add(planner.PlanContext(about.tool()), spec, at)
    return planner.make_plan(spec, inventory, Proofs(), at, context)


async def plan(
    path: Path,
    session: Session,
    *,
    offline: bool = False,
    age_max_ms: Duration = limits.PLAN_AGE_MAX_MS,
    allow: Allow = Allow(),  # noqa: B008 - immutable
    narrowing: Narrowing = Narrowing(),  # noqa: B008 - immutable
    looser: Overriding = Overriding(),  # noqa: B008 - immutable
) -> PlanResult:
    """Return a plan of the spec in a file; an offline plan makes no API calls and is not
    applyable. `age_max_ms` is how long it is valid. Errors: as `connect` and `create`.
    """
    connected = connect.connect(session.connection, session.notices)
    async with contextlib.nullcontext() if offline else connected as service:
        made = await create(
            path,
            service,
            session.store,
            age_max_ms=age_max_ms,
            allow=allow,
            narrowing=narrowing,
            looser=looser,
        )
        if service is not None and session.fence:
            await fence.warn(made.saved.plan, service, session.store, session.notices)
        return made


async def create(
    path: Path,
    service: Service | None,
    store: RunStore,
    *,
    age_max_ms: Duration = limits.PLAN_AGE_MAX_MS,
    allow: Allow = Allow(),  # noqa: B008 - immutable
    narrowing: Narrowing = Narrowing(),  # noqa: B008 - immutable
    looser: Overriding = Overriding(),  # noqa: B008 - immutable
    tick: Instant | None = None,
) -> PlanResult:
    """Return a plan of the spec in a file; without a service an offline plan. Dates in the key
    pair's name are those of `tick`, by default now.

    Errors: SpecError, InventoryError, PlanError, AccessError; ConflictError R0606 if a region
    lacks the key pair and the spec does not say to import it.
    """
    from rollout import specfile  # with pydantic: a fifth of the start of `apply` and `resume`

    loaded = specfile.load(path, Path.cwd(), looser.overrides, at=tick)
    found = LoadedSpec(loaded.spec, loaded.warnings, looser.recorded(loaded.overrides))
    return await of_spec(
        found, service, store, age_max_ms=age_max_ms, allow=allow, narrowing=narrowing
    )


async def of_spec(
    found: LoadedSpec,
    service: Service | None,
    store: RunStore,
    *,
    age_max_ms: Duration = limits.PLAN_AGE_MAX_MS,
    allow: Allow = Allow(),  # noqa: B008 - immutable
    narrowing: Narrowing = Narrowing(),  # noqa: B008 - immutable
) -> PlanResult:
    """Return a plan of a spec; without a service an offline plan. Errors: as `create`."""
    spec = found.spec
    narrow.check_input(narrowing, spec)
    clock = LoopClock() if service is None else service.clock
    began = clock.now()
    inventory = await sources.collect(
        spec,
        Path.cwd(),
        service.client if service else None,
        clock.now(),
        allow_empty=allow.empty,
        allow_partial=allow.partial,
        allow_unknown_region=allow.unknown_region,
        earlier=_earlier(spec, store),
    )
    took = clock.now() - began
    folded = proofs.fold(store)
    notes = [*found.warnings, *(Warn(one.code, 0, one.message) for one in folded.warnings)]
    inventory = msgspec.structs.replace(
        inventory, notes=(*inventory.notes, *((note.code, note.text) for note in notes))
    )
    context = planner.PlanContext(
        about.tool(),
        (service.identity,) if service else (),
        await _keys(service, spec, inventory) if service else (),
        age_max_ms,
        narrowing,
        unproven=folded.unproven,
        overrides=found.overrides,
        user=person.user(),
        own=await own_machine.find(service, sites_of(inventory)) if service else "",
    )
    at = clock.now()
    context = windows.add(context, spec, at)
    made = planner.make_plan(spec, inventory, folded.proofs, at, context)
    if service is not None:
        made = await former_keys.record(service, made)
    return PlanResult(plan_file.with_digest(made), InventoryReading(inventory.calls, took))


class _Counts(msgspec.Struct):
    found: int


class _PlanCounts(msgspec.Struct):
    """The fields of a plan that `_earlier` needs."""

    counts: _Counts


def _earlier(spec: Spec, store: RunStore) -> int | None:
    """Return the number of instances that the newest run of this spec found; None without a run."""
    digest = f"sha256:{hashlib.sha256(spec.text.encode()).hexdigest()}"
    for run in reversed(store.runs()):
        if run.started is not None and run.started.spec_digest == digest:
            with contextlib.suppress(RolloutError, UnicodeError, msgspec.DecodeError):
                return msgspec.json.decode(run.plan_bytes(), type=_PlanCounts).counts.found
    return None


def sites_of(inventory: Inventory) -> list[Site]:
    """Return the sites with possible targets, in order."""
    rotatable = (one for one in inventory.instances if selection.rotatable_os(one) is None)
    return sorted({Site(one.account, one.region) for one in rotatable})


async def read_key(service: Service, spec: Spec, site: Site) -> RegionKey:
    """Return the spec's key pair in one region. Errors: as `check_key`, AccessError."""
    key = await connect.describe_key_pair(service, site, spec.key_pair.name)
    check_key(spec.key_pair, site.region, key)
    return RegionKey(*site, bool(key.public_key), key.fingerprint)


async def _keys(service: Service, spec: Spec, inventory: Inventory) -> tuple[RegionKey, ...]:
    """Read the key pair in every region with possible targets."""
    sites = sites_of(inventory)
    found: dict[Site, RegionKey] = {}

    async def read(site: Site) -> None:
        found[site] = await read_key(service, spec, site)

    await parallel.check_all(read, sites)
    return tuple(found[site] for site in sites)


def check_key(
    wanted: KeyPairSpec, region: str, key: KeyDescribed, file: str = "keyPair.publicKeyFile"
) -> None:
    """Raise R0606 for a missing key pair, R0314 for another public key than the one of `file`."""
    name = wanted.name
    if not key.public_key:
        if wanted.ensure is not Ensure.IMPORT:
            raise ConflictError.of(
                "R0606",
                say("there is no key pair {name} in {region}", name=name, region=region),
                help=say("create it there, or set keyPair.ensure: import"),
            )
    elif public_key_digest(key.public_key) != public_key_digest(wanted.public_key):
        raise PlanError.of(
            "R0314",
            say(
                "key pair {name} in {region} has another public key than {file}",
                name=name,
                region=region,
                file=file,
            ),
            help=say("give the new key pair a new name; existing key pairs are never replaced"),
        )
