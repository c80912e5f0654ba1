"""Make a plan that attaches each instance's former key pair again.

Called by `undo`. The plan is reviewed and applied like any other. Sends Describe* and
GetCallerIdentity only.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from rollout.app import connect, derived, former_keys
from rollout.app.former_keys import NamedKey
from rollout.app.plan import PlanResult
from rollout.app.runs import Folded
from rollout.app.session import Session
from rollout.core.planning.scope import LeftOut, Scope
from rollout.core.running.state import Run
from rollout.errors import UsageError
from rollout.model import limits
from rollout.model.instance import Instance, Inventory
from rollout.model.observation import KeyDescribed
from rollout.model.phrase import say
from rollout.model.plan import (
    FormerKey,
    OriginKind,
    Reason,
    RegionKey,
    WantedKey,
    public_key_digest,
)
from rollout.model.time import Duration


async def undo(
    run: str | None,
    session: Session,
    *,
    wave: str | None = None,
    age_max_ms: Duration = limits.PLAN_AGE_MAX_MS,
) -> PlanResult:
    """Return a plan that undoes a closed run, or one wave of it, with the run's settings.

    A target is an instance that the run attached a key pair to, that still has it, and whose former
    key pair exists unchanged. All other instances are excluded with a reason. Errors: UsageError
    R0003, or R0001 if the run has no such wave; ConflictError R0611, R0613; as `derived.make`.
    """
    folded = derived.closed_run(session.store, run)
    attached = _attached(folded.run, wave)
    async with connect.connect(session.connection, session.notices) as service:
        derived.check_settled(folded, attached, service.clock.now())
        inventory = await derived.read(folded, service)
        formers = {one for one in _formers(folded.run, attached) if one[1]}
        described = await former_keys.describe(service, formers)
        scope = _scope(folded, attached, inventory, described)
        return await derived.make(folded, scope, inventory, service, session.store, age_max_ms)


def _attached(run: Run, wave: str | None) -> list[int]:
    """Return the targets that attach calls of the run may have changed."""
    names = [one.name for one in run.layout.waves]
    if wave is not None and wave not in names:
        raise UsageError.of(
            "R0001",
            say("--wave {wave}: run {run} has no such wave", wave=wave, run=run.run_id),
            help=say("its waves are {names}", names=", ".join(names)),
        )
    return [
        ordinal
        for ordinal, tries in enumerate(run.attach_tries)
        if tries and wave in (None, names[run.layout.wave_of(ordinal)])
    ]


def _formers(run: Run, attached: list[int]) -> list[NamedKey]:
    """Return the former key pairs of these targets; the name is empty if a target had none."""
    return [(run.layout.site_of(one), run.layout.targets[one].former_key) for one in attached]


def _scope(
    folded: Folded,
    attached: list[int],
    inventory: Inventory,
    described: Mapping[NamedKey, KeyDescribed],
) -> Scope:
    """Return the targets with their former keys, and a reason for each other instance."""
    run = folded.run
    keys, usable = _usable(run.plan.former(), described)
    ordinals = {run.layout.targets[ordinal].instance: ordinal for ordinal in attached}
    key_of: dict[str, int] = {}
    left_out: dict[str, LeftOut] = {}
    for one in inventory.instances:
        ordinal = ordinals.get(one.id)
        found = _NOT_ATTACHED if ordinal is None else _judge(run, ordinal, one, usable)
        if isinstance(found, int):
            key_of[one.id] = found
        else:
            left_out[one.id] = found
    origin = derived.origin(folded, OriginKind.UNDO)
    return Scope(keys or run.plan.keys, key_of, left_out, origin)


_NOT_ATTACHED = Reason.OUTSIDE_RUN, str(say("no attach of the run or wave"))


def _judge(
    run: Run, ordinal: int, now: Instance, usable: Mapping[NamedKey, int | str]
) -> int | LeftOut:
    """Return the index of the key that the instance gets, or why it gets none."""
    target, site = run.layout.targets[ordinal], run.layout.site_of(ordinal)
    if now.key_pair != run.layout.wanted(ordinal).name:
        return Reason.OTHER_KEY, now.key_pair or str(say("no key pair"))
    if not target.former_key:
        return Reason.NO_FORMER_KEY, ""
    found = usable[site, target.former_key]
    if isinstance(found, int):
        return found
    return Reason.FORMER_KEY_LOST, f"{target.former_key} in {site.region} {found}"


def _usable(
    recorded: tuple[FormerKey, ...], described: Mapping[NamedKey, KeyDescribed]
) -> tuple[tuple[WantedKey, ...], dict[NamedKey, int | str]]:
    """Return the keys of the plan, and for each former key pair its index among them, or why it
    cannot be attached again.

    A name may have another public key in another region: then it is another wanted key.
    """
    records = {(one.site, one.name): one for one in recorded}
    keys: dict[tuple[str, str], WantedKey] = {}
    usable: dict[NamedKey, int | str] = {}
    for (site, name), found in sorted(described.items()):
        record = records.get((site, name))
        why = former_keys.change(record, found) if record else "did not exist before the run"
        if why:
            usable[site, name] = why
            continue
        digest = public_key_digest(found.public_key)
        key = keys.get((name, digest)) or WantedKey(name, found.public_key, digest, ())
        region = RegionKey(*site, present=True, fingerprint=found.fingerprint)
        keys[name, digest] = msgspec.structs.replace(key, regions=(*key.regions, region))
        usable[site, name] = list(keys).index((name, digest))
    return tuple(keys.values()), usable
