"""Deterministic replacements of nondeterministic parts of libraries during a simulation.

anyio stores tasks and scopes in sets hashed by address, so the order of cancellation differs in
every run; aiohttp reads the machine's clock for the age of idle connections. Both are replaced by
name inside `in_order`; each name has a contract test.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, MutableSet
from types import ModuleType
from typing import TypeVar

import aiohttp.connector
from anyio._backends import _asyncio as anyio_asyncio

T = TypeVar("T")


class InOrder(MutableSet[T]):
    """A set that is iterated in the order of insertion."""

    def __init__(self, things: Iterable[T] = ()) -> None:
        self._things = dict.fromkeys(things)

    def __contains__(self, thing: object) -> bool:
        return thing in self._things

    def __iter__(self) -> Iterator[T]:
        return iter(self._things)

    def __len__(self) -> int:
        return len(self._things)

    def add(self, value: T) -> None:
        """See set."""
        self._things[value] = None

    def discard(self, value: T) -> None:
        """See set."""
        self._things.pop(value, None)


@contextlib.contextmanager
def in_order(seconds: Callable[[], float]) -> Iterator[None]:
    """Let anyio use ordered sets, and aiohttp the clock `seconds`."""
    with _named(anyio_asyncio, "set", InOrder), _named(aiohttp.connector, "monotonic", seconds):
        yield


@contextlib.contextmanager
def _named(module: ModuleType, name: str, value: object) -> Iterator[None]:
    """Replace a name of a module, and restore it afterwards."""
    names = vars(module)
    before = names.get(name, _ABSENT)
    names[name] = value
    try:
        yield
    finally:
        if before is _ABSENT:
            del names[name]
        else:
            names[name] = before


_ABSENT = object()
