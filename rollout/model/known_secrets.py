"""The secrets of a process, and texts without them in any encoding.

The credentials of a process register their secrets in one instance. The client masks received
texts, the journal and the terminal mask written ones. Knows values; `secrecy` knows formats.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import quote, quote_plus

from rollout.model.secrecy import MASK

LENGTH_MIN: Final = 8
"""A shorter text is never masked: it may be a part of ordinary words."""
LENGTH_MIN_OF_WORDS: Final = 16
"""The same for a text in one case without digits, which may be an ordinary word."""
KEPT_MAX: Final = 16
"""Number of secrets that are kept. Tokens are renewed all day, and the former ones expire."""

_MASK_BYTES: Final = MASK.encode()
_ESCAPE_MARK: Final = b"\\u00"
_ESCAPE: Final = re.compile(rb"\\u00([2-7][0-9A-Fa-f])")
"""Printable characters that JSON need not escape. Encoders for web pages escape `=`, `&`
and others too."""


class KnownSecrets:
    """Texts that must not be printed. The object itself prints none of them."""

    __slots__ = ("__forms", "__forms_bytes", "__known")

    def __init__(self) -> None:
        self.__known: dict[str, None] = {}
        self.__forms: tuple[str, ...] = ()
        self.__forms_bytes: tuple[bytes, ...] = ()

    def __repr__(self) -> str:
        return f"{len(self.__known)} secrets"

    def learn(self, secret: str) -> None:
        """Mask this text from now on. Texts that may be ordinary words are ignored."""
        words = secret.isalpha() and (secret.islower() or secret.isupper())
        if len(secret) < (LENGTH_MIN_OF_WORDS if words else LENGTH_MIN):
            return
        known = {one: None for one in self.__known if one != secret}
        self.__known = dict.fromkeys([*known, secret][-KEPT_MAX:])
        found = {form for one in self.__known for form in _forms(one)}
        self.__forms = tuple(sorted(found, key=lambda form: (-len(form), form)))
        self.__forms_bytes = tuple(form.encode() for form in self.__forms)

    def blank(self, text: str) -> str:
        """Return the text with every known secret replaced."""
        for form in self.__forms:
            if form in text:
                text = text.replace(form, MASK)
        return text

    def blank_bytes(self, raw: bytes) -> bytes:
        """Return the bytes with every known secret replaced: nearly always the same object."""
        raw = self.__replaced(raw)
        if self.__forms_bytes and _ESCAPE_MARK in raw:
            plain = _ESCAPE.sub(_unescaped, raw)
            blanked = self.__replaced(plain)
            return raw if blanked == plain else blanked
        return raw

    def __replaced(self, raw: bytes) -> bytes:
        for form in self.__forms_bytes:
            if form in raw:
                raw = raw.replace(form, _MASK_BYTES)
        return raw


def _unescaped(match: re.Match[bytes]) -> bytes:
    """Return the character itself, unless JSON must escape it."""
    character = bytes([int(match[1], 16)])
    return match[0] if character in b'"\\' else character


def _forms(secret: str) -> Iterator[str]:
    """Yield the secret itself and its encodings in URLs, JSON, HTML, hex and base64."""
    once = [secret, quote(secret, safe=""), quote(secret), quote_plus(secret), html.escape(secret)]
    once += [quote(form, safe="") for form in once[1:3]]
    for form in once:
        yield form
        yield form.replace("%2F", "%2f").replace("%2B", "%2b").replace("%3D", "%3d")
        escaped = form
        for _ in range(2):  # JSON, and JSON in a JSON string
            escaped = json.dumps(escaped)[1:-1]
            yield escaped
            yield escaped.replace("/", "\\/")
    raw = secret.encode()
    yield raw.hex()
    yield raw.hex().upper()
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for lead in range(3):  # it may start at any of three offsets in a longer text
            whole = encode(bytes(lead) + raw).decode()
            yield whole[-(-lead * 8 // 6) : (lead + len(raw)) * 8 // 6]
