"""Format the problems of an error as plain data, in English. Pure."""

from __future__ import annotations

from typing import Any

from rollout.errors import Problem


def data(problem: Problem) -> dict[str, Any]:
    """Return the fields of one problem; an unknown field is None."""
    place = problem.place
    return {
        "code": problem.code,
        "message": problem.message,
        "file": place.file if place else None,
        "line": place.line if place else None,
        "column": place.column if place else None,
        "help": problem.help,
    }
