"""The findings of `rollout doctor`.

Made by `doctor` and `doctor_probes`, and printed by the command.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from rollout.errors import Exit, Problem, RolloutError
from rollout.model.phrase import Wording, say


class CheckState(enum.StrEnum):
    """The result of one check."""

    OK = "ok"
    UNKNOWN = "not checkable"
    WARNING = "warning"
    PROBLEM = "problem"


class Check(NamedTuple):
    """One finding: what was checked, the result, and a fix where one is needed."""

    name: str
    state: CheckState
    text: Wording
    fix: Wording = ""
    code: str = ""
    exit: Exit = Exit.DONE


def exit_of(checks: Iterable[Check]) -> Exit:
    """Return the exit code of the first problem; 0 without a problem."""
    return next((one.exit for one in checks if one.state is CheckState.PROBLEM), Exit.DONE)


@dataclass
class Checkup:
    """The checks so far."""

    checks: list[Check] = field(default_factory=list)

    def ok(self, name: str, text: Wording) -> None:
        """Add a check that found nothing wrong."""
        self.checks.append(Check(name, CheckState.OK, text))

    def unknown(self, name: str, text: Wording, fix: Wording = "") -> None:
        """Add a check that cannot be made."""
        self.checks.append(Check(name, CheckState.UNKNOWN, text, fix))

    def warn(self, name: str, *warnings: Problem) -> None:
        """Add warnings."""
        for one in warnings:
            fix = one.cure or ""
            self.checks.append(Check(name, CheckState.WARNING, one.what, fix, one.code))

    def problem(self, name: str, one: Problem, exit_: Exit) -> None:
        """Add a problem that ends the command with this exit code."""
        text = say("{place}: {cause}", place=one.place, cause=one.what) if one.place else one.what
        self.checks.append(Check(name, CheckState.PROBLEM, text, one.cure or "", one.code, exit_))

    @contextmanager
    def problems(self, name: str) -> Iterator[None]:
        """Turn an error of the block into findings."""
        try:
            yield
        except RolloutError as error:
            for one in error.problems:
                self.problem(name, one, error.exit)
