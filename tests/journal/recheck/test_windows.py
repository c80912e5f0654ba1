"""The rules of windows, recomputed from journals that the core never writes."""

from __future__ import annotations

import msgspec
import pytest

from rollout.journal.recheck.rules import Rules
from rollout.model import event as ev
from rollout.model.command import Attach
from rollout.model.event import AnyEvent
from rollout.model.time import HOUR, MINUTE, Instant
from tests.core import samples
from tests.core.running.test_windows import NOW, planned, world

LATER = NOW + 5 * HOUR
PLAN = planned((-HOUR, HOUR), (5 * HOUR, 8 * HOUR))


def found(*events: AnyEvent) -> list[str]:
    """The violations about windows of a run with these events after its start."""
    rules = Rules(PLAN)
    texts = [text for event in events for text in rules.take(event)]
    return [text for text in texts if "window" in text]


def attach(not_after: Instant) -> ev.Issued:
    """The intent of an attach."""
    return ev.Issued(1, Attach((0,), ("i-0000",)), not_after, ())


CLOSED, OPENED = ev.WindowClosed(NOW + HOUR, LATER), ev.WindowOpened(LATER, NOW + 8 * HOUR)


def test_the_journal_of_a_run_with_windows_is_correct() -> None:
    """The core's own journal violates nothing."""
    made = world(planned((HOUR, 3 * HOUR))).go()
    rules = Rules(made.plan)

    texts = [text for event in made.journal for text in rules.take(event)]
    assert not [text for text in texts if "window" in text]
    assert not found(CLOSED, OPENED, attach(LATER + MINUTE))


@pytest.mark.parametrize(
    "events,text",
    [
        ((CLOSED, attach(LATER + MINUTE)), "call 1 was issued outside the windows"),
        ((CLOSED, ev.WaveStarted(0, "all")), "wave all started outside the windows"),
        ((CLOSED, ev.CellOpened(0)), "cell 0 opened outside the windows"),
        ((OPENED,), "not closed"),
        ((CLOSED, CLOSED), "not open"),
        ((ev.WindowClosed(NOW, LATER + 1),), "no window that opens"),
        ((CLOSED, ev.WindowOpened(LATER - 1, NOW + 8 * HOUR)), "before or after"),
        ((CLOSED, ev.WindowOpened(LATER, NOW + 9 * HOUR)), "not in the plan"),
    ],
)
def test_a_violated_window_is_found(events: tuple[AnyEvent, ...], text: str) -> None:
    """Each violation has its own text."""
    assert any(text in one for one in found(*events)), found(*events)


def test_windows_need_a_plan_with_windows() -> None:
    """A plan without windows is always open."""
    rules = Rules(msgspec.structs.replace(PLAN, windows=msgspec.UNSET))

    assert any("the plan has none" in one for one in rules.take(CLOSED))
    assert samples.make_plan(samples.fleet(2)).intervals is None
