"""Put targets last: those of the spec's `last` one at a time, then the machine that runs rollout.

Called by `planner`. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from rollout.core.planning.waves import SiteTargets, only
from rollout.model import limits
from rollout.model.plan import Batch, BudgetText, Cell, Group, RestartKind, Target, Warn, Wave
from rollout.model.spec import LAST, Last, Spec, WaveGate

OWN = "last-self"
"""Name of the wave of the machine that runs rollout."""


class Ordered(msgspec.Struct, frozen=True):
    """The targets of the spec's waves, then those of up to two further waves.

    `last` are the targets that the spec's `last` matches; `own` is at most one target, the machine
    that runs rollout. `unused` are the positions of rules that match no target. `group` is the
    number of the group of `last` and `own`, None if there are fewer than two of them.
    """

    first: Sequence[SiteTargets]
    last: Sequence[SiteTargets] = ()
    own: Sequence[SiteTargets] = ()
    unused: tuple[int, ...] = ()
    group: int | None = None

    def groups(self, budgets: int) -> list[Group]:
        """Return the group with cap 1, of the budget that follows the spec's `budgets`."""
        if self.group is None:
            return []
        parts = (*self.last, *self.own)
        reboots = sum(one.restart is RestartKind.REBOOT for part in parts for one in part.targets)
        return [Group(LAST, budgets, 1, reboots, 0)]

    def budgets(self) -> tuple[BudgetText, ...]:
        """Return the budget of the group."""
        return () if self.group is None else (BudgetText(LAST, "1"),)

    def waves(self, spec: Spec) -> tuple[Wave, ...]:
        """Return the waves after the spec's own. The spec's gates are asked between them too."""
        gates = tuple(range(len(spec.gates)))
        names = {wave.name for wave in spec.waves}
        waves = []
        for name, parts in ((LAST, self.last), (OWN, self.own)):
            if parts:
                free = _free(name, names)
                waves.append(Wave(free, tuple(self._cells(parts)), 0, WaveGate.AUTO, gates))
        return tuple(waves)

    def _cells(self, parts: Iterable[SiteTargets]) -> Iterator[Cell]:
        """Yield cells with batches of one target: a batch holds at most as many as the cap."""
        for part in parts:
            for start in range(0, len(part.targets), limits.CELL_INSTANCES_MAX):
                page = part.targets[start : start + limits.CELL_INSTANCES_MAX]
                yield Cell(*part.site, tuple(Batch((self._grouped(one),)) for one in page))

    def _grouped(self, target: Target) -> Target:
        if self.group is None:
            return target
        return msgspec.structs.replace(target, groups=(*target.groups, self.group))


def order(
    rules: Sequence[Last], parts: Sequence[SiteTargets], groups: int, own: str = ""
) -> Ordered:
    """Return the targets with those of `rules` after the others, and `own` after these.

    `groups` is the number of other groups. `own` is an instance id, empty if rollout does not run
    on an instance.
    """
    if not rules and not own:
        return Ordered(parts)
    found: tuple[list[SiteTargets], ...] = ([], [], [])
    used: set[int] = set()
    for part in parts:
        ranks = []
        for target, tags in zip(part.targets, part.tags, strict=True):
            matches = [at for at, rule in enumerate(rules) if rule.matches(target.instance, tags)]
            used.update(matches)
            ranks.append(2 if target.instance == own else min(len(matches), 1))
        for rank, chosen in enumerate(found):
            share = only(part, [each == rank for each in ranks])
            chosen.extend([share] if share.targets else [])
    first, last, at_end = found
    singles = sum(len(part.targets) for part in (*last, *at_end))
    unused = tuple(at for at in range(len(rules)) if at not in used)
    return Ordered(first, last, at_end, unused, groups if singles > 1 else None)


def warnings(ordered: Ordered, waves: Sequence[Wave]) -> Iterator[Warn]:
    """Yield the warnings about the order of a plan with these waves, which may be narrowed."""
    own = {target.instance for part in ordered.own for target in part.targets}
    targets = (one for wave in waves[-1:] for cell in wave.cells for one in cell.targets())
    for target in targets:
        if target.instance in own:
            yield Warn(
                "R0370",
                0,
                f"{target.instance} is this machine, which runs rollout. It restarts last, and its "
                "restart ends the run's process. Run `rollout resume` afterwards.",
            )
    for at in ordered.unused:
        yield Warn("R0371", 0, f"last[{at}] matches no target: check the selector or the ids.")


def _free(name: str, taken: Iterable[str]) -> str:
    """Return the name, with further `-x` at its end until no wave of the spec has it."""
    while name in taken:
        name += "-x"
    return name
