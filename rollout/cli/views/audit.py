"""Format the audit log and its verification as text or plain data. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from rollout.app.audit import AuditEntry, LastLine, Verdict
from rollout.cli.language import tr, translated
from rollout.cli.views import problems, render, run_words
from rollout.model.phrase import Phrase, Wording, say
from rollout.model.plan import Plan
from rollout.model.printable import escaped
from rollout.model.spec import FLEET
from rollout.model.text import some
from rollout.model.time import format_instant

_IDS_SHOWN = 3
_LAST_LINE: dict[LastLine, Phrase] = {
    "head": say("protected: it is the line in --head"),
    "seal": say(
        "protected by the seal only; anyone who can write the journal can also write the seal"
    ),
    "unprotected": say("unprotected: without --head its edit or removal cannot be detected"),
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
    facts = msgspec.to_builtins(msgspec.structs.replace(verdict, problems=()))
    return {
        "format_version": "1.0",
        "valid": not verdict.problems_found,
        **facts,
        "problems": [problems.data(one) for one in verdict.problems],
    }


def verdict_text(verdict: Verdict, width: int) -> str:
    """Return the verdict as lines. Violations are printed separately, as errors."""
    errors = say("see the errors")
    journal = say(
        "{lines:,} lines, {chain}, {end}",
        lines=verdict.lines,
        chain=errors if verdict.problems_found else say("hash chain unbroken"),
        end=say("closed in order")
        if verdict.sealed
        else say("not sealed: a truncation cannot be detected"),
    )
    digest = verdict.plan_digest.replace(":", " ") or say("unknown")
    rows: list[tuple[Phrase, Wording]] = [
        (say("run"), verdict.run),
        (say("plan"), say("{match}: {digest}", match=_plan_text(verdict), digest=digest)),
        (say("journal"), journal),
        (say("last line"), _LAST_LINE[verdict.last_line]),
        (say("head"), f"{verdict.lines}:{verdict.head}"),
    ]
    if verdict.torn is not None:
        text_ = say(
            "{bytes} bytes of an incomplete line; a resume removes them", bytes=verdict.torn.bytes
        )
        rows.append((say("tail"), text_))
    if verdict.plan_matches:
        rows += _population(verdict, errors)
    lines: list[str] = []
    for name, value in rows:
        first = render.padded(translated(name), 11) + " "
        lines += render.wrap(translated(value), width, first=first, rest=" " * 12)
    return "\n".join(lines)


def _population(verdict: Verdict, errors: Phrase) -> list[tuple[Phrase, Wording]]:
    """Return what happened to the instances of a verified run."""
    rows: list[tuple[Phrase, Wording]] = []
    calls = " + ".join(f"{number:,} {action}" for action, number in verdict.calls.items())
    fullest = sorted(verdict.groups, key=lambda one: (one.key != FLEET, one.cap - one.peak))
    peaks = [
        tr("at most {peak:,} of {most:,} ({group})", peak=one.peak, most=one.cap, group=one.key)
        for one in fullest
    ]
    if verdict.approvals_required:
        valid = say(
            "{number} of {required} required, signatures valid",
            number=len(verdict.approved),
            required=verdict.approvals_required,
        )
        if verdict.approved:
            valid = say("{text}: {names}", text=valid, names=", ".join(verdict.approved))
        rows.append((say("approvals"), valid))
    found: Wording = (
        f"{verdict.found:,} = {run_words.classes(verdict.classes, verdict.failed_down)}"
    )
    if not verdict.closed:
        found = say(
            "{sum}, if it ended here ({unfinished:,} unfinished)",
            sum=found,
            unfinished=verdict.unfinished,
        )
    effects = say(
        "{calls}; {judgment}",
        calls=calls or say("no calls"),
        judgment=errors if verdict.problems_found else say("each follows its intent"),
    )
    resumes = say(
        "{resumes}; {late} late replies, ignored", resumes=verdict.resumes, late=verdict.late
    )
    return [
        *rows,
        (say("population"), found),
        (say("effects"), effects),
        (say("down"), some([escaped(one) for one in peaks])),
        (say("exposed"), say("at most {most:,}", most=verdict.exposed_peak)),
        (say("resumes"), resumes),
    ]


def _plan_text(verdict: Verdict) -> Phrase:
    if verdict.plan_matches:
        return say("matches the run's first line")
    return say("not compared")
