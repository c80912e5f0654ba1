"""Types of the values of a spec, each with its validation and its JSON Schema.

Used by `models`. A wrong value raises a PydanticCustomError with our error code as its type;
`problems` converts it to a problem with a place.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from rollout.model import instance, limits, regions, selector, spec, time
from rollout.model.phrase import Wording, say
from rollout.model.spec import NAME_PATTERN, is_name
from rollout.specfile.project import KeyFileError, Project

"""Settings of all models of a spec: camelCase, no unknown fields, no conversion of types."""

_KEY_PAIR = re.compile(r"[A-Za-z\u4e00-\u9fff][A-Za-z0-9\u4e00-\u9fff:_.-]{1,127}")
_NUMBER = re.compile(r"\d+")
KEY_PAIR_HINT = say("2 to 128 characters: a-z, A-Z, 0-9, `:`, `_`, `.` or `-`, first a letter")


def fault(code: str, message: Wording, advice: Wording = "", **context: Any) -> PydanticCustomError:
    """Return an error with our code. `at`: path below the value; `offset`: characters into it."""
    return PydanticCustomError(code, "{message}", {"message": message, "help": advice, **context})


def later(what: str, advice: Wording) -> PydanticCustomError:
    """Return the error for a value of a later version."""
    return fault("R0106", say("{what} is not supported by this version yet", what=what), advice)


def _duration(value: object) -> str:
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    try:
        duration = time.parse_duration(text)
    except ValueError as error:
        found = _NUMBER.search(text)
        number = int(found[0]) if found else 30
        raise fault(
            "R0107", error.args[0], say("write `{number}s`, `{number}m` or `1h30m`", number=number)
        ) from None
    if duration > limits.DURATION_MAX_MS:
        raise fault("R0107", say("a duration is at most 168h"), say("write at most a week"))
    return text


def _positive(text: str) -> str:
    if time.parse_duration(text) == 0:
        raise fault("R0107", say("this duration must be more than 0s"), say("write `10m`"))
    return text


def _amount(value: object) -> str:
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    try:
        spec.parse_amount(text)
    except ValueError as error:
        hint = say("write a count such as `5` or a share such as `5%`")
        raise fault("R0108", error.args[0], hint) from None
    return text


def _quota(value: object) -> str:
    if value == "0%":
        return value
    text = _amount(value)
    if spec.parse_amount(text).share_ppm in (None, spec.PPM):
        raise fault(
            "R0108", say("this share must be at least 0% and below 100%"), say("write `30%`")
        )
    return text


def _share(value: object) -> str:
    text = _amount(value)
    if spec.parse_amount(text).share_ppm is None:
        raise fault("R0108", say("this must be a percentage"), say("write `{text}%`", text=text))
    return text


def _size(value: object) -> str:
    if value in ("cover", "rest"):
        return str(value)
    try:
        return _amount(value)
    except PydanticCustomError as error:
        what = error.context["message"] if error.context else ""
        hint = say("write a count such as `5`, a share such as `5%`, `cover` or `rest`")
        raise fault("R0108", what, hint) from None


def _selector(text: str) -> str:
    try:
        selector.parse(text)
    except selector.SelectorError as error:
        hint = say("a selector is written like `env=prod, tier in (web,api), !legacy`")
        raise fault("R0109", error.args[0], hint, offset=error.offset) from None
    return text


def _name(text: str) -> str:
    if not is_name(text):
        hint = say("a-z, 0-9 and `-` inside, at most 63 characters: it becomes part of file names")
        raise fault("R0110", say("`{text}` cannot be a name", text=text[:80]), hint)
    return text


def is_key_pair_name(text: str) -> bool:
    """Return whether a key pair can have this name; the empty one and wildcards are none."""
    return _KEY_PAIR.fullmatch(text) is not None


def _key_pair_name(text: str) -> str:
    if not is_key_pair_name(text):
        raise fault(
            "R0110", say("`{text}` cannot be the name of a key pair", text=text[:80]), KEY_PAIR_HINT
        )
    return text


def _region(text: str) -> str:
    if not regions.is_name(text):
        raise fault("R0105", say("unknown region `{text}`", text=text), regions.advice(text))
    return text


def _instance_id(text: str) -> str:
    if not instance.is_id(text):
        raise fault(
            "R0105", say("not an instance id"), say("an id is written like `i-bp1legacy0001`")
        )
    return text


def _date(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise fault("R0105", say("not a date"), say("a date is written like 2026-12-15")) from None


def in_project(text: str, info: ValidationInfo) -> str:
    """Return the path. R0114 if it leaves the project directory."""
    project: Project | None = info.context
    if project is not None and (why := project.refuses(text)):
        raise fault(
            "R0114",
            why,
            say("files of a spec must be in the project directory: {root}", root=project.root),
        )
    return text


def _public_key(text: str, info: ValidationInfo) -> str:
    project: Project | None = info.context
    if project is None:
        return text
    try:
        return project.public_key(in_project(text, info))
    except KeyFileError as error:
        code, message, hint = error.args
        raise fault(code, message, hint) from None


_DURATION = {"type": "string", "pattern": r"^(\d+[smh])+$", "examples": ["90s", "1h30m"]}
_COUNT_OR_SHARE: list[dict[str, object]] = [
    {"type": "integer", "minimum": 1},
    {"type": "string", "pattern": r"^([1-9]\d{0,8}|\d{1,3}(\.\d{1,4})?%)$"},
]
_SHARE = {"type": "string", "pattern": r"^\d{1,2}(\.\d{1,4})?%$", "examples": ["30%"]}

Text = Annotated[str, Field(min_length=1)]
Duration = Annotated[str, BeforeValidator(_duration), WithJsonSchema(_DURATION)]
PositiveDuration = Annotated[
    str, BeforeValidator(_duration), AfterValidator(_positive), WithJsonSchema(_DURATION)
]
Amount = Annotated[
    str, BeforeValidator(_amount), WithJsonSchema({"anyOf": _COUNT_OR_SHARE, "examples": [5, "5%"]})
]
Size = Annotated[
    str,
    BeforeValidator(_size),
    WithJsonSchema({"anyOf": [{"enum": ["cover", "rest"]}, *_COUNT_OR_SHARE]}),
]
Quota = Annotated[str, BeforeValidator(_quota), WithJsonSchema(_SHARE)]
Share = Annotated[
    str,
    BeforeValidator(_share),
    WithJsonSchema({"type": "string", "pattern": r"^\d{1,3}(\.\d{1,4})?%$", "examples": ["1%"]}),
]
SelectorText = Annotated[str, AfterValidator(_selector), Field(examples=["env=prod, !legacy"])]
Name = Annotated[
    str, AfterValidator(_name), Field(json_schema_extra={"pattern": f"^{NAME_PATTERN}$"})
]
KeyPairName = Annotated[
    str,
    AfterValidator(_key_pair_name),
    Field(json_schema_extra={"pattern": f"^{_KEY_PAIR.pattern.replace('_.-]', '_.{}-]')}$"}),
]
"""A name with its dates filled in. For editors it may contain `{year}` and the like."""
Region = Annotated[
    str, AfterValidator(_region), Field(json_schema_extra={"examples": list(regions.KNOWN[:3])})
]
InstanceId = Annotated[
    str,
    AfterValidator(_instance_id),
    Field(json_schema_extra={"pattern": f"^{instance.ID_PATTERN}$"}),
]
Date = Annotated[str, AfterValidator(_date), Field(json_schema_extra={"format": "date"})]
FilePath = Annotated[str, Field(min_length=1), AfterValidator(in_project)]
PublicKeyFile = Annotated[str, Field(min_length=1), AfterValidator(_public_key)]
