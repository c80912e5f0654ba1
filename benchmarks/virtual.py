"""Virtual time for asyncio: a loop whose clock jumps to the next timer when nothing is ready.

Used where a measurement has no sockets and no threads: thirty seconds of booting cost nothing.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import anyio

from rollout.model.time import Instant

T = TypeVar("T")

START_MS: Instant = 1_767_225_600_000
"""2026-01-01T00:00:00Z, where every virtual run begins."""


class Deadlock(Exception):
    """Everybody waits and no timer is set."""


class _Jumping(selectors.DefaultSelector):
    """Waits for nobody: time that would be waited passes at once."""

    passed_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """See BaseSelector."""
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise Deadlock
            self.passed_s += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on virtual time."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._jumping.passed_s


class VirtualClock:
    """The engine's and the client's clock on a virtual loop. Milliseconds UTC."""

    def now(self) -> Instant:
        """The present instant."""
        return START_MS + round(asyncio.get_running_loop().time() * 1000)

    async def sleep_until(self, instant: Instant) -> None:
        """Return at the instant or a little later."""
        await anyio.sleep(max(0, instant - self.now()) / 1000)


def run(main: Callable[..., Coroutine[Any, Any, T]], *arguments: object) -> T:
    """`anyio.run` on a virtual loop."""
    return anyio.run(
        main, *arguments, backend="asyncio", backend_options={"loop_factory": VirtualLoop}
    )
