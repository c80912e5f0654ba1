"""Format the findings of `rollout doctor`. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from rollout.app.checks import Check, CheckState, exit_of
from rollout.cli.views import render


def text(checks: Sequence[Check], width: int) -> list[str]:
    """Return a line for each check, and below it the fix."""
    states = max(len(one.state) for one in checks)
    names = max(len(one.name) for one in checks)
    lines = []
    for one in checks:
        head = f"{one.state:<{states}}  {one.name:<{names}}  "
        code = f" [{one.code}]" if one.code else ""
        lines += render.wrap(f"{one.text}{code}", width, first=head, rest=" " * len(head))
        if one.fix:
            lines += render.wrap(
                f"fix: {one.fix}", width, first=" " * len(head), rest=" " * len(head)
            )
    counts = Counter(one.state for one in checks)
    summary = [
        render.count(counts[CheckState.PROBLEM], "problem"),
        render.count(counts[CheckState.WARNING], "warning"),
        f"{counts[CheckState.OK]:,} ok",
    ]
    if counts[CheckState.UNKNOWN]:
        summary.append(f"{counts[CheckState.UNKNOWN]:,} not checkable")
    return [*lines, "", ", ".join(summary) + "."]


def rows(checks: Sequence[Check]) -> list[dict[str, Any]]:
    """Return the fields of each check."""
    return [{**one._asdict(), "state": one.state.value, "exit": int(one.exit)} for one in checks]


def data(checks: Sequence[Check]) -> dict[str, Any]:
    """Return the checks as plain data."""
    return {"format_version": "1.0", "checks": rows(checks), "exit": int(exit_of(checks))}
