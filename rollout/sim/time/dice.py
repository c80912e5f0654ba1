"""Random draws that depend only on a seed and a name.

Used for every choice in the simulator. Equal in every process and on every machine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

_WORDS = 8
"""Draws per digest of 64 bytes."""


class Dice:
    """One stream of draws. Streams of other names are independent of it."""

    def __init__(self, seed: int, name: str) -> None:
        self._key = hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=32).digest()
        self._block = 0
        self._left: list[int] = []

    def number(self) -> int:
        """Return a number of 64 bits."""
        if not self._left:
            text = self._block.to_bytes(8, "big")
            digest = hashlib.blake2b(text, key=self._key).digest()
            self._left = [
                int.from_bytes(digest[8 * word : 8 * word + 8], "big") for word in range(_WORDS)
            ]
            self._block += 1
        return self._left.pop()

    def chance(self, percent: int) -> bool:
        """Return true in `percent` of a hundred draws."""
        return self.number() % 100 < percent

    def between(self, least: int, most: int) -> int:
        """Return an integer, both ends included."""
        return least + self.number() % (most - least + 1)

    def pick(self, values: Sequence[T]) -> T:
        """Return one of the choices."""
        return values[self.number() % len(values)]
