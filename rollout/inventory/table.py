"""Read CSV files: a heading line, then one instance per row.

Called by `files`. It knows the headings of consoles and spreadsheets in English and Chinese;
`columns` in the spec names others.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

import msgspec

from rollout.errors import Exit, InventoryError, Place, Problem
from rollout.inventory import cells
from rollout.inventory.gathered import Gathered
from rollout.inventory.reading import Input
from rollout.inventory.rows import Maker, Row, RowError
from rollout.model import instance, secrecy
from rollout.model.phrase import say
from rollout.model.printable import escaped

HEADINGS: dict[str, tuple[str, ...]] = {
    "id": (
        "instanceid",
        "id",
        "instance",
        "实例id",
        "实例",
        "ecs实例id",
        "资源id",
        "实例id/名称",
        "实例id/实例名称",
        "instanceid/name",
    ),
    "region": ("regionid", "region", "地域", "地域id", "区域", "地区"),
    "zone": ("zoneid", "zone", "可用区", "可用区id"),
    "osType": ("ostype", "操作系统类型"),
    "osName": ("osname", "os", "操作系统", "操作系统名称"),
    "status": ("status", "state", "状态", "实例状态"),
    "keyPair": ("keypairname", "keypair", "keyname", "密钥对", "密钥对名称"),
    "image": ("imageid", "image", "镜像", "镜像id"),
    "startTime": ("starttime", "启动时间"),
    "expiredTime": ("expiredtime", "到期时间", "过期时间"),
    "locks": ("operationlocks", "locks", "锁定原因"),
    "tags": ("tags", "标签"),
}
"""Normalized headings of each field."""

_WHICH = ("id", "region", "zone")
"""Fields that identify the instance of a row."""

_STATUSES = {"运行中": "Running", "已停止": "Stopped", "启动中": "Starting", "停止中": "Stopping"}
_DELIMITERS = ",;\t|"
_HEAD_LINES_MAX = 10
"""Maximum lines of titles, blanks and `sep=` before the headings."""
_NAMED = re.compile("名称|name")
"""The heading of a column whose cells contain a name after the id."""
_SEPARATOR = re.compile("sep=(.)\\s*", re.IGNORECASE)
_DECIDES = re.compile("(^|[^a-z])(tags?|locks?)([^a-z]|$)|标签|锁定")
"""A heading of a column that may contain tags or locks."""


def read_csv(source: Input, maker: Maker, gathered: Gathered, columns: Mapping[str, str]) -> int:
    """Add the instances of a table, and return their number. `columns` maps fields to headings."""
    lines = _lines(source)
    first = list(itertools.islice(lines, _HEAD_LINES_MAX))
    skipped, delimiter = _head(first, columns)
    rest = itertools.chain(first[skipped:], lines)
    reader = csv.reader(rest, delimiter=delimiter, strict=True)
    rows = _filled(source, reader, skipped)
    count, headings = 0, [cells.clean(cell) for cell in next(rows, [])]
    if len(headings) == 1 and instance.is_id(headings[0]) and not columns.get("id"):  # a bare list
        rows, headings = itertools.chain([headings], rows), ["id"]
    fields = _fields(source, headings, columns, live=maker.live) if headings else {}
    for row in rows:
        if not instance.is_id(row[fields["id"] % len(row)]) and _is_no_instance(row):
            continue
        count += 1
        place = source.place(skipped + reader.line_num)
        try:
            gathered.add(maker.one(_row(row, headings, fields, live=maker.live)))
        except RowError as error:
            gathered.report(place, _in_column(error, headings, fields))
    gathered.notes.extend(_ignored(source, headings, columns))
    return count


def _is_no_instance(row: list[str]) -> bool:
    """Return whether a row is a separator or a total."""
    return cells.is_rule(row) or cells.is_total(row)


def _head(lines: list[str], columns: Mapping[str, str]) -> tuple[int, str]:
    """Return the number of lines before the headings, and the delimiter of the cells.

    Only titles, blank lines and `sep=` may precede the headings.
    """
    named = ""
    for at, line in enumerate(lines):
        separator = _SEPARATOR.fullmatch(line)
        if separator is not None:
            named = separator[1]
            continue
        marks = [named] if named else sorted(_DELIMITERS, key=_unquoted(line).count, reverse=True)
        known = {mark: _known(_split(line, mark), columns) for mark in marks}
        mark = max(marks, key=lambda each: known[each])
        if known[mark] or (not columns.get("id") and instance.is_id(cells.clean(line))):
            return at, mark
        if len([cell for cell in _split(line, marks[0]) if cells.clean(cell)]) > 1:
            break
    first = _unquoted(lines[0]) if lines else ""
    return 0, max(_DELIMITERS, key=first.count)


def _unquoted(line: str) -> str:
    return re.sub('"[^"]*"', "", line)


def _split(line: str, mark: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=mark, strict=True), [])
    except csv.Error:
        return []


def _known(row: list[str], columns: Mapping[str, str]) -> int:
    """Return how many fields these cells are headings of, or 0 if none is the heading of the id."""
    headings = [cells.clean(cell) for cell in row]
    found = {field for field in HEADINGS if _fits(field, headings, columns)}
    return len(found) if "id" in found else 0


def _lines(source: Input) -> Iterator[str]:
    """Yield lines with their line breaks: LF, CR or CRLF (RFC 4180)."""
    for block in source.blocks(cr=True):
        yield from io.StringIO(block.decode(), newline="")


def _filled(source: Input, reader: Any, skipped: int) -> Iterator[list[str]]:
    """Yield the rows of a `csv.reader` that are not empty."""
    try:
        yield from filter(any, reader)
    except csv.Error as error:
        place = source.place(skipped + reader.line_num)
        problem = Problem(
            "R0201",
            say("not CSV: {cause}", cause=error),
            place,
            say("check the quotes in this row"),
        )
        raise InventoryError((problem,), Exit.BAD_INPUT) from None


def _fits(field: str, headings: list[str], columns: Mapping[str, str]) -> list[str]:
    """Return the headings that fit a field."""
    wanted = columns.get(field)
    if wanted:
        return [each for each in headings if each == cells.clean(wanted)]
    return [each for each in headings if _normalized(each) in HEADINGS[field]]


def _fields(
    source: Input, headings: list[str], columns: Mapping[str, str], *, live: bool
) -> dict[str, int]:
    """Return the column of each field. Errors: InventoryError with all problems of the headings."""
    place = source.place(1)
    problems: list[Problem] = []
    found: dict[str, int] = {}
    for field in HEADINGS:
        if live and field not in _WHICH:
            continue
        wanted, fits = columns.get(field), _fits(field, headings, columns)
        if len(fits) > 1 and len(set(fits)) == 1:
            hint = say("rename or remove one of them")
            problems.append(
                Problem(
                    "R0202",
                    say("two columns have the heading `{heading}`", heading=fits[0]),
                    place,
                    hint,
                )
            )
        elif len(set(fits)) > 1:
            first, second, *_ = dict.fromkeys(fits)
            hint = say(
                "choose one in the spec: `columns: {{ {field}: {heading} }}`",
                field=field,
                heading=fits[0],
            )
            problems.append(
                Problem(
                    "R0202",
                    say(
                        "`{first}` and `{second}` could both be the {field}",
                        first=first,
                        second=second,
                        field=field,
                    ),
                    place,
                    hint,
                )
            )
        elif fits:
            found[field] = headings.index(fits[0])
        elif wanted or field == "id":
            problems.append(_missing(place, field, wanted, headings))
    if not live:
        problems += _doubtful(place, headings, set(found.values()))
    if problems:
        raise InventoryError(tuple(problems), Exit.BAD_INPUT)
    return found


def _doubtful(place: Place, headings: list[str], used: set[int]) -> list[Problem]:
    """Return problems for unknown columns that may contain tags or locks."""
    hint = say("name it with `columns: {{ tags: … }}` or `{{ locks: … }}`, or remove it")
    return [
        Problem(
            "R0202",
            say("column `{heading}` may contain tags or locks", heading=escaped(heading)),
            place,
            hint,
        )
        for at, heading in enumerate(headings)
        if at not in used and _DECIDES.search(heading.lower()) is not None
    ]


def _in_column(error: RowError, headings: list[str], fields: Mapping[str, int]) -> RowError:
    """Return the error with the heading of its column, if it has one."""
    if error.field not in fields:
        return error
    code, message, hint = error.args
    heading = escaped(headings[fields[error.field]])
    return RowError(
        code,
        say("{message} (column `{heading}`)", message=message, heading=heading),
        hint,
        error.field,
    )


def _missing(place: Place, field: str, wanted: str | None, headings: list[str]) -> Problem:
    if not wanted:
        hint = say(
            "the first line must contain headings; name this one with `columns: {{ id: … }}`"
        )
        return Problem("R0202", say("no column of instance ids"), place, hint)
    close = get_close_matches(wanted, headings, n=1, cutoff=0.5)
    hint = (
        say("did you mean `{suggestion}`?", suggestion=close[0])
        if close
        else say("see the first line of the file")
    )
    return Problem(
        "R0202",
        say("no column has the heading `{wanted}` ({field})", wanted=wanted, field=field),
        place,
        hint,
    )


def _row(row: list[str], headings: list[str], fields: Mapping[str, int], *, live: bool) -> Row:
    """Return the cells as a row of the API. Errors: RowError."""
    if secrecy.find("\n".join(row)) is not None:
        raise RowError("R0112", say("this is a private key or an AccessKey"))
    if any(map(cells.clean, row[len(headings) :])):
        hint = say("put a cell that contains the delimiter in quotes")
        raise RowError("R0201", say("the row has more cells than there are headings"), hint)
    values = {field: cells.clean(row[at]) for field, at in fields.items() if at < len(row)}
    named = values.get("id", "")
    if _NAMED.search(headings[fields["id"]].lower()) is not None:
        named = cells.instance_id(named)
    if live:
        return Row(named, values.get("region"), values.get("zone"))
    return Row(
        named,
        values.get("region"),
        values.get("zone"),
        values.get("osType"),
        values.get("osName"),
        _STATUSES.get(values.get("status", ""), values.get("status")),
        values.get("keyPair"),
        values.get("image"),
        values.get("startTime"),
        values.get("expiredTime"),
        None,
        msgspec.Raw(json.dumps(values.get("locks", "")).encode()),
        msgspec.Raw(json.dumps(values.get("tags", "")).encode()),
    )


def _ignored(
    source: Input, headings: list[str], columns: Mapping[str, str]
) -> list[tuple[str, str]]:
    """Return a note about the columns that are not used."""
    known = {heading for field in HEADINGS for heading in _fits(field, headings, columns)}
    names = ", ".join(escaped(each) for each in headings if each and each not in known)
    return [("R0208", f"{source.name}: columns not used: {names}")] if names else []


def _normalized(heading: str) -> str:
    """Return a heading in lower case without blanks and separators."""
    narrow = heading.lower().replace("（", "(").replace("）", ")")
    return "".join(narrow.split()).replace("_", "").replace("-", "")
