"""Format a plan for review as text or plain data. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec

from rollout.app.plan import InventoryReading
from rollout.cli.views import render
from rollout.model import limits
from rollout.model.approval import Approvers
from rollout.model.gate import AnyGate, ExecGate, HttpGate, PrometheusGate
from rollout.model.plan import Exclusion, Group, Plan, Reason, RestartKind, Warn, Wave
from rollout.model.printable import escaped
from rollout.model.spec import FLEET, LAST, Amount
from rollout.model.time import format_duration, format_instant
from rollout.model.verify import Verify

ABOUT: dict[Reason, str] = {
    Reason.NOT_FOUND: "the service does not list them",
    Reason.WINDOWS: "key pairs are for Linux only",
    Reason.OS_UNKNOWN: "OS type is unknown or contradicts the OS name",
    Reason.NO_FORMER_KEY: "no key pair before the run; undo never detaches one",
    Reason.ALREADY_DONE: "booted after {key} was attached",
    Reason.EXPIRED: "subscription has ended",
    Reason.NOT_IO_OPTIMIZED: "key pairs need I/O optimized instances",
    Reason.STOPPED: "restart.stopped is leave",
    Reason.PASSWORD_ONLY: "no key attached; allowPasswordLoss is false",
}
"""Explanations of reasons. For other reasons, the preview shows the details of the instances."""

_DETAILS_SHOWN = 3
_FORMERS_SHOWN = 3
_WINDOWS_SHOWN = 3
_LAST_SHOWN = 5


def text(plan: Plan, digest: str, width: int, *, reading: InventoryReading | None = None) -> str:
    """Return the preview without the next commands."""
    blocks = [_head(plan, width, reading), _parts(plan)]
    if plan.counts.targets:
        blocks.append([*_waves(plan.waves), *_gates(plan, width), *_bounds(plan, width)])
        blocks += [lines for lines in [_windows(plan, width)] if lines]
    if plan.warnings:
        blocks.append([line for warning in plan.warnings for line in _warning(warning, width)])
    blocks.append(_foot(plan, digest, width))
    return "\n\n".join("\n".join(map(escaped, block)) for block in blocks)


def data(plan: Plan, digest: str) -> dict[str, Any]:
    """Return the plan's fields with formatted times, and the plan's digest."""
    fields: dict[str, Any] = msgspec.to_builtins(plan)
    for name in ("made_at", "expires_at", "as_of"):
        fields[name] = format_instant(fields[name])
    return {"digest": digest, **fields}


def rows(plan: Plan) -> Iterator[dict[str, Any]]:
    """Yield one flat record for each instance of the inventory: target, or exclusion and reason."""
    placed = ((wave, cell, target) for wave, cell in plan.cells() for target in cell.targets())
    for wave, cell, target in placed:
        yield {
            "instance": target.instance,
            "account": cell.account,
            "region": cell.region,
            "zone": target.zone,
            "target": True,
            "wave": wave.name,
            "restart": target.restart.value,
            "former_key": target.former_key,
            **({"key": plan.keys[target.key].name} if len(plan.keys) > 1 else {}),
        }
    for out in plan.exclusions:
        yield {
            "instance": out.instance,
            "account": out.account,
            "region": out.region,
            "target": False,
            "reason": out.reason.value,
            "detail": out.detail,
        }


def restarts_again(plan: Plan) -> int:
    """Return the number of targets that already have the key but no proof of a later boot."""
    return sum(not target.attach for target in plan.targets())


def _head(plan: Plan, width: int, reading: InventoryReading | None) -> list[str]:
    lines = ["EMULATOR   no real instance is changed"] if plan.emulated else []
    lines += [f"Identity   {identity.arn} ({identity.provider})" for identity in plan.identity]
    if not plan.identity:
        lines.append("Identity   none: created offline")
    if not isinstance(plan.origin, msgspec.UnsetType):
        verb = plan.origin.kind.value.capitalize()
        lines.append(f"{verb:<10} of run {plan.origin.run}, plan {plan.origin.plan_digest}")
    sites = [cell.site for _, cell in plan.cells()] + [out.site for out in plan.exclusions]
    accounts, regions = (len({site[part] for site in sites} - {""}) for part in (0, 1))
    parts = [
        render.count(accounts, "account") if accounts else "account unknown",
        render.count(regions, "region"),
        f"{render.count(plan.counts.found, 'instance')} {_how_read(plan, reading)}",
    ]
    rest = " " * len("Inventory  ")
    lines += render.wrap(" · ".join(parts), width, first="Inventory  ", rest=rest)
    if (verify := plan.logins()) is not None:
        lines += render.wrap(_verified(verify), width, first="Verify     ", rest=rest)
    if plan.narrowed:
        options = " · ".join(plan.narrowed.options())
        lines += render.wrap(options, width, first="Narrowed   ", rest=rest)
    for one in plan.overridden():
        lines += render.wrap(one.text, width, first="Override   ", rest=rest)
    return lines


def _verified(verify: Verify) -> str:
    """Return what proves the new key on each instance."""
    parts = []
    if (ssh := verify.ssh) is not None:
        via = f" through {ssh.via}" if ssh.via else ""
        former = ", former key refused" if ssh.expect_old_key_refused else ""
        key = f"new key ({ssh.identity}) accepted{former}, host key unchanged"
        parts.append(f"SSH as {ssh.user} to the {ssh.address.value} address{via}: {key}")
    parts += [f"GET {http.url}: {http.expect}" for http in verify.http]
    parts += [f"{' '.join(command.argv)}: exit code 0" for command in verify.command]
    return " · ".join(parts)


def _how_read(plan: Plan, reading: InventoryReading | None) -> str:
    if not plan.applyable:
        return "from files (offline)"
    if reading is None:
        return f"read live {format_instant(plan.as_of)}"
    calls = render.count(reading.calls, "DescribeInstances call")
    return f"read live in {render.span(reading.took_ms)} ({calls})"


def _parts(plan: Plan) -> list[str]:
    """Return the lines of the subtraction: found, minus exclusions by reason, gives targets."""
    by_reason: dict[Reason, list[Exclusion]] = {reason: [] for reason in Reason}
    for exclusion in plan.exclusions:
        by_reason[exclusion.reason].append(exclusion)
    width = len(f"- {plan.counts.found:,}")
    name_width = max((len(reason) for reason, out in by_reason.items() if out), default=0)
    lines = [f"  {plan.counts.found:>{width},} found"]
    for reason, out in by_reason.items():
        if out:
            amount = f"- {len(out):>{width - 2},}"
            about = _about(reason, out, _wanted(plan))
            lines.append(f"  {amount} {reason.value:<{name_width}}  {about}".rstrip())
    formers = _formers(plan)
    lines.append(f"  {plan.counts.targets:>{width},} targets{formers and '   ' + formers}")
    return lines


def _about(reason: Reason, out: list[Exclusion], key: str) -> str:
    if reason in ABOUT:
        return ABOUT[reason].format(key=key)
    details = Counter(one.detail for one in out if one.detail).most_common()
    texts = [f"{detail} ({number:,})" for detail, number in details[:_DETAILS_SHOWN]]
    if len(details) > _DETAILS_SHOWN:
        texts.append(f"{len(details) - _DETAILS_SHOWN:,} more")
    return ", ".join(texts)


def _formers(plan: Plan) -> str:
    """Return the former keys and the new key as `ops-2026q3 → ops-2026q4`."""
    formers = Counter(target.former_key for target in plan.targets()).most_common()
    if not formers:
        return ""
    names = [
        f"{key or 'no key'} ({number:,})" if len(formers) > 1 else key or "no key"
        for key, number in formers[:_FORMERS_SHOWN]
    ]
    if len(formers) > _FORMERS_SHOWN:
        names.append(f"{len(formers) - _FORMERS_SHOWN:,} more")
    return f"{', '.join(names)} → {_wanted(plan)}"


def _wanted(plan: Plan) -> str:
    return ", ".join(dict.fromkeys(key.name for key in plan.keys))


def _waves(waves: tuple[Wave, ...]) -> list[str]:
    gated = any(wave.gated for wave in waves)
    head = ("wave", "targets", "cells", "batches", "restarts", *(("bake", "gate") if gated else ()))
    rows: list[tuple[str, ...]] = [head]
    for number, wave in enumerate(waves, 1):
        batches = [batch for cell in wave.cells for batch in cell.batches]
        kinds = Counter(target.restart for batch in batches for target in batch.targets)
        restarts = [f"{kinds[kind]:,} {kind.value}" for kind in RestartKind if kinds[kind]]
        counts = (sum(kinds.values()), len(wave.cells), len(batches))
        gate = _gate(wave, last=number == len(waves)) if gated else ()
        cells = (f"{count:,}" for count in counts)
        rows.append((wave.name, *cells, " · ".join(restarts), *gate))
    return render.table(rows, "<>>><" + "<<" * gated)


def _gate(wave: Wave, *, last: bool) -> tuple[str, str]:
    """Return the bake and the gate after a wave as text."""
    bake = format_duration(wave.bake_ms) if wave.bake_ms else "-"
    return bake, "-" if last else wave.gate.value


def _gates(plan: Plan, width: int) -> list[str]:
    """Return what `auto` gates ask, one line for each question."""
    if not plan.questions():
        return []
    lines = ["  The gate `auto` opens when all of these are open:"]
    for gate in plan.questions():
        lines += render.wrap(_question(gate), width, first="  - ", rest="    ")
    return lines


def _question(gate: AnyGate) -> str:
    """Return a question, when it is asked and how long the run waits for it."""
    match gate:
        case HttpGate(query=query, equals=equals):
            value = f" and {query} is {equals}" if query else ""
            text = f"{gate} returns {gate.expect}{value}"
        case ExecGate():
            text = f"{gate} exits with 0, run on the machine that drives the run"
        case PrometheusGate(url=url):
            text = f"{gate} at {url}"
    during = f"every {format_duration(gate.every_ms)} of the bake and " if gate.every_ms else ""
    waits = f"halts when shut for {format_duration(gate.wait_ms)}"
    return f"{text}; asked {during}after the bake, {waits}"


def _bounds(plan: Plan, width: int) -> list[str]:
    capped = (number for number, one in enumerate(plan.budgets) if one.max_down and one.by != LAST)
    caps = ", ".join(_budget(plan, number) for number in capped)
    down = f"Down at once: {caps}.{_base(plan)}"
    exposed = f"Exposed (key attached, not in force): at most {plan.limits.exposed_max:,}."
    boot = f"with boots of {render.span(plan.estimate.boot_time_ms)}"
    calls = f"At least {_calls(plan)} and {render.span(plan.estimate.duration_ms)}, {boot}."
    rows = (f"{down} {exposed}", *_rates(plan), *_last(plan), _failures(plan), calls)
    return [line for row in rows for line in render.wrap(row, width, first="  ")]


def _rates(plan: Plan) -> Iterator[str]:
    """Yield how many restarts may begin in ten minutes, if a budget limits them."""
    rates = [
        f"at most {one.restarts_per_10m:,} of {'the fleet' if one.by == FLEET else f'any {one.by}'}"
        for one in plan.budgets
        if one.restarts_per_10m
    ]
    if rates:
        yield f"Restarts begun in any ten minutes: {', '.join(rates)}."


def _last(plan: Plan) -> Iterator[str]:
    """Yield which instances restart after all others, if there are several."""
    groups = {number for number, group in enumerate(plan.groups) if group.key == LAST}
    singles = [one.instance for one in plan.targets() if groups.intersection(one.groups)]
    if singles:
        more = f" and {len(singles) - _LAST_SHOWN:,} more" if len(singles) > _LAST_SHOWN else ""
        yield f"Last, one at a time: {', '.join(singles[:_LAST_SHOWN])}{more}."


def _failures(plan: Plan) -> str:
    """Return the limits of failures as text: those of the spec, or the built-in ones."""
    rule = plan.failure_rule()
    if rule is None:
        share = f"{Amount(share_ppm=limits.FAILURES_SHARE_PPM)}".removesuffix("%")
        few = f"{limits.FAILURES_MIN} failures that are {share} % of"
        if len(plan.waves) == 1:
            return f"Halts at {few} the targets."
        return f"Halts before the next wave after any failure, and at {few} a later wave."
    share = f"{Amount(share_ppm=rule.share_ppm)}".removesuffix("%")
    percent = f"{share} % of at least {rule.min_sample:,} finished"
    parts = [render.count(rule.failed, "failure")] if rule.failed else []
    parts += [f"{percent} instances, in total, of a wave or of a group"] if rule.share_ppm else []
    strict = " Strict: open instances count as failures." if rule.strict else ""
    alone = (
        " An image, a zone, an OS or an instance type that fails alone is held."
        if rule.quarantine
        else ""
    )
    return f"Halts at {', or '.join(parts)}.{strict}{alone}"


def _windows(plan: Plan, width: int) -> list[str]:
    """Return the next windows in local time and in UTC."""
    if isinstance(plan.windows, msgspec.UnsetType):
        return []
    windows = plan.windows
    head = f"Windows ({windows.time_zone}, tz data {windows.tz_version}): restarts begin only in"
    lines = render.wrap(head, width, first="  ")
    for one in windows.open[:_WINDOWS_SHOWN]:
        utc = f"({format_instant(one.opens)} to {format_instant(one.closes)})"
        span = f"{one.opens_text} to {one.closes_text} {utc}"
        lines += render.wrap(span, width, first="    ", rest="      ")
    more = len(windows.open) - _WINDOWS_SHOWN
    return lines + (
        [f"    {more:,} more until {format_instant(windows.until)}"] if more > 0 else []
    )


def _budget(plan: Plan, number: int) -> str:
    """Return the caps of one budget: a number, or the least and the greatest of its groups."""
    groups = [group for group in plan.groups if group.budget == number]
    budget = plan.budgets[number]
    if budget.by == FLEET and groups:
        return _cap(plan, groups[0])
    caps = sorted(group.cap for group in groups) or [0]
    most = f"{caps[0]:,}" if caps[0] == caps[-1] else f"{caps[0]:,} to {caps[-1]:,}"
    sizes = sorted(group.members for group in groups) or [0]
    size = f"{sizes[0]:,}" if sizes[0] == sizes[-1] else f"{sizes[0]:,} to {sizes[-1]:,}"
    share = f"{budget.max_down.removesuffix('%')} % of " if budget.max_down.endswith("%") else ""
    least = f", at least {budget.at_least:,}" if budget.at_least else ""
    counted = f"{render.count(len(groups), 'group')}, {share}{size} members{least}"
    return f"at most {most} of any {budget.by} ({counted})"


def _cap(plan: Plan, group: Group) -> str:
    limit = plan.budgets[group.budget].max_down
    if limit.endswith("%"):
        least = plan.budgets[group.budget].at_least
        floor = f", at least {least:,}" if least else ""
        share = f"{limit.removesuffix('%')} % of {group.members:,}{floor} = {group.cap:,}"
        return f"at most {group.cap:,} of the fleet ({share})"
    return f"at most {group.cap:,} of the fleet ({group.members:,})"


def _base(plan: Plan) -> str:
    """Return ` Base 90 = …` if the base holds more than the targets, else an empty text."""
    fleet = next((one for one in plan.groups if one.others and one.key == FLEET), None)
    if fleet is None:
        return ""
    reboots = fleet.members - fleet.others
    parts = f"{reboots:,} to reboot + {fleet.others:,} other running instances in scope"
    return f" Base {fleet.members:,} = {parts}."


def _calls(plan: Plan) -> str:
    mutating = {
        action: number
        for action, number in plan.estimate.calls.items()
        if not action.startswith("Describe")
    }
    return f"{' + '.join(f'{number:,} {action}' for action, number in mutating.items())} calls"


def _warning(warning: Warn, width: int) -> list[str]:
    """Return a warning as `! 190 stopped instances …   R0302`, the code right-aligned."""
    number = f"{warning.count:,} " if warning.count else ""
    lines = render.wrap(f"{number}{warning.text}", width - 7, first="! ")
    lines[0] = f"{lines[0]:<{width - 5}}{warning.code}"
    return lines


def _approvers(approvers: Approvers, width: int) -> list[str]:
    """Return who must approve the plan, and whose approvals do not count."""
    names = ", ".join(key.id for key in approvers.eligible())
    text = f"Needs {render.count(approvers.required, 'approval')} by {names}"
    lines = render.wrap(text, width, rest="  ")
    if approvers.not_author:
        by = ", ".join(approvers.author) or "unknown"
        lines += render.wrap(f"Author {by}: cannot approve it", width, rest="  ")
    return lines


def _foot(plan: Plan, digest: str, width: int) -> list[str]:
    excluded = plan.counts.found - plan.counts.targets
    age = format_duration(plan.expires_at - plan.made_at)
    targets_text = render.count(plan.counts.targets, "target")
    lines = [
        f"Plan: {targets_text}, {render.count(excluded, 'exclusion')}.",
        f"Digest {digest}",
        f"Valid until {format_instant(plan.expires_at)} ({age})",
    ]
    approvers = plan.approvers()
    if approvers is not None and plan.counts.targets:
        lines += _approvers(approvers, width)
    if plan.receivers():
        names = ", ".join(f"{one.to} ({', '.join(one.on)})" for one in plan.receivers())
        lines += render.wrap(f"Notifies {names}", width, rest="  ")
    if not plan.counts.targets:
        lines.insert(1, "Nothing to do: all instances found are excluded.")
    if not plan.applyable:
        lines.append("Not applyable: it was created without API calls (--offline).")
    return lines
