"""Notify receivers about a run: next to the engine while it runs, and afterwards on request.

Called by `execute` and by `rollout notify`. No failure of a receiver or of this module reaches the
run.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
import anyio.to_thread

from rollout.app import receivers, runs
from rollout.app.notices import Notices
from rollout.app.receivers import RunSurroundings
from rollout.app.session import Session
from rollout.engines.clock import LoopClock
from rollout.errors import Exit, Problem, RunError
from rollout.journal import store
from rollout.journal.follower import Follower
from rollout.journal.store import StoredRun
from rollout.model.notify import Notice, ReceiverState
from rollout.model.phrase import say, say_many
from rollout.model.plan import Plan
from rollout.notify.courier import Courier, DeliveryFailed
from rollout.notify.notices import NoticeMaker

POLL_S = 0.5
GRACE_S = 5.0
"""How long the end of a process waits for the last messages."""


async def while_driving(
    drive: Callable[[], Awaitable[None]], stored: StoredRun, plan: Plan, notices: Notices
) -> None:
    """Drive a run. Notify its receivers meanwhile, and for at most `GRACE_S` after its end.

    Errors: those of `drive`.
    """
    error: Exception | None = None
    delivery = Delivery(stored, plan, notices)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(delivery.run)
        try:
            await drive()
        except Exception as raised:  # noqa: BLE001 - raised again below, not in a group
            error = raised
        with anyio.move_on_after(GRACE_S):
            await delivery.end()
        tasks.cancel_scope.cancel()
    delivery.warn_undelivered()
    if error is not None:
        raise error


async def deliver(run: str | None, session: Session) -> tuple[StoredRun, tuple[ReceiverState, ...]]:
    """Deliver the messages of a run that its receivers lack, and return the receivers.

    Holds the lock of the runs directory, so that no other process sends the same messages. Errors:
    as `execute.hold_runs` and `runs.plan_of`; RunError R0545 if messages remain.
    """
    found = store.find(session.store, run)
    plan = runs.plan_of(found)
    async with session.store.lock(LoopClock().now(), session.notices.say):
        delivery = Delivery(found, plan, session.notices)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(delivery.run)
            await delivery.end()
        states = receivers.states(found, plan)
    if any(one.waiting for one in states):
        problems = tuple(_undelivered(found.id, one) for one in states if one.waiting)
        raise RunError(problems, Exit.FAILED)
    return found, states


class Delivery:
    """Follows the journal of one run, and hands its messages to a courier for each receiver."""

    def __init__(self, stored: StoredRun, plan: Plan, notices: Notices) -> None:
        self._stored, self._notices = stored, notices
        self._maker = NoticeMaker(plan)
        self._ending, self._ended = anyio.Event(), anyio.Event()
        around = RunSurroundings(stored)
        self._couriers = [
            Courier(number, receiver, receivers.cursor(stored, number), around)
            for number, receiver in enumerate(plan.receivers())
        ]
        for courier in self._couriers:
            for reference in (courier.receiver.to, courier.receiver.secret):
                if reference.startswith(("env:", "file:")):
                    self._check(around, reference)

    async def run(self) -> None:
        """Deliver messages until `end`. Raises nothing."""
        async with anyio.create_task_group() as tasks:
            for courier in self._couriers:
                tasks.start_soon(self._guarded, courier.work)
            await self._guarded(self._follow)
            for courier in self._couriers:
                courier.finish()
        self._ended.set()

    async def end(self) -> None:
        """Read the journal to its end, try each receiver a last time, and return."""
        self._ending.set()
        await self._ended.wait()

    def warn_undelivered(self) -> None:
        """Warn about receivers that lack messages."""
        for courier in self._couriers:
            if courier.waiting:
                at = courier.cursor
                state = ReceiverState(
                    courier.receiver.to, at.delivered, len(courier.waiting), cause=at.cause
                )
                self._notices.warn(_undelivered(self._stored.id, state))

    async def _follow(self) -> None:
        follower = self._stored.follow()
        while True:
            is_last = self._ending.is_set()
            for notice in await anyio.to_thread.run_sync(self._read, follower):
                for courier in self._couriers:
                    courier.put(notice)
            if is_last:
                return
            with anyio.move_on_after(POLL_S):
                await self._ending.wait()

    def _read(self, follower: Follower) -> list[Notice]:
        """Return the messages about new lines, in a thread: a long journal takes seconds."""
        return [
            notice
            for line in follower.poll()
            for notice in self._maker.take(line.seq, line.at, line.body)
        ]

    async def _guarded(self, work: Callable[[], Awaitable[None]]) -> None:
        """Perform one task. Its error becomes a warning: the run continues without messages."""
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - a notification never stops a run
            text = say("no more messages are sent: {kind}", kind=type(error).__name__)
            self._notices.warn(Problem("R0547", text))

    def _check(self, around: RunSurroundings, reference: str) -> None:
        """Read a secret, so that it is masked from the first line, or warn that it is missing."""
        try:
            around.read_secret(reference)
        except DeliveryFailed as error:
            text = say("no message can be sent: {cause}", cause=error.text)
            cure = say("set the variable or write the file that `{name}` names", name=reference)
            self._notices.warn(Problem("R0546", text, cure=cure))


def _undelivered(run: str, state: ReceiverState) -> Problem:
    text = say_many(
        "{number} message to {to} is not delivered",
        "{number} messages to {to} are not delivered",
        state.waiting,
        to=state.to,
    )
    if state.cause:
        text = say("{text}: {cause}", text=text, cause=state.cause)
    cure = say("fix the cause, then run `rollout notify {run}`", run=run)
    return Problem("R0545", text, cure=cure)
