"""`rollout diff`: compare two plans, or a plan with a new plan of its spec."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from rollout.cli import output
from rollout.cli.options import CloudOptions, Common, Flag
from rollout.cli.output import Output, Shown
from rollout.cli.terminal import Terminal
from rollout.errors import Exit, UsageError
from rollout.model.phrase import say


def diff(
    before: Path,
    after: Path | None = None,
    /,
    *,
    live: Flag = False,
    detailed_exitcode: Flag = False,
    form: Output = Output(),  # noqa: B008 - frozen
    cloud: CloudOptions = CloudOptions(),  # noqa: B008 - frozen
    common: Common = Common(),  # noqa: B008 - frozen
) -> Exit:
    """Show what changed from one plan to another, or since a plan was reviewed. Changes nothing.

    Parameters
    ----------
    before
        Plan file.
    after
        Plan file to compare with.
    live
        Compare with a new plan of the spec in BEFORE instead, from the service's current state.
    detailed_exitcode
        Exit with 2 if there are differences, with 0 if there are none.
    """
    from rollout.app import diff as comparing
    from rollout.cli import eventloop, session
    from rollout.cli.views import diff as views

    if (after is None) != live:
        text = (
            say("name a second plan, or use --live")
            if after is None
            else say("--live takes one plan")
        )
        raise UsageError.of("R0002", text, help="rollout diff PLAN --live")
    terminal = Terminal.of(common)
    if after is None:
        made = session.make(terminal, common, cloud)
        found = eventloop.run(partial(comparing.with_live, before, made))
    else:
        found = comparing.of_files(before, after)
    result = Shown(
        text=lambda: views.text(found, terminal.width),
        document=lambda: views.data(found),
        rows=lambda: views.data(found)["instances"],
        ids=lambda: (one.instance for one in found.instances),
    )
    output.show(terminal, form, result)
    return Exit.CHANGES if detailed_exitcode and found else Exit.DONE
