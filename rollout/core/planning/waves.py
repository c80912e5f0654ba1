"""Divide the targets into waves, cells and batches.

Called by `planner`. Cells keep the inventory's order. A wave takes targets at even distances, so
that it has its share of every region.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from types import MappingProxyType

import msgspec

from rollout.core.planning.scope import Scope
from rollout.errors import PlanError
from rollout.model import limits
from rollout.model.instance import Instance, Status, Tags
from rollout.model.phrase import say
from rollout.model.plan import Batch, Cell, Group, InstanceKind, RestartKind, Target, Wave
from rollout.model.site import Site
from rollout.model.spec import FLEET, Spec, WaveGate, WaveKind, WaveSpec

_SITE, _KEY = attrgetter("account", "region"), attrgetter("key")
_STOPPED, _START, _REBOOT = Status.STOPPED, RestartKind.START, RestartKind.REBOOT
"""Global names: an attribute of an enum class costs 50 ns per instance."""


class SiteTargets(msgspec.Struct, frozen=True):
    """The targets of one site in inventory order, and the tags of each target."""

    site: Site
    targets: list[Target]
    tags: list[Tags]


class FleetTargets:
    """Targets by site, made from the selected instances page by page, and their kinds: the values
    that `Target.kind` numbers.
    """

    def __init__(self, scope: Scope) -> None:
        self._names = [key.name for key in scope.keys]
        self._key_of = scope.key_of.get
        self._parts: dict[Site, SiteTargets] = {}
        self._kinds: dict[tuple[str, str], int] = {}

    def add(self, chosen: Iterable[Instance], groups: Sequence[tuple[int, ...]]) -> None:
        """Add targets for these instances, in this order, with the groups of each."""
        names, key_of, groups_left = self._names, self._key_of, iter(groups)
        kinds = self._kinds
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
                        one.key_pair != names[key],
                        restart_kind(one.status),
                        grouped,
                        key,
                        kinds.setdefault((one.os_name, one.instance_type), len(kinds)),
                    )
                    for one, grouped in zip(members, groups_left, strict=False)
                    for key in (key_of(one.id, 0),)
                ]
            )

    def kinds(self) -> tuple[InstanceKind, ...]:
        """Return the kinds in order of their numbers; none if nothing is known about a target."""
        return (
            tuple(InstanceKind(*one) for one in self._kinds) if any(map(any, self._kinds)) else ()
        )

    def sorted(self) -> list[SiteTargets]:
        """Return the parts, by account and region."""
        return [self._parts[key] for key in sorted(self._parts)]


def make_waves(
    spec: Spec, parts: Sequence[SiteTargets], groups: Sequence[Group], *, size_min: int = 0
) -> tuple[Wave, ...]:
    """Return the waves. Each target is in exactly one batch.

    A wave without targets, because earlier waves take all, is left out. Errors: PlanError R0312
    if a share of the targets comes to 0, unless `size_min` is 1.
    """
    fleet = [group.cap for group in groups if group.cap and group.key == FLEET]
    batch_max = min([limits.ATTACH_IDS_MAX, spec.limits.exposed_max, *fleet])
    tight = tight_caps(groups, batch_max)
    total = _size(parts)
    waves = []
    for wave in spec.waves:
        share, parts = _part(parts, _taken(wave, parts, total, size_min))
        if share:
            cells = [cell for part in share for cell in _cells(part, batch_max, tight)]
            gates = tuple(range(len(spec.gates))) if wave.gate is WaveGate.AUTO else ()
            waves.append(Wave(wave.name, tuple(cells), wave.bake_ms, wave.gate, gates))
    return tuple(waves)


def end_ungated(waves: Sequence[Wave]) -> tuple[Wave, ...]:
    """Return the waves with no bake and no gate after the last one, which no wave follows."""
    return (*waves[:-1], *(Wave(last.name, last.cells) for last in waves[-1:]))


def tight_caps(groups: Iterable[Group], size: int) -> dict[int, int]:
    """Return the caps, by group, that are less than the size of a batch."""
    return {number: group.cap for number, group in enumerate(groups) if 0 < group.cap < size}


def make_batches(
    targets: Iterable[Target], size: int, tight: Mapping[int, int] = MappingProxyType({})
) -> tuple[Batch, ...]:
    """Return batches of at most `size` targets with the same key, in the order of keys.

    A batch holds at most as many members of a group as the cap of the group in `tight`.
    """
    batches: list[Batch] = []
    for _, run in itertools.groupby(sorted(targets, key=_KEY), _KEY):
        same = tuple(run)
        parts = _spread(same, size, tight) if tight else _pages(same, size)
        batches += [Batch(tuple(part)) for part in parts]
    return tuple(batches)


def _pages(targets: tuple[Target, ...], size: int) -> Iterable[tuple[Target, ...]]:
    return (targets[at : at + size] for at in range(0, len(targets), size))


def _spread(
    targets: Iterable[Target], size: int, tight: Mapping[int, int]
) -> Iterable[list[Target]]:
    """Put each target in the first batch that is not full and comes after none of its full groups.

    For each tight group, `last` is the last batch with a member, and the number of members in it:
    earlier batches get no more of them, so a target costs no search through the batches.
    """
    batches: list[list[Target]] = []
    last: dict[int, tuple[int, int]] = {}
    front = 0
    for target in targets:
        groups = [group for group in target.groups if group in tight]
        number = front
        for group in groups:
            batch, members = last.get(group, (0, 0))
            number = max(number, batch + (members >= tight[group]))
        while number < len(batches) and len(batches[number]) >= size:
            number += 1
        if number >= len(batches):
            number = len(batches)
            batches.append([])
        batches[number].append(target)
        for group in groups:
            batch, members = last.get(group, (0, 0))
            last[group] = number, members + 1 if batch == number else 1
        while front < len(batches) and len(batches[front]) >= size:
            front += 1
    return batches


def restart_kind(status: Status) -> RestartKind:
    """Return the restart that puts a key in force on an instance in this status."""
    return _START if status is _STOPPED else _REBOOT


def _size(parts: Iterable[SiteTargets]) -> int:
    return sum(len(part.targets) for part in parts)


def _part(
    parts: Sequence[SiteTargets], positions: Sequence[int]
) -> tuple[Sequence[SiteTargets], Sequence[SiteTargets]]:
    """Return the targets at these positions, counted through all parts, and the other targets."""
    size = _size(parts)
    if len(positions) == size:
        return parts, ()
    marks = bytearray(size)
    for position in positions:
        marks[position] = True
    taken, left, start = [], [], 0
    for part in parts:
        end = start + len(part.targets)
        taken.append(only(part, marks[start:end]))
        left.append(only(part, [not mark for mark in marks[start:end]]))
        start = end
    return [part for part in taken if part.targets], [part for part in left if part.targets]


def only(part: SiteTargets, marks: Sequence[bool | int]) -> SiteTargets:
    """Return the part with the marked targets only."""
    targets = list(itertools.compress(part.targets, marks))
    return SiteTargets(part.site, targets, list(itertools.compress(part.tags, marks)))


def _taken(wave: WaveSpec, rest: Sequence[SiteTargets], total: int, size_min: int) -> Sequence[int]:
    """Return the positions in `rest` that this wave takes, ascending."""
    size = _size(rest)
    if wave.kind is WaveKind.REST or not size:
        return range(size)
    if wave.kind is WaveKind.COVER:
        return _cover(rest)
    if wave.amount is None:
        message = say("wave {name} has no amount", name=wave.name)
        raise PlanError.of("R0312", message)
    count = max(size_min, wave.amount.of(total))
    if count == 0:
        raise PlanError.of(
            "R0312",
            say(
                "wave `{name}`: {amount} of {total} targets comes to 0",
                name=wave.name,
                amount=wave.amount,
                total=total,
            ),
            help=say("write a count, for example `size: 1`"),
        )
    count = min(count, size)
    return [number * size // count for number in range(count)]


def _cover(rest: Iterable[SiteTargets]) -> list[int]:
    """Return the first position of each image, zone and value of the tag `tier`."""
    both = (pair for part in rest for pair in zip(part.targets, part.tags, strict=True))
    first: dict[tuple[str, str, Tags], int] = {}  # few tag sets: read each one once
    for position, (one, tags) in enumerate(both):
        first.setdefault((one.image, one.zone, tags), position)
    kinds: dict[tuple[str, str, str], int] = {}
    for (image, zone, tags), position in first.items():
        tier = next((value for key, value in tags if key == "tier"), "")
        kinds.setdefault((image, zone, tier), position)
    return sorted(kinds.values())


def _cells(part: SiteTargets, batch_max: int, tight: Mapping[int, int]) -> Iterable[Cell]:
    for page in _even_pages(part.targets, limits.CELL_INSTANCES_MAX):
        batches = make_batches(page, batch_max, tight)
        yield Cell(*part.site, batches)


def _even_pages(targets: list[Target], size: int) -> Iterable[list[Target]]:
    """Yield the fewest possible pages of at most `size` targets, of nearly equal length."""
    pages = -(-len(targets) // size)
    for page in range(pages):
        start, end = page * len(targets) // pages, (page + 1) * len(targets) // pages
        yield targets[start:end]
