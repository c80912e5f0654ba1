"""`rollout explain`: what an error code or the exit codes mean, and what to do."""

from __future__ import annotations

from typing import Annotated, Literal

from rollout.cli.options import OUTPUT, Common
from rollout.cli.terminal import Terminal
from rollout.cli.views import explanation, render


def explain(
    code: str,
    /,
    *,
    output: Annotated[Literal["table", "json"], OUTPUT] = "table",
    common: Common = Common(),  # noqa: B008 - frozen
) -> None:
    """Explain an error code, or all exit codes.

    Parameters
    ----------
    code
        An error code, such as R0412, or `exit-codes`.
    output
        Format of the result.
    """
    from rollout.app import pages

    terminal = Terminal.of(common)
    if code == "exit-codes":
        exits = pages.exit_codes()
        terminal.show(
            render.as_json(explanation.exits_data(exits))
            if output == "json"
            else "\n".join(explanation.exits(exits, terminal.width))
        )
        return
    page = pages.explain(code)
    terminal.show(
        render.as_json(explanation.data(page))
        if output == "json"
        else "\n".join(explanation.text(page, terminal.width))
    )
