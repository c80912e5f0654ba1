"""What a plan covers that is made from a closed run instead of a spec alone.

Made by the use cases `undo` and `retry`, read by the planner.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from rollout.model.plan import Origin, Reason, RegionKey, WantedKey, public_key_digest
from rollout.model.spec import Spec

LeftOut = tuple[Reason, str]
"""Why an instance is left out, and a detail for people."""


class Scope(msgspec.Struct, frozen=True):
    """The wanted keys, and the instances of a plan.

    `key_of` gives the index of an instance's wanted key; other instances want the first key.
    `left_out` holds the instances that the plan does not rotate. `origin` is None for a plan of a
    spec.
    """

    keys: tuple[WantedKey, ...]
    key_of: Mapping[str, int] = {}
    left_out: Mapping[str, LeftOut] = {}
    origin: Origin | None = None


def of_spec(spec: Spec, regions: tuple[RegionKey, ...] = ()) -> Scope:
    """Return the scope of a plan of a spec: one key pair, in these regions, for all instances."""
    key = spec.key_pair
    digest = public_key_digest(key.public_key)
    ordered = tuple(sorted(regions, key=lambda one: (one.account, one.region)))
    return Scope((WantedKey(key.name, key.public_key, digest, ordered),))
