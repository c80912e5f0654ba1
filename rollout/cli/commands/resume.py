"""`rollout resume`: continue an open run, also a paused one."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal

from rollout.cli.options import OUTPUT, CloudOptions, Common, Driving, Flag
from rollout.cli.terminal import Terminal
from rollout.errors import Exit, UsageError
from rollout.model.phrase import say


def resume(
    run: str | None = None,
    /,
    *,
    last: Flag = False,
    reason: str = "",
    output: Annotated[Literal["table", "json", "ids"], OUTPUT] = "table",
    driving: Driving = Driving(),  # noqa: B008 - frozen
    cloud: CloudOptions = CloudOptions(),  # noqa: B008 - frozen
    common: Common = Common(),  # noqa: B008 - frozen
) -> Exit:
    """Continue an open run after a crash, Ctrl-C, a halt or a pause.

    Parameters
    ----------
    run
        The run's id or a unique prefix of it.
    last
        Resume the newest open run, or do nothing if none is open. For schedulers: unlike
        `resume RUN`, it continues no paused run, and none that halted for failures, conflicts,
        drift, another run, refused requests or `--until-wave`.
    reason
        Reason why a paused run continues, for the journal.
    output
        Format of the result. ids: the instances that need an operator.
    """
    from rollout.app import execute, operate, runs
    from rollout.cli import eventloop, session

    if run is not None and last:
        text, cure = say("a run and --last were given"), say("leave out the run, or --last")
        raise UsageError.of("R0002", text, help=cure)
    if run is None and not last:
        cure = say("rollout history lists the runs")
        raise UsageError.of("R0002", say("name a run, or pass --last"), help=cure)
    terminal = Terminal.of(common)
    made = session.make(terminal, common, cloud, driving)
    found = None if run is None else runs.find_paused(common.runs_dir, run)
    if found is not None and eventloop.run(operate.resume_driven, found, reason, made):
        terminal.say(say("Continued. The process that drives the run starts new calls again."))
        return Exit.DONE
    ended = eventloop.run(partial(execute.resume, run, made, unattended=last, reason=reason))
    if ended is None:
        terminal.say(say("Nothing to do: no run is open."))
        return Exit.DONE
    return session.show(terminal, ended, output)
