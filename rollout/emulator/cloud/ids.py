"""Instance ids: computed from the ordinal in synthetic fleets, listed in fleets from a file.

Used by the instances and by code that reads an id from a request. A computed id costs no memory, so
that a million instances fit into dense columns.
"""

import hashlib
from collections.abc import Sequence
from typing import Final, Protocol

from rollout.emulator.cloud.cache import Cache
from rollout.emulator.cloud.texts import Numbered

_BITS: Final = 68  # 17 hexadecimal digits: with "i-" and three characters the length of real ids
_MASK: Final = (1 << _BITS) - 1

IDS_CACHED_MAX: Final = 16_384
"""Ids cached in each direction: a rotation names an instance about eight times in a short time, and
a cached id takes an eighth of the time of a computed one. About 3 MiB."""


class IdScheme(Protocol):
    """Maps ordinals to ids and back."""

    def id_of(self, ordinal: int) -> str:
        """Return the id of an ordinal below the size of the fleet."""
        ...

    def ordinal_of(self, instance: str) -> int | None:
        """Return the ordinal of an id; None if this fleet has no such instance."""
        ...


class DerivedIds:
    """Ids that are a permutation of the ordinals, drawn by `seed`, with their region's prefix."""

    def __init__(self, seed: int, regions: Sequence[int], prefixes: Sequence[str]) -> None:
        """`regions`: index of the region by ordinal; `prefixes`: by index of the region."""
        digest = hashlib.blake2b(f"ids/{seed}".encode(), digest_size=32).digest()
        self._factor = int.from_bytes(digest[:9], "big") & _MASK | 1  # odd, hence invertible
        self._inverse = pow(self._factor, -1, 1 << _BITS)
        self._shift = int.from_bytes(digest[16:25], "big") & _MASK
        self._regions = regions
        self._prefixes = [f"i-{part}" for part in prefixes]
        self.id_of = Cache(self._id_of, IDS_CACHED_MAX).__getitem__
        self.ordinal_of = Cache(self._ordinal_of, IDS_CACHED_MAX).__getitem__

    def _id_of(self, ordinal: int) -> str:
        scattered = (ordinal * self._factor + self._shift) & _MASK
        return f"{self._prefixes[self._regions[ordinal]]}{scattered:017x}"

    def _ordinal_of(self, instance: str) -> int | None:
        try:
            scattered = int(instance[-17:], 16)
        except ValueError:
            return None
        ordinal = (scattered - self._shift) * self._inverse & _MASK
        if ordinal >= len(self._regions):
            return None
        return ordinal if self._id_of(ordinal) == instance else None


class ListedIds:
    """Ids from a fleet file."""

    def __init__(self, listed: Numbered) -> None:
        """`listed`: the ids in the order of the ordinals."""
        self.id_of = Cache(listed.texts.__getitem__, IDS_CACHED_MAX).__getitem__
        self.ordinal_of = Cache(listed.find, IDS_CACHED_MAX).__getitem__
