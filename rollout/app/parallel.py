"""Run checks of many regions in parallel.

Called by `plan` and `preflight`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Final, TypeVar

import anyio

from rollout.errors import RolloutError

T = TypeVar("T")

CHECKS_MAX: Final = 16
"""Number of checks that run at the same time."""


async def check_all(check: Callable[[T], Awaitable[None]], items: Iterable[T]) -> None:
    """Run the check of each item. RolloutError with the problems of all checks that failed."""
    limiter = anyio.CapacityLimiter(CHECKS_MAX)
    failures: list[RolloutError] = []

    async def run(item: T) -> None:
        async with limiter:
            try:
                await check(item)
            except RolloutError as error:
                failures.append(error)

    async with anyio.create_task_group() as tasks:
        for item in items:
            tasks.start_soon(run, item)
    if failures:
        problems = tuple(problem for failure in failures for problem in failure.problems)
        raise RolloutError(problems, failures[0].exit)
