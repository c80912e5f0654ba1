"""Read tags and locks in the forms of the API, of SDKs, tools and consoles.

Called by `rows` with decoded JSON; a cell of a table is a text. Exclusion rules depend on these
values, so an ambiguous form is refused and never read as empty.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from rollout.model.instance import Tags
from rollout.model.phrase import Wording, say

NOTHING = frozenset({"", "-", "--", "无", "null", "none", "nil", "n/a", "[]", "{}"})
"""Texts that consoles, spreadsheets and tools print for an empty value, in lower case."""
_UNLOCKED = NOTHING | {"false", "no", "否", "未锁定", "正常", "unlocked"}

_KEYS = frozenset({"tagkey", "key"})
_VALUES = frozenset({"tagvalue", "value"})
_REASONS = ("lockreason", "reason")
_REASON_LISTS = ("lockreason", "lockreasons", "lock", "locks", "operationlock", "operationlocks")
BLANK = " \t\r\n\f\v\u00a0\u3000\u200b\u200c\u200d\u2060\ufeff"
"""Invisible characters around a key or value."""
_PARTS = re.compile("[;,|\n\uff1b\uff0c\uff5c\u3001]")  # with their full-width forms
_EQUALS, _COLONS = "=\uff1d", ":\uff1a"
_INNER_PAIR = re.compile("\\s\\S+[=:\uff1d\uff1a]")
_HINT = say('write tags as `key=value;key=value`, or as JSON: {{"key": "value"}}')


class FormError(ValueError):
    """A value has an unknown form: message and fix."""

    def __init__(self, message: Wording, hint: Wording = "") -> None:
        super().__init__(message, hint)


def tags(value: object) -> Tags:
    """Return the tags in a JSON value or a cell. Errors: FormError if the form is ambiguous.

    Known forms are `{"Tag": [...]}` of the API, lists of objects with TagKey or Key, lists of
    texts, objects with one member per tag, and texts of pairs.
    """
    found: dict[str, str] = {}
    for key, text in _pairs(value):
        key = key.strip(BLANK)  # noqa: PLW2901 - the same key
        if not key:
            raise FormError(say("a tag has no key"), _HINT)
        if found.setdefault(key, text.strip(BLANK)) != text.strip(BLANK):
            raise FormError(say("tag `{key}` has two values", key=key), _HINT)
    return tuple(found.items())


def locks(value: object) -> tuple[str, ...]:
    """Return the lock reasons in a JSON value or a cell. Errors: FormError."""
    if value is None or value is False:
        return ()
    if isinstance(value, str):
        if value.strip(BLANK).lower() in _UNLOCKED:
            return ()
        return tuple(part.strip(BLANK) for part in _PARTS.split(value) if part.strip(BLANK))
    if isinstance(value, dict):
        if not value:
            return ()
        (rows,) = _members(value, _REASON_LISTS) or (value,)
        value = [rows] if isinstance(rows, str | dict) else rows
    if value is None:
        return ()
    if not isinstance(value, list):
        raise FormError(say("the locks have an unknown form"), _LOCK_HINT)
    return tuple(_reason(row) for row in value)


def _pairs(value: object) -> Iterable[tuple[str, str]]:
    """Return the keys and values in order."""
    if value is None:
        return []
    if isinstance(value, str):
        return _pairs_of_text(value)
    if isinstance(value, list):
        return [pair for item in value for pair in _pairs_of_item(item)]
    if not isinstance(value, dict):
        raise FormError(say("tags are neither an object nor a list"), _HINT)
    folded = {name.lower(): inner for name, inner in value.items()}
    inner = next((folded[name] for name in ("tag", "tags") if name in folded), "")
    if len(value) == 1 and (inner is None or isinstance(inner, list | dict)):
        return _pairs(inner)
    if _is_pair(folded):
        if not {"tagkey", "tagvalue"} & folded.keys():
            raise FormError(say("`Key` and `Value` may be one tag or two"), _HINT)
        return _pairs_of_item(value)
    return [(key, _text(key, inner)) for key, inner in value.items()]


def _pairs_of_item(item: object) -> Iterable[tuple[str, str]]:
    """Return the tag in an element of a list."""
    if isinstance(item, str):
        return [_pair_of_part(item, _kind([item]))]
    folded = {name.lower(): inner for name, inner in item.items()} if isinstance(item, dict) else {}
    keys, values = (
        [folded[name] for name in folded if name in names] for names in (_KEYS, _VALUES)
    )
    if len(keys) != 1 or len(values) > 1 or not isinstance(keys[0], str):
        raise FormError(say("an element of the tags is not a tag"), _HINT)
    return [(keys[0], _text(keys[0], values[0] if values else None))]


def _is_pair(folded: dict[str, Any]) -> bool:
    return bool(_KEYS & folded.keys()) and folded.keys() <= _KEYS | _VALUES


def _text(key: str, value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise FormError(say("the value of tag `{key}` is not text", key=key), _HINT)


def _pairs_of_text(text: str) -> Iterable[tuple[str, str]]:
    """Return the pairs in a cell: JSON, or parts such as `key=value` and `key:value`."""
    text = text.strip(BLANK)
    if text.lower() in NOTHING:
        return []
    if text[0] in "{[":
        try:
            value = json.loads(text)
        except ValueError:
            raise FormError(say("the tags start like JSON, but are not JSON"), _HINT) from None
        return _pairs(value)
    parts = [part.strip(BLANK) for part in _PARTS.split(text)]
    parts = [part for part in parts if part]
    kind = _kind(parts)
    return [_pair_of_part(part, kind) for part in parts]


def _kind(parts: list[str]) -> str:
    """Return the separator of parts that contain both `=` and `:`: the one in the other parts."""
    pure = {
        _EQUALS if _at(part, _EQUALS) >= 0 else _COLONS for part in parts if not _is_mixed(part)
    }
    if len(pure) == 1:
        return pure.pop()
    mixed = [part for part in parts if _is_mixed(part)]
    return _EQUALS if all(_at(part, _EQUALS) < _at(part, _COLONS) for part in mixed) else ""


def _pair_of_part(part: str, kind: str) -> tuple[str, str]:
    """Return the key and value of a part. Errors: FormError if it is ambiguous."""
    if not _is_mixed(part):
        kind = _EQUALS if _at(part, _EQUALS) >= 0 else _COLONS
    at = _at(part, kind)
    key, value = part[:at], part[at + 1 :]
    ambiguous = (
        at < 0
        or not kind
        or _at(value.rstrip("="), kind) >= 0
        or _INNER_PAIR.search(part) is not None
        or any(mark in part for mark in "\"'`{}[]")
    )
    if ambiguous:
        raise FormError(say("it is ambiguous which tags this text means"), _HINT)
    return key, value


def _is_mixed(part: str) -> bool:
    return _at(part, _EQUALS) >= 0 and _at(part, _COLONS) >= 0


def _at(text: str, marks: str) -> int:
    """Return the offset of the first of these marks, or -1."""
    return min((text.find(mark) for mark in marks if mark in text), default=-1)


def _members(value: dict[str, Any], names: Iterable[str]) -> tuple[Any, ...]:
    """Return the one member of a wrapper such as `{"LockReason": [...]}`, if it is one."""
    folded = {name.lower().replace("_", ""): inner for name, inner in value.items()}
    found = [folded[name] for name in names if name in folded]
    return tuple(found) if len(found) == 1 and len(folded) == 1 else ()


def _reason(row: object) -> str:
    """Return the reason in an element of the locks."""
    if isinstance(row, dict):
        folded = {name.lower().replace("_", ""): inner for name, inner in row.items()}
        row = next((folded[name] for name in _REASONS if name in folded), None)
    if not isinstance(row, str) or not row.strip(BLANK):
        raise FormError(say("a lock without a reason"), _LOCK_HINT)
    return row.strip(BLANK)


_LOCK_HINT = say('write locks as `reason;reason`, or as JSON: ["reason"]')
