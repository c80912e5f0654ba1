"""CSV files → gathered instances: a heading line, then one instance a row.

Called by `files`. Knows the headings of consoles and spreadsheets, in English and Chinese; the
spec's `columns` names others.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
from collections.abc import Iterator, Mapping
from difflib import get_close_matches

import msgspec

from rollout.errors import Exit, InventoryError, Place, Problem
from rollout.inventory.gathered import Gathered
from rollout.inventory.reading import Input
from rollout.inventory.rows import Maker, Row, RowError
from rollout.model import secrecy

HEADINGS: dict[str, tuple[str, ...]] = {
    "id": ("instanceid", "id", "instance", "实例id", "实例", "ecs实例id", "资源id"),
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
"""Headings of each field, squeezed."""

_STATUSES = {"运行中": "Running", "已停止": "Stopped", "启动中": "Starting", "停止中": "Stopping"}
_DELIMITERS = ",;\t"


def read_csv(source: Input, maker: Maker, gathered: Gathered, columns: Mapping[str, str]) -> int:
    """Gather a table; the number of instances it named. `columns`: field to heading."""
    lines = _lines(source)
    first = next(lines, "")
    reader = csv.reader(
        itertools.chain([first], lines),
        delimiter=max(_DELIMITERS, key=first.count),
        strict=True,
    )
    count, headings = 0, next(_filled(source, reader), [])
    fields = _fields(source, headings, columns) if headings else {}
    for cells in _filled(source, reader):
        count += 1
        try:
            gathered.add(maker.one(_row(cells, headings, fields)))
        except RowError as error:
            gathered.complain(source.place(reader.line_num), error)
    gathered.notes.extend(_ignored(source, headings, fields))
    return count


def _lines(source: Input) -> Iterator[str]:
    """Lines with their ends: LF, CR or CRLF, and no other character ends a line (RFC 4180)."""
    for block in source.blocks(cr=True):
        yield from io.StringIO(block.decode(), newline="")


def _filled(source: Input, reader: Iterator[list[str]]) -> Iterator[list[str]]:
    """The rows with something in them."""
    try:
        yield from filter(any, reader)
    except csv.Error as error:
        raise source.refused("R0201", f"no CSV: {error}") from None


def _fields(source: Input, headings: list[str], columns: Mapping[str, str]) -> dict[str, int]:
    """The column of each field. InventoryError with all that is wrong with the headings."""
    place = source.place(1)
    problems = [
        Problem("R0202", f"two columns are headed `{heading}`", place, "rename or drop one of them")
        for heading in dict.fromkeys(headings)
        if heading and headings.count(heading) > 1
    ]
    found: dict[str, int] = {}
    for field, known in HEADINGS.items():
        wanted = columns.get(field)
        fits = [
            each for each in headings if wanted == each or (not wanted and _squeezed(each) in known)
        ]
        if len(set(fits)) > 1:
            both = " and ".join(f"`{each}`" for each in fits)
            hint = f"say which in the spec: `columns: {{ {field}: {fits[0]} }}`"
            problems.append(Problem("R0202", f"{both} could both be the {field}", place, hint))
        elif fits:
            found[field] = headings.index(fits[0])
        elif wanted or field == "id":
            problems.append(_missing(place, field, wanted, headings))
    if problems:
        raise InventoryError(tuple(problems), Exit.BAD_INPUT)
    return found


def _missing(place: Place, field: str, wanted: str | None, headings: list[str]) -> Problem:
    if not wanted:
        hint = "the first line holds headings; name this one with `columns: { id: … }`"
        return Problem("R0202", "no column of instance ids", place, hint)
    close = get_close_matches(wanted, headings, n=1, cutoff=0.5)
    hint = f"did you mean `{close[0]}`?" if close else "see the first line of the file"
    return Problem("R0202", f"no column is headed `{wanted}` ({field})", place, hint)


def _row(cells: list[str], headings: list[str], fields: Mapping[str, int]) -> Row:
    """The cells as a row of the API. RowError where they cannot be one."""
    if secrecy.find("\n".join(cells)) is not None:
        raise RowError("R0112", "a private key or an AccessKey stands here")
    if len(cells) > len(headings):
        hint = "a cell with the delimiter in it needs quotes"
        raise RowError("R0201", "the row has more cells than there are headings", hint)
    values = {field: cells[at].strip() for field, at in fields.items() if at < len(cells)}
    at = fields["id"]
    return Row(
        cells[at] if at < len(cells) else "",
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
    source: Input, headings: list[str], fields: Mapping[str, int]
) -> list[tuple[str, str]]:
    unused = [each for at, each in enumerate(headings) if each and at not in fields.values()]
    names = ", ".join(unused)
    return [("R0208", f"{source.name}: columns not used: {names}")] if unused else []


def _squeezed(heading: str) -> str:
    return heading.lower().replace(" ", "").replace("_", "").replace("-", "").strip()
