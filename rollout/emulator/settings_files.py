"""Read files that describe an emulated cloud: YAML lists with the line of each entry.

Called by the readers of fleets and faults. Each error is a ConfigError R0013 with file and line.
"""

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from rollout.emulator import faults
from rollout.emulator.faults import Fault
from rollout.errors import ConfigError, Place
from rollout.model.time import parse_duration

_T = TypeVar("_T")

Entry = tuple[int, dict[str, Any]]
"""Line (from 1) and values of one entry of a list."""


def load_faults(path: Path) -> tuple[Fault, ...]:
    """Read a YAML list of `{ fault, probability, actions, delay, code }`; delays: `5s`, `200ms`.

    The path `hostile` returns a few of each fault.
    Errors: ConfigError for the first invalid entry.
    """
    if str(path) == "hostile":
        return faults.HOSTILE
    return tuple(_fault(path, line, values) for line, values in opened(yaml_entries, path))


def error(message: str, where: str) -> ConfigError:
    """Return the error about a settings file; `where` is `file` or `file:line`."""
    file, colon, line = where.rpartition(":")
    numbered = bool(colon) and line.isdigit()
    place_ = Place(file, int(line)) if numbered else Place(where)
    return ConfigError.of("R0013", message, place=place_)


def place(path: Path, line: int) -> str:
    """Return `file:line`."""
    return f"{path}:{line}"


def opened(read: Callable[[Path], Iterable[_T]], path: Path) -> Iterator[_T]:
    """Yield what `read` yields. Errors: ConfigError for what it cannot read."""
    try:
        yield from read(path)
    except OSError as problem:
        raise error(f"the file cannot be read: {problem.strerror}", str(path)) from None
    except MarkedYAMLError as problem:
        line = problem.problem_mark.line + 1 if problem.problem_mark else 1
        raise error(f"not YAML: {problem.problem}", place(path, line)) from None
    except (YAMLError, csv.Error, UnicodeDecodeError, msgspec.DecodeError, ValueError) as problem:
        raise error(f"the file cannot be read: {problem}", str(path)) from None


def yaml_entries(path: Path) -> Iterator[Entry]:
    """Yield the mappings of a YAML list, with the line where each begins."""
    document = YAML(typ="rt", pure=True).load(path.read_text(encoding="utf-8"))
    if not isinstance(document, list):
        raise error("a list of mappings is expected", str(path))
    for index, entry in enumerate(document):
        line = document.lc.item(index)[0] + 1  # type: ignore[attr-defined]
        if not isinstance(entry, Mapping):
            raise error("a mapping is expected", place(path, line))
        yield line, _plain(entry)


def _plain(value: Any) -> Any:
    """Return values without the types of the round-trip reader."""
    if isinstance(value, Mapping):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, bool) or value is None:
        return value
    for kind in (int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return str(value)


def _fault(path: Path, line: int, values: dict[str, Any]) -> Fault:
    where = place(path, line)
    values = dict(values)
    if (delay := values.pop("delay", None)) is not None:
        try:
            values["delay_ms"] = parse_duration(str(delay), milliseconds=True)
        except ValueError as problem:
            raise error(f"delay: {problem}", where) from None
    try:
        fault = msgspec.convert(values, Fault)
    except msgspec.ValidationError as problem:
        raise error(str(problem), where) from None
    if why := fault.problem():
        raise error(why, where)
    return fault
