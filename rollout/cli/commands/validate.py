"""`rollout validate`: read specs, say everything that is wrong with them, touch nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from rollout.cli import render
from rollout.cli.options import OUTPUT, Common
from rollout.cli.terminal import Terminal
from rollout.errors import Exit, Problem, RolloutError
from rollout.model.plan import Warn


def validate(
    file: Path,
    /,
    *files: Path,
    output: Annotated[Literal["table", "json"], OUTPUT] = "table",
    common: Common = Common(),  # noqa: B008 - frozen
) -> Exit:
    """Read specs and report every problem at once, offline.

    Parameters
    ----------
    file
        Spec to read.
    files
        More specs.
    output
        Form of the result.
    """
    from rollout import specfile

    terminal = Terminal.of(common)
    ends, reports = [], []
    for path in (file, *files):
        try:
            warnings = specfile.load(path, Path.cwd()).warnings
        except RolloutError as error:
            ends.append(error.exit)
            reports.append(_report(path, error.problems, ()))
            if output == "table":
                terminal.complain(error)
        else:
            reports.append(_report(path, (), warnings))
            if output == "table":
                terminal.show("\n".join([f"{path}: valid", *_spelled(warnings)]))
    if output == "json":
        terminal.show(render.as_json({"format_version": "1.0", "files": reports}))
    return max(ends, default=Exit.DONE)


def _spelled(warnings: tuple[Warn, ...]) -> list[str]:
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
