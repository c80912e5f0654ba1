"""`rollout status`: show a run's state, read from its journal. It makes no API calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollout.cli import output
from rollout.cli.options import Common, Flag, duration
from rollout.cli.output import Output, Shown
from rollout.cli.terminal import Terminal
from rollout.errors import Exit, UsageError
from rollout.model.phrase import say

if TYPE_CHECKING:
    from rollout.app.runs import RunFacts
    from rollout.model.view import RunView


def status(
    run: str | None = None,
    /,
    *,
    watch: Flag = False,
    timeout: str | None = None,
    exit_status: Flag = False,
    form: Output = Output(),  # noqa: B008 - frozen
    common: Common = Common(),  # noqa: B008 - frozen
) -> Exit:
    """Show a run's state and why each instance is waiting.

    Parameters
    ----------
    run
        The run's id or a unique prefix of it. Default: the newest run.
    watch
        Wait while a process drives the run, then show its last state. Shows the progress meanwhile.
    timeout
        With --watch: end with exit 8 if the run is still in progress after this time.
    exit_status
        Exit as the run did: with 8 while it is in progress, with 5 if it was interrupted.
    """
    from rollout.app import runs
    from rollout.app.watch import RunWatch, exit_of, in_progress

    terminal = Terminal.of(common)
    if timeout is not None and not watch:
        raise UsageError.of("R0002", say("--timeout needs --watch"), help=say("add --watch"))
    found = runs.find(common.runs_dir, run)
    if watch:
        from rollout.cli import watching

        limit = None if timeout is None else duration(timeout, "--timeout")
        state, facts = watching.until_stopped(terminal, RunWatch(found), limit)
    else:
        state, facts = runs.state(found)
    output.show(terminal, form, result_of(terminal, state, facts))
    if watch and in_progress(state, facts):
        return Exit.IN_PROGRESS
    return exit_of(state, facts) if exit_status else Exit.DONE


def result_of(terminal: Terminal, state: RunView, facts: RunFacts) -> Shown:
    """Return the state of a run in all forms; its rows are the instances that need an operator."""
    import msgspec

    from rollout.cli.views import report

    return Shown(
        text=lambda: report.status(state, facts, terminal.width),
        document=lambda: report.data(state, facts),
        rows=lambda: map(msgspec.to_builtins, state.left),
        ids=lambda: (one.instance for one in state.left),
    )
