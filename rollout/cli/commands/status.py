"""`rollout status`: show a run's state, read from its journal. It makes no API calls."""

from __future__ import annotations

from typing import Annotated, Literal

from rollout.cli.options import OUTPUT, Common
from rollout.cli.terminal import Terminal
from rollout.cli.views import render


def status(
    run: str | None = None,
    /,
    *,
    output: Annotated[Literal["table", "json", "ids"], OUTPUT] = "table",
    common: Common = Common(),  # noqa: B008 - frozen
) -> None:
    """Show a run's state and why each instance is waiting.

    Parameters
    ----------
    run
        The run's id or a unique prefix of it. Default: the newest run.
    output
        Format of the result. ids: the instances that need an operator.
    """
    from rollout.app import runs
    from rollout.cli.views import report

    terminal = Terminal.of(common)
    view, facts = runs.state(runs.find(common.runs_dir, run))
    match output:
        case "json":
            terminal.show(render.as_json(report.data(view, facts)))
        case "ids":
            terminal.show(report.left_ids(view.left))
        case _:
            terminal.show(report.status(view, facts, terminal.width))
