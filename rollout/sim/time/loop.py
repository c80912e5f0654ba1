"""Virtual time for asyncio: a loop whose clock jumps to the next timer when nothing is ready.

Used to run real async code without waiting: by the simulator, benchmarks and tests. Sockets and
threads do not work: they take real time, and skipped time would time them out.
"""

from __future__ import annotations

import asyncio
import math
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

import anyio

from rollout.model.time import Duration, Instant
from rollout.sim.time.dice import Dice

T = TypeVar("T")

START_MS: Instant = 1_767_225_600_000
"""2026-01-01T00:00:00Z, the default start of a virtual run."""

ROUNDS_MAX: Final = 100_000
"""Rounds of the loop in one instant; more means tasks that wake each other in a circle."""

_NS = 1_000_000_000


class Deadlock(Exception):
    """All tasks wait without a timer, time stands still, or the time limit has passed.

    The message has one line per waiting task, in an order that is the same in every process.
    """


class _Jumping(selectors.DefaultSelector):
    """A clock without real waits: waited time passes immediately, in whole nanoseconds."""

    tell: Callable[[], str]
    passed_ns = 0
    ends_ns: float = math.inf
    _rounds = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """See BaseSelector."""
        ready = super().select(0)
        self._rounds += 1
        if ready or timeout == 0:
            if self._rounds > ROUNDS_MAX:
                self._rounds = 0
                raise Deadlock(f"time stands still:\n{self.tell()}")
            return ready
        if timeout is None:
            raise Deadlock(f"everybody waits and no timer is set:\n{self.tell()}")
        self.passed_ns += math.ceil(timeout * _NS)
        self._rounds = 0
        if self.passed_ns > self.ends_ns:
            self.ends_ns = math.inf
            raise Deadlock(f"time is up:\n{self.tell()}")
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on virtual time.

    With dice, tasks that are ready in the same round take their steps in an order that is drawn;
    all other callbacks (of transports, timers and futures) keep their order.
    """

    def __init__(self, dice: Dice | None = None) -> None:
        self._jumping = _Jumping()
        self._jumping.tell = self.tell
        self._dice = dice
        super().__init__(self._jumping)

    def time(self) -> float:
        """Return virtual seconds since the loop was created."""
        return self._jumping.passed_ns / _NS

    @property
    def passed_ms(self) -> Duration:
        """Return virtual whole milliseconds since the loop was created."""
        return round(self._jumping.passed_ns / 1_000_000)

    def may_last(self, duration: Duration) -> None:
        """Report a deadlock after this much more time, without a timer."""
        self._jumping.ends_ns = self._jumping.passed_ns + duration * 1_000_000

    def run_in_executor(  # type: ignore[override]
        self, executor: object, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        """Call the function directly: a thread would take real time."""
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - whoever awaits it decides
            future.set_exception(error)
        return future

    def tell(self) -> str:
        """Return the waiting tasks by their position in the code, sorted."""
        return "\n".join(sorted(_place(task) for task in asyncio.all_tasks(self)))

    def _run_once(self) -> None:
        """Shuffle the ready tasks before each round. A private name of asyncio, like `_ready`."""
        if self._dice is not None:
            _shuffle(self._ready, self._dice)  # type: ignore[attr-defined]
        super()._run_once()  # type: ignore[misc]


class VirtualClock:
    """The clock of engine and client on a virtual loop. Milliseconds UTC."""

    def __init__(self, begin: Instant = START_MS) -> None:
        self._begin = begin

    def now(self) -> Instant:
        """Return the present instant."""
        loop = asyncio.get_running_loop()
        if not isinstance(loop, VirtualLoop):
            raise TypeError("a virtual clock needs a virtual loop")
        return self._begin + loop.passed_ms

    def expired(self, not_after: Instant) -> bool:
        """See Clock; virtual time has no second clock."""
        return self.now() > not_after

    async def sleep_until(self, instant: Instant) -> None:
        """Return at the instant or a little later."""
        await anyio.sleep(max(0, instant - self.now()) / 1000)


def run(main: Callable[..., Coroutine[Any, Any, T]], *arguments: object) -> T:
    """`anyio.run` on a virtual loop."""
    return anyio.run(
        main, *arguments, backend="asyncio", backend_options={"loop_factory": VirtualLoop}
    )


def _shuffle(ready: Any, dice: Dice) -> None:
    """Permute the steps of tasks among their positions."""
    if len(ready) < 2:
        return
    places = [place for place, handle in enumerate(ready) if _is_step(handle)]
    steps = [ready[place] for place in places]
    for place, left in zip(places, range(len(steps), 0, -1), strict=True):
        ready[place] = steps.pop(dice.between(0, left - 1))


def _is_step(handle: Any) -> bool:
    """Return whether a handle is a step of a task. asyncio itself uses `_callback`."""
    return isinstance(getattr(handle._callback, "__self__", None), asyncio.Task)  # noqa: SLF001


def _place(task: asyncio.Task[Any]) -> str:
    """Return the await chain of a task, down to the waiting line."""
    one: Any = task.get_coro()
    names, line = [], 0
    while getattr(one, "cr_frame", None) is not None:
        names.append(one.__qualname__)
        line = one.cr_frame.f_lineno
        one = one.cr_await
    return f"  {' > '.join(names)}, line {line}"
