"""`rollout retry`: create a plan of the instances that a run did not rotate."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from rollout.cli.options import CloudOptions, Common, Flag
from rollout.cli.output import Output
from rollout.cli.terminal import Terminal
from rollout.errors import Exit


def retry(
    run: str | None = None,
    /,
    *,
    failed: Flag = False,
    in_doubt: Flag = False,
    out: Path | None = None,
    max_age: str = "24h",
    form: Output = Output(),  # noqa: B008 - frozen
    cloud: CloudOptions = CloudOptions(),  # noqa: B008 - frozen
    common: Common = Common(),  # noqa: B008 - frozen
) -> Exit:
    """Create a plan of a run's failed, stranded and skipped instances. Changes nothing.

    Parameters
    ----------
    run
        The id of a closed run or a unique prefix of it; left out, the newest run.
    failed
        Leave skipped instances out: plan failed and stranded ones only.
    in_doubt
        Also plan instances whose restart is in doubt. They may be restarted a second time.
    out
        File to save the plan to, for `rollout apply`.
    max_age
        How long the plan is valid.
    """
    from rollout.app import plan_file
    from rollout.app import retry as retrying
    from rollout.cli import eventloop, planned_result, session, suggested

    terminal = Terminal.of(common)
    if out is not None:
        plan_file.check_out(out)
    made = session.make(terminal, common, cloud)
    age_max_ms = planned_result.age_max(max_age)
    planned = eventloop.run(
        partial(retrying.retry, run, made, failed=failed, in_doubt=in_doubt, age_max_ms=age_max_ms)
    )
    origin = planned.saved.plan.made_from()
    assert origin is not None  # noqa: S101 - the plan retries a run
    planned_result.show(terminal, planned, form, out, suggested.again("retry", origin.run))
    return Exit.DONE
