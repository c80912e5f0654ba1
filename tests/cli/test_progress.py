"""Progress of a run: which lines appear, how often, and that bars only redraw what lines say."""

from __future__ import annotations

import io
import sys

import pytest

from rollout import logs
from rollout.cli import progress
from rollout.cli.options import Common
from rollout.core.running.evolve import evolve
from rollout.core.running.state import Run
from rollout.model import event as ev
from rollout.model.command import Attach
from rollout.model.event import Actor, AnyEvent, Trigger
from rollout.model.observation import ObservedGroup
from rollout.model.outcome import Done, Refused, RetryClass
from rollout.model.plan import RULES
from tests.app import factory

ACTOR = Actor("me", "arn", "here", 1, "rollout")
PLAN = factory.plan(emulator=True)


class Story:
    """A run told event by event, with its progress written to `text`."""

    def __init__(self, shown: progress.Lines) -> None:
        self.run = Run(PLAN)
        self.shown = shown
        self.now = 1_000_000

    def tell(self, *events: AnyEvent, after_ms: int = 0) -> None:
        self.now += after_ms
        for event in events:
            evolve(self.run, event)
        self.shown.on_turn(self.run, list(events), self.now)

    def begin(self) -> None:
        self.tell(
            ev.RunStarted("r-1", "p", "s", "i", RULES, ACTOR, self.now),
            ev.WaveStarted(0, "canary"),
            ev.CellOpened(0),
            ev.KeyReady(*self.run.layout.cells[0].site, "fp"),
        )


@pytest.fixture
def stream() -> io.StringIO:
    """Where the lines go."""
    stream = io.StringIO()
    logs.configure(stream)
    return stream


def names(stream: io.StringIO) -> list[str]:
    """The events that lines were written about."""
    return [line.split()[2] for line in stream.getvalue().splitlines()]


def test_every_change_of_state_has_its_line(stream: io.StringIO) -> None:
    """Start, wave, drain: one line each, with the figures an operator wants."""
    story = Story(progress.Lines())
    story.begin()
    story.tell(ev.Drained("SIGTERM", "signal"))

    assert names(stream) == ["run.started", "wave.started", "run.drained"]
    assert "wave=canary targets=2 permits=4" in stream.getvalue()
    assert "WARN  run.drained" in stream.getvalue()


def test_progress_comes_at_most_every_ten_seconds(stream: io.StringIO) -> None:
    """A CI log is not flooded, and never looks hung either."""
    story = Story(progress.Lines())
    story.begin()
    for _ in range(100):
        story.tell(after_ms=500)

    assert names(stream).count("wave.progress") == 5


SLOWED = ev.LaneSlowed("1", "cn-hangzhou", "RebootInstance", 276, 3, 1_767_323_100_000, quota=300)


def test_throttled_lanes_are_told_and_stand_in_the_progress(stream: io.StringIO) -> None:
    """Pace, learned quota, number of throttled calls, end of the pause; gone once recovered."""
    story = Story(progress.Lines())
    story.begin()
    story.tell(SLOWED)
    story.tell(after_ms=10_000)
    story.tell(ev.LaneRecovered("1", "cn-hangzhou", "RebootInstance"))
    story.tell(after_ms=10_000)

    text = stream.getvalue()
    figures = "throttled=3 per_minute=276 quota=300 until=2026-01-02T03:05:00Z"
    assert f"lane.slowed      region=cn-hangzhou action=RebootInstance {figures}" in text
    assert "lane.recovered   region=cn-hangzhou action=RebootInstance" in text
    first, second = [line for line in text.splitlines() if "wave.progress" in line]
    assert 'slowed="cn-hangzhou RebootInstance 276/min of 300 learned · throttled 3' in first
    assert "slowed" not in second


def attach(story: Story, ordinal: int) -> ev.Issued:
    """The intent to attach one instance."""
    target = story.run.layout.targets[ordinal]
    seen = ObservedGroup(target.seen, target.former_key, 1, 1)
    command = Attach((ordinal,), (target.instance,))
    return ev.Issued(story.run.calls_issued + 1, command, story.now + 60_000, (seen,))


def test_a_failure_is_told_with_its_cause_and_request(stream: io.StringIO) -> None:
    """Instance, code, the service's own code and the request id stand on one line."""
    story = Story(progress.Lines())
    story.begin()
    issued = attach(story, 0)
    story.tell(issued)
    refused = Refused("DependencyViolation.WindowsInstance", RetryClass.FACT, request_id="4711")
    story.tell(ev.Settled(issued.n, story.now, refused))

    (line,) = [one for one in stream.getvalue().splitlines() if "instance.failed" in one]
    assert "ERROR" in line
    assert story.run.layout.targets[0].instance in line
    assert "code=R0510 cause=DependencyViolation.WindowsInstance request_id=4711" in line


def test_success_is_not_told_one_by_one(stream: io.StringIO) -> None:
    """What goes well is counted, not listed."""
    story = Story(progress.Lines())
    story.begin()
    issued = attach(story, 0)
    story.tell(issued, ev.Settled(issued.n, story.now, Done("1")))
    story.tell(ev.Moved(Trigger.SEEN_ATTACHED, (0,), "key_pair", 1))

    assert names(stream) == ["run.started", "wave.started"]


def test_holds_and_halts_are_warnings(stream: io.StringIO) -> None:
    """What needs a person stands out, with the exit code that will follow."""
    story = Story(progress.Lines())
    story.begin()
    story.tell(ev.Held((0,), "drift_material"))
    story.tell(ev.Halted("in_doubt", "R0501", 5, "1 restarts are in doubt"))

    text = stream.getvalue()
    assert "WARN  instance.held" in text and "reason=drift_material" in text
    assert "WARN  run.halted" in text and "code=R0501" in text and "exit=5" in text


def test_bars_show_the_wave_and_keep_everyday_lines_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal three bars tell what the lines tell elsewhere; warnings still appear."""
    monkeypatch.setenv("COLUMNS", "80")
    terminal = io.StringIO()
    monkeypatch.setattr(sys, "stderr", terminal)
    with progress.make(Common(), live=True) as shown:
        story = Story(shown)
        story.begin()
        issued = attach(story, 0)
        story.tell(issued)
        story.tell(ev.Settled(issued.n, story.now, Done("1")))
        story.tell(ev.Moved(Trigger.SEEN_ATTACHED, (0,), "key_pair", 1))
        story.tell(ev.Anomaly(0, "something odd"), SLOWED)
        story.tell(ev.Drained("SIGINT", "signal"), after_ms=60_000)

    text = terminal.getvalue()
    assert "fleet · run r-1 · wave 1/2 canary · 1 m · draining · EMULATOR" in text
    assert "1/2 1 exposed" in text
    assert "0 down of 4 permits" in text
    assert "service.anomaly" in text and "run.drained" in text
    assert "wave.started" not in text
    assert "RebootInstance 276/min of 300 learned · throttled 3 · paused" in text


def test_lines_are_the_choice_off_a_terminal() -> None:
    """No bars where nothing can be redrawn."""
    assert type(progress.make(Common(), live=False)) is progress.Lines
