"""Collect the instances of several sources: each id once, with problems and notes.

Filled by the readers of files and by `naming`. Rows about the same instance are merged; rows that
contradict each other are refused.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from rollout.errors import Exit, InventoryError, Place, Problem
from rollout.inventory.rows import RowError
from rollout.model.instance import Instance, OsFamily, Status
from rollout.model.phrase import say

PROBLEMS_MAX = 1_000
"""Maximum problems of a file. Reading stops there: it is probably the wrong file."""

_SILENT = ("", 0, (), OsFamily.UNKNOWN, Status.UNKNOWN)


@dataclass(slots=True)
class Gathered:
    """Instances by id, the number of merged rows, problems and notes.

    With `allow_partial`, an incomplete listing is a note instead of an error. `candidates` are the
    possible regions of an id if its list names several: it is looked up in each of them.
    """

    instances: dict[str, Instance] = field(default_factory=dict)
    merged: int = 0
    problems: list[Problem] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)
    allow_partial: bool = False
    candidates: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def add_new(self, instances: dict[str, Instance]) -> bool:
        """Add all instances, or none and return False if one of them is known."""
        if not self.instances.keys().isdisjoint(instances):
            return False
        self.instances.update(instances)
        return True

    def add(self, instance: Instance) -> None:
        """Add an instance, or merge it with the known one. Errors: RowError if they contradict."""
        known = self.instances.get(instance.id)
        if known is None:
            self.instances[instance.id] = instance
            return
        if instance.region in self.candidates.get(instance.id, ()):
            del self.candidates[instance.id]
            known = instance
        self.instances[instance.id] = merge(known, instance)
        self.merged += 1

    def add_in_one_of(self, instance: Instance, regions: tuple[str, ...]) -> None:
        """Add an instance that is in one of these regions. Its `region` is the first of them."""
        known = self.instances.get(instance.id)
        if known is None:
            self.instances[instance.id] = instance
            self.candidates[instance.id] = regions
        elif known.region in regions or self.candidates.get(instance.id) == regions:
            self.merged += 1
        else:
            merge(known, instance)

    def report(self, place: Place, error: RowError) -> None:
        """Add the problem of a row. Errors: InventoryError at `PROBLEMS_MAX`."""
        code, message, hint = error.args
        self.problems.append(Problem(code, message, place, hint or None))
        if len(self.problems) >= PROBLEMS_MAX:
            problems, self.problems = self.problems, []
            raise InventoryError(tuple(problems), Exit.BAD_INPUT)


def merge(known: Instance, again: Instance) -> Instance:
    """Merge two rows about one instance. Errors: RowError if they contradict each other."""
    if known.region != again.region:
        message = say(
            "{instance} is in {region} here, but in {other_region} before",
            instance=again.id,
            region=again.region,
            other_region=known.region,
        )
        raise RowError(
            "R0205", message, say("an instance is in one region: correct one of the rows")
        )
    if known == again:
        return known
    values = []
    for name in Instance.__struct_fields__:
        old, new = getattr(known, name), getattr(again, name)
        if name == "io_optimized":
            values.append(old and new)
        elif old != new and old not in _SILENT and new not in _SILENT:
            message = say(
                "{instance} has a different `{name}` here than before", instance=again.id, name=name
            )
            raise RowError("R0205", message, say("keep the correct row, or the newer file"))
        else:
            values.append(new if old in _SILENT else old)
    return Instance(*values)
