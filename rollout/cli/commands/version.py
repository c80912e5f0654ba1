"""`rollout version`: print the installed versions, for bug reports and scripts."""

from __future__ import annotations

from rollout.app import about
from rollout.cli import output
from rollout.cli.options import Common
from rollout.cli.output import Output, Shown
from rollout.cli.terminal import Terminal


def version(
    *,
    form: Output = Output(),  # noqa: B008 - frozen
    common: Common = Common(),  # noqa: B008 - frozen
) -> None:
    """Print the versions of the program, Python and file formats."""
    from rollout.model import plan

    facts = {
        "format_version": "1.0",
        "tool": about.tool(),
        "python": about.python(),
        "rules": plan.RULES,
        "plan_format_version": plan.FORMAT_VERSION,
    }
    result = Shown(
        text=lambda: (
            f"{facts['tool']} · Python {facts['python']} · rules {facts['rules']}"
            f" · plan format {facts['plan_format_version']}"
        ),
        document=lambda: facts,
        rows=lambda: [facts],
        ids=lambda: [about.version()],
    )
    output.show(Terminal.of(common), form, result)
