"""Fill in dates in the names of key pairs: `ops-{year}q{quarter}` becomes `ops-2027q1`.

Called by `specfile`. Reads no clock.
"""

from __future__ import annotations

import re
from datetime import date

PLACEHOLDERS = ("year", "quarter", "month", "day")
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


class UnknownPlaceholder(ValueError):
    """The text has a placeholder with another name. `offset` is its position in the text."""

    def __init__(self, name: str, offset: int) -> None:
        super().__init__(name)
        self.name, self.offset = name, offset


def has_placeholder(text: str) -> bool:
    """Return whether `render` would change the text or refuse it."""
    return _PLACEHOLDER.search(text) is not None


def render(text: str, on: date) -> str:
    """Return the text with the year (2027), quarter (1), month (01) and day (05) of a date.

    Errors: UnknownPlaceholder.
    """
    values = {
        "year": f"{on.year:04d}",
        "quarter": str((on.month + 2) // 3),
        "month": f"{on.month:02d}",
        "day": f"{on.day:02d}",
    }

    def value(found: re.Match[str]) -> str:
        if found[1] not in values:
            raise UnknownPlaceholder(found[1], found.start())
        return values[found[1]]

    return _PLACEHOLDER.sub(value, text)
