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
from rollout.model.phrase import Phrase, say
from rollout.specfile import suggestions
from rollout.specfile.document import Document, Path
from rollout.specfile.models import KeyRotation

_QUOTED = re.compile("'([^']+)'")
_NEEDED = {
    "apiVersion": say("write `apiVersion: rollout/v1`"),
    "kind": say("write `kind: KeyRotation`"),
    "source": say("write `source: ecs`, `csv`, `json`, `jsonl` or `ids`"),
    "reason": say("give the reason: the plan and the audit log show it"),
    "publicKeyFile": say("name the `.pub` file of the new key"),
}
_KINDS: tuple[tuple[type, Phrase], ...] = (
    (bool, say("true or false")),
    (int, say("a number")),
    (float, say("a number")),
    (str, say("text")),
    (list, say("a list")),
    (dict, say("a mapping")),
)
_WANTED = {
    "string_type": say("text"),
    "int_type": say("a whole number"),
    "int_from_float": say("a whole number"),
    "bool_type": say("true or false"),
    "list_type": say("a list"),
    "dict_type": say("a mapping"),
    "model_type": say("a mapping"),
    "model_attributes_type": say("a mapping"),
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
        message = say("`{name}` is not supported by this version yet", name=name)
        return Problem("R0106", message, place, hint or say("leave it out until it is")), ""
    known = _fields().get(suggestions.pattern(parent), ())
    hint, meant = suggestions.suggest(str(name), (*known, *suggestions.later_in(where)))
    if meant and suggestions.is_later((*path[:-1], meant)):
        hint = say("{hint}, which this version does not support yet", hint=hint)
    return Problem("R0104", say("unknown field `{name}`", name=name), place, hint), meant


def _wrong(document: Document, detail: ErrorDetails) -> Problem:
    """Return the problem of a missing field or a wrong value."""
    kind, context, path = detail["type"], detail.get("ctx", {}), _path(document, detail)
    if kind in CODES:
        place = document.at_value((*path, *context.get("at", ())), context.get("offset", 0))
        return Problem(kind, context["message"], place, context["help"] or None)
    if kind == "missing":
        hint = _NEEDED.get(str(path[-1]))
        return Problem(
            "R0103", say("`{field}` is missing", field=path[-1]), document.at_key(path), hint
        )
    if kind == "union_tag_not_found":
        return Problem(
            "R0103", say("`source` is missing"), document.at_key(path), _NEEDED["source"]
        )
    if kind in ("literal_error", "enum", "union_tag_invalid"):
        return _not_one_of(document, path, context, detail["input"])
    return _misfit(kind, context, document.at_value(path), detail)


def _misfit(kind: str, context: dict[str, Any], place: Place, detail: ErrorDetails) -> Problem:
    """Return the problem of a value with a wrong type or size."""
    if kind in _WANTED:
        wanted, value = _WANTED[kind], detail["input"]
        scalar = isinstance(value, bool | int | float)
        hint = say("put it in quotes") if kind == "string_type" and scalar else None
        return Problem(
            "R0105",
            say("expected {wanted}, found {found}", wanted=wanted, found=_kind(value)),
            place,
            hint,
        )
    if kind in ("too_short", "string_too_short"):
        return Problem(
            "R0105", say("this is empty"), place, say("add at least one, or remove the field")
        )
    if kind == "greater_than_equal":
        return Problem(
            "R0105", say("expected a number of at least {least}", least=context["ge"]), place
        )
    return Problem("R0105", detail["msg"], place)


def _not_one_of(document: Document, path: Path, context: dict[str, Any], value: object) -> Problem:
    """Return the problem of a value that is not one of the allowed values."""
    if "tag" in context:
        path, value = (*path, "source"), context["tag"]
    place = document.at_value(path)
    if path[-1:] == ("source",) and value in suggestions.SOURCES_LATER:
        message = say("`source: {value}` is not supported by this version yet", value=value)
        return Problem("R0106", message, place, _NEEDED["source"])
    allowed = _QUOTED.findall(context.get("expected") or context["expected_tags"])
    code = "R0102" if path in (("apiVersion",), ("kind",)) else "R0105"
    if not isinstance(value, str):
        return Problem(
            code, say("{kind} is not allowed here", kind=_kind(value)), place, _list(allowed)
        )
    hint, _ = suggestions.suggest(value, allowed)
    return Problem(code, say("`{value}` is not allowed here", value=value), place, hint)


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


def _kind(value: object) -> Phrase:
    if value is None:
        return say("nothing")
    return next((name for kind, name in _KINDS if isinstance(value, kind)), say("this"))


def _list(allowed: list[str]) -> Phrase:
    *others, last = (f"`{value}`" for value in allowed)
    if not others:
        return say("write {value}", value=last)
    return say("write {others} or {last}", others=", ".join(others), last=last)


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
