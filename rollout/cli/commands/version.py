"""`rollout version`: print the installed versions, for bug reports and scripts."""

from __future__ import annotations

from typing import Annotated, Literal

from rollout.app import about
from rollout.cli.options import OUTPUT, Common
from rollout.cli.terminal import Terminal
from rollout.cli.views import render


def version(
    *,
    output: Annotated[Literal["table", "json"], OUTPUT] = "table",
    common: Common = Common(),  # noqa: B008 - frozen
) -> None:
    """Print the versions of the program, Python and file formats.

    Parameters
    ----------
    output
        Format of the result.
    """
    from rollout.model import plan

    facts = {
        "format_version": "1.0",
        "tool": about.tool(),
        "python": about.python(),
        "rules": plan.RULES,
        "plan_format_version": plan.FORMAT_VERSION,
    }
    terminal = Terminal.of(common)
    if output == "json":
        terminal.show(render.as_json(facts))
    else:
        terminal.show(
            f"{facts['tool']} · Python {facts['python']} · rules {facts['rules']}"
            f" · plan format {facts['plan_format_version']}"
        )
