"""The emulated cloud that a plan describes: its targets with their statuses, keys and key pairs.

Called by rehearsals. Only targets exist, and the other members of their groups, which are Running;
no others are ever requested. A plan does not contain the last start of an instance; here it is a
month ago.
"""

from __future__ import annotations

from collections.abc import Iterator

from rollout.emulator.cloud.fleet import Fleet, FleetBuilder
from rollout.emulator.cloud.keypairs import NONE
from rollout.emulator.cloud.lifecycle import BaseStatus
from rollout.emulator.cloud.regions import EmulatedRegion
from rollout.emulator.cloud.shapes import Image, Shape
from rollout.emulator.dispatch import Cloud
from rollout.model import instance
from rollout.model.plan import Exclusion, Plan, Target
from rollout.model.time import HOUR, MINUTE, Instant

FORMER_KEY = "ssh-rsa AAAA former"
"""A placeholder: the public key of a former key pair is never requested."""

_STARTED_BEFORE = 30 * 24 * HOUR


def fleet_of(plan: Plan, now: Instant) -> Fleet:
    """Return the fleet of a plan, region by region; about 75 bytes per instance."""
    builder = FleetBuilder(now)
    no_tags = builder.tags(())
    by_region: dict[str, list[Target]] = {}
    for name, target in _targets(plan):
        by_region.setdefault(name, []).append(target)
    members: dict[str, list[Exclusion]] = {}
    for out in plan.exclusions:
        if out.groups:
            members.setdefault(out.region, []).append(out)
    for name in dict.fromkeys((*by_region, *members)):
        targets = by_region.get(name, [])
        region = builder.open_region(name)
        shapes: dict[tuple[str, str], int] = {}
        for target in targets:
            kind = (target.zone, target.image)
            if kind not in shapes:
                shapes[kind] = builder.shape(_shape(region, *kind))
            builder.add(
                shapes[kind],
                no_tags,
                status=_STATUSES.get(target.status, BaseStatus.RUNNING),
                record=builder.key_pair(target.former_key, FORMER_KEY).number
                if target.former_key
                else NONE,
                start_ms=now - _STARTED_BEFORE,
                created_minute=(now - _STARTED_BEFORE) // MINUTE,
                instance=target.instance,
            )
        plain = builder.shape(_shape(region, "", "m-member")) if name in members else 0
        for out in members.get(name, ()):
            builder.add(
                plain,
                no_tags,
                status=BaseStatus.RUNNING,
                record=NONE,
                start_ms=now - _STARTED_BEFORE,
                created_minute=(now - _STARTED_BEFORE) // MINUTE,
                instance=out.instance,
            )
    return builder.finish(0)


def add_key_pairs(plan: Plan, cloud: Cloud, now: Instant) -> None:
    """Add each wanted key pair in its regions, unless the plan imports it. An offline plan knows no
    regions: all of its key pairs exist.
    """
    used = sorted({(region, target.key) for region, target in _targets(plan)})
    for region, key in used:
        wanted = plan.keys[key]
        row = next((one for one in wanted.regions if one.region == region), None)
        if row is not None and not row.present:
            continue
        pair = cloud.pairs.find(region, wanted.name)
        if pair is None:
            pair = cloud.pairs.add(region, wanted.name, wanted.public_key, now)
        pair.body = wanted.public_key
        if row is not None and row.fingerprint:
            pair.fingerprint = row.fingerprint


def account_of(plan: Plan) -> str:
    """Return the account of a plan; empty where it was made offline."""
    return next((cell.account for _, cell in plan.cells()), "")


def _targets(plan: Plan) -> Iterator[tuple[str, Target]]:
    """Yield each target with its region."""
    return ((cell.region, target) for _, cell in plan.cells() for target in cell.targets())


def _shape(region: EmulatedRegion, zone: str, image: str) -> Shape:
    return Shape(region, zone, Image(image, "linux", "Linux"))


_STATUSES = {
    instance.Status.RUNNING: BaseStatus.RUNNING,
    instance.Status.STOPPED: BaseStatus.STOPPED,
}
