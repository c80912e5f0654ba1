"""One line of the journal: `{"seq":…,"at":…,"prev":"…","body":[…]}`, the events of one turn.

Pure: bytes in, values out, and back. Called by `chain`, which knows what a line follows from; knows
no file. What may not stand in a line (secrets, control characters) is taken out here.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from rollout.model.event import AnyEvent, Event
from rollout.model.time import Instant


class Line(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """A line as read: its number from 1, when, the digest of the line before, what happened."""

    seq: int
    at: Instant
    prev: str
    body: tuple[AnyEvent, ...]


class LineError(ValueError):
    """A line that cannot be believed. `torn`: so broken that a crash may have left it."""

    def __init__(self, code: str, message: str, *, torn: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.torn = torn


def decode(raw: bytes) -> Line:
    """The line in these bytes. LineError where they hold none, or an event nobody here knows."""
    try:
        return _DECODER.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        try:
            document = msgspec.json.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError) as unreadable:
            raise LineError("R0904", f"not JSON: {unreadable}", torn=True) from None
        raise LineError("R0904", _stranger(document) or str(error)) from None


def clean(part: bytes) -> bytes:
    """An event's JSON without secrets and control characters: nearly always the very same object.

    Control characters become JSON escapes, which lose nothing; what looks like a credential becomes
    `***`, since nothing can be removed once it is written.
    """
    if any(mark in part for mark in _MARKS):
        for pattern, replacement in _SECRETS:
            part = pattern.sub(replacement, part)
    if b"\x7f" in part or not part.isascii():
        part = _CONTROL.sub(_escape, part)
    return part


def halves(event: Event) -> tuple[Event, Event] | None:
    """The event as two that say the same of half the instances each; None where that cannot be."""
    ordinals: tuple[int, ...] = getattr(event, "ordinals", ())
    if len(ordinals) < 2:
        return None
    middle = len(ordinals) // 2
    return (
        msgspec.structs.replace(event, ordinals=ordinals[:middle]),
        msgspec.structs.replace(event, ordinals=ordinals[middle:]),
    )


ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Line)
_TYPES = frozenset(kind.__name__ for kind in AnyEvent.__args__)

_MARKS = (b"LTAI", b"STS.", b"-----BEGIN", b"ignature", b"ecurityToken", b"ecurity-", b"ccessKey")
_SECRETS: tuple[tuple[re.Pattern[bytes], bytes], ...] = (
    (re.compile(rb"LTAI[0-9A-Za-z]{8,}"), b"***"),
    (re.compile(rb"STS\.[0-9A-Za-z]{8,}"), b"***"),
    (re.compile(rb'-----BEGIN [0-9A-Z ]+-----(?:[^"\\]|\\.)*'), b"***"),
    (
        re.compile(
            rb"((?:Signature|Security-?Token|AccessKey-?(?:Id|Secret))"
            rb"(?:\\?[\"'])?(?:\s*[=:]\s*|%3D)(?:\\?[\"'])?)[^\"'\\&,;\s]+",
            re.IGNORECASE,
        ),
        rb"\1***",
    ),
)
_CONTROL = re.compile(rb"\x7f|\xc2[\x80-\x9f]")  # DEL and C1; C0 is escaped by JSON already


def _escape(match: re.Match[bytes]) -> bytes:
    return b"\\u00%02x" % match[0][-1]


def _stranger(document: Any) -> str | None:
    """JSON that is no line of ours: the first event type that this release does not know."""
    body = document.get("body") if isinstance(document, dict) else None
    for event in body if isinstance(body, list) else ():
        name = event.get("type") if isinstance(event, dict) else None
        if isinstance(name, str) and name not in _TYPES:
            return f"event `{name}` is of a newer release of rollout than this one"
    return None
