"""Progress of a run: which log lines are written, how often, and what the bars show."""

from __future__ import annotations

import io
import sys

import msgspec
import pytest
from rich.console import Console

from rollout import logs
from rollout.cli import progress
from rollout.cli.options import Common
from rollout.core.running.evolve import evolve
from rollout.core.running.state import Run
from rollout.model import event as ev
from rollout.model.command import Attach
from rollout.model.event import Actor, AnyEvent, Trigger
from rollout.model.gate import ExecGate, GateAnswer
from rollout.model.observation import ObservedGroup
from rollout.model.outcome import Done, Refused, RetryClass
from rollout.model.plan import RULES, Plan
from rollout.model.spec import WaveGate
from rollout.model.time import HOUR, MINUTE
from rollout.model.windows import Interval, PlanWindows
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


class Screen:
    """The bars on a terminal of 100 columns whose clock a test moves."""

    def __init__(self, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("COLUMNS", "100")
        monkeypatch.setattr(sys, "stderr", io.StringIO())
        self.clock_s = 50.0
        self.bars = progress.Bars(Common(), lambda: self.clock_s)
        self.watched = Watched(self.bars)
        self.watched.run = Run.of(plan)

    def after(self, passed_s: float) -> str:
        """Return the drawn text that many seconds after the last turn."""
        self.clock_s += passed_s
        console = Console(file=io.StringIO(), width=100)
        with console.capture() as captured:
            console.print(self.bars.draw())
        return captured.get()


def test_the_bars_say_that_a_promotion_opens_the_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    """While a gate waits, the bars show its bake and the command that promotes it, until then."""
    canary = msgspec.structs.replace(PLAN.waves[0], gate=WaveGate.MANUAL, bake_ms=5 * MINUTE)
    screen = Screen(msgspec.structs.replace(PLAN, waves=(canary, *PLAN.waves[1:])), monkeypatch)
    screen.watched.begin()
    assert "waiting" not in screen.after(0)
    finish(screen.watched)

    assert "waiting: until 1970-01-01T00:21:40Z (bake of wave canary)" in screen.after(60)
    baked = screen.after(241)
    assert " waiting: for a promotion after wave canary\n promote: rollout promote r-1\n" in baked

    screen.watched.now += 302_000
    order = ev.OperatorCommand("1", ev.OperatorVerb.PROMOTE, ACTOR, 2, "inbox", "checked")
    screen.watched.put(order, ev.GateOpened(0, screen.watched.now, "1"))
    assert "waiting" not in screen.after(0)


def test_the_bars_show_the_answer_that_keeps_a_gate_shut(monkeypatch: pytest.MonkeyPatch) -> None:
    """The line quotes the answer without control characters, next to the command that opens the
    gate despite it."""
    gate = ExecGate(argv=("check",))
    canary = msgspec.structs.replace(PLAN.waves[0], gates=(0,))
    plan = msgspec.structs.replace(PLAN, waves=(canary, *PLAN.waves[1:]), gates=(gate,))
    screen = Screen(plan, monkeypatch)
    screen.watched.begin()
    finish(screen.watched)
    at = screen.watched.now
    screen.watched.put(ev.GateAnswered(0, 0, GateAnswer.SHUT, "5 \x1b[2J errors", at, at))

    text = " ".join(screen.after(1).split())
    assert "waiting: for exec check: 5 \\u{1b}[2J errors (shut)" in text
    assert "open: rollout promote r-1 --reason WHY" in text


def test_the_bars_show_a_pause_and_a_closed_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """They show who paused the run, the command that continues it, and when the window opens."""
    opens = 1_000_000 + HOUR
    windows = PlanWindows("UTC", "2026a", 2 * opens, (Interval(opens, opens + 4 * HOUR),))
    screen = Screen(msgspec.structs.replace(PLAN, windows=windows), monkeypatch)
    screen.watched.begin()
    screen.watched.put(ev.WindowClosed(screen.watched.now, opens))
    assert "\n the next window opens 1970-01-01 01:16:40 +00:00" in screen.after(1)

    order = ev.OperatorCommand("1", ev.OperatorVerb.PAUSE, ACTOR, 2, "inbox", "lunch")
    screen.watched.put(order)
    text = screen.after(1)
    assert " · paused · " in text
    assert "\n paused by me: lunch\n resume: rollout resume r-1\n" in text

    screen.watched.put(ev.Drained("SIGINT", "signal"))
    assert "resume:" not in screen.after(1)


def test_the_clock_of_the_bars_runs_while_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time in the title advances between the turns of the engine."""
    screen = Screen(PLAN, monkeypatch)
    screen.watched.begin()

    assert "wave 1/2 canary · 17 s" in screen.after(17)
    assert "wave 1/2 canary · 10 m 17 s" in screen.after(600)


def finish(watched: Watched) -> None:
    """Close the first wave as if its targets were done."""
    watched.run.wave_open = 0
    watched.put(ev.WaveClosed(0, watched.now))


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
