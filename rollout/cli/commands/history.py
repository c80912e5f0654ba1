"""`rollout history`: list the runs, oldest first, damaged runs included."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from rollout.cli.options import OUTPUT, Common
from rollout.cli.terminal import Terminal

if TYPE_CHECKING:
    from rollout.app.runs import ListedRun
from rollout.cli.views import render


def history(
    *,
    output: Annotated[Literal["table", "json", "jsonl", "ids"], OUTPUT] = "table",
    common: Common = Common(),  # noqa: B008 - frozen
) -> None:
    """List the runs, one line each.

    Parameters
    ----------
    output
        Format of the result. ids: the runs' ids.
    """
    from rollout.app import runs

    terminal = Terminal.of(common)
    rows = [_row(listed) for listed in runs.every(common.runs_dir)]
    match output:
        case "json":
            document = {"format_version": "1.0", "runs": rows}
            terminal.show(render.as_json(document))
        case "jsonl":
            _lines(terminal, [render.as_json(row) for row in rows])
        case "ids":
            _lines(terminal, [row["run"] for row in rows])
        case _:
            terminal.show(
                _table(rows, terminal.columns) if rows else f"No runs in {common.runs_dir}."
            )


def _lines(terminal: Terminal, lines: list[str]) -> None:
    if lines:
        terminal.show("\n".join(lines))


def _row(listed: ListedRun) -> dict[str, Any]:
    """Return one run as plain data. If it cannot be read, `state` and `why` say so."""
    from rollout.cli.views import report
    from rollout.model.time import format_instant

    view, facts = listed.view, listed.facts
    row: dict[str, Any] = {"run": listed.run, "started_at": format_instant(listed.at)}
    if view is None or facts is None:
        return {**row, "state": "unreadable", "why": listed.why}
    return {
        **row,
        "state": report.word(view, facts.holder),
        "plan": view.name,
        "emulator": facts.emulated,
        "targets": sum(wave.targets for wave in view.waves),
        "classes": view.classes,
        "exit": None if view.state == "running" else view.exit,
    }


def _table(rows: list[dict[str, Any]], columns: int | None) -> str:
    names = ("run", "started", "state", "done", "failed", "stranded", "exit", "plan")
    table: list[tuple[str, ...]] = [names]
    for row in rows:
        classes = row.get("classes", {})
        done = f"{classes['done']:,}/{row['targets']:,}" if classes else "-"
        numbers = [classes.get("failed"), classes.get("stranded"), row.get("exit")]
        cells = ["-" if number is None else f"{number:,}" for number in numbers]
        plan = row.get("plan", "-") + (" EMULATOR" if row.get("emulator") else "")
        started = row["started_at"][: len("2026-11-24T15:21")] + "Z"
        table.append((row["run"], started, row["state"], done, *cells, plan))
    lines = render.table(table, "<<<>>>><", indent=0)
    return "\n".join(render.fit(line, columns) for line in lines)
