"""`rollout plan`: create a plan and show it. It never changes an instance."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from rollout.cli.options import Accepting, CloudOptions, Common, Flag
from rollout.cli.output import Output
from rollout.cli.terminal import Terminal
from rollout.errors import Exit

if TYPE_CHECKING:
    from rollout.app.plan import Overriding
    from rollout.core.planning.narrowing import Narrowing

Patterns = Annotated[tuple[str, ...], Parameter(negative="", show_default=False)]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Departures:
    """Options with which a plan departs from its spec.

    Parameters
    ----------
    limit
        Plan only these instances: an id, a glob of ids, a tag selector, or a file (`@FILE`, `@-`)
        with one of these on each line. Repeatable.
    exclude
        Leave these instances out, in the same forms. Repeatable.
    wave
        Plan only this wave of the spec.
    max_down
        At most this many instances down at once; not more than the spec allows.
    override
        Replace a field of the spec: FIELD=VALUE, such as `budgets[0].maxDown=20%`,
        `allowPasswordLoss=true` or `formerRotationUnproven=allow`. Repeatable.
    reason
        Reason of the overrides, for the plan and the journal. Needed if one may be less safe.
    """

    limit: Patterns = ()
    exclude: Patterns = ()
    wave: str | None = None
    max_down: int | None = None
    override: Patterns = ()
    reason: str = ""

    def narrowing(self) -> Narrowing:
        """Return the options that narrow the plan. Errors: those of `narrow.read`."""
        from rollout.app import narrow

        return narrow.read(
            limit=self.limit, exclude=self.exclude, wave=self.wave, max_down=self.max_down
        )

    def overriding(self) -> Overriding:
        """Return the overrides of fields. Errors: those of `Overriding.of`."""
        from rollout.app.plan import Overriding

        return Overriding.of(self.override, self.reason)


def plan(
    spec: Path,
    /,
    *,
    out: Path | None = None,
    max_age: str = "24h",
    offline: Flag = False,
    detailed_exitcode: Flag = False,
    departures: Departures = Departures(),
    form: Output = Output(),  # noqa: B008 - frozen
    accepting: Accepting = Accepting(),  # noqa: B008 - frozen
    cloud: CloudOptions = CloudOptions(),  # noqa: B008 - frozen
    common: Common = Common(),  # noqa: B008 - frozen
) -> Exit:
    """Create and show a rotation plan. Changes nothing.

    Parameters
    ----------
    spec
        Spec to plan.
    out
        File to save the plan to, for `rollout apply`.
    max_age
        How long the plan is valid.
    offline
        Make no API calls. Such a plan cannot be applied.
    detailed_exitcode
        Exit with 2 if there are targets, with 0 if there is nothing to do.
    """
    from rollout.app import plan as planning
    from rollout.app import plan_file
    from rollout.cli import eventloop, planned_result, session, suggested

    terminal = Terminal.of(common)
    if out is not None:
        plan_file.check_out(out)
    planned = eventloop.run(
        partial(
            planning.plan,
            spec,
            session.make(terminal, common, cloud),
            offline=offline,
            age_max_ms=planned_result.age_max(max_age),
            allow=accepting.allow(),
            narrowing=departures.narrowing(),
            looser=departures.overriding(),
        )
    )
    planned_result.show(terminal, planned, form, out, suggested.again("plan", spec))
    changes = detailed_exitcode and planned.saved.plan.counts.targets
    return Exit.CHANGES if changes else Exit.DONE
