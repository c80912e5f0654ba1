"""The hidden ledger: every effect on the emulated cloud, in the order of the calls.

Written by the actions, read only by the admin endpoint and the checkers, never by a client. Dense
columns, because a run over a million instances has two million effects; values that the effects of
one call share are stored once.
"""

import enum
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import Final

import msgspec

NEVER: Final = 1 << 62
"""An instant that never comes: the end of a boot that hangs."""

NO_INSTANCE: Final = -1


class Effect(enum.IntEnum):
    """Kinds of effects. The lower-case name is the value in the ledger's JSON."""

    ATTACH = 0
    DETACH = 1
    REBOOT = 2
    START = 3
    STOP = 4
    IMPORT = 5
    CREATE = 6
    DELETE = 7
    COMMAND = 8


class LedgerEntry(msgspec.Struct, frozen=True, gc=False):
    """One effect. `at` and `until` are UTC milliseconds; `request_id` is one for all of a call.

    `until`: for a reboot or start the instant of Running, for a stop that of Stopped; None
    without one. `key_pair`: the pair attached, detached, imported or
    deleted; for a restart, the pair that its boot installs. `instance` is None for effects on
    a key pair.
    """

    at: int
    until: int | None
    effect: str
    region: str
    instance: str | None
    key_pair: str | None
    request_id: str


class HiddenLedger:
    """Append-only columns. The functions of the constructor give ids and names when read."""

    def __init__(
        self,
        id_of: Callable[[int], str],
        key_of: Callable[[int], str],
        request_id_of: Callable[[int], str],
    ) -> None:
        self._id_of = id_of
        self._key_of = key_of
        self._request_id_of = request_id_of
        self._regions: dict[str, int] = {}
        # By write: the position of its first entry, and the values that its entries share.
        self._first = array("q")
        self._at = array("q")
        self._effect = bytearray()
        self._region = array("H")
        self._request = array("Q")
        # By entry.
        self._until = array("q")
        self._ordinal = array("i")
        self._key = array("I")

    def __len__(self) -> int:
        return len(self._ordinal)

    def __iter__(self) -> Iterator[LedgerEntry]:
        return self.since(0)

    def since(self, first: int) -> Iterator[LedgerEntry]:
        """Yield the entries from position `first` on, oldest first."""
        return (self.entry(position) for position in range(first, len(self)))

    def write(
        self,
        effect: Effect,
        at: int,
        region: str,
        request: int,
        *,
        ordinal: int = NO_INSTANCE,
        key: int = 0,
        until: int = 0,
    ) -> None:
        """Add one effect; `until` 0 means that it has no duration."""
        self._begin(effect, at, region, request)
        self._until.append(until)
        self._ordinal.append(ordinal)
        self._key.append(key)

    def write_all(
        self,
        effect: Effect,
        at: int,
        region: str,
        request: int,
        ordinals: list[int],
        keys: list[int],
    ) -> None:
        """Add one effect without duration for each of many instances, with a key pair each."""
        self._begin(effect, at, region, request)
        self._until.frombytes(bytes(self._until.itemsize * len(ordinals)))
        self._ordinal.fromlist(ordinals)
        self._key.fromlist(keys)

    def entry(self, position: int) -> LedgerEntry:
        """Return the entry at a position."""
        write = bisect_right(self._first, position) - 1
        ordinal, until = self._ordinal[position], self._until[position]
        return LedgerEntry(
            at=self._at[write],
            until=None if until in {0, NEVER} else until,
            effect=Effect(self._effect[write]).name.lower(),
            region=list(self._regions)[self._region[write]],
            instance=None if ordinal == NO_INSTANCE else self._id_of(ordinal),
            key_pair=self._key_of(self._key[position]) or None,
            request_id=self._request_id_of(self._request[write]),
        )

    def _begin(self, effect: Effect, at: int, region: str, request: int) -> None:
        """Start a write: store the values that its entries share."""
        self._first.append(len(self._ordinal))
        self._at.append(at)
        self._effect.append(effect)
        self._region.append(self._regions.setdefault(region, len(self._regions)))
        self._request.append(request)
