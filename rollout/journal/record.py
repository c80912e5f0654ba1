"""One line of the journal: `{"seq":…,"at":…,"prev":"…","body":[…]}`, the events of one turn.

Called by `chain`. Pure: encodes and decodes lines, and removes secrets and control characters.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from rollout.model.event import AnyEvent, Event
from rollout.model.phrase import Wording, say
from rollout.model.time import Instant


class Line(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """A line: its number from 1, its time, the digest of the line before it, and its events."""

    seq: int
    at: Instant
    prev: str
    body: tuple[AnyEvent, ...]


class LineError(ValueError):
    """A line that is invalid. `torn`: a crash may have left it."""

    def __init__(self, code: str, message: Wording, *, torn: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.torn = torn


def decode(raw: bytes) -> Line:
    """Return the line in these bytes. LineError if there is none, or an event is unknown."""
    try:
        return _DECODER.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        try:
            document = msgspec.json.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError) as unreadable:
            raise LineError(
                "R0904", say("not JSON: {cause}", cause=unreadable), torn=True
            ) from None
        raise LineError("R0904", _stranger(document) or str(error)) from None


def clean(part: bytes) -> bytes:
    """Return an event's JSON without secrets and control characters, usually the same object.

    Control characters become JSON escapes. Text in the form of a credential becomes `***`, since a
    written line cannot be changed later.
    """
    if any(mark in part for mark in _MARKS):
        for pattern, replacement in _SECRETS:
            part = pattern.sub(replacement, part)
    if b"\x7f" in part or not part.isascii():
        part = _CONTROL.sub(_escape, part)
    return part


def halves(event: Event) -> tuple[Event, Event] | None:
    """Split an event into two with half its instances each; None if it has fewer than two."""
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
    """Return the message for the first event type that this release does not know, if any."""
    body = document.get("body") if isinstance(document, dict) else None
    for event in body if isinstance(body, list) else ():
        name = event.get("type") if isinstance(event, dict) else None
        if isinstance(name, str) and name not in _TYPES:
            return f"event `{name}` is from a newer release of rollout"
    return None
