"""Operator commands for a run: abort it, or state the outcome of one instance.

Called by `abort` and `resolve`. A command goes to the process that drives the run; without such a
process it is applied here, under the run's lock.
"""

from __future__ import annotations

import secrets
from pathlib import Path

import anyio

from rollout import logs
from rollout.app import connect, execute, preflight, runs
from rollout.app.notices import Notices
from rollout.app.runs import Ended
from rollout.app.session import Session
from rollout.engines.clock import LoopClock
from rollout.errors import ConflictError, RunError
from rollout.journal import inbox, writer
from rollout.journal.locks import driver
from rollout.model.event import AnyEvent, OperatorCommand, OperatorWord, Resolution

POLL_S = 0.3
TAKEN_WITHIN_S = 30
"""A process that drives a run checks its inbox twice a second, unless it is stopped."""


async def abort(run_dir: Path, reason: str, session: Session) -> Ended:
    """Close an open run: start nothing new, settle its open calls. Return how it ended.

    Errors: R0505 if the driving process does not react; as `execute.resume`.
    """
    order = _order(OperatorWord.ABORT, reason)
    while await _send(run_dir, order, session.notices):
        if await _until_closed(run_dir):
            ended = runs.closed(run_dir)
            assert ended is not None  # noqa: S101 - just folded as closed
            return ended
    return await _abort_here(run_dir, order, session)


async def resolve(
    run_dir: Path, instance: str, resolution: Resolution, reason: str, session: Session
) -> bool:
    """State the outcome of one instance; return whether a process drives the run.

    Errors: R0505 if that process does not react, R0608 if the command is refused.
    """
    order = _order(OperatorWord.RESOLVE, reason, instance, resolution)
    if await _send(run_dir, order, session.notices):
        return True
    await _resolve_here(run_dir, order, session)
    return False


async def _abort_here(run_dir: Path, order: OperatorCommand, session: Session) -> Ended:
    """Abort a run that no process drives: observe its open calls, and close it.

    The command is in the inbox before the service is called. If the service does not answer, a
    scheduler's next `resume` aborts the run and does not continue it.
    """
    async with execute.hold_runs(session, LoopClock().now()) as runner:
        outlet = execute.Outlet()
        folded = runs.fold(run_dir, outlet)
        if (ended := runs.ended(folded)) is not None:
            return ended  # its process closed it before this one had the lock
        given = None if folded.run.aborted else order
        path = inbox.send(run_dir, order) if given else None
        try:
            async with connect.connect(session.connection, session.notices) as service:
                preflight.check_identity(folded.run.plan, service)
                if path is not None:
                    path.unlink()
                return await runner.resume(folded, outlet, service, given)
        finally:
            if path is not None and path.exists():
                session.notices.say(
                    f"The abort is recorded: `rollout resume {run_dir.name}` or another abort "
                    f"closes the run. To withdraw it, remove {path}"
                )


async def _resolve_here(run_dir: Path, order: OperatorCommand, session: Session) -> None:
    """Apply the command to a run that no process drives, under its lock, in its journal."""
    put: list[AnyEvent] = []
    async with execute.hold_runs(session, order.at) as runner:
        folded = runs.fold(run_dir, put.append)
        if order.id in folded.run.orders:
            return  # the process that drove the run had written it before it ended
        if folded.reader.torn is not None:
            folded.decider.put(folded.reader.torn, order.at)
        why = folded.decider.operate(order, order.at)
        if why:
            raise _refused(run_dir.name, order, why)
        journal = writer.reopen(folded.reader)
        with runner.hold(run_dir.name, folded.run.epoch, order.at, journal):
            journal.keep_secret(logs.KNOWN)
            journal.append(put, order.at)
            journal.sync_now()
            journal.close()


def _order(
    command: OperatorWord, reason: str, instance: str = "", resolution: Resolution | None = None
) -> OperatorCommand:
    """Return a command by the operator of this process."""
    return OperatorCommand(
        secrets.token_hex(8),
        command,
        execute.actor(),
        LoopClock().now(),
        "command line",
        reason,
        instance,
        resolution,
    )


async def _send(run_dir: Path, given: OperatorCommand, notices: Notices) -> bool:
    """Send the command to the process that drives the run; wait until it is in the journal.

    Return False if no process drives the run. Errors: RunError R0505 if the process does not react,
    ConflictError R0608 if it refuses the command.
    """
    holder = driver.holder(run_dir)
    if not holder:
        return False
    path = inbox.send(run_dir, given)
    notices.say(f"Sent to {holder}.")
    with anyio.move_on_after(TAKEN_WITHIN_S):
        while path.exists():
            if not driver.holder(run_dir):
                path.unlink(missing_ok=True)
                return False
            await anyio.sleep(POLL_S)
        _check_applied(run_dir, given)
        return True
    raise RunError.of(
        "R0505",
        f"{holder} did not react within {TAKEN_WITHIN_S} s; the command is still in its inbox",
        help=f"end that process, then run this command again; to withdraw it, remove {path}",
    )


async def _until_closed(run_dir: Path) -> bool:
    """Wait until the process that drives the run ends; return whether it closed the run."""
    while driver.holder(run_dir):  # noqa: ASYNC110 - another process
        await anyio.sleep(POLL_S)
    return runs.fold(run_dir).run.closed is not None


def _refused(run: str, given: OperatorCommand, why: str) -> ConflictError:
    """Return the error for a command that the run does not accept."""
    return ConflictError.of(
        "R0608",
        f"{given.command.value} of run {run} refused: {why}",
        help=f"rollout status {run}",
    )


def _check_applied(run_dir: Path, given: OperatorCommand) -> None:
    run = runs.fold(run_dir).run
    if given.id not in run.orders:
        why = "its process refused it; `rollout audit show` shows the reason"
        raise _refused(run_dir.name, given, why)
