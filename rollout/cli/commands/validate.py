"""`rollout validate`: read specs and inventory files, and report all problems."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from rollout.cli.options import OUTPUT, Common, Flag
from rollout.cli.terminal import Terminal
from rollout.cli.views import render
from rollout.errors import Exit, Problem, RolloutError
from rollout.model.plan import Warn


def validate(
    file: Path,
    /,
    *files: Path,
    allow_partial: Flag = False,
    output: Annotated[Literal["table", "json"], OUTPUT] = "table",
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
    output
        Format of the result.
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
            if output == "table":
                terminal.error(error)
        else:
            reports.append(_report(path, (), warnings))
            if output == "table":
                terminal.show("\n".join([f"{path}: valid", *_lines(warnings)]))
    if output == "json":
        terminal.show(render.as_json({"format_version": "1.0", "files": reports}))
    return max(ends, default=Exit.DONE)


def _lines(warnings: tuple[Warn, ...]) -> list[str]:
    return [f"! {warning.text}  {warning.code}" for warning in warnings]


def _report(
    path: Path, problems: tuple[Problem, ...], warnings: tuple[Warn, ...]
) -> dict[str, Any]:
    return {
        "file": str(path),
        "valid": not problems,
        "problems": [
            {
                "code": problem.code,
                "message": problem.message,
                "line": problem.place.line if problem.place else None,
                "column": problem.place.column if problem.place else None,
                "help": problem.help,
            }
            for problem in problems
        ],
        "warnings": [{"code": warning.code, "text": warning.text} for warning in warnings],
    }
