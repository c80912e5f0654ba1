"""Read all sources of a spec and merge them by id to one inventory.

Called by `app`. A file only names instances; their state is read from the service, unless the plan
is made offline.
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
from rollout.model.phrase import say
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
    """Return the fleet of a spec, sorted by region and id. Without a lister, read only its files.

    `earlier`: how many instances the last plan of this spec found, or None. Errors: InventoryError
    with the problems of all files (65, 74); R0210 if no instance is found (65) and R0212 if far
    fewer are found than earlier (6), unless `allow_empty`; R0204 if a source names a region that
    the account does not have, unless `allow_unknown_region`; and the errors of `live`, where
    `allow_partial` accepts an incomplete listing (R0215).
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
        found = await _read_live(spec, lister, named, now, absent)
    if not allow_empty:
        _check_count(spec, len(found.instances) + len(found.lost), earlier)
    return found


async def _read_live(
    spec: Spec, lister: live.Lister, files: naming.Named, now: Instant, absent: frozenset[str]
) -> Inventory:
    """List the live sources, then look up the ids that only files name."""
    unlisted.refuse(absent & unlisted.named_by(spec))
    reader = _LiveReader(lister, files.whole(matching=False))
    for source in spec.inventory:
        if isinstance(source, EcsSource):
            await reader.list_source(source)
    looked_up = await reader.look_up(absent)
    found = reader.instances
    lost = tuple(
        MissingInstance(each, lister.account, region)
        for region, ids in sorted(looked_up.items())
        for each in ids
        if each not in found
    )
    for each in itertools.chain.from_iterable(looked_up.values()):
        if each in found and files.left_out(found[each]):
            del found[each]
    return Inventory(
        _sorted(found.values()),
        now,
        lost=lost,
        merged=reader.merged,
        calls=reader.calls,
        notes=tuple(reader.notes),
    )


class _LiveReader:
    """Reads instances from the service, and counts its calls and the merged rows."""

    def __init__(self, lister: live.Lister, named: Gathered) -> None:
        self._lister, self._named = lister, named
        self.instances: dict[str, Instance] = {}
        self.calls, self.merged, self.notes = 0, named.merged, named.notes

    async def list_source(self, source: EcsSource) -> None:
        """Read the instances that a live source lists."""
        partial = self._named.allow_partial
        listed = await live.list_regions(
            self._lister, source.regions, source.select, allow_partial=partial
        )
        self.merged += sum(one.id in self.instances for one in listed.instances)
        self._take(listed)

    async def look_up(self, absent: frozenset[str]) -> dict[str, list[str]]:
        """Read the instances that files name and no live source listed. Return their ids by region.

        Makes no call for the regions in `absent`, which the account does not have.
        """
        _check_regions(self._named, self.instances)
        unread: dict[str, list[str]] = {}
        for one in _sorted(self._named.instances.values()):
            if one.id in self.instances:
                self.merged += 1
            else:
                unread.setdefault(one.region, []).append(one.id)
        for region in sorted(absent):
            ids = f"{len(unread.get(region, ())):,} ids of files"
            self.notes.append(("R0204", f"{ids} are in {region}, which the account lacks"))
        wanted = {region: ids for region, ids in unread.items() if region not in absent}
        partial = self._named.allow_partial
        while wanted:
            self._take(await live.hydrate(self._lister, wanted, allow_partial=partial))
            wanted = _elsewhere(self._named, wanted, self.instances)
        return unread

    def _take(self, listed: live.Listed) -> None:
        self.notes += listed.notes
        self.calls += listed.calls
        self.instances.update((one.id, one) for one in listed.instances)


def _untagged(spec: Spec, rows: tuple[Instance, ...]) -> list[tuple[str, str]]:
    """Return a note if selectors were evaluated on files without any tags."""
    rules = [each.select for each in (*spec.exclude, *spec.inventory) if each.select is not None]
    if not rules or any(one.tags for one in rows):
        return []
    return [
        ("R0317", "the files contain no tags: selectors were evaluated as if no instance had any")
    ]


def _regions(spec: Spec, files: naming.Named) -> frozenset[str]:
    """Return all regions that will be read."""
    read = [files.plain, *(gathered for _, gathered in files.chosen)]
    return unlisted.named_by(spec).union(
        one.region for gathered in read for one in gathered.instances.values()
    )


def _elsewhere(
    named: Gathered, requested: dict[str, list[str]], found: dict[str, Instance]
) -> dict[str, list[str]]:
    """Return the next region of each id that was not found, by region."""
    further: dict[str, list[str]] = {}
    for region, ids in sorted(requested.items()):
        for each in ids:
            regions = named.candidates.get(each, ())
            if each not in found and region in regions[:-1]:
                further.setdefault(regions[regions.index(region) + 1], []).append(each)
    return further


def _sorted(instances: Iterable[Instance]) -> tuple[Instance, ...]:
    """Sort by region and id. Grouping first is faster than sorting a million tuples."""
    parts: defaultdict[str, list[Instance]] = defaultdict(list)
    for one in instances:
        parts[one.region].append(one)
    for part in parts.values():
        part.sort(key=attrgetter("id"))
    return tuple(itertools.chain.from_iterable(parts[region] for region in sorted(parts)))


def _refuse_live(spec: Spec) -> None:
    if any(isinstance(source, EcsSource) for source in spec.inventory):
        hint = say("export the fleet to a file and name it as a source, or plan without --offline")
        raise InventoryError.of("R0214", say("an `ecs` source cannot be read offline"), help=hint)


def _check_regions(named: Gathered, found: dict[str, Instance]) -> None:
    """Raise R0205 if a file names another region for an instance than the service does."""
    problems = tuple(
        Problem(
            "R0205",
            say(
                "{instance} is in {region}, but a file names {other_region}",
                instance=one.id,
                region=found[one.id].region,
                other_region=one.region,
            ),
        )
        for one in _sorted(named.instances.values())
        if one.id in found
        and found[one.id].region != one.region
        and found[one.id].region not in named.candidates.get(one.id, ())
    )
    if problems:
        raise InventoryError(problems, Exit.BAD_INPUT)


def _check_count(spec: Spec, found: int, earlier: int | None) -> None:
    """Raise an error if no instance, or less than half of the earlier number, was found."""
    if earlier and found * 2 < earlier:
        raise InventoryError.of(
            "R0212",
            say(
                "{found} instances were found; the last plan of `{name}` found {earlier}",
                found=found,
                name=spec.name,
                earlier=earlier,
            ),
            help=say(
                "check regions, select and permissions; pass --allow-empty if the fleet shrank"
            ),
        )
    if not found:
        hint = say("check regions and select of the spec; pass --allow-empty if this is intended")
        raise InventoryError.of("R0210", say("no instance was found by any source"), help=hint)
