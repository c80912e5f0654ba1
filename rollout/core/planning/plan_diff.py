"""Compare two plans: which settings and which instances differ. Pure.

Called by `rollout diff`. Times, digests and the identity of the program are not compared, since
they differ in any two plans.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from rollout.model.plan import Plan, Wave
from rollout.model.time import format_duration, format_instant
from rollout.model.windows import Interval

_PARTS: Final = (
    "name",
    "labels",
    "restart",
    "on_unknown",
    "on_failure",
    "limits",
    "budgets",
    "verify",
    "gates",
    "narrowed",
    "overrides",
    "applyable",
)
"""Fields of a plan that are compared as they are."""
_NOT_COMPARED: Final = ("R0116", "R0346", "R0347", "R0360")
"""Warnings about the spec's file and about the time of planning."""
_WINDOWS_SHOWN = 3


class ChangedSetting(msgspec.Struct, frozen=True):
    """One part of two plans that differs, as text; empty where the plan does not have it."""

    setting: str
    before: str
    after: str


class ChangedInstance(msgspec.Struct, frozen=True):
    """One instance that two plans treat differently.

    `change` is `new` or `gone` in the inventory, `added` to or `removed` from the targets, else
    `changed`. `before` and `after` are the treatments as text.
    """

    instance: str
    region: str
    change: str
    before: str
    after: str


class PlanDiff(msgspec.Struct, frozen=True):
    """All differences of two plans, in a fixed order."""

    settings: tuple[ChangedSetting, ...]
    instances: tuple[ChangedInstance, ...]

    def __bool__(self) -> bool:
        return bool(self.settings or self.instances)


class _Treated(msgspec.Struct, frozen=True):
    """What a plan does with one instance."""

    region: str
    target: bool
    text: str


def compare(before: Plan, after: Plan) -> PlanDiff:
    """Return the differences from one plan to another."""
    old, new = dict(_settings(before)), dict(_settings(after))
    old["windows"], new["windows"] = _windows(before, after)
    settings = tuple(
        ChangedSetting(name, old.get(name, ""), new.get(name, ""))
        for name in dict.fromkeys([*old, *new])
        if old.get(name, "") != new.get(name, "")
    )
    return PlanDiff(settings, tuple(_changed(_instances(before), _instances(after))))


def _settings(plan: Plan) -> Iterator[tuple[str, str]]:
    """Yield each compared part of a plan with its value as text."""
    fields: dict[str, Any] = msgspec.to_builtins(plan)
    yield from ((name, _text(fields[name])) for name in _PARTS if name in fields)
    if (rule := plan.approvers()) is not None:
        yield "approvals", _text(msgspec.structs.replace(rule, author=()))
    for key in plan.keys:
        yield f"key pair {key.name}", key.public_key_digest
        for one in key.regions:
            state = one.fingerprint if one.present else "to be imported"
            yield f"key pair {key.name} in {one.region} of account {one.account}", state
    for number, wave in enumerate(plan.waves, 1):
        yield f"wave {number}", _wave(wave)
    for group in plan.groups:
        rate = f", {group.rate} restarts in 10 m" if group.rate else ""
        yield f"group {group.key} of budget {group.budget + 1}", f"cap {group.cap}{rate}"
    for warning in plan.warnings:
        if warning.code in _NOT_COMPARED:
            continue
        yield f"warning {warning.code}", f"{warning.count} {warning.text}"


def _wave(wave: Wave) -> str:
    bake = f", bake {format_duration(wave.bake_ms)}" if wave.bake_ms else ""
    numbers = ", ".join(str(one + 1) for one in wave.gates)
    questions = f", questions {numbers}" if numbers else ""
    return f"{wave.name}{bake}, gate {wave.gate.value}{questions}"


def _windows(before: Plan, after: Plan) -> tuple[str, str]:
    """Return the time zone and the first windows that only this plan has, for each of two plans.

    Windows are compared in the time that both plans cover.
    """
    old, new = _between(before, after), _between(after, before)
    return _only(before, old, new), _only(after, new, old)


def _between(plan: Plan, other: Plan) -> list[Interval]:
    """Return the windows of a plan within the time that another plan covers too, without parts in
    which no restart can begin and end.
    """
    start = max(plan.made_at, other.made_at)
    end = min((one.windows.until for one in (plan, other) if one.windows), default=0)
    longest = max(plan.restart.longest_ms, other.restart.longest_ms)
    cut = (
        msgspec.structs.replace(one, opens=max(one.opens, start), closes=min(one.closes, end))
        for one in plan.intervals or ()
    )
    return [one for one in cut if one.closes - one.opens > longest]


def _only(plan: Plan, own: list[Interval], others: list[Interval]) -> str:
    if isinstance(plan.windows, msgspec.UnsetType):
        return ""
    known = {(one.opens, one.closes) for one in others}
    found = [one for one in own if (one.opens, one.closes) not in known]
    texts = [
        f"{one.opens_text} to {one.closes_text} "
        f"({format_instant(one.opens)} to {format_instant(one.closes)})"
        for one in found[:_WINDOWS_SHOWN]
    ]
    more = len(found) - len(texts)
    return f"{plan.windows.time_zone}: {', '.join(texts)}{f' and {more} more' if more else ''}"


def _text(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _instances(plan: Plan) -> dict[str, _Treated]:
    """Return the treatment of each instance of the inventory."""
    keys = [key.name for key in plan.keys]
    found = {}
    for wave, cell in plan.cells():
        for target in cell.targets():
            attach = f"{target.former_key or 'no key'} → {keys[target.key]}"
            text = f"wave {wave.name}, {target.restart.value} ({target.status.value}), "
            text += attach if target.attach else f"has {keys[target.key]}"
            found[target.instance] = _Treated(cell.region, target=True, text=text)
    for out in plan.exclusions:
        detail = f" ({out.detail})" if out.detail else ""
        text = f"excluded: {out.reason.value}{detail}"
        found[out.instance] = _Treated(out.region, target=False, text=text)
    return found


def _changed(old: dict[str, _Treated], new: dict[str, _Treated]) -> Iterator[ChangedInstance]:
    for instance in sorted({*old, *new}):
        was, now = old.get(instance), new.get(instance)
        if was == now:
            continue
        one = now or was
        assert one is not None  # noqa: S101 - it is in one of the two
        yield ChangedInstance(
            instance,
            one.region,
            _change(was, now),
            was.text if was else "not found",
            now.text if now else "not found",
        )


def _change(was: _Treated | None, now: _Treated | None) -> str:
    if was is None:
        return "new"
    if now is None:
        return "gone"
    if was.target == now.target:
        return "changed"
    return "added" if now.target else "removed"
