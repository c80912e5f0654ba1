"""Parse JSON strictly: no duplicate keys, no NaN, no deep nesting, no secrets.

Used by the value-by-value reader. It is slower than the typed decoder, and reports the place of
each error.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

from rollout.inventory.rows import RowError
from rollout.model import limits, secrecy
from rollout.model.phrase import Wording, say

_NO_SPACE = re.compile(r"[^ \t\r\n]")


class FlawError(RowError):
    """Invalid JSON at an offset of the text."""

    def __init__(self, code: str, message: Wording, offset: int) -> None:
        super().__init__(code, message)
        self.offset = offset


def parse(text: str, start: int, above: int = 0) -> tuple[Any, int]:
    """Return the value at `start`, which is `above` levels deep, and the offset after it.

    Errors: FlawError if it is refused.
    """
    try:
        value, end = _DECODER.raw_decode(text, start)
    except json.JSONDecodeError as error:
        cause = error.msg[:1].lower() + error.msg[1:]
        raise FlawError("R0201", say("not JSON: {cause}", cause=cause), error.pos) from None
    except RecursionError:
        raise FlawError("R0207", _TOO_DEEP, start) from None
    except ValueError as error:
        raise FlawError("R0201", say("not JSON: {cause}", cause=error.args[0]), start) from None
    if secrecy.find(text[start:end]) is not None:
        raise FlawError("R0112", say("this is a private key or an AccessKey"), start)
    if _is_deeper(value, limits.INVENTORY_NESTING_MAX - above):
        raise FlawError("R0207", _TOO_DEEP, start)
    return value, end


def skip(text: str, start: int) -> int:
    """Return the offset of the first character from `start` on that is not white space."""
    found = _NO_SPACE.search(text, start)
    return found.start() if found else len(text)


_TOO_DEEP = say(
    "nested deeper than {levels} levels, the limit", levels=limits.INVENTORY_NESTING_MAX
)


def _is_deeper(value: object, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_is_deeper(each, levels - 1) for each in inner)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        duplicate = next(name for name in names if names.count(name) > 1)
        raise ValueError(say("`{field}` appears twice in one object", field=duplicate[:40]))
    return made


def _no_constant(name: str) -> NoReturn:
    raise ValueError(say("{name} is not a number", name=name))


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)
