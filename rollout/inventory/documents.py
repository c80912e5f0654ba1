"""Read JSON and JSONL files: ids, objects with an id, rows and pages of DescribeInstances.

Called by `files`. Blocks with only rows of DescribeInstances are decoded at once; all others are
read value by value, with strict checks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Iterator
from typing import Any

import msgspec

from rollout.inventory import shapes, strict
from rollout.inventory.gathered import Gathered
from rollout.inventory.pages import Pages
from rollout.inventory.reading import Input
from rollout.inventory.rows import Maker, Row, RowError
from rollout.model import limits
from rollout.model.instance import Instance
from rollout.model.phrase import say
from rollout.model.text import is_text

STRICT_BYTES = 2 * 1024**2
"""Duplicate keys and odd names are searched up to this size of a JSONL file: files written by hand
are shorter, and a program writes them from its first row on."""

_ODD_NAME = re.compile(
    rb'"(?!(?:Tags?|TagKey|TagValue|OperationLocks|LockReason|LockMsg|ExpiredTime)")'
    rb'(?i:tag|lock|operation[_-]?lock|expired?[_-]?time)[^"]*"\s*:'
)
"""A field that may contain tags, locks or expiry, but has another name than in the API."""

_BRACKETS = b"{}[]"
_KEPT = frozenset(_BRACKETS + b"\n:LTAISKEY.")
_OTHERS = bytes(each for each in range(256) if each not in _KEPT)
_NO_BRACKETS = bytes(_KEPT - frozenset(_BRACKETS + b"\n"))
_SECRETS = (b"LTAI", b"IATEKEY", b"STS.", b"TTYK")
"""Remains of an AccessKey id or of the first line of a private key after deleting `_OTHERS`."""

_ANY = msgspec.json.Decoder()
_ENCODER = msgspec.json.Encoder()
_ROW = msgspec.json.Decoder(Row)


def read_jsonl(source: Input, maker: Maker, gathered: Gathered) -> int:
    """Add the instances of a file with one value per line, and return their number."""
    reader = _Reader(source, maker, gathered)
    line, read = 1, 0
    for block in source.blocks():
        remains = block.translate(None, _OTHERS).split(b"\n")
        lines = len(remains) - block.endswith(b"\n")
        known = _has_known_names(block) if read >= STRICT_BYTES else _is_plain(block)
        trusted = known and not _is_odd(remains)
        if not trusted or not reader.take_block(block, line, lines):
            for index, raw in enumerate(block.split(b"\n")):
                reader.take_line(raw.decode(), line + index)
        line += lines
        read += len(block)
    return reader.done()


def read_json(source: Input, maker: Maker, gathered: Gathered) -> int:
    """Add the instances of a file with lists or pages, and return their number."""
    reader = _Reader(source, maker, gathered)
    text = source.text()
    try:
        for value, start in _values(text):
            reader.take(value, reader.line_of(text, start))
    except strict.FlawError as flaw:
        reader.report_at(text, flaw)
    return reader.done()


def _values(text: str) -> Iterator[tuple[Any, int]]:
    """Yield the values of a file with their offsets; a list yields its elements."""
    at = strict.skip(text, 0)
    while at < len(text):
        if text[at] == "[":
            at = yield from _elements(text, at)
        else:
            value, end = strict.parse(text, at)
            yield value, at
            at = end
        at = strict.skip(text, at)


def _elements(text: str, at: int) -> Generator[tuple[Any, int], None, int]:
    """Yield the elements of the list at `at`. Return the offset after the list."""
    start = at
    at = strict.skip(text, at + 1)
    if text[at : at + 1] == "]":
        return at + 1
    while True:
        value, end = strict.parse(text, at, above=1)
        yield value, at
        at = strict.skip(text, end)
        mark = text[at : at + 1]
        if mark == "]":
            return at + 1
        if mark != ",":
            cause = say("the list that starts here is cut off")
            cause = say("a comma or `]` is missing") if mark else cause
            raise strict.FlawError(
                "R0201", say("not JSON: {cause}", cause=cause), at if mark else start
            )
        at = strict.skip(text, at + 1)


def _is_plain(block: bytes) -> bool:
    """Return whether encoding the block's values gives the same bytes, so that no key is duplicate,
    and no field has an odd name.
    """
    if _ODD_NAME.search(block) is not None:
        return False
    try:
        return _ENCODER.encode_lines(_ANY.decode_lines(block)) == block
    except (msgspec.MsgspecError, RecursionError):
        return False


def _has_known_names(block: bytes) -> bool:
    """Return whether the first and the last line have no odd name: a program's rows are similar."""
    last = block.rfind(b"\n", 0, -1) + 1
    ends = (0, block.find(b"\n") + 1 or len(block)), (last, len(block))
    return not any(_ODD_NAME.search(block, start, end) for start, end in ends)


def _is_odd(remains: list[bytes]) -> bool:
    """Return whether there may be a secret or too deep nesting."""
    distinct = b"\n".join(set(remains))  # most rows of a fleet are equal now
    if any(map(distinct.__contains__, _SECRETS)):
        return True
    skeleton = distinct.translate(None, _NO_BRACKETS).split(b"\n")
    return max(map(len, skeleton)) > 2 * limits.INVENTORY_NESTING_MAX


class _Reader:
    """Reads values, lines and blocks of one file, and reports problems at their line."""

    def __init__(self, source: Input, maker: Maker, gathered: Gathered) -> None:
        self._source, self._maker, self._gathered = source, maker, gathered
        self._count = 0
        self._pages = Pages()
        self._counted = (0, 1)

    def done(self) -> int:
        """Return the number of instances. Errors: InventoryError R0215 if pages are missing."""
        missing = self._pages.missing()
        if missing and not self._gathered.allow_partial:
            hint = say(
                "export every page, or pass --allow-partial if an incomplete listing is intended"
            )
            raise self._source.refused(
                "R0215", say("an incomplete listing: {missing}", missing=missing), hint
            )
        if missing:
            note = f"{self._source.name} contains an incomplete listing: {missing}"
            self._gathered.notes.append(("R0216", note))
        return self._count

    def take_block(self, block: bytes, line: int, lines: int) -> bool:
        """Read a block of rows. Return False if it must be read value by value instead."""
        try:
            rows = _ROW.decode_lines(block)
            made = self._maker.many(rows)
        except (msgspec.MsgspecError, RowError, RecursionError):
            return False
        if len(rows) != lines:
            return False
        self._count += lines
        if not self._gathered.add_new(made):
            for index, instance in enumerate(made.values()):
                self._add(instance, line + index)
        return True

    def take_line(self, text: str, line: int) -> None:
        """Read the value of one line; empty lines are skipped."""
        if strict.skip(text, 0) == len(text):
            return
        try:
            value, end = strict.parse(text, strict.skip(text, 0))
            rest = strict.skip(text, end)
            if rest < len(text):
                raise strict.FlawError(
                    "R0201",
                    say("write one value per line; this line has more text after the value"),
                    rest,
                )
        except strict.FlawError as flaw:
            self._gathered.report(self._source.place(line, flaw.offset + 1), flaw)
        else:
            self.take(value, line)

    def take(self, value: object, line: int) -> None:
        """Add the instances that one value names."""
        try:
            for page in shapes.pages(value):
                made = []
                for each in page.named:
                    self._count += 1
                    made.append(self._instance(each))
                    self._add(made[-1], line)
                if page.facts is not None:
                    region = made[0].region if made else ""
                    self._pages.add(page.facts, region, {one.id for one in made})
        except RowError as error:
            self._gathered.report(self._source.place(line), error)

    def line_of(self, text: str, offset: int) -> int:
        """Return the line of an offset. Offsets must ascend, so that each line is counted once."""
        start, line = self._counted
        line += text.count("\n", start, offset)
        self._counted = (offset, line)
        return line

    def report_at(self, text: str, flaw: strict.FlawError) -> None:
        """Report a flaw at its line and column."""
        line = text.count("\n", 0, flaw.offset) + 1
        column = flaw.offset - text.rfind("\n", 0, flaw.offset)
        self._gathered.report(self._source.place(line, column), flaw)

    def _add(self, instance: Instance, line: int) -> None:
        try:
            self._gathered.add(instance)
        except RowError as error:
            self._gathered.report(self._source.place(line), error)

    def _instance(self, each: str | dict[str, Any]) -> Instance:
        if isinstance(each, str):
            return self._maker.named(each)
        named = (shapes.which if self._maker.live else shapes.canonical)(each)
        if "InstanceId" not in named:
            hint = say("known are `InstanceId`, `instance_id`, `instanceId` and `id`")
            raise RowError("R0201", say("an object without an instance id"), hint)
        try:
            text = json.dumps(named, ensure_ascii=False)
            if not is_text(text):
                raise RowError("R0201", say("a text of the row was cut inside a character"))
            row = _ROW.decode(text)
        except msgspec.MsgspecError as error:
            raise RowError(
                "R0201", say("not a row of DescribeInstances: {cause}", cause=error)
            ) from None
        return self._maker.one(row)
