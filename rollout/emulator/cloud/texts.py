"""Texts by number, stored as bytes: a million take little more than their characters.

Used for values that may differ per instance of a fleet file: id, name, tags. A separate str takes
fifty bytes more; a list and a dict to find it take another hundred.
"""

from array import array
from typing import Final

_SLOTS_FIRST: Final = 1024  # a power of two, as every number of slots


class Texts:
    """A list of texts that only grows. Cost: their UTF-8, and eight bytes for each."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._ends = array("Q", [0])

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, number: int) -> str:
        """Return the text of a number from 0 on. Errors: IndexError where there is none."""
        return self._bytes[self._ends[number] : self._ends[number + 1]].decode()

    def append(self, text: str) -> None:
        """Add a text at the end. Errors: UnicodeEncodeError for half a surrogate pair."""
        self._bytes += text.encode()
        self._ends.append(len(self._bytes))


class Numbered:
    """Distinct texts and the number of each. Cost: that of `texts`, and 6 to 12 bytes for each.

    A text is in the slot of its hash or, if that is taken, in the next free one.
    """

    def __init__(self) -> None:
        self.texts = Texts()
        self._slots = array("I", [0]) * _SLOTS_FIRST  # number + 1, or 0 = free

    def add(self, text: str) -> int:
        """Return the number of a text; a new number on first use."""
        slot = self._slot(text)
        if known := self._slots[slot]:
            return known - 1
        self.texts.append(text)
        count = self._slots[slot] = len(self.texts)
        if 3 * count > 2 * len(self._slots):
            self._grow()
        return count - 1

    def find(self, text: str) -> int | None:
        """Return the number of a text; None if it was not added."""
        known = self._slots[self._slot(text)]
        return known - 1 if known else None

    def _slot(self, text: str) -> int:
        """Return the slot of a text, or the free slot for it."""
        slots, texts = self._slots, self.texts
        last = len(slots) - 1
        slot = hash(text) & last
        while (known := slots[slot]) and texts[known - 1] != text:
            slot = slot + 1 & last
        return slot

    def _grow(self) -> None:
        """Double the slots and move every text into its new one."""
        slots = self._slots = array("I", [0]) * (2 * len(self._slots))
        last = len(slots) - 1
        for number in range(len(self.texts)):
            slot = hash(self.texts[number]) & last
            while slots[slot]:
                slot = slot + 1 & last
            slots[slot] = number + 1
