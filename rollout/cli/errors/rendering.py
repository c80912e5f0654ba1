"""Format errors: code, message, location with a caret, fix, request id.

A pure function of the error; `cli.main` prints what it returns, to stderr.
"""

from __future__ import annotations

import unicodedata

from rollout.errors import Place, Problem, RolloutError
from rollout.model import limits, secrecy
from rollout.model.printable import escaped

LINE_WIDTH_MAX = 120
"""Maximum columns of a displayed source line; a row of JSON may have a million."""
_CONTEXT = 30
"""Columns shown before the caret where the line is cut."""


def render(error: RolloutError) -> str:
    """Return the first 50 problems of an error and a count of the rest, without a line feed."""
    shown = [_problem(problem) for problem in error.problems[: limits.PROBLEMS_SHOWN_MAX]]
    more = len(error.problems) - len(shown)
    if more > 0:
        shown.append(f"… and {more} more {'problem' if more == 1 else 'problems'}")
    if error.resume:
        shown.append(f"resume: {error.resume}")
    return secrecy.masked("\n\n".join(shown))


def _problem(problem: Problem) -> str:
    lines = [f"error[{problem.code}]: {escaped(problem.message)}"]
    if problem.place is not None:
        lines += _place(problem.place)
    lines += [f"  {escaped(note)}" for note in problem.notes]
    if problem.help:
        lines.append(f"  help: {escaped(problem.help)}")
    if problem.request_id:
        lines.append(f"  RequestId {escaped(problem.request_id)}")
    return "\n".join(lines)


def _place(place: Place) -> list[str]:
    """Return the arrow line and, if known, the source line with a caret."""
    arrow = f"  --> {escaped(str(place))}"
    if place.text is None or place.line is None or place.column is None:
        return [arrow]
    before, marked, after = _cut(place.text, place.column - 1, place.width)
    number = str(place.line)
    gutter = " " * len(number) + " |"
    caret = " " * _columns(before) + "^" * max(1, _columns(marked))
    return [arrow, gutter, f"{number} | {before}{marked}{after}".rstrip(), f"{gutter} {caret}"]


def _cut(text: str, start: int, width: int) -> tuple[str, str, str]:
    """Return the text before, at and after the caret, shortened to fit on a line."""
    before, marked, after = text[:start], text[start : start + width], text[start + width :]
    if len(text) > LINE_WIDTH_MAX:
        before = "…" + before[-_CONTEXT:] if len(before) > _CONTEXT else before
        marked = marked[:_CONTEXT]
        room = LINE_WIDTH_MAX - len(before) - len(marked)
        after = after[:room] + "…" if len(after) > room else after
    return _line(before), _line(marked), _line(after)


def _line(text: str) -> str:
    return escaped(text.replace("\t", " "))


def _columns(text: str) -> int:
    """Return the columns on a terminal. Chinese, Japanese and Korean characters take two."""
    return sum(2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in text)
