"""Clean the cells of consoles and spreadsheets.

Used by the readers of tables and lists of ids. It removes only what spreadsheets add to a text.
"""

from __future__ import annotations

import re

from rollout.inventory import forms
from rollout.model import instance

_FORMULA = re.compile('="(.*)"', re.DOTALL)
_NAMED = re.compile(rf"({instance.ID_PATTERN})\s*[/\uff0f\s(\uff08|].*", re.ASCII | re.DOTALL)
_ID = re.compile(rf"(?<![0-9A-Za-z-]){instance.ID_PATTERN}(?![0-9A-Za-z])", re.ASCII)
_RULE = re.compile(r"[-=+:\u2500\u2501]+")
_FIGURE = re.compile("[-+0-9.,%¥$ ]+[个台条项]?")
_TOTALS = re.compile(f"(合计|总计|小计|总数|共计|total|sum|subtotal) ?[:：]? ?({_FIGURE.pattern})?")


def clean(text: str) -> str:
    """Return the text without invisible characters around it, and without the marks that protect a
    text from becoming a number or a formula: a leading apostrophe, and `="…"`.
    """
    text = text.strip(forms.BLANK)
    formula = _FORMULA.fullmatch(text)
    if formula is not None:
        text = formula[1].replace('""', '"').strip(forms.BLANK)
    return text.removeprefix("'").removeprefix("\u2018").strip(forms.BLANK)


def instance_id(text: str) -> str:
    """Return the id in a clean cell with a name after it (`i-…/web-01`), or else the cell."""
    named = _NAMED.fullmatch(text)
    if named is not None and len(_ID.findall(text)) == 1:
        return named[1]
    return text


def is_rule(cells: list[str]) -> bool:
    """Return whether a row only separates the headings from the rows."""
    filled = [text for cell in cells if (text := clean(cell))]
    return bool(filled) and all(_RULE.fullmatch(text) for text in filled)


def is_total(cells: list[str]) -> bool:
    """Return whether a row is a total: a text such as `Total`, then only numbers."""
    filled = [text for cell in cells if (text := clean(cell))]
    return (
        bool(filled)
        and _TOTALS.fullmatch(filled[0].lower()) is not None
        and all(_FIGURE.fullmatch(text) for text in filled[1:])
    )
