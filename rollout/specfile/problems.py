"""Convert pydantic's validation errors to problems for users: code, place, message, fix.

Called by `specfile.load`. A misspelled required field is one problem, not also a missing field.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from rollout.errors import CODES, Place, Problem
from rollout.specfile import suggestions
from rollout.specfile.document import Document, Path
from rollout.specfile.models import KeyRotation

_QUOTED = re.compile("'([^']+)'")
_CONTAINERS = ("a list", "a mapping", "nothing")
_NEEDED = {
    "apiVersion": "write `apiVersion: rollout/v1`",
    "kind": "write `kind: KeyRotation`",
    "source": "write `source: ecs`, `csv`, `json`, `jsonl` or `ids`",
    "reason": "give the reason: the plan and the audit log show it",
    "publicKeyFile": "name the `.pub` file of the new key",
}
_KINDS: tuple[tuple[type, str], ...] = (
    (bool, "true or false"),
    (int, "a number"),
    (float, "a number"),
    (str, "text"),
    (list, "a list"),
    (dict, "a mapping"),
)
_WANTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}


def validation_problems(document: Document, error: ValidationError) -> list[Problem]:
    """Return one problem for each error, with its place."""
    found: list[Problem] = []
    meant: set[Path] = set()
    details = [
        detail
        for detail in error.errors(include_url=False)
        if not _is_within(_path(document, detail), document.refused)
    ]
    for detail in details:
        if detail["type"] == "extra_forbidden":
            problem, name = _unknown(document, detail)
            found.append(problem)
            meant.add((*detail["loc"][:-1], name))
    found.extend(
        _wrong(document, detail)
        for detail in details
        if detail["type"] != "extra_forbidden"
        and not (detail["type"] == "missing" and detail["loc"] in meant)
    )
    return found


def _unknown(document: Document, detail: ErrorDetails) -> tuple[Problem, str]:
    """Return the problem of an unknown field, and the field that was probably meant, if any."""
    *parent, name = detail["loc"]
    path = _path(document, detail)
    where = suggestions.pattern(path[:-1])
    place = document.at_key(path)
    if suggestions.is_later(path):
        hint = suggestions.LATER[suggestions.pattern(path)] or None
        message = f"`{name}` is not supported by this version yet"
        return Problem("R0106", message, place, hint or "leave it out until it is"), ""
    known = _fields().get(suggestions.pattern(parent), ())
    hint, meant = suggestions.suggest(str(name), (*known, *suggestions.later_in(where)))
    if meant and suggestions.is_later((*path[:-1], meant)):
        hint += ", which this version does not support yet"
    return Problem("R0104", f"unknown field `{name}`", place, hint), meant


def _wrong(document: Document, detail: ErrorDetails) -> Problem:
    """Return the problem of a missing field or a wrong value."""
    kind, context, path = detail["type"], detail.get("ctx", {}), _path(document, detail)
    if kind in CODES:
        place = document.at_value((*path, *context.get("at", ())), context.get("offset", 0))
        return Problem(kind, context["message"], place, context["help"] or None)
    if kind == "missing":
        hint = _NEEDED.get(str(path[-1]))
        return Problem("R0103", f"`{path[-1]}` is missing", document.at_key(path), hint)
    if kind == "union_tag_not_found":
        return Problem("R0103", "`source` is missing", document.at_key(path), _NEEDED["source"])
    if kind in ("literal_error", "enum", "union_tag_invalid"):
        return _not_one_of(document, path, context, detail["input"])
    return _misfit(kind, context, document.at_value(path), detail)


def _misfit(kind: str, context: dict[str, Any], place: Place, detail: ErrorDetails) -> Problem:
    """Return the problem of a value with a wrong type or size."""
    if kind in _WANTED:
        wanted, found = _WANTED[kind], _kind(detail["input"])
        hint = "put it in quotes" if wanted == "text" and found not in _CONTAINERS else None
        return Problem("R0105", f"expected {wanted}, found {found}", place, hint)
    if kind in ("too_short", "string_too_short"):
        return Problem("R0105", "this is empty", place, "add at least one, or remove the field")
    if kind == "greater_than_equal":
        return Problem("R0105", f"expected a number of at least {context['ge']}", place)
    return Problem("R0105", detail["msg"], place)


def _not_one_of(document: Document, path: Path, context: dict[str, Any], value: object) -> Problem:
    """Return the problem of a value that is not one of the allowed values."""
    if "tag" in context:
        path, value = (*path, "source"), context["tag"]
    place = document.at_value(path)
    if path[-1:] == ("source",) and value in suggestions.SOURCES_LATER:
        message = f"`source: {value}` is not supported by this version yet"
        return Problem("R0106", message, place, _NEEDED["source"])
    allowed = _QUOTED.findall(context.get("expected") or context["expected_tags"])
    code = "R0102" if path in (("apiVersion",), ("kind",)) else "R0105"
    if not isinstance(value, str):
        return Problem(code, f"{_kind(value)} is not allowed here", place, _list(allowed))
    hint, _ = suggestions.suggest(value, allowed)
    return Problem(code, f"`{value}` is not allowed here", place, hint)


def _path(document: Document, detail: ErrorDetails) -> Path:
    """Return the path in the file. Pydantic's path also names the kinds of sources."""
    at: Any = document.data
    path: list[str | int] = []
    for index, step in enumerate(detail["loc"]):
        is_last = index == len(detail["loc"]) - 1
        known = step in at if isinstance(at, dict) else isinstance(step, int)
        if known or (is_last and detail["type"] == "missing"):
            path.append(step)
            at = at[step] if known else None
    return tuple(path)


def _is_within(path: Path, refused: set[Path]) -> bool:
    return any(path[:length] in refused for length in range(len(path) + 1))


def _kind(value: object) -> str:
    if value is None:
        return "nothing"
    return next((name for kind, name in _KINDS if isinstance(value, kind)), "this")


def _list(allowed: list[str]) -> str:
    return "write " + " or ".join(f"`{value}`" for value in allowed)


@cache
def _fields() -> dict[str, tuple[str, ...]]:
    """Return the fields of each part of a spec by pattern, with one part per kind of source."""
    schema = KeyRotation.model_json_schema()
    found: dict[str, tuple[str, ...]] = {}
    _gather(schema, schema["$defs"], (), found)
    return found


def _gather(
    part: dict[str, Any], parts: dict[str, Any], path: Path, found: dict[str, tuple[str, ...]]
) -> None:
    if "$ref" in part:
        part = parts[part["$ref"].rpartition("/")[2]]
    for kind, reference in part.get("discriminator", {}).get("mapping", {}).items():
        _gather({"$ref": reference}, parts, (*path, kind), found)
    for inner in part.get("oneOf", ()) if "discriminator" not in part else ():  # kinds of gates
        title = parts[inner["$ref"].rpartition("/")[2]]["title"]
        _gather(inner, parts, (*path, title), found)
    if "items" in part:
        _gather(part["items"], parts, (*path, 0), found)
    if "properties" in part:
        found[suggestions.pattern(path)] = tuple(part["properties"])
        for name, inner in part["properties"].items():
            _gather(inner, parts, (*path, name), found)
