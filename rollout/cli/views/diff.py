"""Format the differences of two plans as text or plain data. Pure."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec

from rollout.app.diff import PlanDiff
from rollout.cli.language import tr, tr_many, translated
from rollout.cli.views import render
from rollout.model.phrase import say
from rollout.model.printable import escaped

_SHOWN_MAX = 50
_CHANGES = {
    "new": say("new"),
    "added": say("added"),
    "gone": say("gone"),
    "removed": say("removed"),
    "changed": say("changed"),
}
_MARKS = {"new": "+", "added": "+", "gone": "-", "removed": "-", "changed": "~"}


def text(found: PlanDiff, width: int) -> str:
    """Return the settings and the first instances that differ, and their number by change."""
    if not found:
        return tr("No differences.")
    lines: list[str] = []
    before, after = (f"    {render.padded(name, 6)} " for name in (tr("before"), tr("after")))
    for setting in found.settings:
        lines += render.wrap(escaped(f"~ {setting.setting}"), width)
        for name, value in ((before, setting.before), (after, setting.after)):
            lines += render.wrap(escaped(value or "-"), width, first=name, rest=" " * 11)
    for one in found.instances[:_SHOWN_MAX]:
        change = translated(_CHANGES[one.change])
        lines.append(f"{_MARKS[one.change]} {one.instance}  {one.region}  {change}")
        lines += render.wrap(escaped(one.before), width, first=before, rest=" " * 11)
        lines += render.wrap(escaped(one.after), width, first=after, rest=" " * 11)
    if len(found.instances) > _SHOWN_MAX:
        lines.append(tr("… {more:,} more: -o json", more=len(found.instances) - _SHOWN_MAX))
    counts = Counter(one.change for one in found.instances)
    total = ", ".join(
        f"{counts[name]:,} {translated(_CHANGES[name])}" for name in _MARKS if counts[name]
    )
    summary = []
    if found.settings:
        summary.append(tr_many("{number:,} setting", "{number:,} settings", len(found.settings)))
    if total:
        number = len(found.instances)
        many = tr_many("{number:,} instance", "{number:,} instances", number)
        summary.append(f"{many} ({total})")
    return "\n".join([*lines, "", tr("Different: {summary}.", summary=", ".join(summary))])


def data(found: PlanDiff) -> dict[str, Any]:
    """Return the same as plain data, with all instances."""
    return {"format_version": "1.0", "different": bool(found), **msgspec.to_builtins(found)}
