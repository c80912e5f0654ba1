"""Carry both halves of a run's state to another process as bytes, and load them there.

Called by the decider. A field of the state is carried because it is declared: only the plan, and
what is made from it, is given again.
"""

from __future__ import annotations

import lzma
from typing import Any, get_type_hints

import msgspec

from rollout.core.invariant import invariant
from rollout.core.running.census import Census
from rollout.core.running.failure_counts import Troubles
from rollout.core.running.failure_shares import Shares
from rollout.core.running.key_comparisons import KeyWatch
from rollout.core.running.key_coverage import Comparisons
from rollout.core.running.ledger import Ledger
from rollout.core.running.logins import Logins
from rollout.core.running.permit_queues import PermitQueues
from rollout.core.running.rates import Rates
from rollout.core.running.state import Run
from rollout.core.running.stations import Stations
from rollout.core.running.waiting import Waiting
from rollout.core.running.watching import Watching
from rollout.model.plan import Plan

_PRESET = 1
"""Effort of the compression: a larger one saves a tenth and takes six times as long."""
_GIVEN = frozenset({"plan", "layout", "run", "stations"})
_PARTS = (
    Census,
    Comparisons,
    KeyWatch,
    Ledger,
    Logins,
    PermitQueues,
    Rates,
    Shares,
    Troubles,
    Watching,
)


def _shape(part: type) -> type[msgspec.Struct]:
    """Return the fields of a part that are carried, as a structure of their own."""
    fields = [
        (name, _shape(kind) if kind in _PARTS else kind)
        for name, kind in get_type_hints(part).items()
        if name not in _GIVEN
    ]
    return msgspec.defstruct(part.__name__, fields, array_like=True)


_SHAPES = tuple(_shape(part) for part in (Run, Stations, Waiting))
_CARRIED: Any = tuple[_SHAPES]  # type: ignore[valid-type]


def carry(waiting: Waiting) -> bytes:
    """Return both halves of the state: the run's, and its queues and watch list.

    Size: below 1 MB for 64,000 open instances.
    """
    parts = [
        msgspec.convert(part, shape, from_attributes=True)
        for part, shape in zip(_parts(waiting), _SHAPES, strict=True)
    ]
    return lzma.compress(msgspec.msgpack.encode(parts), preset=_PRESET)


def load(plan: Plan, carried: bytes) -> Waiting:
    """Return the queues of a carried run of this plan, with its state and its watch list."""
    waiting = Waiting.of(Run.of(plan))
    carried_parts = msgspec.msgpack.decode(lzma.decompress(carried), type=_CARRIED)
    same = len(carried_parts[0].phases) == len(waiting.run.phases)
    invariant(same, "the carried state is of another plan")
    for part, values in zip(_parts(waiting), carried_parts, strict=True):
        _fill(part, values)
    return waiting


def _parts(waiting: Waiting) -> tuple[Run, Stations, Waiting]:
    return waiting.run, waiting.stations, waiting


def _fill(part: Any, carried: Any) -> None:
    """Set every carried field, also in the parts of a part."""
    for name in carried.__struct_fields__:
        value = getattr(carried, name)
        if isinstance(getattr(part, name), _PARTS):
            _fill(getattr(part, name), value)
        else:
            setattr(part, name, value)
