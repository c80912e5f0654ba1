"""`rollout history`: list the runs, oldest first, damaged runs included."""

from __future__ import annotations

from typing import Annotated, Literal

from rollout.cli.options import OUTPUT, Common
from rollout.cli.terminal import Terminal
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
    from rollout.cli.views import report

    terminal = Terminal.of(common)
    rows = [report.row(listed) for listed in runs.every(common.runs_dir)]
    match output:
        case "json":
            document = {"format_version": "1.0", "runs": rows}
            terminal.show(render.as_json(document))
        case "jsonl":
            terminal.show("\n".join(render.as_json(row) for row in rows))
        case "ids":
            terminal.show("\n".join(row["run"] for row in rows))
        case _:
            table = report.history(rows, terminal.columns)
            terminal.show(table if rows else f"No runs in {common.runs_dir}.")
