"""`rollout show`: show a plan or a run, or single instances of it. It makes no API calls."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from rollout.cli.options import OUTPUT, Common, Flag
from rollout.cli.terminal import Terminal
from rollout.cli.views import render
from rollout.errors import UsageError


def show(
    target: str,
    /,
    *,
    instance: str | None = None,
    wave: str | None = None,
    exclusions: Flag = False,
    output: Annotated[Literal["table", "json"], OUTPUT] = "table",
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
    output
        Format of the result.
    """
    given = [instance is not None, wave is not None, exclusions]
    if sum(given) > 1:
        text = "--instance, --wave and --exclusions cannot be combined"
        raise UsageError.of("R0001", text, help="give one of them")
    terminal = Terminal.of(common)
    if Path(target).is_file():
        _show_plan(terminal, Path(target), instance, wave, exclusions=exclusions, output=output)
    else:
        _show_run(terminal, common, target, instance, wave, exclusions=exclusions, output=output)


def _show_plan(
    terminal: Terminal,
    path: Path,
    instance: str | None,
    wave: str | None,
    *,
    exclusions: bool,
    output: str,
) -> None:
    from rollout.app import plan_file
    from rollout.cli.views import preview

    saved = plan_file.load_plan(path)
    plan, digest = saved.plan, saved.digest
    if instance is None and wave is None and not exclusions:
        whole = output == "json"
        terminal.show(
            render.as_json(preview.data(plan, digest))
            if whole
            else preview.text(plan, digest, terminal.width)
        )
        return
    rows = [
        row
        for row in preview.rows(plan)
        if (instance is not None and row["instance"] == instance)
        or (wave is not None and row.get("wave") == wave)
        or (exclusions and not row["target"])
    ]
    if not rows and not exclusions:
        wanted = instance or f"wave {wave}"
        raise UsageError.of("R0524", f"{wanted} is not in the plan", help=f"rollout show {path}")
    _show_rows(terminal, rows, output)


def _show_run(
    terminal: Terminal,
    common: Common,
    run: str,
    instance: str | None,
    wave: str | None,
    *,
    exclusions: bool,
    output: str,
) -> None:
    from rollout.app import runs
    from rollout.app import show as showing
    from rollout.cli.views import instances, preview, report

    found = runs.find(common.runs_dir, run)
    if instance is not None:
        view, entries = showing.life(found, instance)
        terminal.show(
            render.as_json(instances.life_data(view, entries))
            if output == "json"
            else instances.life(view, entries, terminal.width)
        )
    elif wave is not None:
        rows = [msgspec.to_builtins(one) for one in showing.wave(found, wave)]
        _show_rows(terminal, rows, output)
    elif exclusions:
        every = preview.rows(runs.plan_of(found))
        _show_rows(terminal, [row for row in every if not row["target"]], output)
    else:
        state, facts = runs.state(found)
        terminal.show(
            render.as_json(report.data(state, facts))
            if output == "json"
            else report.status(state, facts, terminal.width)
        )


def _show_rows(terminal: Terminal, rows: list[dict[str, Any]], output: str) -> None:
    from rollout.cli.views import instances

    if output == "json":
        terminal.show(render.as_json({"format_version": "1.0", "instances": rows}))
    else:
        terminal.show(instances.table(rows, terminal.columns))
