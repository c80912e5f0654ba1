"""Key pairs outside a run: list, compare and import them, find their users, delete unused ones.

Called by `keys`. Everything except `ensure` and `retire` sends Describe* and GetCallerIdentity
only.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from rollout.app import connect, execute, former_keys, parallel, runs, safety_rules
from rollout.app.plan import check_key
from rollout.app.session import Session
from rollout.ecs import refusal
from rollout.ecs.replies import ListedKeyPair
from rollout.engines.clock import LoopClock
from rollout.engines.service import Service
from rollout.errors import ConflictError, UsageError
from rollout.inventory import live
from rollout.journal.store import RunStore
from rollout.model import limits
from rollout.model.instance import Instance
from rollout.model.observation import KeyDescribed
from rollout.model.outcome import Done, Outcome, Refused, Unknown
from rollout.model.phrase import Phrase, say
from rollout.model.plan import Plan
from rollout.model.regions import suggestion
from rollout.model.site import Site
from rollout.model.spec import Ensure, KeyPairSpec
from rollout.specfile import KEY_PAIR_HINT, is_key_pair_name, read_public_key

Regions = Sequence[str]
"""Regions to work in; empty means all regions of the account."""


class KeyPairState(msgspec.Struct, frozen=True):
    """What a command did with a key pair in one region, or found there: `present`, `imported`,
    `deleted` or `absent`.
    """

    region: str
    state: str
    fingerprint: str = ""


async def list_all(session: Session, regions: Regions = ()) -> dict[str, tuple[ListedKeyPair, ...]]:
    """Return the key pairs of each region. Errors: as `connect` and `refusal.explain`."""
    found: dict[str, tuple[ListedKeyPair, ...]] = {}
    async with _connected(session, regions) as (service, sites):

        async def read(site: Site) -> None:
            pairs = await service.client.list_key_pairs(site.region)
            found[site.region] = _known(pairs, "DescribeKeyPairs", site)

        await parallel.check_all(read, sites)
    return {region: found[region] for region in sorted(found)}


async def usage(name: str, session: Session, regions: Regions = ()) -> tuple[Instance, ...]:
    """Return the instances that have this key pair, by region and id.

    An empty listing is accepted only if a dry run shows that listing is permitted. Errors:
    UsageError R0001 for a malformed name; as `live.list_regions`.
    """
    _check_name(name)
    async with _connected(session, regions) as (service, sites):
        return await _users(service, name, sites)


async def ensure(
    name: str,
    public_key_file: Path,
    session: Session,
    confirm: Callable[[Regions, Sequence[str]], None],
    regions: Regions = (),
) -> list[KeyPairState]:
    """Import a public key into each region that lacks the key pair, and compare it elsewhere.

    Nothing is imported if a region has another public key under this name. `confirm` gets the
    regions without the key pair and the rules of the CLI's safety policy that want a confirmation;
    it raises an error unless the operator confirmed. Errors: UsageError R0001
    for an unknown region or a malformed name; SpecError R0112 or R0113 for the file; PlanError
    R0314; as `refusal.explain`.
    """
    _check_name(name)
    wanted = KeyPairSpec(name, read_public_key(public_key_file), Ensure.IMPORT)
    async with _connected(session, regions) as (service, sites):
        before = await _describe(service, name, sites)
        for site in sites:
            check_key(wanted, site.region, before[site], str(public_key_file))
        missing = [site for site in sites if not before[site].public_key]
        if missing and (rules := safety_rules.check(["ImportKeyPair"])):
            confirm([site.region for site in missing], rules)
        service.allow_key_changes()

        async def import_key(site: Site) -> None:
            by = service.clock.now() + limits.CALL_TIMEOUT_MS
            key = wanted.public_key
            outcome = await service.import_key_pair(site, name, key, not_after=by)
            after = await connect.describe_key_pair(service, site, name)
            if not after.public_key:
                raise _failed(outcome, "ImportKeyPair", site)
            check_key(wanted, site.region, after, str(public_key_file))

        await parallel.check_all(import_key, missing)
        after = await _describe(service, name, sites)
    return [
        KeyPairState(
            site.region, "imported" if site in missing else "present", after[site].fingerprint
        )
        for site in sites
    ]


async def retire(
    name: str, session: Session, confirm: Callable[[Regions], None], regions: Regions = ()
) -> list[KeyPairState]:
    """Delete a key pair in each region, if no instance has it and no open run needs it.

    `confirm` gets the regions that have the key pair, and raises an error unless the operator
    confirmed. The lock of the runs directory is held, so that no run starts meanwhile. Errors:
    ConflictError R0612 if the key pair is in use; UsageError R0001; R0603; as `confirm` and
    `refusal.explain`.
    """
    _check_name(name)
    async with (
        execute.hold_runs(session, LoopClock().now()),
        _connected(session, regions) as (service, sites),
    ):
        before = await _describe(service, name, sites)
        present = [site for site in sites if before[site].found]
        _check_runs(name, session.store)
        _check_unused(name, await _users(service, name, sites))
        if present:
            safety_rules.check(["DeleteKeyPairs"])
            confirm([site.region for site in present])
        service.allow_key_changes()

        async def delete(site: Site) -> None:
            _check_unused(name, await _users(service, name, [site]))  # time has passed meanwhile
            by = service.clock.now() + limits.CALL_TIMEOUT_MS
            outcome = await service.client.delete_key_pair(site.region, name, not_after=by)
            if (await connect.describe_key_pair(service, site, name)).found:
                raise _failed(outcome, "DeleteKeyPairs", site)

        await parallel.check_all(delete, present)
    return [
        KeyPairState(
            site.region, "deleted" if site in present else "absent", before[site].fingerprint
        )
        for site in sites
    ]


@asynccontextmanager
async def _connected(
    session: Session, regions: Regions
) -> AsyncIterator[tuple[Service, list[Site]]]:
    """Yield a connection, and the sites of these regions, or of all regions of the account."""
    async with connect.connect(session.connection, session.notices) as service:
        account = service.identity.account
        listed = await service.client.describe_regions()
        if isinstance(listed, Refused | Unknown):
            raise refusal.explain(listed, "DescribeRegions", "cn-hangzhou")
        known = {region.id for region in listed}
        if unknown := sorted(set(regions) - known):
            raise UsageError.of(
                "R0001",
                say("--region {unknown}: the account has no such region", unknown=unknown[0]),
                help=_region_hint(unknown[0], known),
            )
        yield service, [Site(account, region) for region in sorted(set(regions) or known)]


def _region_hint(unknown: str, known: Collection[str]) -> Phrase:
    """Return advice for a region that the account lacks: the closest of its regions, or all."""
    names = sorted(known)
    return suggestion(unknown, names) or say(
        "the account's regions: {regions}", regions=", ".join(names)
    )


def _check_name(name: str) -> None:
    """Raise R0001 for a name that no key pair has: instances without one would match the empty
    name, and the service reads `*` as a wildcard.
    """
    if not is_key_pair_name(name):
        text = say("`{name}` cannot be the name of a key pair", name=name[:80])
        raise UsageError.of("R0001", text, help=KEY_PAIR_HINT)


async def _describe(service: Service, name: str, sites: Sequence[Site]) -> dict[Site, KeyDescribed]:
    found = await former_keys.describe(service, [(site, name) for site in sites])
    return {site: key for (site, _), key in found.items()}


async def _users(service: Service, name: str, sites: Sequence[Site]) -> tuple[Instance, ...]:
    regions = [site.region for site in sites]
    listed = await live.list_regions(service.client, regions, None, key_pair=name)
    users = [one for one in listed.instances if one.key_pair == name]
    return tuple(sorted(users, key=lambda one: (one.region, one.id)))


def _check_unused(name: str, users: Sequence[Instance]) -> None:
    if users:
        regions = sorted({one.region for one in users})
        raise ConflictError.of(
            "R0612",
            say(
                "{number:,} instances in {regions} have key pair {name}; nothing was deleted there",
                number=len(users),
                regions=", ".join(regions),
                name=name,
            ),
            help=f"rollout keys usage {name}",
        )


def _check_runs(name: str, store: RunStore) -> None:
    """Raise R0612 if an open run attaches this key pair, or would need it for its undo."""
    for folded in runs.open_runs(store):
        if name in _names(folded.run.plan):
            raise ConflictError.of(
                "R0612",
                say("open run {run} uses key pair {name}", run=folded.stored.id, name=name),
                help=say(
                    "run `rollout resume {run}` to finish it, or `rollout abort {run}` to close it",
                    run=folded.stored.id,
                ),
            )


def _names(plan: Plan) -> set[str]:
    return {key.name for key in plan.keys} | {target.former_key for target in plan.targets()}


def _known(
    found: tuple[ListedKeyPair, ...] | Refused | Unknown, action: str, site: Site
) -> tuple[ListedKeyPair, ...]:
    if isinstance(found, Refused | Unknown):
        raise refusal.explain(found, action, site.region)
    return found


def _failed(outcome: Outcome, action: str, site: Site) -> Exception:
    """Return the error for a change that did not happen, or did not happen yet."""
    shown = Unknown("no effect yet") if isinstance(outcome, Done) else outcome
    return refusal.explain(shown, action, site.region)
