"""Override single fields of a spec: `FIELD=VALUE` as typed, applied before the spec is validated.

Called by `specfile.load` and `specfile.parse_stored`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from rollout.errors import UsageError
from rollout.model import spec, time
from rollout.model.override import UNPROVEN, Override
from rollout.model.phrase import Wording, say
from rollout.specfile import document

_PART = re.compile(r"([A-Za-z][A-Za-z0-9]*)((?:\[\d{1,4}\])*)")
_FIXED = ("keyPair", "inventory", "approvals")
"""Fields that decide what is rotated and who must approve it, not how safely."""


def parse(texts: Iterable[str]) -> tuple[Override, ...]:
    """Return the overrides of these options, each field once. Errors: UsageError R0150."""
    found: dict[str, Override] = {}
    for text in texts:
        field, equals, value = text.partition("=")
        field = field.strip()
        if not equals or not value.strip() or not _parts(field):
            raise _malformed(text, say("write FIELD=VALUE, for example `budgets[0].maxDown=20%`"))
        if field in found:
            raise _malformed(text, say("give `{field}` once", field=field))
        if _parts(field)[0] in _FIXED:
            raise _malformed(
                text, say("change `{field}` in the spec: options cannot replace it", field=field)
            )
        found[field] = Override(field, value.strip())
    return tuple(found.values())


def apply(found: document.Document, overrides: Iterable[Override]) -> tuple[Override, ...]:
    """Set the fields in the values of a document. Return the overrides with the former values.

    Errors: UsageError R0150 if a field is not in the document and has no place there.
    """
    return tuple(_apply(found.data, one) for one in overrides)


def allows_unproven(overrides: Iterable[Override]) -> bool:
    """Return whether instances whose last rotation is unproven are rotated too."""
    return any(one.field == UNPROVEN and one.value == "allow" for one in overrides)


def _apply(data: Any, one: Override) -> Override:
    value = _value(one)
    if one.field == UNPROVEN:
        if value not in ("allow", "exclude"):
            raise _malformed(f"{one.field}={one.value}", say("write `allow` or `exclude`"))
        return msgspec.structs.replace(one, former="exclude", looser=value == "allow")
    *parents, last = _parts(one.field)
    holder: Any = data.get("spec") if isinstance(data, dict) else None
    for part in parents:
        holder = _child(holder, part, one)
    _check_place(holder, last, one)
    former = holder.get(last) if isinstance(holder, dict) else holder[last]
    holder[last] = value
    shown = "" if former is None else _text(former)
    return msgspec.structs.replace(one, former=shown, looser=_looser(str(last), former, value))


def _child(holder: Any, part: str | int, one: Override) -> Any:
    """Return the mapping or list in a field; a mapping that the file lacks is made."""
    _check_place(holder, part, one)
    if isinstance(holder, dict):
        return holder.setdefault(part, {})
    return holder[part]


def _check_place(holder: Any, part: str | int, one: Override) -> None:
    in_list = isinstance(holder, list) and isinstance(part, int) and part < len(holder)
    if not in_list and not (isinstance(holder, dict) and isinstance(part, str)):
        raise _malformed(
            f"{one.field}={one.value}",
            say("the spec has no `{field}`; write the list in the spec", field=one.field),
        )


def _value(one: Override) -> str | int | float | bool:
    """Return the value as YAML has it. Only text, numbers and booleans can be given."""
    parsed = document.parse("--override", one.value)
    if parsed.problems or not isinstance(parsed.data, str | int | float | bool):
        raise _malformed(
            f"{one.field}={one.value}", say("the value is text, a number, true or false")
        )
    return parsed.data


def _parts(field: str) -> list[str | int]:
    """Return the keys and indices of a field; none if it is malformed."""
    parts: list[str | int] = []
    for text in field.split("."):
        match = _PART.fullmatch(text)
        if match is None:
            return []
        parts.append(match[1])
        parts += [int(index) for index in re.findall(r"\d+", match[2])]
    return parts


def _malformed(text: str, cure: Wording) -> UsageError:
    return UsageError.of("R0150", say("--override {text} cannot be applied", text=text), help=cure)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _looser(name: str, former: object, value: object) -> bool:
    """Return whether the new value may be less safe than the former one."""
    if name in _SAFEST:
        return value != _SAFEST[name]
    if name not in _SAFER or former is None:
        return True
    try:
        return not _SAFER[name](str(former), str(value))
    except ValueError:
        return True  # the validation reports the value


def _amount_at_most(former: str, value: str) -> bool:
    old, new = spec.parse_amount(former), spec.parse_amount(value)
    if None not in (old.count, new.count):
        return int(new.count or 0) <= int(old.count or 0)
    return None not in (old.share_ppm, new.share_ppm) and (new.share_ppm or 0) <= (
        old.share_ppm or 0
    )


def _at_most(former: str, value: str) -> bool:
    return int(value) <= int(former)


def _at_least(former: str, value: str) -> bool:
    return time.parse_duration(value) >= time.parse_duration(former)


_SAFEST: dict[str, object] = {
    "allowPasswordLoss": False,
    "gate": "manual",
    "onUnknown": "hold",
    "stopped": "leave",
    "strict": True,
}
"""Values that are never looser than another one."""
_SAFER: dict[str, Callable[[str, str], bool]] = {
    "maxDown": _amount_at_most,
    "atLeast": _at_most,
    "restartsPer10m": _at_most,
    "maxExposed": _at_most,
    "maxInstances": _at_most,
    "bake": _at_least,
    "settleWindow": _at_least,
}
"""Comparisons of a former and a new value: whether the new one is at least as safe."""
