"""The hash chain: every line contains the SHA-256 digest of the line before it.

Called by `writer`, which extends a chain, and by `reader`, which follows one. Pure: knows no file.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import NamedTuple

from rollout.core.invariant import Bug
from rollout.journal import record
from rollout.journal.record import Line, LineError
from rollout.model import limits
from rollout.model.event import Event
from rollout.model.known_secrets import KnownSecrets
from rollout.model.phrase import say
from rollout.model.time import Instant


class Head(NamedTuple):
    """Number and digest of a line, which identify all lines up to it. Printed as `SEQ:HASH`."""

    seq: int
    sha256: str

    def __str__(self) -> str:
        return f"{self.seq}:{self.sha256}"


def parse_head(text: str) -> Head:
    """Return the head in `SEQ:HASH`. ValueError for other text."""
    match = _HEAD.fullmatch(text)
    if match is None:
        message = "expected SEQ:HASH, a line number and 64 hexadecimal digits"
        raise ValueError(message)
    return Head(int(match[1]), match[2].lower())


_HEAD = re.compile(r"([1-9][0-9]{0,17}):([0-9a-fA-F]{64})", re.ASCII)
GENESIS = "0" * 64
"""`prev` of the first line."""


class Chain:
    """The end of a journal: `seq` and `head` are number and digest of its last line.

    `known` holds the secrets that are blanked in each line that is written.
    """

    __slots__ = ("head", "known", "seq")

    def __init__(self, seq: int = 0, head: str = GENESIS) -> None:
        self.seq = seq
        self.head = head
        self.known = KnownSecrets()

    def extend(self, buffer: bytearray, events: Sequence[Event], at: Instant) -> None:
        """Append the lines of a turn to `buffer`: all of them, or none and an error.

        A turn is one line, or several if one would exceed LINE_BYTES_MAX. `Bug` for an event that
        is too long alone.
        """
        before = self.seq, self.head, len(buffer)
        try:
            self._write(buffer, events, at)
        except BaseException:
            self.seq, self.head, length = before
            del buffer[length:]
            raise

    def follow(self, raw: bytes) -> Line:
        """Return the next line, given without its line feed. LineError if it does not follow."""
        line = record.decode(raw)
        if line.seq != self.seq + 1:
            raise LineError(
                "R0903",
                say("`seq` is {found}, expected {expected}", found=line.seq, expected=self.seq + 1),
            )
        if line.prev != self.head:
            message = say(
                "`prev` is sha256 {prev}, but line {seq} hashes to {head}",
                prev=line.prev,
                seq=self.seq,
                head=self.head,
            )
            raise LineError("R0903", message)
        self.seq = line.seq
        self.head = hashlib.sha256(raw).hexdigest()
        return line

    def _write(self, buffer: bytearray, events: Sequence[Event], at: Instant) -> None:
        encode, clean, blank = record.ENCODER.encode, record.clean, self.known.blank_bytes
        room = limits.LINE_BYTES_MAX - _ENVELOPE_BYTES_MAX
        parts: list[bytes] = []
        length = 0
        waiting = list(reversed(events))
        while waiting:
            event = waiting.pop()
            part = blank(clean(encode(event)))
            if len(part) > room:
                waiting.extend(reversed(_halved(event)))
                continue
            length += len(part) + 1
            if length > room:
                self._line(buffer, parts, at)
                parts.clear()
                length = len(part) + 1
            parts.append(part)
        if parts:
            self._line(buffer, parts, at)

    def _line(self, buffer: bytearray, parts: list[bytes], at: Instant) -> None:
        self.seq += 1
        body = b",".join(parts)
        line = b'{"seq":%d,"at":%d,"prev":"%b","body":[%b]}' % (
            self.seq,
            at,
            self.head.encode(),
            body,
        )
        self.head = hashlib.sha256(line).hexdigest()
        buffer += line
        buffer += b"\n"


_ENVELOPE_BYTES_MAX = 160
"""Room for everything but the events: braces, names, two integers of 64 bits, the digest."""


def _halved(event: Event) -> tuple[Event, Event]:
    pair = record.halves(event)
    if pair is None:
        message = f"{type(event).__name__} alone is longer than the maximum of a line"
        raise Bug(message)
    return pair
