"""Read the instances of all file sources of a spec, each source with its own selector.

Called by `sources`. It makes no API calls.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from rollout.errors import Exit, InventoryError, Problem
from rollout.inventory import files
from rollout.inventory.gathered import Gathered
from rollout.inventory.rows import RowError
from rollout.model.instance import Instance
from rollout.model.selector import Selector
from rollout.model.spec import FileSource, Spec


@dataclass(slots=True)
class Named:
    """Instances of the sources without a selector, and those of each source with one."""

    plain: Gathered = field(default_factory=Gathered)
    unselected: frozenset[str] = frozenset()
    """Ids that a source without a selector names; empty if no source has a selector."""
    chosen: list[tuple[Selector, Gathered]] = field(default_factory=list)

    def whole(self, *, matching: bool) -> Gathered:
        """Merge all instances into `plain` and return it. With `matching`, only those whose tags
        in the file match the selector of their source. Errors: InventoryError if files contradict
        each other.
        """
        self.unselected = frozenset(self.plain.instances if self.chosen else ())
        problems: list[Problem] = []
        for select, gathered in self.chosen:
            self.plain.merged += gathered.merged
            for one in gathered.instances.values():
                if not matching or select.matches(one.tags):
                    try:
                        if one.id in gathered.candidates:
                            self.plain.add_in_one_of(one, gathered.candidates[one.id])
                        else:
                            self.plain.add(one)
                    except RowError as error:
                        code, message, hint = error.args
                        problems.append(Problem(code, message, None, hint or None))
        if problems:
            raise InventoryError(tuple(problems), Exit.BAD_INPUT)
        return self.plain

    def left_out(self, instance: Instance) -> bool:
        """Return whether each file that names the instance has a selector that does not match."""
        if not self.chosen or instance.id in self.unselected:
            return False
        return not any(
            instance.id in gathered.instances and select.matches(instance.tags)
            for select, gathered in self.chosen
        )


def read_files(
    spec: Spec,
    project: Path,
    account: str,
    *,
    live: bool,
    allow_empty: bool = False,
    allow_partial: bool = False,
) -> Named:
    """Read all file sources. Errors: InventoryError with the problems of all files (65, 74).

    With `live`, rows only name instances: their other fields are neither read nor compared.
    """
    named = Named(Gathered(allow_partial=allow_partial))
    failures: list[InventoryError] = []
    problems: list[Problem] = []
    for source in spec.inventory:
        if not isinstance(source, FileSource):
            continue
        gathered = named.plain
        if source.select is not None:
            gathered = Gathered(allow_partial=allow_partial)
            named.chosen.append((source.select, gathered))
        try:
            files.read(
                source,
                gathered,
                account=account,
                project=project,
                live=live,
                allow_empty=allow_empty,
            )
        except InventoryError as error:
            failures.append(error)
        problems += gathered.problems
        gathered.problems = []
    for _, gathered in named.chosen:
        named.plain.notes += gathered.notes
    problems += [each for failure in failures for each in failure.problems]
    if problems:
        unreadable = any(failure.exit is Exit.IO for failure in failures)
        raise InventoryError(tuple(problems), Exit.IO if unreadable else Exit.BAD_INPUT)
    return named
