"""Groups with caps, and the fleet cut into waves, cells and batches.

Called by `planner`. Cutting keeps the inventory's order inside a cell, takes waves as even
strides so that each has its share of every region, and makes no batch larger than may be down
together.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from operator import attrgetter

import msgspec

from rollout.errors import PlanError, RolloutError
from rollout.model import limits
from rollout.model.instance import Instance, Status, Tags
from rollout.model.plan import Batch, Cell, Group, RestartKind, Target, Wave
from rollout.model.site import Site
from rollout.model.spec import Budget, Spec, WaveKind, WaveSpec

_SITE = attrgetter("account", "region")
_STOPPED, _START, _REBOOT = Status.STOPPED, RestartKind.START, RestartKind.REBOOT
"""Global names: asking the class for a member costs 50 ns, and every instance is asked about."""


def make_groups(budgets: Sequence[Budget], members: int, reboots: int) -> list[Group]:
    """One group a budget (`by: fleet` only so far), with its cap as a number.

    `members` is the base of a percentage: instances that the spec covers, whether they are targets
    or not, and that were not Stopped when planned. A stopped instance serves no traffic, so it
    cannot go down. `reboots` of the members are targets. PlanError R0312 where a cap comes to 0 or
    is greater than the base while something has to be rebooted.
    """
    groups = []
    for index, budget in enumerate(budgets):
        cap = budget.max_down.of(members)
        if reboots and not 0 < cap <= members:
            raise _bad_budget(index, budget, members, cap)
        groups.append(Group(budget.by, index, cap, members, members - reboots))
    return groups


class SiteTargets(msgspec.Struct, frozen=True):
    """The targets of one site in inventory order, and the tags of each."""

    site: Site
    targets: list[Target]
    tags: list[Tags]


class FleetTargets:
    """Sorts the chosen instances by site, page by page, and makes targets of them."""

    def __init__(self, spec: Spec) -> None:
        self._wanted = spec.key_pair.name
        self._groups = tuple(range(len(spec.budgets)))
        self._parts: dict[Site, SiteTargets] = {}

    def add(self, chosen: Iterable[Instance]) -> None:
        """Take these, in this order."""
        wanted, groups = self._wanted, self._groups
        for key, run in itertools.groupby(chosen, _SITE):
            members = list(run)
            site = Site(*key)
            part = self._parts.setdefault(site, SiteTargets(site, [], []))
            part.tags.extend([one.tags for one in members])
            part.targets.extend(
                [
                    Target(
                        one.id,
                        one.zone,
                        one.image,
                        one.status,
                        one.key_pair,
                        one.key_pair != wanted,
                        restart_kind(one.status),
                        groups,
                    )
                    for one in members
                ]
            )

    def sorted(self) -> list[SiteTargets]:
        """Return the parts, by account and region."""
        return [self._parts[key] for key in sorted(self._parts)]


def make_waves(
    spec: Spec, parts: Sequence[SiteTargets], groups: Sequence[Group]
) -> tuple[Wave, ...]:
    """The targets of the parts in waves, cells and batches, each exactly once.

    Waves that come out empty because earlier ones took everything are left out. PlanError R0312
    where a share of the targets comes to 0.
    """
    caps = [group.cap for group in groups if group.cap]
    batch_max = min([limits.ATTACH_IDS_MAX, spec.limits.exposed_max, *caps])
    total = _size(parts)
    waves = []
    for wave in spec.waves:
        share, parts = _part(parts, _taken(wave, parts, total))
        if share:
            cells = [cell for part in share for cell in _cells(part, batch_max)]
            waves.append(Wave(wave.name, tuple(cells)))
    return tuple(waves)


def restart_kind(status: Status) -> RestartKind:
    """Return the restart that puts a key in force on an instance in this status."""
    return _START if status is _STOPPED else _REBOOT


def _size(parts: Iterable[SiteTargets]) -> int:
    return sum(len(part.targets) for part in parts)


def _part(
    parts: Sequence[SiteTargets], positions: Sequence[int]
) -> tuple[Sequence[SiteTargets], Sequence[SiteTargets]]:
    """What stands at these positions, counted through all parts, and what is left; both parts."""
    size = _size(parts)
    if len(positions) == size:
        return parts, ()
    marks = bytearray(size)
    for position in positions:
        marks[position] = True
    taken, left, start = [], [], 0
    for part in parts:
        end = start + len(part.targets)
        taken.append(_only(part, marks[start:end]))
        left.append(_only(part, [not mark for mark in marks[start:end]]))
        start = end
    return [part for part in taken if part.targets], [part for part in left if part.targets]


def _only(part: SiteTargets, marks: Sequence[int]) -> SiteTargets:
    """The part with what is marked."""
    targets = list(itertools.compress(part.targets, marks))
    return SiteTargets(part.site, targets, list(itertools.compress(part.tags, marks)))


def _taken(wave: WaveSpec, rest: Sequence[SiteTargets], total: int) -> Sequence[int]:
    """Positions, counted through the parts of `rest`, that this wave takes, ascending."""
    size = _size(rest)
    if wave.kind is WaveKind.REST or not size:
        return range(size)
    if wave.kind is WaveKind.COVER:
        return _cover(rest)
    if wave.amount is None:
        message = f"wave {wave.name} has no amount"
        raise PlanError.of("R0312", message)
    count = wave.amount.of(total)
    if count == 0:
        raise PlanError.of(
            "R0312",
            f"wave `{wave.name}`: {wave.amount} of {total} targets comes to 0",
            help="write a count, for example `size: 1`",
        )
    count = min(count, size)
    return [number * size // count for number in range(count)]


def _cover(rest: Iterable[SiteTargets]) -> list[int]:
    """The first of every image, zone and value of the tag `tier` (no tag is a value too)."""
    both = (pair for part in rest for pair in zip(part.targets, part.tags, strict=True))
    alike: dict[tuple[str, str, Tags], int] = {}  # few: whole tag sets first, then what they say
    for position, (one, tags) in enumerate(both):
        alike.setdefault((one.image, one.zone, tags), position)
    seen: dict[tuple[str, str, str], int] = {}
    for (image, zone, tags), position in alike.items():
        tier = next((value for key, value in tags if key == "tier"), "")
        seen.setdefault((image, zone, tier), position)
    return sorted(seen.values())


def _cells(part: SiteTargets, batch_max: int) -> Iterable[Cell]:
    for page in _even_pages(part.targets, limits.CELL_INSTANCES_MAX):
        batches = tuple(
            Batch(tuple(page[start : start + batch_max]))
            for start in range(0, len(page), batch_max)
        )
        yield Cell(*part.site, batches)


def _even_pages(targets: list[Target], size: int) -> Iterable[list[Target]]:
    """As few pages of at most `size` as there can be, of nearly equal length."""
    pages = -(-len(targets) // size)
    for page in range(pages):
        start, end = page * len(targets) // pages, (page + 1) * len(targets) // pages
        yield targets[start:end]


def _bad_budget(index: int, budget: Budget, members: int, cap: int) -> RolloutError:
    stated = f"budgets[{index}] ({budget.by}): maxDown {budget.max_down}"
    if cap == 0:
        message = f"{stated} of {members} comes to 0"
        cure = f"write an absolute number, for example `maxDown: 1`; {_BASE}"
    else:
        message = f"{stated} is more than {members}"
        cure = f"write at most {members}, or a percentage; {_BASE}"
    return PlanError.of("R0312", message, help=cure)


_BASE = "only running instances that the spec covers count"
