"""The event loop of a command: what blocks a thread does not keep the command from ending."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from rollout.cli import eventloop


def test_the_result_comes_back() -> None:
    """`run` is `anyio.run` for everything that ends by itself, jobs in threads included."""

    async def main(number: int) -> int:
        return number + await asyncio.to_thread(lambda: 1)

    assert eventloop.run(main, 41) == 42


def test_an_error_of_a_job_is_raised() -> None:
    """What a job raises in its thread reaches whoever awaits it."""

    async def main() -> None:
        await asyncio.to_thread(int, "x")

    with pytest.raises(ValueError, match="invalid literal"):
        eventloop.run(main)


def test_a_job_that_blocks_is_abandoned() -> None:
    """The loop closes while a job still runs, and the job's thread does not outlive the program."""
    begun, over = threading.Event(), threading.Event()

    def block() -> threading.Thread:
        threads.append(threading.current_thread())
        begun.set()
        over.wait(20)
        return threads[0]

    async def main() -> None:
        job = asyncio.ensure_future(asyncio.to_thread(block))
        await asyncio.to_thread(begun.wait)
        job.cancel()

    threads: list[threading.Thread] = []
    began = time.monotonic()
    try:
        eventloop.run(main)
        assert time.monotonic() - began < 10
        assert threads[0].daemon
    finally:
        over.set()
