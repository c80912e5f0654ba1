"""Format a plan for review as text in the current language, or as plain data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec

from rollout.app.plan import InventoryReading
from rollout.cli.language import is_english, tr, tr_many, translated
from rollout.cli.views import preview_limits, render
from rollout.errors import CODES
from rollout.model.approval import Approvers
from rollout.model.phrase import Phrase, say, say_many
from rollout.model.plan import Exclusion, OriginKind, Plan, Reason, RestartKind, Warn, Wave
from rollout.model.printable import escaped
from rollout.model.time import format_duration, format_instant
from rollout.model.verify import Verify

ABOUT: dict[Reason, Phrase] = {
    Reason.NOT_FOUND: say("the service does not list them"),
    Reason.WINDOWS: say("key pairs are for Linux only"),
    Reason.OS_UNKNOWN: say("OS type is unknown or contradicts the OS name"),
    Reason.NO_FORMER_KEY: say("no key pair before the run; undo never detaches one"),
    Reason.EXPIRED: say("subscription has ended"),
    Reason.NOT_IO_OPTIMIZED: say("key pairs need I/O optimized instances"),
    Reason.STOPPED: say("restart.stopped is leave"),
    Reason.PASSWORD_ONLY: say("no key attached; allowPasswordLoss is false"),
}
"""Explanations of reasons. For other reasons, the preview shows the details of the instances."""

_ORIGINS = {OriginKind.UNDO: say("Undo"), OriginKind.RETRY: say("Retry")}
_COLUMNS = {
    "wave": say("wave"),
    "targets": say("targets"),
    "cells": say("cells"),
    "batches": say("batches"),
    "restarts": say("restarts"),
    "bake": say("bake"),
    "gate": say("gate"),
}
_LABEL_WIDTH = len("Inventory  ")
_DETAILS_SHOWN = 3
_FORMERS_SHOWN = 3


def text(plan: Plan, digest: str, width: int, *, reading: InventoryReading | None = None) -> str:
    """Return the preview without the next commands."""
    blocks = [_head(plan, width, reading), _parts(plan)]
    if plan.counts.targets:
        bounds = [*preview_limits.gates(plan, width), *preview_limits.bounds(plan, width)]
        blocks.append([*_waves(plan.waves), *bounds])
        blocks += [lines for lines in [preview_limits.windows(plan, width)] if lines]
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
    lines = [_label("EMULATOR") + tr("no real instance is changed")] if plan.emulated else []
    who = _label(tr("Identity"))
    lines += [f"{who}{identity.arn} ({identity.provider})" for identity in plan.identity]
    if not plan.identity:
        lines.append(who + tr("none: created offline"))
    if not isinstance(plan.origin, msgspec.UnsetType):
        kind = _label(translated(_ORIGINS[plan.origin.kind]))
        digest = render.short(plan.origin.plan_digest)
        lines.append(kind + tr("of run {run}, plan {digest}", run=plan.origin.run, digest=digest))
    sites = [cell.site for _, cell in plan.cells()] + [out.site for out in plan.exclusions]
    accounts, regions = (len({site[part] for site in sites} - {""}) for part in (0, 1))
    parts = [
        tr_many("{number:,} account", "{number:,} accounts", accounts)
        if accounts
        else tr("account unknown"),
        tr_many("{number:,} region", "{number:,} regions", regions),
        tr_many("{number:,} instance", "{number:,} instances", plan.counts.found)
        + " "
        + _how_read(plan, reading),
    ]
    rows = [(tr("Inventory"), " · ".join(parts))]
    if (verify := plan.logins()) is not None:
        rows.append((tr("Verify"), _verified(verify)))
    if plan.narrowed:
        rows.append((tr("Narrowed"), " · ".join(plan.narrowed.options())))
    rows += [(tr("Override"), one.text) for one in plan.overridden()]
    for name, text_ in rows:
        lines += render.wrap(text_, width, first=_label(name), rest=" " * _LABEL_WIDTH)
    return lines


def _label(name: str) -> str:
    return render.padded(name, _LABEL_WIDTH)


def _verified(verify: Verify) -> str:
    """Return what proves the new key on each instance."""
    parts = []
    if (ssh := verify.ssh) is not None:
        way = tr("SSH as {user} to the {kind} address", user=ssh.user, kind=ssh.address.value)
        if ssh.via:
            way = tr("{way} through {host}", way=way, host=ssh.via)
        key = tr("new key ({identity}) accepted, host key unchanged", identity=ssh.identity)
        if ssh.expect_old_key_refused:
            key = tr(
                "new key ({identity}) accepted, former key refused, host key unchanged",
                identity=ssh.identity,
            )
        parts.append(tr("{way}: {proof}", way=way, proof=key))
    parts += [f"GET {http.url}: {http.expect}" for http in verify.http]
    parts += [
        tr("{command}: exit code 0", command=" ".join(command.argv)) for command in verify.command
    ]
    return " · ".join(parts)


def _how_read(plan: Plan, reading: InventoryReading | None) -> str:
    if not plan.applyable:
        return tr("from files (offline)")
    if reading is None:
        return tr("read live {time}", time=format_instant(plan.as_of))
    return tr_many(
        "read live in {span} ({number:,} DescribeInstances call)",
        "read live in {span} ({number:,} DescribeInstances calls)",
        reading.calls,
        span=render.span(reading.took_ms),
    )


def _parts(plan: Plan) -> list[str]:
    """Return the lines of the subtraction: found, minus exclusions by reason, gives targets."""
    by_reason: dict[Reason, list[Exclusion]] = {reason: [] for reason in Reason}
    for exclusion in plan.exclusions:
        by_reason[exclusion.reason].append(exclusion)
    width = len(f"- {plan.counts.found:,}")
    name_width = max((len(reason) for reason, out in by_reason.items() if out), default=0)
    lines = [f"  {plan.counts.found:>{width},} {tr('found')}"]
    for reason, out in by_reason.items():
        if out:
            amount = f"- {len(out):>{width - 2},}"
            about = _about(reason, out, _wanted(plan))
            lines.append(f"  {amount} {reason.value:<{name_width}}  {about}".rstrip())
    formers = _formers(plan)
    targets = tr_many(
        "{amount} target",
        "{amount} targets",
        plan.counts.targets,
        amount=f"{plan.counts.targets:>{width},}",
    )
    lines.append(f"  {targets}{formers and '   ' + formers}")
    return lines


def _about(reason: Reason, out: list[Exclusion], key: str) -> str:
    if reason is Reason.ALREADY_DONE:
        return tr("booted after {key} was attached", key=key)
    if reason in ABOUT:
        return translated(ABOUT[reason])
    details = Counter(one.detail for one in out if one.detail).most_common()
    texts = [f"{translated(detail)} ({number:,})" for detail, number in details[:_DETAILS_SHOWN]]
    if len(details) > _DETAILS_SHOWN:
        texts.append(tr("{number:,} more", number=len(details) - _DETAILS_SHOWN))
    return ", ".join(texts)


def _formers(plan: Plan) -> str:
    """Return the former keys and the new key as `ops-2026q3 → ops-2026q4`."""
    formers = Counter(target.former_key for target in plan.targets()).most_common()
    if not formers:
        return ""
    none = tr("no key")
    names = [
        f"{key or none} ({number:,})" if len(formers) > 1 else key or none
        for key, number in formers[:_FORMERS_SHOWN]
    ]
    if len(formers) > _FORMERS_SHOWN:
        names.append(tr("{number:,} more", number=len(formers) - _FORMERS_SHOWN))
    return f"{', '.join(names)} → {_wanted(plan)}"


def _wanted(plan: Plan) -> str:
    return ", ".join(dict.fromkeys(key.name for key in plan.keys))


def _waves(waves: tuple[Wave, ...]) -> list[str]:
    gated = any(wave.gated for wave in waves)
    names = (
        "wave",
        "targets",
        "cells",
        "batches",
        "restarts",
        *(("bake", "gate") if gated else ()),
    )
    head = tuple(translated(_COLUMNS[name]) for name in names)
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


def _warning(warning: Warn, width: int) -> list[str]:
    """Return a warning with its number, as lines."""
    number = f"{warning.count:,} " if warning.count else ""
    english = f"{number}{warning.text}"  # the plan stores it
    title = CODES[warning.code].title if warning.code in CODES else warning.code
    text_ = (
        english if is_english() else tr("{title}: {text}", title=translated(title), text=english)
    )
    return render.coded(text_, warning.code, width)


def _approvers(approvers: Approvers, width: int) -> list[str]:
    """Return who must approve the plan, and whose approvals do not count."""
    text_ = tr_many(
        "Needs {number:,} approval by {names}",
        "Needs {number:,} approvals by {names}",
        approvers.required,
        names=", ".join(key.id for key in approvers.eligible()),
    )
    lines = render.wrap(text_, width, rest="  ")
    if approvers.not_author:
        by = ", ".join(approvers.author) or tr("unknown")
        lines += render.wrap(tr("Author {names}: cannot approve it", names=by), width, rest="  ")
    return lines


def _foot(plan: Plan, digest: str, width: int) -> list[str]:
    excluded = plan.counts.found - plan.counts.targets
    lines = [
        tr(
            "Plan: {targets}, {exclusions}.",
            targets=say_many("{number:,} target", "{number:,} targets", plan.counts.targets),
            exclusions=say_many("{number:,} exclusion", "{number:,} exclusions", excluded),
        ),
        tr("Digest {digest}", digest=digest),
        tr(
            "Valid until {time} ({span})",
            time=format_instant(plan.expires_at),
            span=format_duration(plan.expires_at - plan.made_at),
        ),
    ]
    approvers = plan.approvers()
    if approvers is not None and plan.counts.targets:
        lines += _approvers(approvers, width)
    if plan.receivers():
        names = ", ".join(f"{one.to} ({', '.join(one.on)})" for one in plan.receivers())
        lines += render.wrap(tr("Notifies {names}", names=names), width, rest="  ")
    if not plan.counts.targets:
        lines.insert(1, tr("Nothing to do: all instances found are excluded."))
    if not plan.applyable:
        lines.append(tr("Not applyable: it was created without API calls (--offline)."))
    return lines
