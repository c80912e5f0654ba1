"""`rollout validate`: read specs and inventory files, and report all problems."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from rollout.cli.options import OUTPUT, Common, Flag
from rollout.cli.terminal import Terminal
from rollout.cli.views import render
from rollout.errors import Exit, Problem, RolloutError
from rollout.model.plan import Warn
from rollout.model.spec import FileSource, Spec


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
    from rollout import specfile

    terminal = Terminal.of(common)
    ends, reports = [], []
    for path in (file, *files):
        try:
            loaded = specfile.load(path, Path.cwd())
            notes = _inventory(loaded.spec, allow_partial=allow_partial)
            warnings = (*loaded.warnings, *notes)
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


def _inventory(spec: Spec, *, allow_partial: bool) -> tuple[Warn, ...]:
    """Read the inventory files as `plan` does, but not the standard input.

    Errors: InventoryError with the problems of all files.
    """
    from rollout.inventory import files, naming, unlisted

    named = [
        source
        for source in spec.inventory
        if isinstance(source, FileSource) and source.path != files.STDIN
    ]
    spec = msgspec.structs.replace(spec, inventory=tuple(named))
    read = naming.read_files(spec, Path.cwd(), "", live=True, allow_partial=allow_partial)
    whole = read.whole(matching=False)
    regions = unlisted.named_by(spec).union(one.region for one in whole.instances.values())
    notes = [*whole.notes, *unlisted.notes(regions)]
    return tuple(Warn(code, 0, text) for code, text in notes)


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
