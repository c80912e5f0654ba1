"""All sources of a spec → one inventory: read, merged by id, hydrated from the service.

Called by the command line. A file only says which instances; what they are is read from the
service before planning, unless nothing may be asked of it.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable
from operator import attrgetter
from pathlib import Path

from rollout.errors import Exit, InventoryError, Problem
from rollout.inventory import live, naming, unlisted
from rollout.inventory.gathered import Gathered
from rollout.model.instance import Instance, Inventory, MissingInstance
from rollout.model.spec import EcsSource, Spec
from rollout.model.time import Instant


async def collect(
    spec: Spec,
    project: Path,
    lister: live.Lister | None,
    now: Instant,
    *,
    allow_empty: bool = False,
    allow_partial: bool = False,
    allow_unknown_region: bool = False,
    earlier: int | None = None,
) -> Inventory:
    """The fleet of a spec, sorted by region and id; without a lister what its files say of it.

    `earlier`: how many instances the last plan of this spec found, None where there is none.
    Errors: InventoryError with all problems of all files (65, 74); R0210 where nothing is found
    (65); R0212 where far less is found than earlier (6); and those of `live`. `allow_empty` lifts
    the two in the middle, `allow_partial` R0215: a part of a listing. A region that is not in the
    built-in list is asked of the service, unless `allow_unknown_region`: R0204 where a source names
    one that the account does not have; instances of a file in such a region are not found.
    """
    named = naming.read_files(
        spec,
        project,
        lister.account if lister else "",
        live=lister is not None,
        allow_empty=allow_empty,
        allow_partial=allow_partial,
    )
    if lister is None:
        _refuse_live(spec)
        whole = named.whole(matching=True)
        rows = _sorted(whole.instances.values())
        unsure = unlisted.notes(_regions(spec, named))
        notes = (*whole.notes, *unsure, *_untagged(spec, rows))
        found = Inventory(rows, now, live=False, merged=whole.merged, notes=notes)
    else:
        absent: frozenset[str] = frozenset()
        if not allow_unknown_region:
            absent = await unlisted.missing(lister, _regions(spec, named))
        found = await _ask(spec, lister, named, now, absent)
    if not allow_empty:
        _doubt(spec, len(found.instances) + len(found.lost), earlier)
    return found


async def _ask(
    spec: Spec,
    lister: live.Lister,
    files_name: naming.Named,
    now: Instant,
    absent: frozenset[str],
) -> Inventory:
    """List the live sources, then look at every id that only a file named."""
    free = set(files_name.plain.instances) if files_name.chosen else set()
    named = files_name.whole(matching=False)
    seen: dict[str, Instance] = {}
    calls, merged = 0, named.merged
    unlisted.refuse(absent & unlisted.named_by(spec))
    for source in spec.inventory:
        if isinstance(source, EcsSource):
            listed = await live.list_regions(
                lister, source.regions, source.select, allow_partial=named.allow_partial
            )
            named.notes += listed.notes
            calls += listed.calls
            merged += sum(one.id in seen for one in listed.instances)
            seen.update((one.id, one) for one in listed.instances)
    _check_regions(named, seen)
    asked: dict[str, list[str]] = {}
    for one in _sorted(named.instances.values()):
        if one.id in seen:
            merged += 1
        else:
            asked.setdefault(one.region, []).append(one.id)
    found: dict[str, Instance] = {}
    wanted = {region: ids for region, ids in asked.items() if region not in absent}
    for region in sorted(absent):
        text = (
            f"{len(asked.get(region, ())):,} ids of files are in {region}, which the account lacks"
        )
        named.notes.append(("R0204", text))
    while wanted:
        looked = await live.hydrate(lister, wanted, allow_partial=named.allow_partial)
        named.notes += looked.notes
        calls += looked.calls
        found.update((one.id, one) for one in looked.instances)
        wanted = _elsewhere(named, wanted, found)
    narrowed = [
        each
        for each, one in found.items()
        if files_name.chosen and each not in free and files_name.left_out(one)
    ]
    seen.update(found)
    lost = tuple(
        MissingInstance(each, lister.account, region)
        for region, ids in sorted(asked.items())
        for each in ids
        if each not in seen
    )
    for each in narrowed:
        del seen[each]
    return Inventory(
        _sorted(seen.values()),
        now,
        lost=lost,
        merged=merged,
        calls=calls,
        notes=tuple(named.notes),
    )


def _untagged(spec: Spec, rows: tuple[Instance, ...]) -> list[tuple[str, str]]:
    """A note where rules by tag were judged on files that hold no tags at all."""
    rules = [each.select for each in (*spec.exclude, *spec.inventory) if each.select is not None]
    if not rules or any(one.tags for one in rows):
        return []
    return [("R0317", "the files hold no tags: selectors were judged as if there were none")]


def _regions(spec: Spec, files_name: naming.Named) -> frozenset[str]:
    """Every region in which something will be read."""
    read = [files_name.plain, *(gathered for _, gathered in files_name.chosen)]
    return unlisted.named_by(spec).union(
        one.region for gathered in read for one in gathered.instances.values()
    )


def _elsewhere(
    named: Gathered, asked: dict[str, list[str]], found: dict[str, Instance]
) -> dict[str, list[str]]:
    """Where to look next for ids that were not found in the first of their regions."""
    further: dict[str, list[str]] = {}
    for region, ids in sorted(asked.items()):
        for each in ids:
            regions = named.candidates.get(each, ())
            if each not in found and region in regions[:-1]:
                further.setdefault(regions[regions.index(region) + 1], []).append(each)
    return further


def _sorted(instances: Iterable[Instance]) -> tuple[Instance, ...]:
    """By region and id; the account is one. Parted first: a million tuples take seconds to sort."""
    parts: defaultdict[str, list[Instance]] = defaultdict(list)
    for one in instances:
        parts[one.region].append(one)
    for part in parts.values():
        part.sort(key=attrgetter("id"))
    return tuple(itertools.chain.from_iterable(parts[region] for region in sorted(parts)))


def _refuse_live(spec: Spec) -> None:
    if any(isinstance(source, EcsSource) for source in spec.inventory):
        hint = "export the fleet to a file and name it as a source, or plan without --offline"
        raise InventoryError.of("R0214", "an `ecs` source cannot be read offline", help=hint)


def _check_regions(named: Gathered, seen: dict[str, Instance]) -> None:
    """A file must not put an instance into another region than the service lists it in."""
    problems = tuple(
        Problem("R0205", f"{one.id} is in {seen[one.id].region}, a file says {one.region}")
        for one in _sorted(named.instances.values())
        if one.id in seen
        and seen[one.id].region != one.region
        and seen[one.id].region not in named.candidates.get(one.id, ())
    )
    if problems:
        raise InventoryError(problems, Exit.BAD_INPUT)


def _doubt(spec: Spec, found: int, earlier: int | None) -> None:
    """Nothing, or less than half of what there was, is rather a mistake than a fleet."""
    if earlier and found * 2 < earlier:
        raise InventoryError.of(
            "R0212",
            f"{found} instances were found; the last plan of `{spec.name}` found {earlier}",
            help="check regions, select and permissions; pass --allow-empty if the fleet shrank",
        )
    if not found:
        hint = "check regions and select of the spec; pass --allow-empty if this is intended"
        raise InventoryError.of("R0210", "no instance was found by any source", help=hint)
