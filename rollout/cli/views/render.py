"""Format numbers, durations, tables and paragraphs, the same in every output. Pure."""

from __future__ import annotations

import json
import re
import textwrap
import unicodedata
from collections.abc import Sequence

from rollout.cli.language import translated
from rollout.model.phrase import say
from rollout.model.printable import escaped, escaped_json
from rollout.model.time import HOUR, MINUTE, SECOND, Duration

HANG = "  "
_UNIT = re.compile(r"(\d) ([hms%])(?!\w)")
_WIDE = "\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef"
"""Chinese, Japanese and Korean characters and punctuation, as the range of a pattern."""
_PIECE = re.compile(rf"[（《“]*(?:[{_WIDE}]|[^\s{_WIDE}]+)[，。；：！？、）》”…]*\s*")
"""A part of a text after which a line may end: a word, or one wide character."""


def count(number: int, noun: str, plural: str = "") -> str:
    """Return a number and its noun: `1 region`, `12,418 instances`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def span(duration: Duration) -> str:
    """Return a duration in at most two units: `3 h 50 m`, `14 s`, `0.4 s`."""
    if duration < 10 * SECOND:
        return f"{duration / SECOND:.1f} s"
    hours, minutes, seconds = duration // HOUR, duration // MINUTE % 60, duration // SECOND % 60
    if hours:
        return f"{hours:,} h {minutes} m" if minutes else f"{hours:,} h"
    if minutes:
        return f"{minutes} m {seconds} s" if seconds else f"{minutes} m"
    return f"{seconds} s"


def table(rows: Sequence[Sequence[str]], align: str, *, indent: int = 2) -> list[str]:
    """Return the lines of a table. `align` has `<` or `>` per column; the last is not padded."""
    rows = [[escaped(cell) for cell in row] for row in rows]
    widths = [max(map(columns, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            padded(cell, width, side) for cell, side, width in zip(row, align, widths, strict=True)
        ]
        lines.append((" " * indent + "  ".join(cells)).rstrip())
    return lines


_HEADINGS = (
    *(say("instance"), say("account"), say("region"), say("zone"), say("target"), say("wave")),
    *(say("restart"), say("former_key"), say("key"), say("reason"), say("detail"), say("image")),
    *(say("os_name"), say("instance_type"), say("phase"), say("groups"), say("permit")),
    *(say("waits"), say("cause"), say("down"), say("setting"), say("value"), say("origin")),
    *(say("name"), say("state"), say("next"), say("cron"), say("time_zone"), say("on_due")),
    *(say("last"), say("key_pair"), say("fingerprint"), say("status")),
)
"""The fields that tables show, in the languages of the catalogues."""


def heading(names: Sequence[str]) -> list[str]:
    """Return the heading of a table whose columns are fields, in the current language."""
    return [translated(name) for name in names]


def wrap(text: str, width: int, *, first: str = "", rest: str = HANG) -> list[str]:
    """Return the text in lines of at most `width` columns, without breaks inside a long word or
    between a number and its unit.
    """
    if columns(text) > len(text):
        return _wrap_wide(text, width, first, rest)
    lines = textwrap.wrap(
        _UNIT.sub("\\1\u00a0\\2", text),
        width,
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.replace("\u00a0", " ") for line in lines]


def _wrap_wide(text: str, width: int, first: str, rest: str) -> list[str]:
    """Return the lines of a text with wide characters, after each of which a line may end. A wide
    full stop needs no space after it.
    """
    lines, line = [], first
    for piece in _PIECE.findall(text.replace("。 ", "。")):
        if line.strip() and columns((line + piece).rstrip()) > width:
            lines.append(line.rstrip())
            line = rest
        line += piece
    return [*lines, line.rstrip()]


def coded(text: str, code: str, width: int) -> list[str]:
    """Return the lines of a warning as `! 190 stopped instances …   R0302`, the code at the right
    end of the first line.
    """
    lines = wrap(text, width - 7, first="! ")
    lines[0] = padded(lines[0], width - 5) + code
    return lines


def columns(text: str) -> int:
    """Return the columns on a terminal. Chinese, Japanese and Korean characters take two."""
    if text.isascii():
        return len(text)
    return sum(2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in text)


def padded(text: str, width: int, side: str = "<") -> str:
    """Return the text with spaces up to `width` columns: after it for `<`, before it for `>`."""
    spaces = " " * (width - columns(text))
    return text + spaces if side == "<" else spaces + text


def fit(line: str, limit: int | None) -> str:
    """Return the line, broken between words if it exceeds `limit` columns; None: no terminal."""
    if limit is None or columns(line) <= limit:
        return line
    return "\n".join(wrap(line, limit, rest=HANG * 2))


def as_json(value: object, *, indent: int | None = None) -> str:
    """Return the value as JSON text that is safe to print. Non-ASCII characters are unchanged."""
    return escaped_json(json.dumps(value, ensure_ascii=False, indent=indent))


def short(digest: str) -> str:
    """Return a shortened digest: `sha256:9f2c41d0…e41b`."""
    name, _, hexadecimal = digest.partition(":")
    return f"{name}:{hexadecimal[:8]}…{hexadecimal[-4:]}"
