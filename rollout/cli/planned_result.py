"""Save and print a new plan.

Called by `plan`, `undo` and `retry`.
"""

from __future__ import annotations

import shlex
from pathlib import Path

from rollout.app import plan_file
from rollout.app.plan import PlanResult
from rollout.app.plan_file import SavedPlan
from rollout.cli import output, suggested
from rollout.cli.language import tr
from rollout.cli.options import duration
from rollout.cli.output import Output, Shown
from rollout.cli.terminal import Terminal
from rollout.cli.views import preview, render
from rollout.errors import UsageError
from rollout.model import limits
from rollout.model.phrase import say
from rollout.model.plan import Plan
from rollout.model.time import Duration


def age_max(text: str) -> Duration:
    """Return the value of --max-age in milliseconds. UsageError R0001 if it is out of range."""
    age_max_ms = duration(text, "--max-age")
    if not 0 < age_max_ms <= limits.DURATION_MAX_MS:
        cure = say("write more than `0s` and at most `168h`, for example `24h`")
        raise UsageError.of("R0001", say("--max-age {text}: out of range", text=text), help=cure)
    return age_max_ms


def show(
    terminal: Terminal, planned: PlanResult, form: Output, out: Path | None, again: str
) -> None:
    """Save the plan to `out`, and print it with the next commands.

    `again` is the command that plans the same again, to save its plan. Errors: StorageError R0803.
    """
    if out is not None:
        plan_file.save_plan(planned.saved, out)
    output.show(terminal, form, _result(planned, terminal.width))
    if form == Output() and (out is not None or planned.saved.plan.counts.targets):
        terminal.show(_next(planned.saved, out, again))


def _result(planned: PlanResult, width: int) -> Shown:
    plan, digest = planned.saved.plan, planned.saved.digest
    return Shown(
        text=lambda: preview.text(plan, digest, width, reading=planned.reading),
        document=lambda: preview.data(plan, digest),
        rows=lambda: preview.rows(plan),
        ids=lambda: (target.instance for target in plan.targets()),
    )


def _next(saved: SavedPlan, out: Path | None, again: str) -> str:
    """Return the line about the saved files, and the next commands."""
    if out is None:
        save = f"{again} --out {shlex.quote(f'{saved.plan.name}.plan.json')}"
        return "\n" + tr("Next:  {command}", command=save)
    written = tr("Saved {file} ({size}) and {file}.sha256", file=out, size=_size(len(saved.raw)))
    if not saved.plan.counts.targets:
        return f"\n{written}"
    commands = [suggested.command("rehearse", out), *_after_rehearsal(saved.plan, out)]
    first = tr("Next:  {command}", command=commands[0])
    indent = " " * (render.columns(first) - render.columns(commands[0]))
    return "\n".join(["", written, first, *(f"{indent}{one}" for one in commands[1:])])


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.0f} KB"


def _after_rehearsal(plan: Plan, out: Path) -> list[str]:
    """Return the command that brings a new plan further; none for a plan that cannot be applied."""
    if not plan.applyable:
        return []
    if plan.approvers() is not None:
        return [suggested.command("approve", out, "--key", "KEY")]
    return [suggested.command("apply", out)]
