"""Create operator commands and send them to the process that drives the run.

Called by `abort`, `resolve` and `resume`. The caller handles runs that no process drives.
"""

from __future__ import annotations

import secrets
from pathlib import Path

import anyio

from rollout.app import execute, runs
from rollout.cli.terminal import Terminal
from rollout.core.running.state import Run
from rollout.core.running.thresholds import waits_for_operator
from rollout.engines.clock import LoopClock
from rollout.errors import ConflictError, RunError
from rollout.journal import inbox
from rollout.journal.locks import driver
from rollout.model.event import OperatorCommand, OperatorWord, Resolution

POLL_S = 0.3
TAKEN_WITHIN_S = 30
"""A process that drives a run checks its inbox twice a second, unless it is stopped."""


def order(
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


async def hand_over(run_dir: Path, given: OperatorCommand, terminal: Terminal) -> bool:
    """Send the command to the process that drives the run; wait until it is in the journal.

    Return False if no process drives the run. Errors: RunError R0505 if the process does not react,
    ConflictError R0608 if it refuses the command.
    """
    holder = driver.holder(run_dir)
    if not holder:
        return False
    path = inbox.send(run_dir, given)
    terminal.say(f"Sent to {holder}.")
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


async def until_closed(run_dir: Path) -> bool:
    """Wait until the process that drives the run ends; return whether it closed the run."""
    while driver.holder(run_dir):  # noqa: ASYNC110 - another process
        await anyio.sleep(POLL_S)
    return runs.fold(run_dir).run.closed is not None


def check_unattended(run: Run) -> None:
    """Raise RunError R0506 if only an operator may decide that the halted run continues."""
    if run.halted is not None and waits_for_operator(run):
        raise RunError.of(
            "R0506",
            f"run {run.run_id} halted, {run.halted.code}: {run.halted.detail}",
            help=f"rollout resume {run.run_id} accepts this and continues; rollout abort "
            f"{run.run_id} closes the run",
        )


def refused(run: str, given: OperatorCommand, why: str) -> ConflictError:
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
        raise refused(run_dir.name, given, why)
