"""End a command within two seconds after SIGINT or SIGTERM, with its exit code.

Installed by `cli.main`. During a run the engine receives both signals and drains. The first signal
cancels the event loop's main task, or raises an exception without a loop. If the command does not
end, a timer raises the exception, and then ends the process.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING, Any, Final, NoReturn

from rollout.errors import Exit

if TYPE_CHECKING:
    import asyncio

RAISE_AFTER_S: Final = 0.7
"""Time from the first signal to the exception in the main thread, if the task did not end."""
END_AFTER_S: Final = 0.8
"""Time from that exception to the end of the process."""

before_exit: Final[set[Callable[[], object]]] = set()
"""Called before the process ends itself, for example to end helper processes."""

NUMBERS: Final = (signal.SIGINT, signal.SIGTERM)


class Interrupted(KeyboardInterrupt):
    """Ctrl-C. A KeyboardInterrupt itself that leaves an `exec` (each dataclass has some) makes the
    interpreter end by SIGINT, whatever exit code the program has (Python/pythonrun.c).
    """


@dataclass(slots=True)
class _State:
    """The effect of the next signal."""

    task: asyncio.Task[Any] | None = None
    loop: asyncio.AbstractEventLoop | None = None
    received: int = 0
    raised: bool = False


_state = _State()


def install() -> None:
    """Handle both signals from now on. A signal that the parent ignores stays ignored."""
    _state.received, _state.raised = 0, False
    for number in NUMBERS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _receive)
    signal.signal(signal.SIGALRM, _insist)
    sys.unraisablehook = _report_unraisable


def _report_unraisable(found: sys.UnraisableHookArgs) -> None:
    """Report an exception in a destructor, unless a signal raised it: then the timer ends it."""
    if not isinstance(found.exc_value, Interrupted | SystemExit):
        sys.__unraisablehook__(found)


def uninstall() -> None:
    """Let a signal end the process at once, without a message: the command has finished."""
    signal.setitimer(signal.ITIMER_REAL, 0)
    for number in NUMBERS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _exit_now)


@contextlib.contextmanager
def cancelling(loop: asyncio.AbstractEventLoop, task: asyncio.Task[Any] | None) -> Iterator[None]:
    """Let the first signal cancel this task, so that it ends in order."""
    _state.loop, _state.task = loop, task
    try:
        yield
    finally:
        _state.loop = _state.task = None


@contextlib.contextmanager
def raising() -> Iterator[None]:
    """Let a signal raise at once: a blocking read in the main thread sees no cancellation."""
    loop, task = _state.loop, _state.task
    _state.loop = _state.task = None
    try:
        yield
    finally:
        _state.loop, _state.task = loop, task


def raise_received() -> None:
    """Raise the exception of the received signal, if there was one."""
    if _state.received:
        _raise(_state.received)


def _receive(number: int, _frame: FrameType | None) -> None:
    first = not _state.received
    _state.received = _state.received or number
    if first:
        signal.setitimer(signal.ITIMER_REAL, RAISE_AFTER_S, END_AFTER_S)
    if first and _state.task is not None and _state.loop is not None:
        _state.task.cancel()
        _state.loop.call_soon_threadsafe(lambda: None)  # wakes a loop that waits
        return
    _raise(number)


def _insist(_number: int, frame: FrameType | None) -> None:
    """Handle the timer: the command has not ended after a signal."""
    if not _state.received:
        return
    if _state.raised:
        for end in before_exit:
            end()
        _exit_now(_state.received, frame)
    _raise(_state.received)


def _raise(number: int) -> NoReturn:
    _state.raised = True
    if number == signal.SIGINT:
        raise Interrupted
    raise SystemExit(Exit.TERMINATED)


def _exit_now(number: int, _frame: FrameType | None) -> NoReturn:
    os._exit(Exit.INTERRUPTED if number == signal.SIGINT else Exit.TERMINATED)
