"""JSON read by the letter: no doubled keys, no NaN, no deep nesting, no rest, no secrets.

Used where a file is read value by value: slower than the typed decoder, and able to say what is
wrong and where.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

from rollout.inventory.rows import RowError
from rollout.model import limits, secrecy

_NO_SPACE = re.compile(r"[^ \t\r\n]")


class FlawError(RowError):
    """Text that is no JSON, at an offset."""

    def __init__(self, code: str, message: str, offset: int) -> None:
        super().__init__(code, message)
        self.offset = offset


def parse(text: str, start: int, above: int = 0) -> tuple[Any, int]:
    """The value at `start`, which lies `above` levels deep, and the offset behind it.

    Errors: FlawError where there is none that is accepted.
    """
    try:
        value, end = _DECODER.raw_decode(text, start)
    except json.JSONDecodeError as error:
        where = error.pos
        raise FlawError(
            "R0201", f"not JSON: {error.msg[:1].lower()}{error.msg[1:]}", where
        ) from None
    except RecursionError:
        raise FlawError("R0207", _TOO_DEEP, start) from None
    except ValueError as error:
        raise FlawError("R0201", f"not JSON: {error}", start) from None
    if secrecy.find(text[start:end]) is not None:
        raise FlawError("R0112", "this is a private key or an AccessKey", start)
    if _is_deeper(value, limits.INVENTORY_NESTING_MAX - above):
        raise FlawError("R0207", _TOO_DEEP, start)
    return value, end


def skip(text: str, start: int) -> int:
    """The offset of the next character from `start` on that is no white space."""
    found = _NO_SPACE.search(text, start)
    return found.start() if found else len(text)


_TOO_DEEP = f"nested deeper than {limits.INVENTORY_NESTING_MAX} levels, the limit"


def _is_deeper(value: object, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_is_deeper(each, levels - 1) for each in inner)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        doubled = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"`{doubled[:40]}` stands twice in one object")
    return made


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)
