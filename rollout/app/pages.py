"""Read the pages about exit codes and error codes in docs/errors.md, which the package includes.

Called by `explain`.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from rollout.app import shipped
from rollout.errors import CODES, Exit, UsageError
from rollout.model.phrase import Wording, joined, say

PAGE = "docs/errors.md"
_ROW = re.compile(r"^\| (R\d{4}) \| \d+ \| .+? \| (.+) \|$", re.MULTILINE)
_EXIT = re.compile(r"^\| (\d+) \| ([a-z].*) \|$", re.MULTILINE)
_LINK = re.compile(r"\[([^]]+)\]\([^)]+\)")


class ErrorPage(NamedTuple):
    """What an error code means, and what to do. `exit` is the exit code it usually leads to."""

    code: str
    family: str
    title: str
    exit: Exit
    cure: str


def explain(code: str) -> ErrorPage:
    """Return the page of an error code in any case. Errors: UsageError R0016 if there is none."""
    known = code.upper()
    if known not in CODES:
        near = [one for one in CODES if one[:3] == known[:3]]
        hint: Wording = say("`rollout explain exit-codes` lists the exit codes")
        if near:
            codes = say(
                "codes that begin with {start}: {codes}", start=known[:3], codes=", ".join(near)
            )
            hint = joined([codes, hint])
        raise UsageError.of(
            "R0016",
            say("there is no error code `{code}`", code=code),
            help=hint,
        )
    families = _text().split("\n### ")
    family = next(one for one in families if f"\n| {known} |" in one)
    cure = dict(_ROW.findall(family))[known]
    title = CODES[known].title
    return ErrorPage(known, family.partition(" (")[0], title, CODES[known].exit, _plain(cure))


def exit_codes() -> dict[Exit, str]:
    """Return the meaning of each exit code, in ascending order."""
    return {Exit(int(number)): _plain(meaning) for number, meaning in _EXIT.findall(_text())}


def _text() -> str:
    return shipped.find(PAGE).read_text("utf-8")


def _plain(text: str) -> str:
    """Return Markdown text without links."""
    return _LINK.sub(r"\1", text)
