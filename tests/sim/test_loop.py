"""The virtual loop: time jumps, a standstill is reported, and the draw of turns is repeatable."""

import asyncio
import threading
from asyncio import base_events, events

import anyio
import pytest

from rollout.model.time import HOUR
from rollout.sim.time.dice import Dice
from rollout.sim.time.loop import START_MS, Deadlock, VirtualClock, VirtualLoop, run


async def turns() -> list[int]:
    """In which order twenty tasks take five steps each."""
    order: list[int] = []

    async def step(number: int) -> None:
        for _ in range(5):
            order.append(number)
            await asyncio.sleep(0)

    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(step, number)
    return order


def drawn(seed: int) -> list[int]:
    """The same on a loop with dice."""
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(Dice(seed, "turns"))) as runner:
        return runner.run(turns())


def test_an_hour_passes_at_once_and_to_the_millisecond() -> None:
    """Whoever sleeps until an instant finds exactly that instant on the clock."""

    async def main() -> list[int]:
        clock = VirtualClock()
        seen = []
        for wait_ms in (1, 333, HOUR):
            await clock.sleep_until(clock.now() + wait_ms)
            seen.append(clock.now() - START_MS)
        return seen

    assert run(main) == [1, 334, HOUR + 334]


def test_a_deadlock_is_reported_with_what_waits() -> None:
    """Everybody waiting and no timer set can never end: an exception names the waiting code."""

    async def waits_for_nothing() -> None:
        await asyncio.Event().wait()

    with pytest.raises(Deadlock, match=r"no timer is set:\n.*waits_for_nothing"):
        run(waits_for_nothing)


def test_time_that_stands_still_is_reported() -> None:
    """A task that never lets time pass would run endlessly: an exception names it."""

    async def spins() -> None:
        while True:  # noqa: ASYNC110 - to spin is the point
            await asyncio.sleep(0)

    with pytest.raises(Deadlock, match=r"time stands still:\n.*spins"):
        run(spins)


def test_time_that_is_up_is_reported() -> None:
    """What never waits for nothing and never ends is reported too, with what it does."""

    async def sleeps() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        loop.may_last(HOUR)
        while True:  # noqa: ASYNC110 - an event that nobody sets
            await asyncio.sleep(60)

    with pytest.raises(Deadlock, match=r"time is up:\n.*sleeps"):
        run(sleeps)


def test_executors_run_inline() -> None:
    """What goes to an executor is done at once, on the thread of the loop, errors included."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert await loop.run_in_executor(None, threading.get_ident) == threading.get_ident()
        with pytest.raises(ZeroDivisionError):
            await loop.run_in_executor(None, lambda: 1 // 0)

    run(main)


def test_turns_of_tasks_are_drawn_by_seed() -> None:
    """The same seed gives the same order, another seed another one, no dice the usual one."""
    usual = run(turns)

    assert usual == list(range(20)) * 5
    assert drawn(1) == drawn(1) != drawn(2)
    assert sorted(drawn(1)) == sorted(usual)


def test_what_is_no_step_of_a_task_keeps_its_order() -> None:
    """Callbacks, as transports use them for bytes, are never reordered."""

    async def main() -> list[int]:
        seen: list[int] = []
        loop = asyncio.get_running_loop()
        for number in range(50):
            loop.call_soon(seen.append, number)
            loop.create_task(asyncio.sleep(0))  # noqa: RUF006
        await asyncio.sleep(1)
        return seen

    with asyncio.Runner(loop_factory=lambda: VirtualLoop(Dice(3, "turns"))) as runner:
        assert runner.run(main()) == list(range(50))


def test_a_virtual_clock_refuses_real_time() -> None:
    """On any other loop it would never end."""

    async def main() -> None:
        VirtualClock().now()

    with pytest.raises(TypeError, match="virtual loop"):
        asyncio.run(main())


def test_the_private_names_of_asyncio_are_there() -> None:
    """The loop is run round by round, the ready queue is a queue of handles with callbacks."""
    loop = VirtualLoop()
    try:
        assert callable(base_events.BaseEventLoop._run_once)  # type: ignore[attr-defined]
        handle = loop.call_soon(print)
        assert list(loop._ready) == [handle]  # type: ignore[attr-defined]
        assert isinstance(handle, events.Handle)
        assert handle._callback is print  # type: ignore[attr-defined]
    finally:
        loop.close()
