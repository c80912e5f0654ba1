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
    text: str
    fix: str = ""
    code: str = ""
    exit: Exit = Exit.DONE


def exit_of(checks: Iterable[Check]) -> Exit:
    """Return the exit code of the first problem; 0 without a problem."""
    return next((one.exit for one in checks if one.state is CheckState.PROBLEM), Exit.DONE)


@dataclass
class Checkup:
    """The checks so far."""

    checks: list[Check] = field(default_factory=list)

    def ok(self, name: str, text: str) -> None:
        """Add a check that found nothing wrong."""
        self.checks.append(Check(name, CheckState.OK, text))

    def unknown(self, name: str, text: str, fix: str = "") -> None:
        """Add a check that cannot be made."""
        self.checks.append(Check(name, CheckState.UNKNOWN, text, fix))

    def warn(self, name: str, *warnings: Problem) -> None:
        """Add warnings."""
        for one in warnings:
            fix = one.help or ""
            self.checks.append(Check(name, CheckState.WARNING, one.message, fix, one.code))

    def problem(self, name: str, one: Problem, exit_: Exit) -> None:
        """Add a problem that ends the command with this exit code."""
        text = f"{one.place}: {one.message}" if one.place else one.message
        self.checks.append(Check(name, CheckState.PROBLEM, text, one.help or "", one.code, exit_))

    @contextmanager
    def problems(self, name: str) -> Iterator[None]:
        """Turn an error of the block into findings."""
        try:
            yield
        except RolloutError as error:
            for one in error.problems:
                self.problem(name, one, error.exit)
