"""`rollout resolve`: state the outcome of one instance that the run cannot determine."""

from __future__ import annotations

from rollout.cli.options import Common, Flag
from rollout.cli.terminal import Terminal
from rollout.errors import Exit, UsageError
from rollout.model.phrase import say

EFFECT = {
    "restarted": say("counts as restarted, unverified; its permit is returned"),
    "untouched": say("counts as not restarted; it may be restarted again"),
    "abandon": say("given up; it counts as down until it is observed Running"),
}
"""The effect of each statement, as the command prints it."""


def resolve(
    run: str | None = None,
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
        The run's id or a unique prefix of it; left out, the newest run.
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
    from rollout.app import operate, runs
    from rollout.cli import eventloop, session
    from rollout.model.event import Resolution

    stated = {
        Resolution.RESTARTED: restarted,
        Resolution.UNTOUCHED: untouched,
        Resolution.ABANDON: abandon,
    }
    chosen = [resolution for resolution, given in stated.items() if given]
    if len(chosen) != 1 or not reason.strip():
        raise UsageError.of(
            "R0002",
            say("state one of --restarted, --untouched and --abandon, and a --reason"),
            help="rollout resolve RUN --instance i-… --restarted --reason TEXT",
        )
    terminal = Terminal.of(common)
    found = runs.find(common.runs_dir, run)
    made = session.make(terminal, common, unsafe_fs=allow_unsafe_fs)
    text = say("{instance}: {effect}.", instance=instance, effect=EFFECT[chosen[0].value])
    if eventloop.run(operate.resolve, found, instance, chosen[0], reason, made):
        terminal.say(say("{text} The process that drives the run continues.", text=text))
    else:
        terminal.say(say("{text}\nresume: rollout resume {run}", text=text, run=found.id))
    return Exit.DONE
