"""`rollout show`: show a plan or a run, or single instances of it. It makes no API calls."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from rollout.cli import output
from rollout.cli.options import Common, Flag
from rollout.cli.output import Output, Row, Shown
from rollout.cli.terminal import Terminal
from rollout.errors import UsageError
from rollout.model.phrase import say

if TYPE_CHECKING:
    from rollout.app.show import Life


def show(
    target: str,
    /,
    *,
    instance: str | None = None,
    wave: str | None = None,
    exclusions: Flag = False,
    form: Output = Output(),  # noqa: B008 - frozen
    common: Common = Common(),  # noqa: B008 - frozen
) -> None:
    """Show a plan or a run, or one of its instances and why it waits.

    Parameters
    ----------
    target
        Plan file, or the id of a run or a unique prefix of it.
    instance
        Show only this instance; of a run with all its events and why it waits.
    wave
        Show only the targets of this wave.
    exclusions
        Show only the excluded instances, with their reasons.
    """
    from rollout.app import plan_file

    given = [instance is not None, wave is not None, exclusions]
    if sum(given) > 1:
        text = say("--instance, --wave and --exclusions cannot be combined")
        raise UsageError.of("R0002", text, help=say("give one of them"))
    terminal = Terminal.of(common)
    narrowed = Part(instance, wave, exclusions)
    if plan_file.is_named(target):
        result = _of_plan(terminal, Path(target), narrowed)
    else:
        result = _of_run(terminal, common, target, narrowed)
    output.show(terminal, form, result)


class Part(NamedTuple):
    """The part of a plan or run to show; all of it if nothing is set."""

    instance: str | None
    wave: str | None
    exclusions: bool


def _of_plan(terminal: Terminal, path: Path, part: Part) -> Shown:
    """Return a plan file, or the wanted instances of it. Errors: as `load_plan`; R0524."""
    from rollout.app import plan_file
    from rollout.cli.views import preview

    saved = plan_file.load_plan(path)
    plan, digest = saved.plan, saved.digest
    if part == Part(None, None, exclusions=False):
        return Shown(
            text=lambda: preview.text(plan, digest, terminal.width),
            document=lambda: preview.data(plan, digest),
            rows=lambda: preview.rows(plan),
            ids=lambda: (target.instance for target in plan.targets()),
        )
    rows = [
        row
        for row in preview.rows(plan)
        if (part.instance is not None and row["instance"] == part.instance)
        or (part.wave is not None and row.get("wave") == part.wave)
        or (part.exclusions and not row["target"])
    ]
    if not rows and not part.exclusions:
        wanted = part.instance or f"wave {part.wave}"
        raise UsageError.of(
            "R0524",
            say("{wanted} is not in the plan", wanted=wanted),
            help=shlex.join(["rollout", "show", str(path)]),
        )
    return _of_rows(terminal, rows)


def _of_run(terminal: Terminal, common: Common, run: str, part: Part) -> Shown:
    """Return a run, or the wanted instances of it. Errors: as `runs.find`, `runs.fold`; R0524."""
    from rollout.app import runs
    from rollout.app import show as showing
    from rollout.cli.commands import status
    from rollout.cli.views import preview

    found = runs.find(common.runs_dir, run)
    if part.instance is not None:
        return _of_life(terminal, showing.life(found, part.instance))
    if part.wave is not None:
        rows = [msgspec.to_builtins(one) for one in showing.wave(found, part.wave)]
        return _of_rows(terminal, rows)
    if part.exclusions:
        every = preview.rows(runs.plan_of(found))
        return _of_rows(terminal, [row for row in every if not row["target"]])
    return status.result_of(terminal, *runs.state(found))


def _of_life(terminal: Terminal, life: Life) -> Shown:
    """Return one instance of a run; its rows are its events."""
    from rollout.cli.views import audit, instances

    view, entries = life
    return Shown(
        text=lambda: instances.life(view, entries, terminal.width),
        document=lambda: instances.life_data(view, entries),
        rows=lambda: map(audit.data, entries),
        ids=lambda: [view.instance],
    )


def _of_rows(terminal: Terminal, rows: list[Row]) -> Shown:
    from rollout.cli.views import instances

    return Shown(
        text=lambda: instances.table(rows, terminal.columns),
        document=lambda: {"format_version": "1.0", "instances": rows},
        rows=lambda: rows,
        ids=lambda: (row["instance"] for row in rows),
    )
