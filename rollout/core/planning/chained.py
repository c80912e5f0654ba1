"""The chained-rotation guard: no attach over an earlier rotation that is unproven.

Called by `selection`, and again before a plan is applied. Pure.
"""

from __future__ import annotations

from rollout.model.instance import Proof
from rollout.model.plan import Origin, OriginKind, WantedKey


def is_chained(
    earlier: Proof | None, current: str, wanted: WantedKey, origin: Origin | None
) -> bool:
    """Return whether an attach of `wanted` would cover an unproven rotation of the instance.

    `earlier` is the key of that rotation, None without one; `current` is the attached key pair. A
    rotation to the same key is no chain: it completes the earlier one. An undo is no chain either
    if it replaces exactly the key of that rotation.
    """
    if earlier is None or current == wanted.name:
        return False
    if (earlier.key_pair, earlier.public_key_digest) == (wanted.name, wanted.public_key_digest):
        return False
    undo = origin is not None and origin.kind is OriginKind.UNDO
    return not (undo and earlier.key_pair == current)
