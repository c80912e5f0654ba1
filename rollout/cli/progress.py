"""Progress display of a run: bars on a terminal, log lines elsewhere.

Called by the engine after every turn. Reads the run, writes only to stderr, and never waits.
"""

from __future__ import annotations

import sys
from typing import Any, Self, TextIO, cast

import structlog

from rollout import logs
from rollout.app.notices import Progress
from rollout.cli.options import Common
from rollout.cli.views import render, report
from rollout.cli.views.eta import Eta
from rollout.core.running.journey import Phase
from rollout.core.running.state import Run
from rollout.core.running.view import lanes
from rollout.model import event as ev
from rollout.model.command import Command, ImportKey
from rollout.model.event import AnyEvent, Trigger
from rollout.model.outcome import Outcome
from rollout.model.time import SECOND, Instant, format_instant

LINE_EVERY_MS = 10 * SECOND
"""Minimum time between two lines of progress if stderr is not a terminal."""
REDRAWS_PER_SECOND = 4
LANES_SHOWN = 3
"""Number of throttled lanes that are listed; the others are counted."""
_BAR_COLUMNS = 30

_ENDED_BADLY = {Phase.FAILED: "R0510", Phase.STRANDED: "R0512"}
_BEFORE_ATTACHED = (Phase.PLANNED, Phase.ATTACHING, Phase.SKIPPED)
_BEFORE_BOOTED = (
    *_BEFORE_ATTACHED,
    Phase.ATTACHED,
    Phase.RESTARTING,
    Phase.IN_DOUBT,
    Phase.STRANDED,
)


def make(common: Common, *, live: bool) -> Lines:
    """Return the progress display for this stderr; use it inside `with`."""
    return Bars(common) if live else Lines()


class Lines(Progress):
    """Log one line at each change of state, and a line of progress every 10 s at most."""

    quiet = False
    """Whether routine lines are left out because the bars show the same."""

    def __init__(self) -> None:
        self._log: Any = structlog.get_logger()
        self._calls: dict[int, Command] = {}
        self._next: Instant = 0
        self._began: Instant = 0
        self._eta: Eta | None = None

    def on_turn(self, run: Run, events: list[AnyEvent], now: Instant) -> None:
        """Log the events of a turn."""
        if self._eta is None:
            self._began, self._eta = now, Eta(run, now)
        for event in events:
            self._tell(run, event)
        if now >= self._next and run.wave_open is not None:
            if self._next:
                eta = {"eta": self.eta(run, now)} if self.eta(run, now) else {}
                slowed = {"slowed": text} if (text := _slowed(run, now)) else {}
                self._info("wave.progress", **_figures(run, run.wave_open), **slowed, **eta)
            self._next = now + LINE_EVERY_MS

    def eta(self, run: Run, now: Instant) -> str:
        """Return the estimated remaining time, empty while there is no estimate."""
        left_ms = self._eta.left_ms(run, now) if self._eta else None
        return "" if left_ms is None else render.span(left_ms).replace(" ", "")

    def _tell(self, run: Run, event: AnyEvent) -> None:
        match event:
            case ev.RunStarted(run=run_id):
                self._info("run.started", run=run_id, plan=run.plan.name, targets=len(run.phases))
            case ev.Resumed(epoch=epoch):
                self._info("run.resumed", run=run.run_id, epoch=epoch, left=run.left)
            case ev.TornTail(bytes=size):
                self._log.warning("journal.torn", run=run.run_id, bytes_cut=size)
            case ev.ClockSkew(local=local, service=service):
                self._log.warning(
                    "clock.skew", local=format_instant(local), service=format_instant(service)
                )
            case ev.LaneSlowed(region=region, action=action):
                self._info("lane.slowed", region=region, action=action, throttled=event.throttled,
                           per_minute=event.per_minute, quota=event.quota or "unknown",
                           until=format_instant(event.until))  # fmt: skip
            case ev.LaneRecovered(region=region, action=action):
                self._info("lane.recovered", region=region, action=action)
            case ev.WaveStarted(wave=wave, name=name):
                permits = sum(run.ledger.caps)
                targets = run.layout.waves[wave].targets
                self._info("wave.started", run=run.run_id, wave=name, targets=targets,
                           permits=permits)  # fmt: skip
            case ev.WaveClosed(wave=wave):
                self._info("wave.closed", **_figures(run, wave))
            case ev.Issued(n=n, command=command):
                self._calls[n] = command
            case ev.Settled():
                self._settled(run, event)
            case ev.Moved(trigger=trigger, ordinals=ordinals):
                if trigger is Trigger.TIMED_OUT:
                    self._failures(run, [(ordinal, None) for ordinal in ordinals], "R0511")
                elif trigger in (Trigger.GAVE_UP, Trigger.LEFT_STOPPED, Trigger.CLOSED):
                    self._failures(run, [(ordinal, None) for ordinal in ordinals])
            case ev.Held(ordinals=ordinals, reason=reason):
                for ordinal in ordinals:
                    self._log.warning("instance.held", instance=_id(run, ordinal), reason=reason)
            case ev.OperatorCommand(command=command, actor=actor, reason=reason):
                stated = {"instance": event.instance} if event.instance else {}
                self._log.warning("operator.command", run=run.run_id, command=command.value,
                                  by=actor.user, reason=reason, **stated)  # fmt: skip
            case ev.FailuresAccepted(reason=reason, wave=wave, ordinals=ordinals, actor=actor):
                self._log.warning("failures.accepted", wave=run.layout.waves[wave].name,
                                  count=len(ordinals), reason=reason, by=actor.user)  # fmt: skip
            case ev.ForeignRestart(ordinals=ordinals, evidence=evidence):
                for ordinal in ordinals:
                    self._log.warning("instance.restarted_elsewhere", instance=_id(run, ordinal),
                                      evidence=evidence)  # fmt: skip
            case ev.Anomaly(text=text):
                self._log.warning("service.anomaly", text=text)
            case ev.Drained(word=word):
                self._log.warning("run.drained", run=run.run_id, word=word,
                                  calls_in_flight=len(run.open_calls),
                                  again="stops waiting for them")  # fmt: skip
            case ev.Halted(reason=reason, code=code, exit=exit_code, detail=detail):
                self._log.warning("run.halted", run=run.run_id, reason=reason, code=code,
                                  detail=detail, exit=exit_code)  # fmt: skip
            case ev.RunClosed(counts=counts, exit=exit_code):
                self._info("run.closed", run=run.run_id, **counts, exit=exit_code)
            case _:
                pass

    def _settled(self, run: Run, event: ev.Settled) -> None:
        command = self._calls.pop(event.n, None)
        if command is None or isinstance(command, ImportKey):
            return
        others = dict(event.items)
        self._failures(run, [(one, others.get(one, event.outcome)) for one in command.ordinals])

    def _failures(
        self, run: Run, ended: list[tuple[int, Outcome | None]], code: str | None = None
    ) -> None:
        for ordinal, outcome in ended:
            phase = run.phase(ordinal)
            if phase not in _ENDED_BADLY:
                continue
            words = {"request_id": outcome.request_id} if outcome and outcome.request_id else {}
            self._log.error(
                "instance.failed",
                instance=_id(run, ordinal),
                phase=phase.word,
                code=code or _ENDED_BADLY[phase],
                cause=run.causes.get(ordinal, ""),
                **words,
            )

    def _info(self, event: str, **words: object) -> None:
        if not self.quiet:
            self._log.info(event, **words)


class Bars(Lines):
    """Bars for the open wave, redrawn in place; warnings and failures scroll above them."""

    quiet = True

    def __init__(self, common: Common) -> None:
        super().__init__()
        self._common = common
        self._run: Run | None = None
        self._now: Instant = 0
        self._live: Any = None

    def __enter__(self) -> Self:
        from rich.console import Console
        from rich.file_proxy import FileProxy
        from rich.live import Live

        no_color = True if self._common.color == "never" else None
        console = Console(stderr=True, highlight=False, no_color=no_color)
        self._live = Live(
            get_renderable=self._draw,
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
        self._run, self._now = run, now
        super().on_turn(run, events, now)

    def _draw(self) -> Any:
        from rich.console import Group
        from rich.text import Text

        run = self._run
        if run is None or not run.layout.waves:
            return Text("")
        number = run.wave_open if run.wave_open is not None else max(0, run.waves_closed - 1)
        return Group(
            Text(self._title(run, number), style="bold"),
            _table(run, number, self.eta(run, self._now)),
            *(
                Text(f" {report.lane(one, self._now)}", no_wrap=True, overflow="ellipsis")
                for one in lanes(run)[:LANES_SHOWN]
            ),
        )

    def _title(self, run: Run, number: int) -> str:
        waves = run.layout.waves
        state = " · draining" if run.drained else " · halted" if run.halted else ""
        mark = " · EMULATOR" if run.plan.emulated else ""
        wave = f"wave {number + 1}/{len(waves)} {waves[number].name}"
        took = render.span(self._now - self._began)
        return f"{run.plan.name} · run {run.run_id} · {wave} · {took}{state}{mark}"


def _table(run: Run, number: int, eta: str) -> Any:
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    counts = _counts(run, number)
    total = sum(counts.values())
    attached = total - sum(counts[phase] for phase in _BEFORE_ATTACHED)
    booted = total - sum(counts[phase] for phase in _BEFORE_BOOTED)
    permits = zip(run.ledger.used, run.ledger.caps, strict=True)
    down = [f"{used} down of {cap} permits" for used, cap in permits]
    doubt = [f"{counts[Phase.IN_DOUBT]} in doubt"] if counts[Phase.IN_DOUBT] else []
    bad = (Phase.FAILED, Phase.STRANDED)
    ended = [f"{counts[phase]} {phase.word}" for phase in bad if counts[phase]]
    rows = (
        ("attach", attached, [f"{run.ledger.exposed} exposed"]),
        ("restart", booted, [*down, *doubt]),
        ("done", counts[Phase.DONE], [*ended, *([f"eta {eta}"] if eta else [])]),
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


def _slowed(run: Run, now: Instant) -> str:
    """Return the lanes that were throttled most as text, empty if there are none."""
    known = [report.lane(one, now) for one in lanes(run)]
    more = f"; and {len(known) - LANES_SHOWN} more" if len(known) > LANES_SHOWN else ""
    return "; ".join(known[:LANES_SHOWN]) + more


def _figures(run: Run, number: int) -> dict[str, object]:
    """Return the counts of one wave as fields of a log line."""
    counts = _counts(run, number)
    return {
        "wave": run.layout.waves[number].name,
        "targets": sum(counts.values()),
        "attached": sum(counts.values()) - sum(counts[phase] for phase in _BEFORE_ATTACHED),
        "restarting": counts[Phase.RESTARTING] + counts[Phase.SETTLING],
        "in_doubt": counts[Phase.IN_DOUBT],
        "done": counts[Phase.DONE],
        "failed": counts[Phase.FAILED],
        "stranded": counts[Phase.STRANDED],
        "down": f"{sum(run.ledger.used)}/{sum(run.ledger.caps)}",
    }


def _counts(run: Run, number: int) -> dict[Phase, int]:
    """Return the number of targets of a wave in each phase. A million take milliseconds."""
    first, last = run.layout.waves[number].cells
    start, end = run.layout.cells[first].start, run.layout.cells[last - 1].end
    return {phase: run.phases.count(phase, start, end) for phase in Phase}


def _id(run: Run, ordinal: int) -> str:
    return run.layout.targets[ordinal].instance
