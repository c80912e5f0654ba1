"""`rollout resume`: continue an open run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from rollout.cli.options import OUTPUT, Cloud, Common, Flag
from rollout.cli.terminal import Terminal
from rollout.errors import Exit, UsageError

if TYPE_CHECKING:
    from rollout.cli.views.report import Ended


def resume(
    run: str | None = None,
    /,
    *,
    last: Flag = False,
    allow_unsafe_fs: Flag = False,
    output: Annotated[Literal["table", "json", "ids"], OUTPUT] = "table",
    cloud: Cloud = Cloud(),  # noqa: B008 - frozen
    common: Common = Common(),  # noqa: B008 - frozen
) -> Exit:
    """Continue an open run after a crash, Ctrl-C or a halt.

    Parameters
    ----------
    run
        The run's id or a unique prefix of it.
    last
        Resume the newest open run, or do nothing if none is open. For schedulers: unlike
        `resume RUN`, it continues no run that halted for failures, conflicts, drift or another
        run.
    allow_unsafe_fs
        Accept a network or user-space file system for the runs directory.
    output
        Format of the result. ids: the instances that need an operator.
    """
    from rollout.app import connect, execute, operate, preflight
    from rollout.app import runs as folding
    from rollout.cli import eventloop, results
    from rollout.engines.clock import LoopClock

    if (run is None) is not last:
        raise UsageError.of(
            "R0002", "name a run, or pass --last", help="rollout history lists them"
        )
    terminal = Terminal.of(common)
    run_dir = _find(common.runs_dir, run)
    if run_dir is None:
        terminal.say("Nothing to do: no run is open.")
        return Exit.DONE
    closed = folding.closed(run_dir)
    if closed is not None:
        return results.show(terminal, closed, output)

    async def go() -> Ended:
        now = LoopClock().now()
        async with execute.hold_runs(
            common, terminal, now, allow_unsafe_fs=allow_unsafe_fs
        ) as runner:
            outlet = execute.Outlet()
            folded = folding.fold(run_dir, outlet)
            ended = folding.ended(folded)
            if ended is not None:
                return ended  # another process closed it before this one had the lock
            if last:
                operate.check_unattended(folded.run)
            async with connect.connect(cloud, terminal) as service:
                await preflight.check_resume(folded, service)
                return await runner.go_on(folded, outlet, service)

    return results.show(terminal, eventloop.run(go), output)


def _find(runs_dir: Path, run: str | None) -> Path | None:
    from rollout.app import runs as folding
    from rollout.journal import runs

    if run is not None:
        return runs.find(runs_dir, run).path
    open_runs = folding.open_runs(runs_dir)
    return open_runs[-1].run_dir if open_runs else None
