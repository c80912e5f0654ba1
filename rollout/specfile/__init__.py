"""Read a spec: a YAML file becomes a `Spec`, or a list of problems with file, line and column.

Called by `app`. It knows files and YAML, but not what a spec means for a fleet.
"""

from __future__ import annotations

import re
import shlex
import stat
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from pydantic import ValidationError
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from rollout.errors import Exit, Place, Problem, SpecError
from rollout.model import limits
from rollout.model.override import Override
from rollout.model.phrase import Wording, say
from rollout.model.plan import Warn
from rollout.model.spec import Spec
from rollout.model.time import Instant
from rollout.specfile import build, dates, document, overrides, screen, waves
from rollout.specfile.fields import KEY_PAIR_HINT, is_key_pair_name
from rollout.specfile.models import KeyRotation
from rollout.specfile.problems import validation_problems
from rollout.specfile.project import KeyFileError, Project

__all__ = [
    "KEY_PAIR_HINT",
    "Loaded",
    "is_key_pair_name",
    "json_schema",
    "load",
    "parse_stored",
    "read_public_key",
]

_PLAN = re.compile(r'\s*\{(?=.*"format"\s*:\s*"rollout\.plan")', re.DOTALL)
"""The start of a plan file: a JSON object, which is valid YAML too."""
SCHEMA_ID = "key-rotation.v1.json"


class Loaded(msgspec.Struct, frozen=True):
    """A spec, and the warnings about its file for the plan."""

    spec: Spec
    warnings: tuple[Warn, ...] = ()
    overrides: tuple[Override, ...] = ()


def load(
    path: Path,
    project: Path,
    given: Sequence[Override] = (),
    *,
    at: Instant | None = None,
    public_key: str = "",
) -> Loaded:
    """Return the spec in a file. Relative paths in it start at the directory `project`. The
    overrides `given` replace fields before the spec is validated. Dates in the key pair's name are
    those of the instant `at`, by default now. `public_key` replaces the content of the public key
    file, which then need not exist.

    Errors: UsageError R0150 for an override; SpecError with all problems in the order of the file,
    exit 74 if the file cannot be read, else 65. No message repeats a secret of the file.
    """
    text, warnings = _read(path)
    if _PLAN.match(text):
        hint = say(
            "`rollout apply {path}` executes it, `rollout rehearse {path}` simulates it",
            path=shlex.quote(str(path)),
        )
        place = Place(str(path))
        raise SpecError.of("R0119", say("this is a plan, not a spec"), place=place, help=hint)
    found = document.parse(str(path), text)
    secret_lines = screen.secrets(found)
    applied = overrides.apply(found, given) if given and not found.problems else ()
    dated = dates.render(found, int(time.time() * 1000) if at is None else at)
    form, problems = _check(found, Project(project, public_key))
    problems = screen.without_secrets([*problems, *dated.problems], secret_lines)
    if problems or form is None:
        raise SpecError(tuple(sorted(problems, key=_position)), Exit.BAD_INPUT)
    return Loaded(_built(form, text, applied), (*warnings, *dated.warnings), applied)


def parse_stored(
    text: str,
    public_key: str,
    project: Path,
    given: Sequence[Override] = (),
    *,
    name: str = "",
    label: str = "the stored spec",
) -> Spec:
    """Return the spec that a plan stores, with its overrides. `public_key` replaces the content of
    its key file, and `name` the name of its key pair if that has dates. Problems name the file
    `label`.

    Errors: SpecError with the problems of a spec that this version does not accept.
    """
    found = document.parse(label, text)
    applied = overrides.apply(found, given) if given and not found.problems else ()
    dates.replace(found, name)
    form, problems = _check(found, Project(project, public_key))
    if problems or form is None:
        raise SpecError(tuple(sorted(problems, key=_position)), Exit.BAD_INPUT)
    return _built(form, text, applied)


def _built(form: KeyRotation, text: str, applied: Sequence[Override]) -> Spec:
    made = build.build(form, text)
    allowed = overrides.allows_unproven(applied)
    return msgspec.structs.replace(made, chain_unproven=allowed) if allowed else made


def read_public_key(path: Path) -> str:
    """Return the OpenSSH public key in a file. Errors: SpecError R0112 or R0113."""
    try:
        return Project(Path.cwd()).public_key(str(path))
    except KeyFileError as error:
        code, message, hint = error.args
        raise SpecError.of(code, message, place=Place(str(path)), help=hint) from None


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema 2020-12 of a spec, with a description of each field."""
    schema = KeyRotation.model_json_schema(schema_generator=_Schema)
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": SCHEMA_ID}
    return head | schema


class _Schema(GenerateJsonSchema):
    """Omit titles that repeat a field's name, and empty defaults."""

    def field_title_should_be_set(self, schema: object) -> bool:
        return False

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        made = super().default_schema(schema)
        if not made.get("default") and made.get("default") is not False:
            made.pop("default", None)
        return made


def _check(found: document.Document, project: Project) -> tuple[KeyRotation | None, list[Problem]]:
    """Return the form, or None and all problems."""
    if found.data is None and not found.problems:
        return None, [
            Problem("R0103", say("the spec is empty"), Place(found.file), say("see docs/spec.md"))
        ]
    if found.data is None:
        return None, found.problems
    between = [*found.problems, *waves.problems(found)]
    try:
        return KeyRotation.model_validate(found.data, context=project), between
    except ValidationError as error:
        return None, [*between, *validation_problems(found, error)]


def _read(path: Path) -> tuple[str, tuple[Warn, ...]]:
    """Return the text of the file, and the warnings about its permissions."""
    place = Place(str(path))
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            raise _unreadable(
                place, say("a directory") if stat.S_ISDIR(mode) else say("not a regular file")
            )
        with path.open("rb") as file:
            raw = file.read(limits.SPEC_BYTES_MAX + 1)
    except OSError as error:
        raise _unreadable(place, error.strerror or type(error).__name__) from None
    if len(raw) > limits.SPEC_BYTES_MAX:
        message = say(
            "the spec is larger than {mebibytes} MiB",
            mebibytes=limits.SPEC_BYTES_MAX // 1024**2,
        )
        raise SpecError.of(
            "R0111", message, place=place, help=say("name the fleet in a source's file")
        )
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        column = error.start - raw.rfind(b"\n", 0, error.start)
        message = say("the spec is not UTF-8 (byte {position})", position=error.start)
        where = Place(str(path), line, column)
        raise SpecError.of("R0101", message, place=where, help=say("save it as UTF-8")) from None
    if not mode & stat.S_IWOTH:
        return text, ()
    return text, (Warn("R0116", 1, f"{path} is world-writable: run chmod o-w on it"),)


def _unreadable(place: Place, why: Wording) -> SpecError:
    fix = say("name an existing file that you can read")
    return SpecError.of(
        "R0100", say("the spec cannot be read: {why}", why=why), place=place, help=fix
    )


def _position(problem: Problem) -> tuple[int, int]:
    place = problem.place or Place("")
    return place.line or 0, place.column or 0
