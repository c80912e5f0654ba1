"""Fleets from a file: JSONL or CSV with the fields of `/_admin/instances`, or YAML with counts.

Called by the command line. Reads the file once to learn its regions and once more to fill them
(once for each, where their rows are mixed): a million rows never stand in memory at once.
"""

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import msgspec

from rollout.emulator import regions, settings
from rollout.emulator.fleet import Fleet
from rollout.emulator.fleetrows import Loader, Row

ROWS_MAX: Final = 1_000_000

_Reader = Callable[[Path], Iterable[tuple[int, Row]]]


def load(path: Path, *, seed: int, now: int) -> Fleet:
    """The fleet a file describes; the ending of its name says the form.

    Errors: ConfigError with file and line for the first thing that is wrong.
    """
    read = _READERS.get(path.suffix.lower())
    if read is None:
        raise settings.error("a fleet is a .jsonl, .csv, .yaml or .yml file", str(path))
    runs = [name for name, _ in groupby(row.region for _, row in _counted(path, read))]
    names = dict.fromkeys(runs)
    passes: list[str | None] = [None] if len(runs) == len(names) else [*names]
    loader = Loader(seed, now)
    for only in passes:
        for line, row in settings.opened(read, path):
            if only in {None, row.region}:
                _add(loader, path, line, row)
    try:
        return loader.builder.finish(seed, list(regions.KNOWN.values()))
    except ValueError as error:
        raise settings.error(str(error), str(path)) from None


def _add(loader: Loader, path: Path, line: int, row: Row) -> None:
    try:
        loader.add(row)
    except ValueError as error:
        raise settings.error(str(error), settings.place(path, line)) from None


def _counted(path: Path, read: _Reader) -> Iterator[tuple[int, Row]]:
    """The rows of a file, as long as they are not too many."""
    total = 0
    for line, row in settings.opened(read, path):
        total += row.count
        if total > ROWS_MAX:
            raise settings.error(f"more than {ROWS_MAX} instances", settings.place(path, line))
        yield line, row


def _jsonl(path: Path) -> Iterator[tuple[int, Row]]:
    decoder = msgspec.json.Decoder(Row)
    with path.open("rb") as file:
        for line, text in enumerate(file, 1):
            if text.strip():
                try:
                    yield line, decoder.decode(text)
                except msgspec.DecodeError as error:
                    raise settings.error(str(error), settings.place(path, line)) from None


def _csv(path: Path) -> Iterator[tuple[int, Row]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        for cells in reader:
            yield reader.line_num, _row(path, reader.line_num, cells, _from_cells, strict=False)


def _yaml(path: Path) -> Iterator[tuple[int, Row]]:
    for line, values in settings.yaml_entries(path):
        yield line, _row(path, line, values, dict)


def _row(
    path: Path,
    line: int,
    values: Mapping[str, Any],
    read: Callable[[Any], dict[str, Any]],
    *,
    strict: bool = True,
) -> Row:
    """One row; where not `strict`, numbers and booleans may be texts."""
    try:
        return msgspec.convert(read(values), Row, strict=strict)
    except ValueError as error:  # msgspec's own are ValueErrors too
        raise settings.error(str(error), settings.place(path, line)) from None


def _from_cells(cells: Mapping[str, str | None]) -> dict[str, Any]:
    """Cells are texts: an empty one is no value, and only a key pair can be told to have none."""
    row: dict[str, Any] = {}
    for name, text in cells.items():
        if text:
            row[name] = _CELLS.get(name, str)(text)
        elif name in {"key_pair", "key_in_force"}:
            row[name] = None
    return row


def _pairs(text: str) -> dict[str, str]:
    parts = (part.partition("=") for part in text.split(";"))
    return {key: value for key, _, value in parts}


_CELLS: Final[Mapping[str, Callable[[str], object]]] = {
    "locks": lambda text: text.split(";"),
    "tags": _pairs,
}

_READERS: Final[Mapping[str, _Reader]] = {
    ".jsonl": _jsonl,
    ".csv": _csv,
    ".yaml": _yaml,
    ".yml": _yaml,
}
