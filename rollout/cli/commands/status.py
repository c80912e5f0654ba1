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
    from rollout.app import runs as folding
    from rollout.cli.views import report
    from rollout.core.running.view import view
    from rollout.journal import runs
    from rollout.journal.locks import driver

    terminal = Terminal.of(common)
    folded = folding.fold(runs.find(common.runs_dir, run).path)
    seen = view(folded.run)
    facts = folding.facts(folded, driven_by=driver.holder(folded.run_dir))
    match output:
        case "json":
            terminal.show(render.as_json(report.data(seen, facts)))
        case "ids":
            terminal.show(report.left_ids(seen.left))
        case _:
            terminal.show(report.status(seen, facts, terminal.width))
