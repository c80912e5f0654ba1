"""Progress display of a run: bars on a terminal, log lines elsewhere.

Called by the engine after every turn. Reads the run, writes only to stderr, and never waits.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any, Self, TextIO, cast

from rollout import logs
from rollout.app.notices import Progress
from rollout.cli.language import tr, translated
from rollout.cli.options import Common
from rollout.cli.views import progress, render, report, run_words
from rollout.cli.views.eta import Eta
from rollout.cli.views.progress import LogLine
from rollout.core.running.journey import Phase
from rollout.core.running.state import Run
from rollout.core.running.view import lanes
from rollout.model import event as ev
from rollout.model.command import Command
from rollout.model.event import AnyEvent
from rollout.model.printable import escaped
from rollout.model.time import SECOND, Duration, Instant

LINE_EVERY_MS = 10 * SECOND
"""Minimum time between two lines of progress if stderr is not a terminal."""
REDRAWS_PER_SECOND = 4
_BAR_COLUMNS = 30


def make(common: Common, *, live: bool) -> Lines:
    """Return the progress display for this stderr; use it inside `with`."""
    return Bars(common) if live else Lines()


class Lines(Progress):
    """Log one line at each change of state, and a line of progress every 10 s at most."""

    quiet = False
    """Whether routine lines are left out because the bars show the same."""

    def __init__(self) -> None:
        self._calls: dict[int, Command] = {}
        self._next: Instant = 0
        self._began: Instant = 0
        self._eta: Eta | None = None

    def on_turn(self, run: Run, events: list[AnyEvent], now: Instant) -> None:
        """Log the events of a turn."""
        if self._eta is None:
            self._began, self._eta = now, Eta(run, now)
        self._eta.on_turn(run, now)
        for event in events:
            if isinstance(event, ev.Issued):
                self._calls[event.n] = event.command
            call = self._calls.pop(event.n, None) if isinstance(event, ev.Settled) else None
            if (line := progress.of_run(run, event)) is not None:
                self._write(line)
            for line in progress.of_instances(run, event, call):
                self._write(line)
        if now >= self._next and run.wave_open is not None:
            if self._next:
                eta = {"eta": text} if (text := self.eta(run)) else {}
                slowed = {"slowed": text} if (text := progress.slowed(run, now)) else {}
                fields = {**progress.figures(run, run.wave_open), **slowed, **eta}
                self._write(LogLine("info", "wave.progress", fields))
            self._next = now + LINE_EVERY_MS

    def eta(self, run: Run) -> str:
        """Return the estimated remaining time, empty while there is no estimate."""
        left_ms = self._eta.left_ms(run) if self._eta else None
        return "" if left_ms is None else render.span(left_ms).replace(" ", "")

    def _write(self, line: LogLine) -> None:
        write = logs.keep if self.quiet and line.level == "info" else logs.say
        write(line.event, line.level, **line.fields)


class Bars(Lines):
    """Bars for the open wave, redrawn in place; warnings and failures scroll above them.

    The displayed time also advances between turns, because a waiting run has no turns.
    """

    quiet = True

    def __init__(self, common: Common, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._common = common
        self._clock = clock
        self._ahead: Duration = 0
        """The time of the last turn minus that of `clock`."""
        self._run: Run | None = None
        self._live: Any = None

    def __enter__(self) -> Self:
        from rich.console import Console
        from rich.file_proxy import FileProxy
        from rich.live import Live

        no_color = True if self._common.color == "never" else None
        console = Console(stderr=True, highlight=False, no_color=no_color)
        self._live = Live(
            get_renderable=self.draw,
            console=console,
            refresh_per_second=REDRAWS_PER_SECOND,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start()
        above = cast(TextIO, FileProxy(console, sys.stderr))
        logs.configure(above, form="text", verbose=self._common.verbose)
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()
        logs.configure(sys.stderr, form="text", verbose=self._common.verbose)

    def on_turn(self, run: Run, events: list[AnyEvent], now: Instant) -> None:
        """Log the important events of a turn, and remember the run for the bars."""
        self._run, self._ahead = run, now - self._clock_ms()
        super().on_turn(run, events, now)

    def draw(self) -> Any:
        """Return the bars at the current time. Called by the thread that redraws them."""
        from rich.console import Group
        from rich.text import Text

        run = self._run
        if run is None or not run.layout.waves:
            return Text("")
        now = self._ahead + self._clock_ms()
        number = run.wave_open if run.wave_open is not None else max(0, run.waves_closed - 1)
        return Group(
            Text(self._title(run, number, now), style="bold"),
            _table(run, number, self.eta(run)),
            *(
                Text(f" {translated(report.lane(one, now))}", no_wrap=True, overflow="ellipsis")
                for one in lanes(run)[: progress.LANES_SHOWN]
            ),
            *(Text(f" {logs.redact(escaped(line))}") for line in progress.waits(run, now)),
        )

    def _clock_ms(self) -> int:
        return round(self._clock() * SECOND)

    def _title(self, run: Run, number: int, now: Instant) -> str:
        waves = run.layout.waves
        parts = [
            run.plan.name,
            tr("run {run}", run=run.run_id),
            tr(
                "wave {number}/{waves} {name}",
                number=number + 1,
                waves=len(waves),
                name=waves[number].name,
            ),
            render.span(now - self._began),
        ]
        if run.drained or run.halted:
            parts.append(tr("draining") if run.drained else tr("halted"))
        elif run.paused and not run.aborted:
            parts.append(run_words.state_name("paused"))
        return " · ".join([*parts, *(["EMULATOR"] if run.plan.emulated else [])])


def _table(run: Run, number: int, eta: str) -> Any:
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    counts = progress.counts(run, number)
    total = sum(counts.values())
    attached = total - sum(counts[phase] for phase in progress.BEFORE_ATTACHED)
    booted = total - sum(counts[phase] for phase in progress.BEFORE_BOOTED)
    ledger = run.ledger
    down = [tr("{down} down of {most} permits", down=ledger.down, most=ledger.down_max)]
    doubt = [f"{number} {tr('in doubt')}" for number in [counts[Phase.IN_DOUBT]] if number]
    bad = (Phase.FAILED, Phase.STRANDED)
    ended = [
        f"{counts[phase]} {run_words.class_name(phase.label)}" for phase in bad if counts[phase]
    ]
    rows = (
        (tr("attach"), attached, [tr("{number} exposed", number=ledger.exposed)]),
        (tr("restart"), booted, [*down, *doubt]),
        (tr("done"), counts[Phase.DONE], [*ended, *([tr("eta {span}", span=eta)] if eta else [])]),
    )
    grid = Table.grid(padding=(0, 1))
    grid.add_column()
    grid.add_column()
    grid.add_column(justify="right")
    grid.add_column()
    for name, value, notes in rows:
        bar = ProgressBar(total=max(total, 1), completed=value, width=_BAR_COLUMNS)
        grid.add_row(f" {name}", bar, f"{value:,}/{total:,}", " · ".join(notes))
    return grid
