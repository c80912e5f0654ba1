"""Secrets in a spec: found before anything is said about the file, and never repeated.

Called by `specfile.load` with the document; gives the problems and the lines to keep quiet about.
"""

from __future__ import annotations

import re
from dataclasses import replace

from rollout.errors import Problem
from rollout.model import secrecy
from rollout.specfile.document import Document, Path

_BEGIN = re.compile("-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----")
_END = re.compile("-----END [A-Z0-9 ]*PRIVATE KEY-----")


Quiet = dict[int, Problem | None]
"""Lines, from 1, of which nothing may be shown, and the problem of each. A private key is told at
its first line; its other lines have None."""


def secrets(document: Document) -> Quiet:
    """The lines that hold a secret, by its shape or by the name of its field."""
    found: Quiet = {}
    in_key = False
    for index, text in enumerate(document.lines):
        offset = secrecy.find(text)
        if offset is not None:
            found[index + 1] = _problem(document, index, offset)
        in_key = in_key or _BEGIN.search(text) is not None
        if in_key:
            found.setdefault(index + 1, None)
        in_key = in_key and _END.search(text) is None
    for path, value in _texts(document.data, ()):
        name = path[-1] if path else ""
        if isinstance(name, str) and secrecy.is_named(name, value):
            spot = document.values[path]
            found.setdefault(spot.line + 1, _problem(document, spot.line, spot.column))
    return found


def without_secrets(found: list[Problem], quiet: Quiet) -> list[Problem]:
    """The problems with each quiet line's own problem instead of those that would show it."""
    shown = [problem for problem in found if problem.place and problem.place.line not in quiet]
    return shown + [problem for problem in quiet.values() if problem is not None]


def _problem(document: Document, line: int, column: int) -> Problem:
    place = replace(document.at(line, column), text=None)
    hint = "remove it from the file and revoke it"
    return Problem("R0112", "this is a private key or an AccessKey", place, hint)


def _texts(value: object, path: Path) -> list[tuple[Path, str]]:
    if isinstance(value, str):
        return [(path, value)]
    if isinstance(value, dict):
        parts: list[tuple[str | int, object]] = list(value.items())
    else:
        parts = list(enumerate(value)) if isinstance(value, list) else []
    return [found for key, inner in parts for found in _texts(inner, (*path, key))]
