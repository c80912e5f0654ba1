"""Initial instances and key pairs of an emulated cloud, and the builder for them.

Called by synthetic fleets and by the reader of fleet files; the cloud takes the result.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from rollout.emulator.cloud.ids import DerivedIds, IdScheme, ListedIds
from rollout.emulator.cloud.instances import Instances
from rollout.emulator.cloud.keypairs import NONE, KeyPair, KeyPairs
from rollout.emulator.cloud.lifecycle import BaseStatus, OperationLock
from rollout.emulator.cloud.regions import EmulatedRegion, region
from rollout.emulator.cloud.shapes import Shape, Tags
from rollout.emulator.cloud.texts import Numbered

REGIONS_MAX: Final = 255


class Fleet:
    """The initial state. `regions`: those with instances first, then the other known ones."""

    def __init__(
        self, instances: Instances, pairs: KeyPairs, regions: Sequence[EmulatedRegion]
    ) -> None:
        self.instances = instances
        self.pairs = pairs
        self.regions = {r.name: r for r in regions}


class FleetBuilder:
    """Builds a fleet region by region. Errors: ValueError when a region is opened twice."""

    def __init__(self, now: int) -> None:
        """`now`: UTC milliseconds; key pairs were created three months before."""
        self.pairs = KeyPairs()
        self.instances = Instances()
        self._now = now
        self._regions: list[EmulatedRegion] = []
        self._firsts: list[int] = []
        self._listed = Numbered()

    def open_region(self, name: str) -> EmulatedRegion:
        """Start the instances of a region."""
        if any(r.name == name for r in self._regions):
            raise ValueError(f"region {name} is there already")
        if len(self._regions) == REGIONS_MAX:
            raise ValueError(f"more than {REGIONS_MAX} regions")
        self._regions.append(region(name))
        self._firsts.append(len(self.instances))
        return self._regions[-1]

    def key_pair(self, name: str, body: str) -> KeyPair:
        """Return the key pair of that name in the open region; create it on first use."""
        where = self._regions[-1].name
        age_ms = 90 * 24 * 3600 * 1000
        return self.pairs.find(where, name) or self.pairs.add(where, name, body, self._now - age_ms)

    def add(
        self,
        shape: int,
        tags: int,
        *,
        status: BaseStatus = BaseStatus.RUNNING,
        record: int = NONE,
        guest: int | None = None,
        lock: int = OperationLock.NONE,
        start_ms: int,
        created_minute: int,
        instance: str | None = None,
        name: str | None = None,
        boots: int = 1,
    ) -> None:
        """Add one instance of the open region; numbers of shape and tags are those of the pools.

        Errors: ValueError for a duplicate id.
        """
        if instance is not None:
            self._list(instance)
        self.instances.append(
            region=len(self._regions) - 1,
            shape=shape,
            tags=tags,
            status=status,
            record=record,
            guest=record if guest is None else guest,
            lock=lock,
            start_ms=start_ms,
            created_minute=created_minute,
            boots=boots,
        )
        if record:
            self.pairs.all[record].bound += 1
        if name:
            self.instances.set_name(len(self.instances) - 1, name)

    def shape(self, shape: Shape) -> int:
        """Return the number of a shape."""
        return self.instances.shapes.add(shape)

    def tags(self, tags: Tags) -> int:
        """Return the number of a set of tags."""
        return self.instances.tag_sets.add(tags)

    def finish(self, seed: int, known: Sequence[EmulatedRegion] = ()) -> Fleet:
        """Return the fleet. Ids are the given ones, or derived from `seed` if none was given.

        Errors: ValueError when only some instances came with an id.
        """
        bounds = [*self._firsts, len(self.instances)]
        for opened, (first, end) in zip(self._regions, pairwise(bounds), strict=True):
            self.instances.spans[opened.name] = range(first, end)
        self.instances.ids = self._ids(seed)
        names = {r.name for r in self._regions}
        others = [r for r in known if r.name not in names]
        return Fleet(self.instances, self.pairs, [*self._regions, *others])

    def _list(self, instance: str) -> None:
        """Add an id, which must be new."""
        count = len(self._listed.texts)
        if self._listed.add(instance) < count:
            raise ValueError(f"instance id {instance!r} is there twice")

    def _ids(self, seed: int) -> IdScheme:
        if not self._listed.texts:
            prefixes = [r.prefix for r in self._regions]
            return DerivedIds(seed, self.instances.region, prefixes)
        if len(self._listed.texts) != len(self.instances):
            raise ValueError("some instances have an id and some have none")
        return ListedIds(self._listed)
