"""Format errors and warnings in the current language: code, message, location with a caret, fix,
request id.

`cli.main` and `cli.terminal` print the text to stderr.
"""

from __future__ import annotations

from rollout.cli import suggested
from rollout.cli.language import tr, tr_many, translated
from rollout.cli.views.render import columns
from rollout.errors import Place, Problem, RolloutError
from rollout.model import limits, secrecy
from rollout.model.printable import escaped

LINE_WIDTH_MAX = 120
"""Maximum columns of a displayed source line; a row of JSON may have a million."""
_CONTEXT = 30
"""Columns shown before the caret where the line is cut."""


def render(error: RolloutError) -> str:
    """Return the first 50 problems of an error and a count of the rest, without a line feed."""
    shown = [
        _problem(tr("error[{code}]: {problem}", code=problem.code, problem=problem.what), problem)
        for problem in error.problems[: limits.PROBLEMS_SHOWN_MAX]
    ]
    more = len(error.problems) - len(shown)
    if more > 0:
        shown.append(tr_many("… and {number} more problem", "… and {number} more problems", more))
    if error.resume:
        shown.append(tr("resume: {command}", command=suggested.with_options(error.resume)))
    return secrecy.masked("\n\n".join(shown))


def warning(problem: Problem) -> str:
    """Return a warning with its location and fix, without a line feed."""
    head = tr("warning[{code}]: {problem}", code=problem.code, problem=problem.what)
    return secrecy.masked(_problem(head, problem))


def _problem(head: str, problem: Problem) -> str:
    lines = [escaped(head)]
    if problem.place is not None:
        lines += _place(problem.place)
    lines += [f"  {escaped(suggested.with_options(translated(note)))}" for note in problem.notes]
    if problem.cure:
        cure = suggested.with_options(translated(problem.cure))
        lines.append(f"  {escaped(tr('help: {cure}', cure=cure))}")
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
    caret = " " * columns(before) + "^" * max(1, columns(marked))
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
