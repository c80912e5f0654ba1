"""Check whether the pages in a file are the whole listing.

Called by the reader of JSON and JSONL, which adds each page in the order of the file. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rollout.inventory.rows import RowError
from rollout.model.phrase import Phrase, Wording, joined, say, say_many

NUMBERS_SHOWN = 5
"""Maximum page numbers in a message."""


@dataclass(frozen=True, slots=True)
class PageFacts:
    """Facts about a listing on one of its pages; 0 if unknown.

    `total` instances are in the listing, this is page `number`, and `more` pages follow.
    """

    total: int = 0
    number: int = 0
    more: bool = False


@dataclass(slots=True)
class _Group:
    """Pages of one region with the same total."""

    ids: set[str] = field(default_factory=set)
    numbers: set[int] = field(default_factory=set)


def facts_of(fields: Mapping[str, object]) -> PageFacts:
    """Return the facts of a page with folded field names. Errors: RowError."""
    token = fields.get("nexttoken")
    if not isinstance(token, str | None):
        raise RowError("R0201", say("the NextToken of a page is not text"))
    return PageFacts(_number(fields, "totalcount"), _number(fields, "pagenumber"), bool(token))


class Pages:
    """Collects the pages of one file."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, int], _Group] = {}
        self._cut: str | None = None
        self._expected: str | None = None

    def add(self, facts: PageFacts, region: str, ids: set[str]) -> None:
        """Add a page with these ids. `region` is the region of its rows, empty without rows."""
        if self._expected is not None and region not in ("", self._expected):
            self._cut = self._cut or self._expected
        if facts.more:
            self._expected = region or self._expected or ""
        else:
            self._expected = None
        group = self._groups.setdefault((region, facts.total), _Group())
        group.ids |= ids
        if facts.number:
            group.numbers.add(facts.number)

    def missing(self) -> Wording:
        """Return what the listings of the file lack, as one sentence, or an empty text."""
        parts = [*self._short(), *self._gaps()]
        if self._cut is not None or self._expected is not None:
            where = self._cut if self._cut is not None else self._expected
            parts.append(_of(where, say("no page follows the NextToken of the last page")))
        return joined(parts)

    def _short(self) -> list[Phrase]:
        """Return the listings with fewer instances than their total."""
        whole = {total for (_, total), group in self._groups.items() if len(group.ids) >= total}
        return [
            _of(region, _too_few(total, group))
            for (region, total), group in self._groups.items()
            if len(group.ids) < total and (group.ids or total not in whole)
        ]

    def _gaps(self) -> list[Phrase]:
        """Return the missing page numbers of listings without a total."""
        found = []
        for (region, total), group in self._groups.items():
            if total == 0 and group.numbers and len(group.numbers) < max(group.numbers):
                wanted = range(1, max(group.numbers) + 1)
                lost = [number for number in wanted[:1000] if number not in group.numbers]
                names = ", ".join(str(number) for number in lost[:NUMBERS_SHOWN])
                last = max(group.numbers)
                gap = say("page {numbers} of {last:,} is missing", numbers=names, last=last)
                found.append(_of(region, gap))
        return found


def _number(fields: Mapping[str, object], name: str) -> int:
    value = fields.get(name)
    if value is None or value == "":
        return 0
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value[:18])
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise RowError("R0201", say("the {name} of a page is not a number", name=name))
    return value


def _of(region: str | None, part: Phrase) -> Phrase:
    return say("{region}: {part}", region=region, part=part) if region else part


def _too_few(total: int, group: _Group) -> Phrase:
    """Return how many instances are missing from the pages of a group."""
    found = len(group.ids)
    text = say(
        "TotalCount is {total:,}, but only {found:,} instances are here", total=total, found=found
    )
    numbers = [str(number) for number in sorted(group.numbers)]
    if not numbers:
        return text
    shown = ", ".join([*numbers[:NUMBERS_SHOWN], *(["…"] if len(numbers) > NUMBERS_SHOWN else [])])
    return say_many(
        "{part} (page {pages})", "{part} (pages {pages})", len(numbers), part=text, pages=shown
    )
