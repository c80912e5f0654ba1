"""`rollout resolve`: state the outcome of one instance that the run cannot determine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollout.cli.options import Common, Flag
from rollout.cli.terminal import Terminal
from rollout.errors import Exit, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from rollout.model.event import OperatorCommand

STATED = {
    "restarted": "counts as restarted, unverified; its permit is returned",
    "untouched": "counts as not restarted; it may be restarted again",
    "abandon": "given up; it counts as down until it is observed Running",
}
"""The effect of each statement, as the command prints it."""


def resolve(
    run: str,
    /,
    *,
    instance: str,
    restarted: Flag = False,
    untouched: Flag = False,
    abandon: Flag = False,
    reason: str,
    allow_unsafe_fs: Flag = False,
    common: Common = Common(),  # noqa: B008 - frozen
) -> Exit:
    """State the outcome of one instance that a run holds. Makes no API calls.

    Parameters
    ----------
    run
        The run's id or a unique prefix of it.
    instance
        The instance's id.
    restarted
        The instance booted after the attach. It counts as unverified and returns its permit.
    untouched
        The instance was not restarted. The run may restart it again.
    abandon
        Give up. The instance stays stranded or in doubt, and is down until observed Running.
    reason
        How you know this, for the journal.
    allow_unsafe_fs
        Accept a network or user-space file system for the runs directory.
    """
    from rollout.app import operate
    from rollout.cli import eventloop
    from rollout.journal import runs
    from rollout.model.event import OperatorWord, Resolution

    stated = {
        Resolution.RESTARTED: restarted,
        Resolution.UNTOUCHED: untouched,
        Resolution.ABANDON: abandon,
    }
    chosen = [resolution for resolution, given in stated.items() if given]
    if len(chosen) != 1 or not reason.strip():
        raise UsageError.of(
            "R0002",
            "state one of --restarted, --untouched and --abandon, and a --reason",
            help="rollout resolve RUN --instance i-… --restarted --reason TEXT",
        )
    terminal = Terminal.of(common)
    run_dir = runs.find(common.runs_dir, run).path
    order = operate.order(OperatorWord.RESOLVE, reason, instance, chosen[0])
    text = f"{instance}: {STATED[chosen[0]]}."

    async def go() -> bool:
        if await operate.hand_over(run_dir, order, terminal):
            return True
        await _write(run_dir, order, common, terminal, unsafe=allow_unsafe_fs)
        return False

    if eventloop.run(go):
        terminal.say(f"{text} The process that drives the run continues.")
    else:
        terminal.say(f"{text}\nresume: rollout resume {run_dir.name}")
    return Exit.DONE


async def _write(
    run_dir: Path, order: OperatorCommand, common: Common, terminal: Terminal, *, unsafe: bool
) -> None:
    """Apply the command to a run that no process drives, under its lock, in its journal."""
    from rollout import logs
    from rollout.app import execute, operate
    from rollout.app import runs as folding
    from rollout.journal import writer
    from rollout.model.event import AnyEvent

    put: list[AnyEvent] = []
    async with execute.hold_runs(common, terminal, order.at, allow_unsafe_fs=unsafe) as runner:
        folded = folding.fold(run_dir, put.append)
        if order.id in folded.run.orders:
            return  # the process that drove the run had written it before it ended
        if folded.reader.torn is not None:
            folded.decider.put(folded.reader.torn, order.at)
        why = folded.decider.operate(order, order.at)
        if why:
            raise operate.refused(run_dir.name, order, why)
        journal = writer.reopen(folded.reader)
        with runner.hold(run_dir.name, folded.run.epoch, order.at, journal):
            journal.keep_secret(logs.KNOWN)
            journal.append(put, order.at)
            journal.sync_now()
            journal.close()
