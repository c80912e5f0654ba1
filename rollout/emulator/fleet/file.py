"""Fleets from a file: JSONL or CSV with the fields of `/_admin/instances`, or YAML with counts.

Called by the command line. Reads the file once. Rows of later regions are buffered as JSON, not as
values, because the instances of a region have consecutive ordinals.
"""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from rollout.emulator import settings_files
from rollout.emulator.cloud import regions
from rollout.emulator.cloud.fleet import Fleet
from rollout.emulator.fleet.rows import FleetRow, Loader

ROWS_MAX: Final = 1_000_000

_Line = tuple[int, FleetRow]
"""The number of a line, from 1, and its row."""

_Reader = Callable[[Path], Iterable[_Line]]


def load(path: Path, *, seed: int, now: int) -> Fleet:
    """Return the fleet of a file; its suffix selects the format.

    Errors: ConfigError with file and line of the first error.
    """
    read = _READERS.get(path.suffix.lower())
    if read is None:
        raise settings_files.error("a fleet is a .jsonl, .csv, .yaml or .yml file", str(path))
    loader = Loader(seed, now)
    for line, row in _by_region(path, _counted(path, read)):
        try:
            loader.add(row)
        except ValueError as error:
            raise settings_files.error(str(error), settings_files.place(path, line)) from None
    try:
        return loader.builder.finish(seed, list(regions.KNOWN.values()))
    except ValueError as error:
        raise settings_files.error(str(error), str(path)) from None


def _by_region(path: Path, rows: Iterable[_Line]) -> Iterator[_Line]:
    """Yield the rows of the first region as they are read, then those of the others by region."""
    encode, decode = msgspec.json.Encoder().encode, msgspec.json.Decoder(_Line).decode
    first: str | None = None
    waiting: dict[str, io.BytesIO] = {}
    for line, row in rows:
        first = row.region if first is None else first
        if row.region == first:
            yield line, row
            continue
        try:
            text = encode((line, row))
        except UnicodeEncodeError as error:
            raise settings_files.error(str(error), settings_files.place(path, line)) from None
        waiting.setdefault(row.region, io.BytesIO()).write(text + b"\n")
    for name in [*waiting]:
        with waiting.pop(name) as lines:
            lines.seek(0)
            yield from map(decode, lines)


def _counted(path: Path, read: _Reader) -> Iterator[_Line]:
    """Yield the rows of a file. Errors: ConfigError if there are too many."""
    total = 0
    for line, row in settings_files.opened(read, path):
        total += row.count
        if total > ROWS_MAX:
            raise settings_files.error(
                f"more than {ROWS_MAX} instances", settings_files.place(path, line)
            )
        yield line, row


def _jsonl(path: Path) -> Iterator[_Line]:
    decoder = msgspec.json.Decoder(FleetRow)
    with path.open("rb") as file:
        for line, text in enumerate(file, 1):
            if text.strip():
                try:
                    yield line, decoder.decode(text)
                except (msgspec.DecodeError, UnicodeError) as error:
                    raise settings_files.error(
                        str(error), settings_files.place(path, line)
                    ) from None


def _csv(path: Path) -> Iterator[_Line]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        for cells in reader:
            yield reader.line_num, _row(path, reader.line_num, cells, _from_cells, strict=False)


def _yaml(path: Path) -> Iterator[_Line]:
    for line, values in settings_files.yaml_entries(path):
        yield line, _row(path, line, values, dict)


def _row(
    path: Path,
    line: int,
    values: Mapping[str, Any],
    read: Callable[[Any], dict[str, Any]],
    *,
    strict: bool = True,
) -> FleetRow:
    """Return one row; unless `strict`, numbers and booleans may be texts."""
    try:
        return msgspec.convert(read(values), FleetRow, strict=strict)
    except ValueError as error:  # msgspec's own are ValueErrors too
        raise settings_files.error(str(error), settings_files.place(path, line)) from None


def _from_cells(cells: Mapping[str, str | None]) -> dict[str, Any]:
    """Convert the cells of a CSV row: an empty one is absent, except for a key pair."""
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
