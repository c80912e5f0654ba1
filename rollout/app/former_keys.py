"""Former key pairs: the key pairs that targets have before a run, which an undo attaches again.

Called by `plan`, `preflight` and `undo`. Sends DescribeKeyPairs only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import msgspec

from rollout.app import connect, parallel
from rollout.engines.service import Service
from rollout.model.observation import KeyDescribed
from rollout.model.plan import FormerKey, Plan, Warn, public_key_digest
from rollout.model.site import Site

NamedKey = tuple[Site, str]
"""The name of a key pair at a site."""


async def describe(service: Service, wanted: Iterable[NamedKey]) -> dict[NamedKey, KeyDescribed]:
    """Return these key pairs as the service describes them. Errors: as `describe_key_pair`."""
    found: dict[NamedKey, KeyDescribed] = {}

    async def read(one: NamedKey) -> None:
        found[one] = await connect.describe_key_pair(service, *one)

    await parallel.check_all(read, sorted(set(wanted)))
    return found


async def record(service: Service, plan: Plan) -> Plan:
    """Return the plan with the former key pairs of its targets.

    Warning R0326 counts the targets whose former key pair does not exist.
    """
    used: Counter[NamedKey] = Counter()
    for _, cell in plan.cells():
        site = cell.site
        used.update((site, one.former_key) for one in cell.targets() if one.attach)
    keys = await describe(service, (one for one in used if one[1]))
    recorded = tuple(
        FormerKey(*site, name, public_key_digest(key.public_key), key.fingerprint)
        for (site, name), key in sorted(keys.items())
        if key.public_key
    )
    missing = sum(used[one] for one, key in keys.items() if not key.public_key)
    text = f"target{'' if missing == 1 else 's'} with a former key pair that does not exist: "
    warning = Warn("R0326", missing, f"{text}`rollout undo` cannot attach it again.")
    return msgspec.structs.replace(
        plan, former_keys=recorded, warnings=(*plan.warnings, *([warning] if missing else ()))
    )


def change(recorded: FormerKey, found: KeyDescribed) -> str:
    """Return how a former key pair differs from the plan's record, or an empty text."""
    if not found.public_key:
        return "was deleted after planning"
    same = public_key_digest(found.public_key) == recorded.public_key_digest
    if not same or found.fingerprint != recorded.fingerprint:
        return "was recreated after planning: its public key or fingerprint changed"
    return ""
