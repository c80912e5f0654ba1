"""The rules of the census, recomputed from journals that the core never writes."""

from __future__ import annotations

import msgspec
import pytest

from rollout.journal.recheck.rules import Rules
from rollout.model import event as ev
from rollout.model.event import AnyEvent
from rollout.model.time import MINUTE
from tests.journal import example_runs
from tests.journal.example_runs import ExampleRun
from tests.journal.samples import ACTOR, NOW

WITNESS = 5
"""The first exclusion of the plan, after five targets: a member of the group with the cap 2."""
TAKEN = ev.CensusTaken(NOW)


def found(*events: AnyEvent, restarted: tuple[int, ...] = ()) -> list[str]:
    """The violations about members of a run with these events, and then reboots."""
    plan = example_runs.a_plan()
    witness = msgspec.structs.replace(plan.exclusions[0], groups=(0,))
    plan = msgspec.structs.replace(plan, exclusions=(witness, *plan.exclusions[1:]))
    example = ExampleRun(plan).open_wave(0).attached(0, 1).add(*events)
    for ordinal in restarted:
        example.restart(ordinal)
    rules = Rules(example.plan)
    texts = [text for event in example.events for text in rules.take(event)]
    return [text for text in texts if any(w in text for w in ("member", "census", "down"))]


def down(at: int = NOW, *, lasting: bool = False) -> ev.MembersDown:
    """The witness is down."""
    return ev.MembersDown((WITNESS,), "Stopped", at, lasting)


UP = ev.MembersUp((WITNESS,), NOW + MINUTE)


@pytest.mark.parametrize(
    "events, restarted",
    [
        ((TAKEN,), (0, 1)),
        ((down(), TAKEN), (0,)),
        ((down(), TAKEN, UP), (0, 1)),
        ((down(), TAKEN, down(NOW + 10 * MINUTE, lasting=True), UP, down(NOW + 2 * MINUTE)), (0,)),
    ],
)
def test_restarts_next_to_a_member_that_is_down_are_no_false_alarm(
    events: tuple[AnyEvent, ...], restarted: tuple[int, ...]
) -> None:
    """As many instances restart as the cap allows next to the member."""
    assert found(*events, restarted=restarted) == []


@pytest.mark.parametrize(
    "events, restarted, text",
    [
        ((), (0,), "call 2 restarts before a census"),
        ((TAKEN, ev.Resumed(2, ACTOR, NOW)), (0,), "restarts before a census"),
        ((down(), TAKEN), (0, 1), "are down, 1 of them without this run, its cap is 2"),
        ((down(), down()), (), "member 5 is down twice"),
        ((UP,), (), "member 5 is up and was not down"),
        ((down(), down(NOW + MINUTE, lasting=True)), (), "given up after less than ten minutes"),
        ((ev.MembersDown((0,), "Stopped", NOW),), (), "names what is no member"),
    ],
)
def test_a_violated_rule_of_the_census_is_found(
    events: tuple[AnyEvent, ...], restarted: tuple[int, ...], text: str
) -> None:
    """Each violation has its own text."""
    texts = found(*events, restarted=restarted)

    assert any(text in one for one in texts), texts
