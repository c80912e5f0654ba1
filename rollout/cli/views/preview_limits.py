"""Format what limits a plan: gates, budgets, failures and windows, in the current language.

Called by `preview`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from rollout.cli.language import tr, tr_many, translated
from rollout.cli.views import render
from rollout.model import limits
from rollout.model.gate import AnyGate, ExecGate, HttpGate, PrometheusGate
from rollout.model.phrase import Phrase, Wording, say
from rollout.model.plan import Group, Plan
from rollout.model.spec import FLEET, LAST, Amount
from rollout.model.time import format_duration, format_instant

_WINDOWS_SHOWN = 3
_LAST_SHOWN = 5


def gates(plan: Plan, width: int) -> list[str]:
    """Return what `auto` gates ask, one line for each question."""
    if not plan.questions():
        return []
    lines = [tr("  The gate `auto` opens when all of these are open:")]
    for gate in plan.questions():
        lines += render.wrap(_question(gate), width, first="  - ", rest="    ")
    return lines


def _question(gate: AnyGate) -> str:
    """Return a question, when it is asked and how long the run waits for it."""
    match gate:
        case HttpGate(query=query, equals=equals):
            text_ = tr("{gate} returns {status}", gate=gate, status=gate.expect)
            if query:
                text_ = tr("{text} and {query} is {value}", text=text_, query=query, value=equals)
        case ExecGate():
            text_ = tr("{gate} exits with 0, run on the machine that drives the run", gate=gate)
        case PrometheusGate(url=url):
            text_ = tr("{gate} at {url}", gate=gate, url=url)
    wait = format_duration(gate.wait_ms)
    if not gate.every_ms:
        return tr("{text}; asked after the bake, halts when shut for {wait}", text=text_, wait=wait)
    return tr(
        "{text}; asked every {every} of the bake and after the bake, halts when shut for {wait}",
        text=text_,
        every=format_duration(gate.every_ms),
        wait=wait,
    )


def bounds(plan: Plan, width: int) -> list[str]:
    """Return how many instances may be down or exposed, when a run halts, and its least cost."""
    capped = (number for number, one in enumerate(plan.budgets) if one.max_down and one.by != LAST)
    caps = ", ".join(_budget(plan, number) for number in capped)
    down = tr("Down at once: {caps}.", caps=caps) + _base(plan)
    exposed = tr(
        "Exposed (key attached, not in force): at most {most:,}.", most=plan.limits.exposed_max
    )
    calls = tr(
        "At least {calls} calls and {span}, with boots of {boot}.",
        calls=_calls(plan),
        span=render.span(plan.estimate.duration_ms),
        boot=render.span(plan.estimate.boot_time_ms),
    )
    rows = (f"{down} {exposed}", *_rates(plan), *_last(plan), _failures(plan), calls)
    return [line for row in rows for line in render.wrap(row, width, first="  ")]


def _rates(plan: Plan) -> Iterator[str]:
    """Yield how many restarts may begin in ten minutes, if a budget limits them."""
    rates = [
        tr("at most {most:,} of the fleet", most=one.restarts_per_10m)
        if one.by == FLEET
        else tr("at most {most:,} of any {group}", most=one.restarts_per_10m, group=one.by)
        for one in plan.budgets
        if one.restarts_per_10m
    ]
    if rates:
        yield tr("Restarts begun in any ten minutes: {rates}.", rates=", ".join(rates))


def _last(plan: Plan) -> Iterator[str]:
    """Yield which instances restart after all others, if there are several."""
    groups = {number for number, group in enumerate(plan.groups) if group.key == LAST}
    singles = [one.instance for one in plan.targets() if groups.intersection(one.groups)]
    names = ", ".join(singles[:_LAST_SHOWN])
    if len(singles) > _LAST_SHOWN:
        more = len(singles) - _LAST_SHOWN
        yield tr("Last, one at a time: {names} and {more:,} more.", names=names, more=more)
    elif singles:
        yield tr("Last, one at a time: {names}.", names=names)


def _failures(plan: Plan) -> str:
    """Return the limits of failures as text: those of the spec, or the built-in ones."""
    rule = plan.failure_rule()
    if rule is None:
        few = {
            "failures": limits.FAILURES_MIN,
            "share": f"{Amount(share_ppm=limits.FAILURES_SHARE_PPM)}".removesuffix("%"),
        }
        if len(plan.waves) == 1:
            return tr("Halts at {failures} failures that are {share} % of the targets.", **few)
        return tr(
            "Halts before the next wave after any failure, and at {failures} failures that are "
            "{share} % of a later wave.",
            **few,
        )
    parts = []
    if rule.failed:
        parts.append(tr_many("{number:,} failure", "{number:,} failures", rule.failed))
    if rule.share_ppm:
        parts.append(
            tr(
                "{share} % of at least {least:,} finished instances, in total, of a wave or of a "
                "group",
                share=f"{Amount(share_ppm=rule.share_ppm)}".removesuffix("%"),
                least=rule.min_sample,
            )
        )
    sentences = [
        tr("Halts at {limit}.", limit=parts[0])
        if len(parts) == 1
        else tr("Halts at {limit}, or {other}.", limit=parts[0], other=parts[1])
    ]
    if rule.strict:
        sentences.append(tr("Strict: open instances count as failures."))
    if rule.quarantine:
        sentences.append(
            tr("An image, a zone, an OS or an instance type that fails alone is held.")
        )
    return " ".join(sentences)


def windows(plan: Plan, width: int) -> list[str]:
    """Return the next windows in local time and in UTC."""
    if isinstance(plan.windows, msgspec.UnsetType):
        return []
    known = plan.windows
    head = tr(
        "Windows ({zone}, tz data {version}): restarts begin only in",
        zone=known.time_zone,
        version=known.tz_version,
    )
    lines = render.wrap(head, width, first="  ")
    for one in known.open[:_WINDOWS_SHOWN]:
        span = tr(
            "{opens} to {closes} ({opens_utc} to {closes_utc})",
            opens=one.opens_text,
            closes=one.closes_text,
            opens_utc=format_instant(one.opens),
            closes_utc=format_instant(one.closes),
        )
        lines += render.wrap(span, width, first="    ", rest="      ")
    more = len(known.open) - _WINDOWS_SHOWN
    if more > 0:
        until = format_instant(known.until)
        lines.append(tr("    {more:,} more until {until}", more=more, until=until))
    return lines


def _budget(plan: Plan, number: int) -> str:
    """Return the caps of one budget: a number, or the least and the greatest of its groups."""
    groups = [group for group in plan.groups if group.budget == number]
    budget = plan.budgets[number]
    if budget.by == FLEET and groups:
        return _cap(plan, groups[0])
    members: Wording = _range(group.members for group in groups)
    if budget.max_down.endswith("%"):
        members = _share(budget.max_down, members)
    counted = tr_many(
        "{number:,} group, {members} members",
        "{number:,} groups, {members} members",
        len(groups),
        members=members,
    )
    if budget.at_least:
        counted = tr("{counted}, at least {least:,}", counted=counted, least=budget.at_least)
    return tr(
        "at most {most} of any {group} ({counted})",
        most=_range(group.cap for group in groups),
        group=budget.by,
        counted=counted,
    )


def _share(percent: str, base: Wording) -> Phrase:
    return say("{percent} % of {base}", percent=percent.removesuffix("%"), base=base)


def _range(numbers: Iterable[int]) -> str:
    """Return the smallest and the greatest number, or the only one."""
    ordered = sorted(numbers) or [0]
    least, most = ordered[0], ordered[-1]
    return f"{least:,}" if least == most else tr("{least:,} to {most:,}", least=least, most=most)


def _cap(plan: Plan, group: Group) -> str:
    limit = plan.budgets[group.budget].max_down
    base = f"{group.members:,}"
    if limit.endswith("%"):
        least = plan.budgets[group.budget].at_least
        base = translated(_share(limit, base))
        if group.cap > least:  # else the minimum may replace the result of the share
            base = f"{base} = {group.cap:,}"
        if least:
            base = tr("{counted}, at least {least:,}", counted=base, least=least)
    return tr("at most {most:,} of the fleet ({base})", most=group.cap, base=base)


def _base(plan: Plan) -> str:
    """Return ` Base 90 = …` if the base holds more than the targets, else an empty text."""
    fleet = next((one for one in plan.groups if one.others and one.key == FLEET), None)
    if fleet is None:
        return ""
    return " " + tr(
        "Base {members:,} = {reboots:,} to reboot + {others:,} other running instances in scope.",
        members=fleet.members,
        reboots=fleet.members - fleet.others,
        others=fleet.others,
    )


def _calls(plan: Plan) -> str:
    mutating = {
        action: number
        for action, number in plan.estimate.calls.items()
        if not action.startswith("Describe")
    }
    return " + ".join(f"{number:,} {action}" for action, number in mutating.items())
