"""Progress of a run: which log lines are written, how often, and what the bars show."""

from __future__ import annotations

import io
import sys

import msgspec
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
from rollout.model.spec import WaveGate
from tests.app import factory

ACTOR = Actor("me", "arn", "here", 1, "rollout")
PLAN = factory.plan(emulator=True)


class Watched:
    """A run that gets events from a test, with its progress display."""

    def __init__(self, shown: progress.Lines) -> None:
        self.run = Run.of(PLAN)
        self.shown = shown
        self.now = 1_000_000

    def put(self, *events: AnyEvent, after_ms: int = 0) -> None:
        self.now += after_ms
        for event in events:
            evolve(self.run, event)
        self.shown.on_turn(self.run, list(events), self.now)

    def begin(self) -> None:
        self.put(
            ev.RunStarted(ev.FORMAT_VERSION, "r-1", "p", "s", "i", RULES, ACTOR, self.now),
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
    """Start, wave and drain have one line each, with figures."""
    watched = Watched(progress.Lines())
    watched.begin()
    watched.put(ev.Drained("SIGTERM", "signal"))

    assert names(stream) == ["run.started", "wave.started", "run.drained"]
    assert "wave=canary targets=2 permits=4" in stream.getvalue()
    assert "WARN  run.drained" in stream.getvalue()


def test_progress_comes_at_most_every_ten_seconds(stream: io.StringIO) -> None:
    """A CI log gets few lines, but regular ones."""
    watched = Watched(progress.Lines())
    watched.begin()
    for _ in range(100):
        watched.put(after_ms=500)

    assert names(stream).count("wave.progress") == 5


SLOWED = ev.LaneSlowed("1", "cn-hangzhou", "RebootInstance", 276, 3, 1_767_323_100_000, quota=300)


def test_throttled_lanes_are_logged_and_part_of_the_progress(stream: io.StringIO) -> None:
    """Pace, learned quota, throttled calls and end of the pause; omitted after recovery."""
    watched = Watched(progress.Lines())
    watched.begin()
    watched.put(SLOWED)
    watched.put(after_ms=10_000)
    watched.put(ev.LaneRecovered("1", "cn-hangzhou", "RebootInstance"))
    watched.put(after_ms=10_000)

    text = stream.getvalue()
    figures = "throttled=3 per_minute=276 quota=300 until=2026-01-02T03:05:00Z"
    assert f"lane.slowed      region=cn-hangzhou action=RebootInstance {figures}" in text
    assert "lane.recovered   region=cn-hangzhou action=RebootInstance" in text
    first, second = [line for line in text.splitlines() if "wave.progress" in line]
    assert 'slowed="cn-hangzhou RebootInstance 276/min of 300 learned · throttled 3' in first
    assert "slowed" not in second


def attach(watched: Watched, ordinal: int) -> ev.Issued:
    """The intent to attach one instance."""
    target = watched.run.layout.targets[ordinal]
    seen = ObservedGroup(target.status, target.former_key, 1, 1)
    command = Attach((ordinal,), (target.instance,))
    return ev.Issued(watched.run.calls_issued + 1, command, watched.now + 60_000, (seen,))


def test_a_failure_is_logged_with_its_cause_and_request(stream: io.StringIO) -> None:
    """Instance, code, the service's code and the request id are on one line."""
    watched = Watched(progress.Lines())
    watched.begin()
    issued = attach(watched, 0)
    watched.put(issued)
    refused = Refused("DependencyViolation.WindowsInstance", RetryClass.FACT, request_id="4711")
    watched.put(ev.Settled(issued.n, watched.now, refused))

    (line,) = [one for one in stream.getvalue().splitlines() if "instance.failed" in one]
    assert "ERROR" in line
    assert watched.run.layout.targets[0].instance in line
    assert "code=R0510 cause=DependencyViolation.WindowsInstance request_id=4711" in line


def test_success_is_counted_not_listed(stream: io.StringIO) -> None:
    """Instances that succeed have no line of their own."""
    watched = Watched(progress.Lines())
    watched.begin()
    issued = attach(watched, 0)
    watched.put(issued, ev.Settled(issued.n, watched.now, Done("1")))
    watched.put(ev.Moved(Trigger.OBSERVED_ATTACHED, (0,), "key_pair", 1))

    assert names(stream) == ["run.started", "wave.started"]


def test_holds_and_halts_are_warnings(stream: io.StringIO) -> None:
    """Events that need an operator are warnings, with the exit code."""
    watched = Watched(progress.Lines())
    watched.begin()
    watched.put(ev.Held((0,), "drift_material"))
    watched.put(ev.Halted("in_doubt", "R0501", 5, "1 restarts are in doubt"))

    text = stream.getvalue()
    assert "WARN  instance.held" in text and "reason=drift_material" in text
    assert "WARN  run.halted" in text and "code=R0501" in text and "exit=5" in text


def test_bars_show_the_wave_and_replace_routine_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal three bars replace the routine lines; warnings still appear."""
    monkeypatch.setenv("COLUMNS", "80")
    terminal = io.StringIO()
    monkeypatch.setattr(sys, "stderr", terminal)
    with progress.make(Common(), live=True) as shown:
        watched = Watched(shown)
        watched.begin()
        issued = attach(watched, 0)
        watched.put(issued)
        watched.put(ev.Settled(issued.n, watched.now, Done("1")))
        watched.put(ev.Moved(Trigger.OBSERVED_ATTACHED, (0,), "key_pair", 1))
        watched.put(ev.Anomaly(0, "something odd"), SLOWED)
        watched.put(ev.Drained("SIGINT", "signal"), after_ms=60_000)

    text = terminal.getvalue()
    assert "fleet · run r-1 · wave 1/2 canary · 1 m · draining · EMULATOR" in text
    assert "1/2 1 exposed" in text
    assert "0 down of 4 permits" in text
    assert "service.anomaly" in text and "run.drained" in text
    assert "wave.started" not in text
    assert "RebootInstance 276/min of 300 learned · throttled 3 · paused" in text


def test_lines_are_the_choice_off_a_terminal() -> None:
    """Bars need a terminal that can redraw lines."""
    assert type(progress.make(Common(), live=False)) is progress.Lines


def test_a_gate_says_what_the_next_wave_waits_for(stream: io.StringIO) -> None:
    """The end of the wave names the command that opens the gate, and the opening has its line."""
    canary = msgspec.structs.replace(PLAN.waves[0], gate=WaveGate.MANUAL)
    plan = msgspec.structs.replace(PLAN, waves=(canary, *PLAN.waves[1:]))
    watched = Watched(progress.Lines())
    watched.run = Run.of(plan)
    watched.begin()
    watched.run.wave_open = 0
    watched.put(ev.WaveClosed(0, 1))
    order = ev.OperatorCommand("1", ev.OperatorVerb.PROMOTE, ACTOR, 2, "inbox", "checked")
    watched.put(order, ev.GateOpened(0, 3, "1"))

    told = " ".join(stream.getvalue().split())
    assert "for a promotion after wave canary" in told
    assert "rollout promote r-1" in told
    assert "gate.opened" in told
