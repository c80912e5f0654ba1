"""The rates of budgets are checked from the journal alone."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from rollout.journal.directory import DirectoryRun
from rollout.journal.verify import verify
from rollout.model import event as ev
from rollout.model import limits
from rollout.model.outcome import Refused, RetryClass, Unknown
from tests.journal import example_runs
from tests.journal.example_runs import ExampleRun
from tests.journal.recheck.cases import messages
from tests.journal.samples import NOW

WINDOW = limits.RATE_WINDOW_MS
SETTLE = example_runs.a_plan().restart.settle_window_ms
THROTTLED = Refused("Throttling", RetryClass.THROTTLED)


def rated(rate: int = 1) -> ExampleRun:
    """A run with this many restarts in ten minutes; two instances are attached."""
    plan = example_runs.a_plan()
    (group,), (budget,) = plan.groups, plan.budgets
    plan = msgspec.structs.replace(
        plan,
        groups=(msgspec.structs.replace(group, rate=rate),),
        budgets=(msgspec.structs.replace(budget, restarts_per_10m=rate),),
    )
    return ExampleRun(plan).open_wave(0).attached(0, 1)


def then(example: ExampleRun, at: int) -> ExampleRun:
    """The second instance is restarted at that time."""
    return example.restart(1, at=at, not_after=at + 60_000)


LEGAL: dict[str, Callable[[], ExampleRun]] = {
    "two restarts at a rate of two": lambda: then(rated(2).restart(0, at=NOW).settle(), NOW),
    "ten minutes after the reply": lambda: then(rated().restart(0, at=NOW).settle(), NOW + WINDOW),
    "after a refusal": lambda: then(rated().restart(0, at=NOW).settle(THROTTLED), NOW + 1),
    "long after a lost reply": lambda: then(
        rated().restart(0, at=NOW).settle(Unknown("timeout")), NOW + SETTLE + WINDOW
    ),
}
TOO_MANY = "2 restarts of group fleet began within ten minutes, at most 1 may"
ILLEGAL: dict[str, tuple[str, Callable[[], ExampleRun]]] = {
    "while the first call is open": (
        TOO_MANY,
        lambda: then(rated().restart(0, at=NOW), NOW + WINDOW),
    ),
    "before ten minutes are over": (
        TOO_MANY,
        lambda: then(rated().restart(0, at=NOW).settle(), NOW + WINDOW - 1),
    ),
    "too soon after a lost reply": (
        TOO_MANY,
        lambda: then(rated().restart(0, at=NOW).settle(Unknown("timeout")), NOW + WINDOW),
    ),
    "a call that another process lost": (
        TOO_MANY,
        lambda: then(rated().restart(0, at=NOW).resume(), NOW + WINDOW),
    ),
    "after a half-written line": (
        "was restarted too soon after a half-written line",
        lambda: then(rated().add(ev.TornTail(3, "sha256:1")).resume(), NOW + WINDOW),
    ),
    "without its time": ("at no valid time", lambda: rated().restart(0)),
}


@pytest.mark.parametrize("case", LEGAL)
def test_a_legal_run_has_no_violation(case: str, tmp_path: Path) -> None:
    """The rules are not stricter than the core."""
    assert messages(verify(DirectoryRun(LEGAL[case]().write(tmp_path)))) == ""


@pytest.mark.parametrize("case", ILLEGAL)
def test_a_restart_above_the_rate_is_a_violation(case: str, tmp_path: Path) -> None:
    """Its text names the instance, the group and the rate."""
    text, make = ILLEGAL[case]

    assert text in messages(verify(DirectoryRun(make().write(tmp_path))))
