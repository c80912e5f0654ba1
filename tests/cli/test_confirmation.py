"""The confirmation of `apply SPEC`: accepted and refused answers."""

from __future__ import annotations

import dataclasses

import msgspec
import pytest

from rollout.cli import confirmation
from rollout.cli.terminal import Terminal
from rollout.core.planning import planner
from rollout.errors import ConfirmationError
from rollout.model.plan import Plan
from rollout.model.spec import Amount, Budget
from tests.app import factory


@dataclasses.dataclass(frozen=True, slots=True)
class Person(Terminal):
    """A terminal with an operator who types the same answer to every prompt."""

    answer: str = ""

    def prompt(self, question: str) -> str:
        return self.answer


def person(answer: str) -> Person:
    """An operator at a terminal."""
    return Person(
        out_color=False, err_color=False, width=80, live=False, interactive=True, answer=answer
    )


UNATTENDED = Terminal(out_color=False, err_color=False, width=80, live=False, interactive=False)


def plan(*, keyed: int = 0) -> Plan:
    """A plan of four targets; the first `keyed` already have the key."""
    rows = tuple(
        factory.instance(number, key_pair="ops-new" if number < 4 + keyed else "ops-old")
        for number in range(4, 8)
    )
    inventory = msgspec.structs.replace(factory.inventory(1), instances=rows)
    four = (Budget("fleet", Amount(count=4)),)
    rest = factory.spec().waves[1:]
    spec = msgspec.structs.replace(factory.spec(), exclude=(), budgets=four, waves=rest)
    return planner.make_plan(spec, inventory, {}, factory.NOW, planner.PlanContext("rollout"))


@pytest.mark.parametrize(
    "keyed, typed, good",
    [
        (0, "fleet", True),
        (0, "fleet 0", False),
        (0, "", False),
        (3, "fleet", False),
        (3, "fleet 2", False),
        (3, "fleet 3", True),
        (3, "fleet  3 ", True),
    ],
)
def test_a_person_types_the_name_and_how_many_restart_again(
    keyed: int, typed: str, *, good: bool
) -> None:
    """If targets already have the key, the name alone does not confirm."""
    if good:
        confirmation.confirm_plan(person(typed), plan(keyed=keyed), None, 0)
        return
    with pytest.raises(ConfirmationError) as caught:
        confirmation.confirm_plan(person(typed), plan(keyed=keyed), None, 0)
    assert caught.value.problems[0].code == "R0702"


@pytest.mark.parametrize(
    "keyed, given, again, code",
    [
        (0, "fleet", 0, None),
        (0, "other", 0, "R0702"),
        (0, None, 0, "R0701"),
        (2, "fleet", 0, "R0701"),
        (2, "fleet", 1, "R0701"),
        (2, "fleet", 2, None),
        (2, "fleet", 9, None),
        (2, "other", 2, "R0702"),
        (2, None, 2, "R0701"),
    ],
)
def test_without_a_terminal_options_answer_or_nothing_starts(
    keyed: int, given: str | None, again: int, code: str | None
) -> None:
    """--confirm covers the plan, --restart-again a number of restarts of targets with the key."""
    if code is None:
        confirmation.confirm_plan(UNATTENDED, plan(keyed=keyed), given, again)
        return
    with pytest.raises(ConfirmationError) as caught:
        confirmation.confirm_plan(UNATTENDED, plan(keyed=keyed), given, again)
    (problem,) = caught.value.problems
    assert problem.code == code
    if keyed > again:
        assert f"--restart-again {keyed}" in (problem.help or "")


def test_an_answered_name_needs_no_number_where_an_option_gave_it() -> None:
    """--restart-again covers the restarts; the name is still required."""
    confirmation.confirm_plan(person("fleet"), plan(keyed=2), None, 2)

    with pytest.raises(ConfirmationError) as caught:
        confirmation.confirm_plan(person("another"), plan(keyed=2), None, 2)
    assert caught.value.problems[0].code == "R0702"
