"""`rollout abort`: start nothing new in a run, settle its open calls, and close it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from rollout.cli.options import OUTPUT, Cloud, Common, Flag
from rollout.cli.terminal import Terminal
from rollout.errors import Exit

if TYPE_CHECKING:
    from rollout.cli.views.report import Ended
    from rollout.model.event import OperatorCommand


def abort(
    run: str,
    /,
    *,
    reason: str = "",
    confirm: str | None = None,
    allow_unsafe_fs: Flag = False,
    output: Annotated[Literal["table", "json", "ids"], OUTPUT] = "table",
    cloud: Cloud = Cloud(),  # noqa: B008 - frozen
    common: Common = Common(),  # noqa: B008 - frozen
) -> Exit:
    """Close an open run: start nothing new, settle open calls, classify every instance.

    Parameters
    ----------
    run
        The run's id or a unique prefix of it.
    reason
        Reason, for the journal.
    confirm
        The run's id or its spec's name: confirms without a prompt.
    allow_unsafe_fs
        Accept a network or user-space file system for the runs directory.
    output
        Format of the result. ids: the instances that need an operator.
    """
    from rollout.app import operate
    from rollout.app import runs as folding
    from rollout.cli import confirm as confirming
    from rollout.cli import eventloop, results
    from rollout.journal import runs
    from rollout.model.event import OperatorWord

    terminal = Terminal.of(common)
    run_dir = runs.find(common.runs_dir, run).path
    closed = folding.closed(run_dir)
    if closed is not None:
        terminal.say(f"Nothing to do: run {run_dir.name} is closed.")
        return results.show(terminal, closed, output)
    plan = folding.fold(run_dir).run.plan
    confirming.abort(terminal, run_dir.name, plan.name, confirm)
    order = operate.order(OperatorWord.ABORT, reason)

    async def go() -> Ended:
        while await operate.hand_over(run_dir, order, terminal):
            if await operate.until_closed(run_dir):
                ended = folding.closed(run_dir)
                assert ended is not None  # noqa: S101 - just folded as closed
                return ended
        return await _drive(run_dir, order, cloud, common, terminal, unsafe=allow_unsafe_fs)

    return results.show(terminal, eventloop.run(go), output)


async def _drive(
    run_dir: Path,
    order: OperatorCommand,
    cloud: Cloud,
    common: Common,
    terminal: Terminal,
    *,
    unsafe: bool,
) -> Ended:
    """Abort a run that no process drives: observe its open calls, and close it.

    The command is in the inbox before the service is called. If the service does not answer, a
    scheduler's next `resume` aborts the run and does not continue it.
    """
    from rollout.app import connect, execute, preflight
    from rollout.app import runs as folding
    from rollout.engines.clock import LoopClock
    from rollout.journal import inbox

    now = LoopClock().now()
    async with execute.hold_runs(common, terminal, now, allow_unsafe_fs=unsafe) as runner:
        outlet = execute.Outlet()
        folded = folding.fold(run_dir, outlet)
        ended = folding.ended(folded)
        if ended is not None:
            return ended  # its process closed it before this one had the lock
        given = None if folded.run.aborted else order
        path = inbox.send(run_dir, order) if given else None
        try:
            async with connect.connect(cloud, terminal) as service:
                preflight.check_identity(folded.run.plan, service)
                if path is not None:
                    path.unlink()
                return await runner.go_on(folded, outlet, service, given)
        finally:
            if path is not None and path.exists():
                terminal.say(
                    f"The abort is recorded: `rollout resume {run_dir.name}` or another abort "
                    f"closes the run. To withdraw it, remove {path}"
                )
