"""Collect the instances of all sources: each id once, with problems and notes.

Filled by the readers of files and by `sources`. Holds the rule of doubled rows: same data merge,
contradictions are refused.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from rollout.errors import Exit, InventoryError, Place, Problem
from rollout.inventory.rows import RowError
from rollout.model.instance import Instance, OsFamily, Status

PROBLEMS_MAX = 1_000
"""More than this and the rest of the file is not read: it is the wrong file."""

_SILENT = ("", 0, (), OsFamily.UNKNOWN, Status.UNKNOWN)


@dataclass(slots=True)
class Gathered:
    """Instances by id, how many rows were merged, problems and notes.

    With `allow_partial` a part of a listing is a note instead of an error. `candidates` are the
    regions that an id may be in, where a list of ids names several: the service is asked in each.
    """

    instances: dict[str, Instance] = field(default_factory=dict)
    merged: int = 0
    problems: list[Problem] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)
    allow_partial: bool = False
    candidates: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def add_new(self, instances: dict[str, Instance]) -> bool:
        """Take all of them, or none where one was named before: then False."""
        if not self.instances.keys().isdisjoint(instances):
            return False
        self.instances.update(instances)
        return True

    def add(self, instance: Instance) -> None:
        """Take one; one that was named before is merged. RowError where the two contradict."""
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
        """Take one that is in one of these regions; its own region is the first of them."""
        known = self.instances.get(instance.id)
        if known is None:
            self.instances[instance.id] = instance
            self.candidates[instance.id] = regions
        elif known.region in regions or self.candidates.get(instance.id) == regions:
            self.merged += 1
        else:
            merge(known, instance)

    def complain(self, place: Place, error: RowError) -> None:
        """Note what is wrong with a row; InventoryError where it is too much to go on."""
        code, message, hint = error.args
        self.problems.append(Problem(code, message, place, hint or None))
        if len(self.problems) >= PROBLEMS_MAX:
            problems, self.problems = self.problems, []
            raise InventoryError(tuple(problems), Exit.BAD_INPUT)


def merge(known: Instance, again: Instance) -> Instance:
    """One instance out of two rows about it. RowError where they contradict each other."""
    if known.region != again.region:
        message = f"{again.id} stands here in {again.region}, before in {known.region}"
        raise RowError("R0205", message, "an instance is in one region: correct one of the rows")
    if known == again:
        return known
    values = []
    for name in Instance.__struct_fields__:
        old, new = getattr(known, name), getattr(again, name)
        if name == "io_optimized":
            values.append(old and new)
        elif old != new and old not in _SILENT and new not in _SILENT:
            message = f"{again.id} has another `{name}` here than before"
            raise RowError("R0205", message, "keep the row that is right, or the newer file")
        else:
            values.append(new if old in _SILENT else old)
    return Instance(*values)
