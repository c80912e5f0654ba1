"""Operator commands for a run: abort, pause, promote, resume, or state an instance's outcome.

Called by the commands of these names. A command goes to the process that drives the run; without
such a process it is applied here, under the run's lock.
"""

from __future__ import annotations

from collections.abc import Iterable

import anyio
import msgspec

from rollout import logs
from rollout.app import connect, execute, preflight, runs
from rollout.app.notices import Notices
from rollout.app.runs import RunResult
from rollout.app.session import Session
from rollout.core.running.operators import refused_text
from rollout.engines.clock import LoopClock
from rollout.errors import ConflictError, RunError
from rollout.journal.record import Line
from rollout.journal.store import StoredRun
from rollout.model.event import Anomaly, OperatorCommand, OperatorVerb, Resolution
from rollout.model.phrase import Wording, say

POLL_S = 0.3
TAKEN_WITHIN_S = 30
"""A process that drives a run checks its inbox twice a second, unless it is stopped."""


async def abort(run: StoredRun, reason: str, session: Session) -> RunResult:
    """Close an open run: start nothing new, settle its open calls. Return how it ended.

    Errors: R0505 if the driving process does not react; as `execute.resume`.
    """
    order = execute.command(OperatorVerb.ABORT, reason)
    while await _send(run, order, session.notices):
        if (closed := await _until_closed(run)) is not None:
            return closed
    return await _abort_here(run, order, session)


async def resolve(
    run: StoredRun, instance: str, resolution: Resolution, reason: str, session: Session
) -> bool:
    """State the outcome of one instance; return whether a process drives the run.

    Errors: R0505 if that process does not react, R0608 if the command is refused.
    """
    order = execute.command(OperatorVerb.RESOLVE, reason)
    stated = msgspec.structs.replace(order, instance=instance, resolution=resolution)
    return await _command(run, stated, session)


async def pause(run: StoredRun, reason: str, session: Session) -> bool:
    """Start nothing new in a run until an operator continues it. Otherwise as `resolve`."""
    return await _command(run, execute.command(OperatorVerb.PAUSE, reason), session)


async def promote(run: StoredRun, reason: str, session: Session, *, full: bool = False) -> bool:
    """Continue a paused run, or answer the manual gate that waits; with `full` both, and all later
    gates. Returns and errors: as `resolve`.
    """
    order = execute.command(OperatorVerb.PROMOTE, reason)
    return await _command(run, msgspec.structs.replace(order, full=full), session)


async def resume_driven(run: StoredRun, reason: str, session: Session) -> bool:
    """Continue a paused run that another process drives; return False if none drives it.

    Errors: R0505 if that process does not react, R0608 if the run is not paused.
    """
    return await _send(run, execute.command(OperatorVerb.RESUME, reason), session.notices)


async def _command(run: StoredRun, order: OperatorCommand, session: Session) -> bool:
    """Hand a command to the process that drives the run, or apply it here; return whether a process
    drives the run.
    """
    if await _send(run, order, session.notices):
        return True
    await _apply_here(run, order, session)
    return False


async def _abort_here(run: StoredRun, order: OperatorCommand, session: Session) -> RunResult:
    """Abort a run that no process drives: observe its open calls, and close it.

    The command is in the inbox before the service is called. If the service does not answer, a
    scheduler's next `resume` aborts the run and does not continue it.
    """
    async with execute.hold_runs(session, LoopClock().now()) as runner:
        folded = runs.fold(run)
        if (ended := runs.result_of(folded)) is not None:
            return ended  # its process closed it before this one had the lock
        given = None if folded.run.aborted else order
        sent = run.send(order) if given else None
        try:
            async with connect.connect(session.connection, session.notices) as service:
                preflight.check_identity(folded.run.plan, service)
                if sent is not None:
                    sent.withdraw()
                return await runner.resume(folded, service, given)
        finally:
            if sent is not None and sent.pending():
                session.notices.say(
                    say(
                        "The abort is recorded: `rollout resume {run}` or another abort closes "
                        "the run. To withdraw it, remove {sent}",
                        run=run.id,
                        sent=sent,
                    )
                )


async def _apply_here(run: StoredRun, order: OperatorCommand, session: Session) -> None:
    """Apply the command to a run that no process drives, under its lock, in its journal. Commands
    that wait in the inbox were sent before it, and are applied first.
    """
    async with execute.hold_runs(session, order.at) as runner:
        folded = runs.fold(run)
        if order.id in folded.run.orders:
            return  # the process that drove the run had written it before it ended
        if folded.reader.torn is not None:
            folded.decider.put(folded.reader.torn, order.at)
        with runner.locked.open(folded.reader, folded.run.epoch, order.at) as journal:
            inbox = journal.inbox(runner.warn_unread)
            waiting = [one for one in inbox.take() if one.id not in (order.id, *folded.run.orders)]
            for one in waiting:
                folded.decider.operate(one, order.at)
            why = folded.decider.operate(order, order.at)
            if waiting or not why:
                journal.keep_secret(logs.KNOWN)
                journal.append(folded.decider.take_events(), order.at)
                journal.sync_now()
                journal.close()
            for one in waiting:
                inbox.done(one)
        if why:
            raise _refused(run, order, why)


async def _send(run: StoredRun, given: OperatorCommand, notices: Notices) -> bool:
    """Send the command to the process that drives the run; wait until it is in the journal.

    Return False if no process drives the run. Errors: RunError R0505 if the process does not react,
    ConflictError R0608 if it refuses the command.
    """
    holder = run.driver()
    if not holder:
        return False
    sent = run.send(given)
    notices.say(say("Sent to {process}.", process=holder))
    try:
        with anyio.move_on_after(TAKEN_WITHIN_S):
            while sent.pending():
                if not run.driver():
                    sent.withdraw()
                    return False
                await anyio.sleep(POLL_S)
            if why := _refusal(run.follow().poll(), given):
                raise _refused(run, given, why)
            return True
    except anyio.get_cancelled_exc_class():
        if sent.pending():
            notices.say(
                say(
                    "Interrupted; the command is still in its inbox. To withdraw it, remove {sent}",
                    sent=sent,
                )
            )
        raise
    raise RunError.of(
        "R0505",
        say(
            "{process} did not react within {seconds} s; the command is still in its inbox",
            process=holder,
            seconds=TAKEN_WITHIN_S,
        ),
        help=say(
            "end that process, then run this command again; to withdraw it, remove {sent}",
            sent=sent,
        ),
    )


async def _until_closed(run: StoredRun) -> RunResult | None:
    """Wait until the process that drives the run ends; return how it closed the run, if it did."""
    while run.driver():  # noqa: ASYNC110 - another process
        await anyio.sleep(POLL_S)
    return runs.closed_result(run)


def _refusal(lines: Iterable[Line], given: OperatorCommand) -> str:
    """Return why the process that drives the run refused the command, by the run's journal; empty
    if the journal has the command. The lines may be an iterator: they are read once.
    """
    head, why = refused_text(given.command, ""), "its process refused it"
    for event in (event for line in lines for event in line.body):
        if isinstance(event, OperatorCommand) and event.id == given.id:
            return ""
        if isinstance(event, Anomaly) and event.text.startswith(head):
            why = event.text.removeprefix(head)
    return why


def _refused(run: StoredRun, given: OperatorCommand, why: str) -> ConflictError:
    """Return the error for a command that the run does not accept."""
    look: Wording = f"rollout status {run.id}"
    if why.endswith(_NO_GATE):
        look = say(
            "no gate is reached while a wave is in progress; `rollout status {run}` shows when the "
            "run waits for a promotion",
            run=run.id,
        )
    return ConflictError.of(
        "R0608",
        say(
            "{command} of run {run} refused: {why}",
            command=given.command.value,
            run=run.id,
            why=why,
        ),
        help=look,
    )


_NO_GATE = "no gate waits for a promotion"
"""The end of the reason why a promotion is refused between the gates, as the core gives it."""
