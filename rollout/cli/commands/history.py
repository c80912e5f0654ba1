"""`rollout history`: list the runs, oldest first, damaged runs included."""

from __future__ import annotations

from rollout.cli import output
from rollout.cli.options import Common
from rollout.cli.output import Output, Shown
from rollout.cli.terminal import Terminal


def history(
    *,
    form: Output = Output(),  # noqa: B008 - frozen
    common: Common = Common(),  # noqa: B008 - frozen
) -> None:
    """List the runs, one line each."""
    from rollout.app import runs
    from rollout.cli.views import report

    terminal = Terminal.of(common)
    rows = [report.row(listed) for listed in runs.every(common.runs_dir)]
    nothing = f"No runs in {common.runs_dir}."
    result = Shown(
        text=lambda: report.history(rows, terminal.columns) if rows else nothing,
        document=lambda: {"format_version": "1.0", "runs": rows},
        rows=lambda: rows,
        ids=lambda: (row["run"] for row in rows),
    )
    output.show(terminal, form, result)
