"""`rollout plan`: create a plan and show it. It never changes an instance."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from rollout.cli.options import OUTPUT, CloudOptions, Common, Flag, duration
from rollout.cli.terminal import Terminal
from rollout.cli.views import render
from rollout.errors import Exit, UsageError
from rollout.model import limits
from rollout.model.time import Duration

if TYPE_CHECKING:
    from rollout.app.plan import PlanResult


def plan(
    spec: Path,
    /,
    *,
    out: Path | None = None,
    max_age: str = "24h",
    offline: Flag = False,
    allow_empty: Flag = False,
    allow_partial: Flag = False,
    allow_unknown_region: Flag = False,
    detailed_exitcode: Flag = False,
    output: Annotated[Literal["table", "json", "jsonl", "ids"], OUTPUT] = "table",
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
    allow_empty
        Accept an empty inventory.
    allow_partial
        Accept an incomplete listing of instances, with a warning.
    allow_unknown_region
        Accept regions that the program does not know, without a DescribeRegions call.
    detailed_exitcode
        Exit with 2 if there are targets, with 0 if there is nothing to do.
    output
        Format of the result. jsonl: one line per instance. ids: the targets' ids.
    """
    from rollout.app import plan as planning
    from rollout.app import plan_file
    from rollout.cli import eventloop, session

    terminal = Terminal.of(common)
    planned = eventloop.run(
        partial(
            planning.plan,
            spec,
            session.make(terminal, common, cloud),
            offline=offline,
            age_max_ms=_age(max_age),
            allow=planning.Allow(allow_empty, allow_partial, allow_unknown_region),
        )
    )
    if out is not None:
        plan_file.save_plan(planned.saved, out)
    terminal.show(_text(planned, output, terminal.width))
    if output == "table" and planned.saved.plan.counts.targets:
        terminal.show(_next(planned, spec, out))
    changes = detailed_exitcode and planned.saved.plan.counts.targets
    return Exit.CHANGES if changes else Exit.DONE


def _age(text: str) -> Duration:
    age_ms = duration(text, "--max-age")
    if not 0 < age_ms <= limits.DURATION_MAX_MS:
        cure = "write more than `0s` and at most `168h`, for example `24h`"
        raise UsageError.of("R0001", f"--max-age {text}: out of range", help=cure)
    return age_ms


def _text(planned: PlanResult, output: str, width: int) -> str:
    from rollout.cli.views import preview

    saved = planned.saved
    match output:
        case "json":
            return render.as_json(preview.data(saved.plan, saved.digest))
        case "jsonl":
            return "\n".join(render.as_json(row) for row in preview.rows(saved.plan))
        case "ids":
            return "\n".join(target.instance for target in saved.plan.targets())
        case _:
            return preview.text(saved.plan, saved.digest, width, reading=planned.reading)


def _next(planned: PlanResult, spec: Path, out: Path | None) -> str:
    """Return the line about the saved files, and the next command."""
    if out is None:
        return f"\nNext:  rollout plan {spec} --out {planned.saved.plan.name}.plan.json"
    saved = f"\nSaved {out} ({len(planned.saved.raw) / 1e6:.1f} MB) and {out}.sha256"
    forecast = f"{saved}\nNext:  rollout rehearse {out}"
    return f"{forecast}\n       rollout apply {out}" if planned.saved.plan.applyable else forecast
