"""Format the findings of `rollout doctor`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from rollout.app.checks import Check, CheckState, exit_of
from rollout.cli.language import tr, tr_many, translated
from rollout.cli.views import render
from rollout.model.phrase import say

_STATES = {
    CheckState.OK: say("ok"),
    CheckState.UNKNOWN: say("not checkable"),
    CheckState.WARNING: say("warning"),
    CheckState.PROBLEM: say("problem"),
}
_NAMES = {
    "attach permission": say("attach permission"),
    "clock": say("clock"),
    "credentials": say("credentials"),
    "disk": say("disk"),
    "endpoint": say("endpoint"),
    "former keys": say("former keys"),
    "gate": say("gate"),
    "identity": say("identity"),
    "inventory": say("inventory"),
    "key pair": say("key pair"),
    "lock": say("lock"),
    "plan": say("plan"),
    "proxy": say("proxy"),
    "restart permission": say("restart permission"),
    "runs directory": say("runs directory"),
    "safety policy": say("safety policy"),
    "spec": say("spec"),
    "verify": say("verify"),
}
"""What was checked, by its name in documents."""


def text(checks: Sequence[Check], width: int) -> list[str]:
    """Return a line for each check, and below it the fix."""
    states = max(render.columns(_state(one)) for one in checks)
    names = max(render.columns(_name(one)) for one in checks)
    lines = []
    for one in checks:
        head = f"{render.padded(_state(one), states)}  {render.padded(_name(one), names)}  "
        rest = " " * render.columns(head)
        code = f" [{one.code}]" if one.code else ""
        lines += render.wrap(f"{translated(one.text)}{code}", width, first=head, rest=rest)
        if one.fix:
            lines += render.wrap(tr("fix: {cure}", cure=one.fix), width, first=rest, rest=rest)
    counts = Counter(one.state for one in checks)
    summary = [
        tr_many("{number:,} problem", "{number:,} problems", counts[CheckState.PROBLEM]),
        tr_many("{number:,} warning", "{number:,} warnings", counts[CheckState.WARNING]),
        tr("{number:,} ok", number=counts[CheckState.OK]),
    ]
    if counts[CheckState.UNKNOWN]:
        summary.append(tr("{number:,} not checkable", number=counts[CheckState.UNKNOWN]))
    return [*lines, "", ", ".join(summary) + "."]


def _state(check: Check) -> str:
    return translated(_STATES[check.state])


def _name(check: Check) -> str:
    return translated(_NAMES.get(check.name, check.name))


def rows(checks: Sequence[Check]) -> list[dict[str, Any]]:
    """Return the fields of each check."""
    return [
        {
            **one._asdict(),
            "state": one.state.value,
            "text": str(one.text),
            "fix": str(one.fix),
            "exit": int(one.exit),
        }
        for one in checks
    ]


def data(checks: Sequence[Check]) -> dict[str, Any]:
    """Return the checks as plain data."""
    return {"format_version": "1.0", "checks": rows(checks), "exit": int(exit_of(checks))}
