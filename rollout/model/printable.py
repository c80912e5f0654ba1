"""Escape characters that could steer a terminal, in text that came from outside.

Called by everything that prints: terminal, log lines, pages. Names, tags, messages of a service and
rows of a file may hold such characters.
"""

from __future__ import annotations

import json
import unicodedata

_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories: control, format (bidirectional marks too), surrogate, private, unassigned,
line and paragraph separators."""


def escaped(text: str) -> str:
    r"""Return the text on one line: ESC becomes `\u{1b}`, a line feed `\u{a}`."""
    if text.isprintable():
        return text
    return "".join(f"\\u{{{ord(one):x}}}" if _is_unsafe(one) else one for one in text)


def escaped_lines(text: str) -> str:
    """Return the text with its line feeds kept and everything else as in `escaped`."""
    if text.replace("\n", "").isprintable():
        return text
    return "\n".join(map(escaped, text.split("\n")))


def escaped_json(text: str) -> str:
    """Return JSON text that means the same and holds no unsafe character but line feeds."""
    if text.replace("\n", "").isprintable():
        return text
    return "\n".join("".join(map(_in_json, line)) for line in text.split("\n"))


def _in_json(character: str) -> str:
    return json.dumps(character)[1:-1] if _is_unsafe(character) else character


def _is_unsafe(character: str) -> bool:
    return unicodedata.category(character) in _UNSAFE
