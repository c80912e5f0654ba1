"""JSON and JSONL files → gathered instances.

Called by `files`. Understands ids, objects with InstanceId, instance_id or id, rows and pages of
DescribeInstances, in lists or one after the other. What was written as rows of DescribeInstances
is decoded by the block; everything else, and every block with something odd, value by value.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import Any

import msgspec

from rollout.inventory import strict
from rollout.inventory.gathered import Gathered
from rollout.inventory.reading import Input
from rollout.inventory.rows import Maker, Row, RowError
from rollout.model import limits
from rollout.model.instance import Instance

STRICT_BYTES = 2 * 1024**2
"""So far doubled keys are looked for in a JSONL file: what a person wrote is shorter, and a program
that doubles keys does so from its first row on."""

_BRACKETS = b"{}[]"
_KEPT = frozenset(_BRACKETS + b"\n:LTAISKEY.")
_FLESH = bytes(each for each in range(256) if each not in _KEPT)
_NO_BRACKETS = bytes(_KEPT - frozenset(_BRACKETS + b"\n"))
_SECRETS = (b"LTAI", b"IATEKEY", b"STS.", b"TTYK")
"""What is left of an AccessKey id or the head of a private key once the flesh is cut away."""

_ANY = msgspec.json.Decoder()
_ENCODER = msgspec.json.Encoder()
_ROW = msgspec.json.Decoder(Row)
_IDS = ("InstanceId", "instance_id", "id")
_REGIONS = ("RegionId", "region_id", "region")


def read_jsonl(source: Input, maker: Maker, gathered: Gathered) -> int:
    """Gather a file with one value a line; the number of instances it named."""
    reader = _Reader(source, maker, gathered)
    line, read = 1, 0
    for block in source.blocks():
        bones = block.translate(None, _FLESH).split(b"\n")
        lines = len(bones) - block.endswith(b"\n")
        trusted = not _is_odd(bones) and (read >= STRICT_BYTES or _is_plain(block))
        if not trusted or not reader.take_block(block, line, lines):
            for index, raw in enumerate(block.split(b"\n")):
                reader.take_line(raw.decode(), line + index)
        line += lines
        read += len(block)
    return reader.done()


def read_json(source: Input, maker: Maker, gathered: Gathered) -> int:
    """Gather a file with a list, a page, or several of them; the number of instances it named."""
    reader = _Reader(source, maker, gathered)
    text = source.text()
    try:
        for value, start in _values(text):
            reader.take(value, reader.line_of(text, start))
    except strict.FlawError as flaw:
        reader.complain_at(text, flaw)
    return reader.done()


def _values(text: str) -> Iterator[tuple[Any, int]]:
    """The values of a file and their offsets; a list on top gives its elements one by one."""
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
    """The elements of the list at `at`; returns the offset behind the list."""
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
            message = (
                "a comma or `]` is missing" if mark else "the list that begins here is cut off"
            )
            raise strict.FlawError("R0201", f"not JSON: {message}", at if mark else start)
        at = strict.skip(text, at + 1)


def _is_plain(block: bytes) -> bool:
    """True where the block is what its own values are written as, which no doubled key survives."""
    try:
        return _ENCODER.encode_lines(_ANY.decode_lines(block)) == block
    except (msgspec.MsgspecError, RecursionError):
        return False


def _is_odd(bones: list[bytes]) -> bool:
    """True where a secret may stand or brackets may be nested too deeply: both only may."""
    alike = b"\n".join(set(bones))  # what most rows of a fleet are once the flesh is cut away
    if any(map(alike.__contains__, _SECRETS)):
        return True
    skeleton = alike.translate(None, _NO_BRACKETS).split(b"\n")
    return max(map(len, skeleton)) > 2 * limits.INVENTORY_NESTING_MAX


class _Reader:
    """Takes values, lines and blocks of one file; complains of them at their line."""

    def __init__(self, source: Input, maker: Maker, gathered: Gathered) -> None:
        self._source, self._maker, self._gathered = source, maker, gathered
        self._count = 0
        self._more = False
        self._counted = (0, 1)

    def done(self) -> int:
        """How many instances the file named; notes a last page that is not the last."""
        if self._more:
            note = f"{self._source.name} ends with a page that has a NextToken: there was more"
            self._gathered.notes.append(("R0208", note))
        return self._count

    def take_block(self, block: bytes, line: int, lines: int) -> bool:
        """Take a block of rows, or nothing: False where value by value must be looked."""
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
        """Take the value of one line; an empty line is none."""
        if strict.skip(text, 0) == len(text):
            return
        try:
            value, end = strict.parse(text, strict.skip(text, 0))
            rest = strict.skip(text, end)
            if rest < len(text):
                raise strict.FlawError("R0201", "one value a line; there is more behind it", rest)
        except strict.FlawError as flaw:
            self._gathered.complain(self._source.place(line, flaw.offset + 1), flaw)
        else:
            self.take(value, line)

    def take(self, value: object, line: int) -> None:
        """Take what one value names."""
        try:
            for each in self._spread(value):
                self._count += 1
                self._add(self._instance(each), line)
        except RowError as error:
            self._gathered.complain(self._source.place(line), error)

    def line_of(self, text: str, offset: int) -> int:
        """The line of an offset; asked in ascending order, so that each line is counted once."""
        start, line = self._counted
        line += text.count("\n", start, offset)
        self._counted = (offset, line)
        return line

    def complain_at(self, text: str, flaw: strict.FlawError) -> None:
        """Complain of a flaw at its line and column."""
        line = text.count("\n", 0, flaw.offset) + 1
        column = flaw.offset - text.rfind("\n", 0, flaw.offset)
        self._gathered.complain(self._source.place(line, column), flaw)

    def _add(self, instance: Instance, line: int) -> None:
        try:
            self._gathered.add(instance)
        except RowError as error:
            self._gathered.complain(self._source.place(line), error)

    def _instance(self, each: str | dict[str, Any]) -> Instance:
        if isinstance(each, str):
            return self._maker.named(each)
        if "InstanceId" not in each:
            each = _spelled_out(each)
        try:
            row = _ROW.decode(msgspec.json.encode(each))
        except msgspec.MsgspecError as error:
            raise RowError("R0201", f"no row of DescribeInstances: {error}") from None
        return self._maker.one(row)

    def _spread(self, value: object) -> Iterator[str | dict[str, Any]]:
        """The ids and rows in a value."""
        if isinstance(value, dict) and "Instances" in value:
            self._more = bool(value.get("NextToken"))
            value = value["Instances"]
            value = value.get("Instance", value) if isinstance(value, dict) else value
            if not isinstance(value, list):
                raise RowError("R0201", "a page without a list of instances")
        if isinstance(value, list):
            for inner in value:
                yield from self._spread(inner)
        elif isinstance(value, str | dict):
            yield value
        else:
            hint = "an id, a row, or a page of DescribeInstances is wanted"
            raise RowError("R0201", "this names no instance", hint)


def _spelled_out(row: dict[str, Any]) -> dict[str, Any]:
    """A row that names its instance in another way, with the API's names for id and region."""
    found = {"InstanceId": _first(row, _IDS), "RegionId": _first(row, _REGIONS)}
    if found["InstanceId"] is None:
        if "Code" in row:
            raise RowError("R0201", "this is an error of the API, not a page of instances")
        hint = f"known are {', '.join(f'`{word}`' for word in _IDS)}"
        raise RowError("R0201", "an object without an instance id", hint)
    return found


def _first(row: dict[str, Any], words: Sequence[str]) -> object:
    """What stands under the first of these words that says anything."""
    return next((row[word] for word in words if row.get(word) is not None), None)
