"""`rollout validate`: read specs and inventory files, and report all problems."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rollout.cli import output
from rollout.cli.language import tr
from rollout.cli.options import Common, Flag
from rollout.cli.output import Output, Row, Shown
from rollout.cli.terminal import Terminal
from rollout.cli.views import problems as views
from rollout.cli.views import render
from rollout.errors import Exit, Problem, RolloutError
from rollout.model.plan import Warn


def validate(
    file: Path,
    /,
    *files: Path,
    allow_partial: Flag = False,
    form: Output = Output(),  # noqa: B008 - frozen
    common: Common = Common(),  # noqa: B008 - frozen
) -> Exit:
    """Check specs and inventory files offline; report all problems.

    Parameters
    ----------
    file
        Spec to check.
    files
        More specs.
    allow_partial
        Accept an incomplete listing of instances, with a warning.
    """
    from rollout.app import specs

    terminal = Terminal.of(common)
    ends, reports = [], []
    for path in (file, *files):
        try:
            warnings = specs.validate(path, allow_partial=allow_partial)
        except RolloutError as error:
            ends.append(error.exit)
            reports.append(_report(path, error.problems, ()))
            if form == Output():
                terminal.error(error)
        else:
            reports.append(_report(path, (), warnings))
            if form == Output():
                lines = [tr("{file}: valid", file=path), *_lines(warnings, terminal.width)]
                terminal.show("\n".join(lines))
    result = Shown(
        text=str,
        document=lambda: {"format_version": "1.0", "files": reports},
        rows=lambda: (row for report in reports for row in _rows(report)),
        ids=lambda: (report["file"] for report in reports if not report["valid"]),
    )
    if form != Output():
        output.show(terminal, form, result)
    return max(ends, default=Exit.DONE)


def _lines(warnings: tuple[Warn, ...], width: int) -> list[str]:
    return [line for one in warnings for line in render.coded(one.text, one.code, width)]


def _report(
    path: Path, problems: tuple[Problem, ...], warnings: tuple[Warn, ...]
) -> dict[str, Any]:
    return {
        "file": str(path),
        "valid": not problems,
        "problems": [views.data(problem) for problem in problems],
        "warnings": [{"code": warning.code, "text": warning.text} for warning in warnings],
    }


def _rows(report: dict[str, Any]) -> Iterator[Row]:
    """Yield a row for each problem and each warning of a file."""
    file = report["file"]
    for problem in report["problems"]:
        place = {"file": problem["file"] or file}
        yield {**place, "severity": "error", **problem, **place}
    for warning in report["warnings"]:
        found = {"code": warning["code"], "message": warning["text"]}
        yield {
            "file": file,
            "severity": "warning",
            **found,
            "line": None,
            "column": None,
            "help": "",
        }
