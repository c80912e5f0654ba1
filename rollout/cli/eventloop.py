"""Run a command's coroutine so that a signal ends it soon, even if its threads are blocked.

Called instead of `anyio.run` by the commands that call the service.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import anyio

from rollout.app import connect
from rollout.cli import signals

T = TypeVar("T")


def run(main: Callable[..., Awaitable[T]], *arguments: object) -> T:
    """Return what the coroutine returns. KeyboardInterrupt or SystemExit after a signal."""
    signals.before_exit.add(connect.end_helpers)
    result: list[T] = []  # not the task's result: asyncio formats that on the way out

    async def prepared() -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(AbandoningExecutor())
        with signals.cancelling(loop, asyncio.current_task()):
            result.append(await main(*arguments))

    try:
        anyio.run(prepared)
        return result[0]
    except asyncio.CancelledError:
        signals.raise_received()
        raise


class AbandoningExecutor(ThreadPoolExecutor):
    """Runs each job in its own daemon thread and waits for none at the end.

    Name lookups and credential libraries block in calls that nothing can interrupt. The standard
    executor waits for them when the loop closes, and again when the interpreter ends.
    """

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Start the job in a thread."""
        future: Future[T] = Future()

        def work() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = fn(*args, **kwargs)
            except BaseException as error:  # noqa: BLE001 - re-raised where the job is awaited
                future.set_exception(error)
            else:
                future.set_result(result)

        threading.Thread(target=work, name="rollout-job", daemon=True).start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 - as inherited
        """Return at once."""
