"""`rollout plan`: create a plan and show it. It never changes an instance."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from rollout.cli.options import OUTPUT, Cloud, Common, Flag, duration
from rollout.cli.terminal import Terminal
from rollout.cli.views import render
from rollout.errors import Exit, UsageError
from rollout.model import limits

if TYPE_CHECKING:
    from rollout.app.plan import Made


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
    cloud: Cloud = Cloud(),  # noqa: B008 - frozen
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
    from rollout.app import connect, plan, plan_file
    from rollout.cli import eventloop

    terminal = Terminal.of(common)
    age_max_ms = duration(max_age, "--max-age")
    if not 0 < age_max_ms <= limits.DURATION_MAX_MS:
        cure = "write more than `0s` and at most `168h`, for example `24h`"
        raise UsageError.of("R0001", f"--max-age {max_age}: out of range", help=cure)
    done: list[Made] = []  # not the task's result: asyncio spells that out on the way out

    async def make() -> None:
        async with nullcontext() if offline else connect.connect(cloud, terminal) as service:
            made = await plan.make(
                spec,
                service,
                common.runs_dir,
                age_max_ms=age_max_ms,
                allow_empty=allow_empty,
                allow_partial=allow_partial,
                allow_unknown_region=allow_unknown_region,
            )
            done.append(made)

    eventloop.run(make)
    made = done[0]
    if out is not None:
        plan_file.save(made.saved, out)
    terminal.show(_spelled(made, output, terminal.width))
    if output == "table" and made.saved.plan.counts.targets:
        terminal.show(_next(made, spec, out))
    changes = detailed_exitcode and made.saved.plan.counts.targets
    return Exit.CHANGES if changes else Exit.DONE


def _spelled(made: Made, output: str, width: int) -> str:
    from rollout.cli.views import preview

    saved = made.saved
    match output:
        case "json":
            return render.as_json(preview.data(saved.plan, saved.digest))
        case "jsonl":
            return "\n".join(render.as_json(row) for row in preview.rows(saved.plan))
        case "ids":
            return "\n".join(target.instance for *_, target in preview.targets(saved.plan))
        case _:
            return preview.text(saved.plan, saved.digest, width, reading=made.reading)


def _next(made: Made, spec: Path, out: Path | None) -> str:
    """Return the line about the saved files, and the next command."""
    if out is None:
        return f"\nNext:  rollout plan {spec} --out {made.saved.plan.name}.plan.json"
    saved = f"\nSaved {out} ({len(made.saved.raw) / 1e6:.1f} MB) and {out}.sha256"
    forecast = f"{saved}\nNext:  rollout rehearse {out}"
    return f"{forecast}\n       rollout apply {out}" if made.saved.plan.applyable else forecast
