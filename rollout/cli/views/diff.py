"""Format the differences of two plans as text or plain data. Pure."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec

from rollout.app.diff import PlanDiff
from rollout.cli.views import render
from rollout.model.printable import escaped

_SHOWN_MAX = 50
_MARKS = {"new": "+", "added": "+", "gone": "-", "removed": "-", "changed": "~"}


def text(found: PlanDiff, width: int) -> str:
    """Return the settings and the first instances that differ, and their number by change."""
    if not found:
        return "No differences."
    lines: list[str] = []
    for setting in found.settings:
        lines += render.wrap(escaped(f"~ {setting.setting}"), width)
        for name, value in (("before", setting.before), ("after", setting.after)):
            first = f"    {name:<6} "
            lines += render.wrap(escaped(value or "-"), width, first=first, rest=" " * 11)
    for one in found.instances[:_SHOWN_MAX]:
        head = f"{_MARKS[one.change]} {one.instance}  {one.region}  {one.change}"
        lines += [
            head,
            *render.wrap(escaped(one.before), width, first="    before ", rest=" " * 11),
        ]
        lines += render.wrap(escaped(one.after), width, first="    after  ", rest=" " * 11)
    if len(found.instances) > _SHOWN_MAX:
        lines.append(f"… {len(found.instances) - _SHOWN_MAX:,} more: -o json")
    counts = Counter(one.change for one in found.instances)
    total = ", ".join(f"{counts[name]:,} {name}" for name in _MARKS if counts[name])
    summary = [render.count(len(found.settings), "setting")] if found.settings else []
    summary += [f"{render.count(len(found.instances), 'instance')} ({total})"] if total else []
    return "\n".join([*lines, "", f"Different: {', '.join(summary)}."])


def data(found: PlanDiff) -> dict[str, Any]:
    """Return the same as plain data, with all instances."""
    return {"format_version": "1.0", "different": bool(found), **msgspec.to_builtins(found)}
