"""The secrets that a process holds, and texts without them, whatever encoding they stand in.

One instance for each process is fed by its credentials. The client blanks what it receives, the
journal and the terminal what they write. Knows values; `secrecy` knows shapes.
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
"""A shorter text is never blanked: it may be a part of ordinary words."""
LENGTH_MIN_OF_WORDS: Final = 16
"""The same for a text of letters of one case only, which may be an ordinary word."""
KEPT_MAX: Final = 16
"""The latest secrets are kept. Tokens are renewed all day, and the former ones expire."""

_MASK_BYTES: Final = MASK.encode()
_ESCAPE_MARK: Final = b"\\u00"
_ESCAPE: Final = re.compile(rb"\\u00([2-7][0-9A-Fa-f])")
"""Printable characters that JSON need not escape. Encoders that are made for web pages write `=`,
`&` and others so."""


class KnownSecrets:
    """Texts that must not be shown. Nothing in it can be printed by accident."""

    __slots__ = ("__forms", "__forms_bytes", "__known")

    def __init__(self) -> None:
        self.__known: dict[str, None] = {}
        self.__forms: tuple[str, ...] = ()
        self.__forms_bytes: tuple[bytes, ...] = ()

    def __repr__(self) -> str:
        return f"{len(self.__known)} secrets"

    def learn(self, secret: str) -> None:
        """Blank this text from now on. Texts that may be ordinary words are passed over."""
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
    """The character itself, unless it means something else in a JSON text."""
    character = bytes([int(match[1], 16)])
    return match[0] if character in b'"\\' else character


def _forms(secret: str) -> Iterator[str]:
    """The secret as it is, and as URLs, JSON, HTML, hex and base64 write it."""
    once = [secret, quote(secret, safe=""), quote(secret), quote_plus(secret), html.escape(secret)]
    once += [quote(form, safe="") for form in once[1:3]]
    for form in once:
        yield form
        yield form.replace("%2F", "%2f").replace("%2B", "%2b").replace("%3D", "%3d")
        escaped = form
        for _ in range(2):  # JSON, and JSON in a text of JSON
            escaped = json.dumps(escaped)[1:-1]
            yield escaped
            yield escaped.replace("/", "\\/")
    raw = secret.encode()
    yield raw.hex()
    yield raw.hex().upper()
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for lead in range(3):  # in a longer text it may begin at any of three places
            whole = encode(bytes(lead) + raw).decode()
            yield whole[-(-lead * 8 // 6) : (lead + len(raw)) * 8 // 6]
