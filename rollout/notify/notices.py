"""Make the messages about a run from the events of its journal.

Used by `app.notifications`. Pure: the same journal gives the same messages with the same ids.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from rollout.core.running.evolve import evolve
from rollout.core.running.journey import Phase
from rollout.core.running.state import Run
from rollout.model import event as ev
from rollout.model.event import AnyEvent
from rollout.model.notify import Notice, NoticeKind, NoticePosition
from rollout.model.plan import Plan
from rollout.model.spec import WaveGate
from rollout.model.time import Instant

Data = dict[str, str | int | dict[str, int]]


class NoticeMaker:
    """Folds the events of one run, and returns the messages about each line."""

    def __init__(self, plan: Plan) -> None:
        self._run = Run.of(plan)
        self._plan = plan
        self._digest = ""

    def take(self, seq: int, at: Instant, events: Sequence[AnyEvent]) -> list[Notice]:
        """Return the messages about one line of the journal. Errors: Bug as `evolve`."""
        made = []
        for number, event in enumerate(events, 1):
            evolve(self._run, event)
            for part, (kind, data) in enumerate(self._about(event)):
                made.append(
                    Notice(
                        kind,
                        self._run.run_id,
                        self._plan.name,
                        self._plan.emulated,
                        NoticePosition(seq, number, part),
                        at,
                        data,
                    )
                )
        return made

    def _about(self, event: AnyEvent) -> Iterator[tuple[NoticeKind, Data]]:
        match event:
            case ev.RunStarted():
                self._digest = event.plan_digest
                yield (
                    NoticeKind.STARTED,
                    {
                        "plan_digest": event.plan_digest,
                        "targets": self._plan.counts.targets,
                        "waves": len(self._plan.waves),
                        "user": event.actor.user,
                        "machine": event.actor.machine,
                    },
                )
            case ev.WaveClosed():
                yield NoticeKind.WAVE, self._wave(event.wave)
                if self._plan.waves[event.wave].gate is WaveGate.MANUAL:
                    yield (
                        NoticeKind.GATE,
                        {
                            "wave": self._plan.waves[event.wave].name,
                            "plan_digest": self._digest,
                            "command": f"rollout promote {self._run.run_id}",
                        },
                    )
            case ev.Halted():
                yield (
                    NoticeKind.HALTED,
                    {
                        "code": event.code,
                        "reason": event.reason,
                        "detail": event.detail,
                        "exit": event.exit,
                        "command": f"rollout resume {self._run.run_id}",
                    },
                )
            case ev.RunClosed():
                counts = {name: count for name, count in event.counts.items() if count}
                yield NoticeKind.CLOSED, {"exit": event.exit, "counts": counts}
            case _:
                pass

    def _wave(self, wave: int) -> Data:
        """Return the number of instances of a wave by phase, and what is left of the run."""
        span = self._run.layout.waves[wave]
        first, last = (self._run.layout.cells[cell] for cell in (span.cells[0], span.cells[1] - 1))
        phases = Counter(self._run.phases[first.start : last.end])
        counts = {Phase(phase).label: number for phase, number in sorted(phases.items())}
        return {
            "wave": span.name,
            "number": wave + 1,
            "waves": len(self._plan.waves),
            "counts": counts,
            "left": self._run.left,
        }
