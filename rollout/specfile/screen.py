"""Find secrets in a spec before any message about the file, so that none repeats them.

Called by `specfile.load` with the document.
"""

from __future__ import annotations

import re
from dataclasses import replace

from rollout.errors import Problem
from rollout.model import secrecy
from rollout.model.phrase import say
from rollout.specfile.document import Document, Path

_BEGIN = re.compile("-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----")
_END = re.compile("-----END [A-Z0-9 ]*PRIVATE KEY-----")


SecretLines = dict[int, Problem | None]
"""Lines, from 1, that no message may show, with the problem of each. A private key is reported at
its first line; its other lines have None."""


def secrets(document: Document) -> SecretLines:
    """Return the lines with a secret, found by its form or by the name of its field."""
    found: SecretLines = {}
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


def without_secrets(found: list[Problem], secret_lines: SecretLines) -> list[Problem]:
    """Return the problems, with one problem for each secret instead of those that would show it."""
    shown = [
        problem for problem in found if problem.place and problem.place.line not in secret_lines
    ]
    return shown + [problem for problem in secret_lines.values() if problem is not None]


def _problem(document: Document, line: int, column: int) -> Problem:
    place = replace(document.at(line, column), text=None)
    hint = say("remove it from the file and revoke it")
    return Problem("R0112", say("this is a private key or an AccessKey"), place, hint)


def _texts(value: object, path: Path) -> list[tuple[Path, str]]:
    if isinstance(value, str):
        return [(path, value)]
    if isinstance(value, dict):
        parts: list[tuple[str | int, object]] = list(value.items())
    else:
        parts = list(enumerate(value)) if isinstance(value, list) else []
    return [found for key, inner in parts for found in _texts(inner, (*path, key))]
