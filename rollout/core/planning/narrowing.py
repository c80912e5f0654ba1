"""Narrow a plan: leave targets out and lower the cap. It never adds a target or raises a cap.

Called by `planner` after it made the waves and groups, so that percentages and the order of waves
are those of the plan without narrowing. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase

import msgspec

from rollout.core.planning.selection import Selection
from rollout.errors import PlanError, UsageError
from rollout.model.instance import Instance, MissingInstance
from rollout.model.phrase import say
from rollout.model.plan import Batch, BudgetText, Cell, Group, Narrowed, RestartKind, Target, Wave
from rollout.model.selector import Selector
from rollout.model.spec import FLEET, Spec


class Pattern(msgspec.Struct, frozen=True):
    """One value of `--limit` or `--exclude` as typed, and what it matches: ids, globs of ids, or
    tag selectors. A file or the standard input has one of these on each line.
    """

    typed: str
    instances: frozenset[str] = frozenset()
    globs: tuple[str, ...] = ()
    selectors: tuple[Selector, ...] = ()

    def matches(self, instance: Instance | MissingInstance) -> bool:
        """Return whether any part of the pattern matches. A missing instance has no tags."""
        if instance.id in self.instances or any(fnmatchcase(instance.id, g) for g in self.globs):
            return True
        tags = instance.tags if isinstance(instance, Instance) else None
        return tags is not None and any(selector.matches(tags) for selector in self.selectors)


class Narrowing(msgspec.Struct, frozen=True):
    """What to leave out. `limit`: only instances that one of these matches; empty means all.
    `exclude` outranks it. `wave`: only this wave's targets. `max_down`: a further cap of the
    fleet; 0 means none.
    """

    limit: tuple[Pattern, ...] = ()
    exclude: tuple[Pattern, ...] = ()
    wave: str = ""
    max_down: int = 0

    def recorded(self) -> Narrowed | msgspec.UnsetType:
        """Return the record for the plan; unset if nothing is narrowed."""
        if self == Narrowing():
            return msgspec.UNSET
        limit, exclude = (
            tuple(one.typed for one in patterns) for patterns in (self.limit, self.exclude)
        )
        return Narrowed(limit, exclude, self.wave, self.max_down)


class Narrower:
    """Applies a narrowing: add the inventory page by page, then narrow the waves and groups."""

    def __init__(self, narrowing: Narrowing, spec: Spec) -> None:
        self._narrowing = narrowing
        self._waves_of_spec = [wave.name for wave in spec.waves]
        self._patterns = (*narrowing.limit, *narrowing.exclude)
        self._unused = set(self._patterns)
        self._left_out: dict[str, str] = {}
        self._capped = False

    def add(self, page: Iterable[Instance | MissingInstance]) -> None:
        """Note which of these instances the patterns leave out."""
        if not self._patterns:
            return
        limit, exclude = self._narrowing.limit, self._narrowing.exclude
        for one in page:
            limits = [pattern for pattern in limit if pattern.matches(one)]
            excludes = [pattern for pattern in exclude if pattern.matches(one)]
            self._unused.difference_update(limits, excludes)
            if excludes:
                self._left_out[one.id] = f"--exclude {excludes[0].typed}"
            elif limit and not limits:
                self._left_out[one.id] = "--limit"

    def budgets(self) -> tuple[BudgetText, ...]:
        """Return the budget of a further cap."""
        cap = self._narrowing.max_down
        return (BudgetText(FLEET, str(cap)),) if cap else ()

    def groups(self, count: int) -> tuple[int, ...]:
        """Return the group of a further cap, the last of `count` groups."""
        return (count - 1,) if self._narrowing.max_down and self._capped else ()

    def _unmatched(self, pattern: Pattern) -> UsageError:
        """Return the error for a pattern that matches nothing."""
        cure = say("correct the pattern: an instance that it should select would be left out")
        if pattern in self._narrowing.exclude:
            cure = say("correct the pattern: an instance that it should exclude would be rotated")
        text = say("{typed} matches no instance of the inventory", typed=pattern.typed)
        return UsageError.of("R0017", text, help=cure)

    def narrow(
        self, waves: Sequence[Wave], groups: Sequence[Group], budgets: int, selected: Selection
    ) -> tuple[tuple[Wave, ...], list[Group]]:
        """Return the narrowed waves and groups; move the targets left out to the exclusions.

        Groups keep members and cap: the instances left out still serve traffic. `budgets` is the
        number of the plan's other budgets. Errors: UsageError R0017 for an unknown wave or a
        pattern that matches no instance; PlanError R0018 for a `max_down` above a cap of the fleet
        or above its size.
        """
        self._check_wave(waves)
        for pattern in self._patterns:
            if pattern in self._unused:
                raise self._unmatched(pattern)
        dropped: Counter[int] = Counter()
        for wave in waves:
            for cell in wave.cells:
                for target in cell.targets():
                    if (detail := self._detail(wave, target)) is not None:
                        selected.leave_out(cell.site, target, detail)
                        dropped.update(target.groups if _reboots(target) else ())
        kept = [
            msgspec.structs.replace(group, others=group.others + dropped[number])
            for number, group in enumerate(groups)
        ]
        cap = self._narrowing.max_down
        if not cap:
            return tuple(self._waves(waves, None)), kept
        reboots = selected.chosen - selected.stopped
        if reboots:
            _check_cap(cap, [group.cap for group in groups if group.key == FLEET], selected.base)
        self._capped = reboots > 0
        kept.append(Group(FLEET, budgets, cap, selected.base, selected.base - reboots))
        return tuple(self._waves(waves, len(groups))), kept

    def _check_wave(self, waves: Iterable[Wave]) -> None:
        names = dict.fromkeys([*self._waves_of_spec, *(wave.name for wave in waves)])
        if self._narrowing.wave and self._narrowing.wave not in names:
            message = say("--wave {wave}: the plan has no such wave", wave=self._narrowing.wave)
            raise UsageError.of(
                "R0017", message, help=say("choose from {names}", names=", ".join(names))
            )

    def _waves(self, waves: Sequence[Wave], group: int | None) -> Iterator[Wave]:
        """Yield the waves with the targets that stay, in that further group; no empty waves."""
        for wave in waves:
            cells = []
            for cell in wave.cells:
                batches = tuple(
                    batch for whole in cell.batches for batch in self._batches(wave, whole, group)
                )
                if batches:
                    cells.append(Cell(*cell.site, batches))
            if cells:
                yield msgspec.structs.replace(wave, cells=tuple(cells))

    def _batches(self, wave: Wave, whole: Batch, group: int | None) -> Iterator[Batch]:
        """Yield the rest of a batch; in several batches if it is larger than the cap."""
        kept = [target for target in whole.targets if self._detail(wave, target) is None]
        if group is not None:
            kept = [
                msgspec.structs.replace(target, groups=(*target.groups, group)) for target in kept
            ]
        size = self._narrowing.max_down or len(kept)
        for start in range(0, len(kept), size or 1):
            yield Batch(tuple(kept[start : start + size]))

    def _detail(self, wave: Wave, target: Target) -> str | None:
        """Return why a target is left out; None if it stays."""
        if self._narrowing.wave not in ("", wave.name):
            return "--wave"
        return self._left_out.get(target.instance)


def _reboots(target: Target) -> bool:
    return target.restart is RestartKind.REBOOT


def _check_cap(wanted: int, caps: Sequence[int], members: int) -> None:
    """Raise PlanError R0018 if the cap would loosen the plan."""
    most = min([*caps, members])
    if wanted > most:
        raise PlanError.of(
            "R0018",
            say(
                "--max-down {wanted:,} is more than the plan allows: {most:,} of the fleet",
                wanted=wanted,
                most=most,
            ),
            help=say(
                "write at most {most:,}, or leave --max-down out; only the spec raises a cap",
                most=most,
            ),
        )
