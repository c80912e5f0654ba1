"""`rollout undo`: create a plan that attaches the former key pairs of a run again."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from rollout.cli.options import CloudOptions, Common
from rollout.cli.output import Output
from rollout.cli.terminal import Terminal
from rollout.errors import Exit


def undo(
    run: str | None = None,
    /,
    *,
    wave: str | None = None,
    out: Path | None = None,
    max_age: str = "24h",
    form: Output = Output(),  # noqa: B008 - frozen
    cloud: CloudOptions = CloudOptions(),  # noqa: B008 - frozen
    common: Common = Common(),  # noqa: B008 - frozen
) -> Exit:
    """Create a plan that attaches a run's former key pairs again. Changes nothing.

    Parameters
    ----------
    run
        The id of a closed run or a unique prefix of it; left out, the newest run.
    wave
        Undo only this wave of the run.
    out
        File to save the plan to, for `rollout apply`.
    max_age
        How long the plan is valid.
    """
    from rollout.app import plan_file
    from rollout.app import undo as undoing
    from rollout.cli import eventloop, planned_result, session, suggested

    terminal = Terminal.of(common)
    if out is not None:
        plan_file.check_out(out)
    made = session.make(terminal, common, cloud)
    age_max_ms = planned_result.age_max(max_age)
    planned = eventloop.run(partial(undoing.undo, run, made, wave=wave, age_max_ms=age_max_ms))
    origin = planned.saved.plan.made_from()
    assert origin is not None  # noqa: S101 - the plan undoes a run
    again = suggested.again("undo", origin.run)
    planned_result.show(terminal, planned, form, out, again)
    return Exit.DONE
