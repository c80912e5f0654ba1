"""The form of a result: one set of options, and one renderer for all commands that list or show.

JSON is never localized: snake_case keys, times in RFC 3339 UTC. Columns of CSV are the fields.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Annotated, Any, Final, Literal

from cyclopts import Parameter

from rollout.cli.options import OUTPUT
from rollout.cli.terminal import Terminal
from rollout.cli.views import render
from rollout.errors import UsageError
from rollout.model.phrase import Wording, say

Row = dict[str, Any]
_ROWS_AT_ONCE: Final = 1_000
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet runs a cell that begins with one of these."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Output:
    """Options of the commands that list or show.

    Parameters
    ----------
    output
        Format of the result. json: one document. jsonl, csv: one line per row. ids: only the ids of
        the rows.
    query
        JMESPath expression that selects from the JSON document, as `runs[?exit==`3`].run`. Its
        result is printed as JSON, or in the format jsonl, csv or ids.
    """

    output: Annotated[Literal["table", "json", "jsonl", "csv", "ids"], OUTPUT] = "table"
    query: str | None = None


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A result in all forms, each made when it is needed.

    `document` has the rows and all else; `ids` are those of the rows that matter most.
    """

    text: Callable[[], str]
    document: Callable[[], Any]
    rows: Callable[[], Iterable[Row]]
    ids: Callable[[], Iterable[str]]


def show(terminal: Terminal, form: Output, result: Shown) -> None:
    """Print a result. Errors: UsageError R0023 for a query that is no JMESPath expression or whose
    result does not suit the format; StorageError R0804.
    """
    rows, ids = result.rows, result.ids
    if form.query is not None:
        selected = _selected(form.query, result.document())
        if form.output in ("table", "json"):
            terminal.show(render.as_json(selected))
            return
        listed = _listed(form, selected)
        rows, ids = lambda: _as_rows(form, listed), lambda: _as_ids(form, listed)
    match form.output:
        case "json":
            terminal.show(render.as_json(result.document()))
        case "jsonl":
            _show_lines(terminal, (render.as_json(row) for row in rows()))
        case "csv":
            _show_lines(terminal, _csv(list(rows())))
        case "ids":
            _show_lines(terminal, iter(ids()))
        case _:
            terminal.show(result.text())


def _show_lines(terminal: Terminal, lines: Iterator[str]) -> None:
    """Print lines in pieces, so that a million rows need no memory of their own."""
    while piece := list(islice(lines, _ROWS_AT_ONCE)):
        if not terminal.show("\n".join(piece)):
            return


def _csv(rows: list[Row]) -> Iterator[str]:
    """Yield the heading and the rows; nested values are JSON, and no cell is a formula."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    if columns:
        yield _csv_line(columns)
    for row in rows:
        yield _csv_line([_cell(row.get(name)) for name in columns])


def _csv_line(cells: list[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(cells)
    return text.getvalue()


def _cell(value: object) -> str:
    match value:
        case None:
            return ""
        case str():
            return f"'{value}" if value.startswith(_FORMULA) else value
        case _:
            return json.dumps(value, ensure_ascii=False)


def _selected(query: str, document: Any) -> Any:
    import jmespath
    from jmespath.exceptions import JMESPathError

    try:
        return jmespath.search(query, json.loads(json.dumps(document)))  # tuples become lists
    except JMESPathError as error:
        said = " ".join(str(error).split())
        text = say("--query is not a JMESPath expression for this document: {said}", said=said)
        raise UsageError.of("R0023", text, help=say("see https://jmespath.org")) from None


def _listed(form: Output, selected: Any) -> list[Any]:
    if isinstance(selected, list):
        return selected
    raise _unsuited(form, say("select a list"))


def _as_rows(form: Output, selected: list[Any]) -> list[Any]:
    if form.output == "jsonl" or all(isinstance(one, dict) for one in selected):
        return selected
    raise _unsuited(form, say("select a list of objects, as `runs[].{{run: run, exit: exit}}`"))


def _as_ids(form: Output, selected: list[Any]) -> list[str]:
    if all(isinstance(one, str) for one in selected):
        return selected
    raise _unsuited(form, say("select a list of texts, as `runs[].run`"))


def _unsuited(form: Output, cure: Wording) -> UsageError:
    message = say("the result of --query cannot be printed as {output}", output=form.output)
    return UsageError.of("R0023", message, help=cure)
