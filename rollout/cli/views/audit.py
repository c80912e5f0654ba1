"""Format the audit log and its verification as text or plain data. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from rollout.app.audit import AuditEntry, LastLine, Verdict
from rollout.cli.views import render, report
from rollout.model.plan import Plan
from rollout.model.printable import escaped
from rollout.model.spec import FLEET
from rollout.model.text import some
from rollout.model.time import format_instant

_IDS_SHOWN = 3
_LAST_LINE: dict[LastLine, str] = {
    "head": "protected: it is the line in --head",
    "seal": "protected by the seal only; anyone who can write the journal can also write the seal",
    "unprotected": "unprotected: without --head its edit or removal cannot be detected",
}


def text(entry: AuditEntry, columns: int | None) -> str:
    """Return one event as text: time, event, instances, outcome and request id.

    It is one line, wrapped at `columns` on a terminal.
    """
    about = ", ".join(entry.instances[:_IDS_SHOWN])
    if len(entry.instances) > _IDS_SHOWN:
        about += f" and {len(entry.instances) - _IDS_SHOWN} more"
    parts = [
        format_instant(entry.at),
        f"{entry.id:<8}",
        f"{entry.event:<11}",
        f"{entry.action} #{entry.call}" if entry.action else "",
        about,
        entry.text,
        f"({entry.outcome} {entry.code})" if entry.code else "",
        f"RequestId {entry.request_id}" if entry.request_id else "",
        f"by {entry.actor}" if entry.event in ("RunStarted", "Resumed") else "",
    ]
    return render.fit(escaped("  ".join(part for part in parts if part).rstrip()), columns)


def data(entry: AuditEntry) -> dict[str, Any]:
    """Return one event as plain data, with formatted times."""
    fields: dict[str, Any] = msgspec.to_builtins(entry)
    fields["at"] = format_instant(entry.at)
    fields["api_time"] = format_instant(entry.api_time) if entry.api_time else None
    return fields


def exclusion(plan: Plan, instance: str) -> str:
    """Return why an instance was left out of the plan, empty if the plan does not list it."""
    for out in plan.exclusions:
        if out.instance == instance:
            detail = f" ({out.detail})" if out.detail else ""
            return f"{instance} was left out of the plan: {out.reason.value}{detail}"
    return ""


def verdict_data(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict as plain data."""
    return {
        "format_version": "1.0",
        "valid": not verdict.problems_found,
        **msgspec.to_builtins(verdict),
    }


def verdict_text(verdict: Verdict, width: int) -> str:
    """Return the verdict as lines. Violations are printed separately, as errors."""
    chain = "hash chain unbroken" if not verdict.problems_found else "see the errors"
    end = "closed in order" if verdict.sealed else "not sealed: a truncation cannot be detected"
    rows = [
        ("run", verdict.run),
        ("plan", f"{_plan_text(verdict)}: {verdict.plan_digest.replace(':', ' ') or 'unknown'}"),
        ("journal", f"{verdict.lines:,} lines, {chain}, {end}"),
        ("last line", _LAST_LINE[verdict.last_line]),
        ("head", f"{verdict.lines}:{verdict.head}"),
    ]
    if verdict.torn is not None:
        rows.append(
            ("tail", f"{verdict.torn.bytes} bytes of an incomplete line; a resume removes them")
        )
    if verdict.plan_matches:
        calls = " + ".join(f"{number:,} {action}" for action, number in verdict.calls.items())
        judged = "see the errors" if verdict.problems_found else "each follows its intent"
        fullest = sorted(verdict.groups, key=lambda one: (one.key != FLEET, one.cap - one.peak))
        peaks = [f"at most {one.peak:,} of {one.cap:,} ({escaped(one.key)})" for one in fullest]
        unfinished = (
            "" if verdict.closed else f", if it ended here ({verdict.unfinished:,} unfinished)"
        )
        if verdict.approvals_required:
            by = f": {', '.join(verdict.approved)}" if verdict.approved else ""
            need = f"{len(verdict.approved)} of {verdict.approvals_required} required"
            rows.append(("approvals", f"{need}, signatures valid{by}"))
        found = report.classes(verdict.classes, verdict.failed_down)
        rows += [
            ("population", f"{verdict.found:,} = {found}{unfinished}"),
            ("effects", f"{calls or 'no calls'}; {judged}"),
            ("down", some(peaks)),
            ("exposed", f"at most {verdict.exposed_peak:,}"),
            ("resumes", f"{verdict.resumes}; {verdict.late} late replies, ignored"),
        ]
    lines: list[str] = []
    for name, text in rows:
        lines += render.wrap(text, width, first=f"{name:<11} ", rest=" " * 12)
    return "\n".join(lines)


def _plan_text(verdict: Verdict) -> str:
    return "matches the run's first line" if verdict.plan_matches else "not compared"
