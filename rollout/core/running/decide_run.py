"""The part of `decide` for waves, cells, halts and the close. Reads state and agenda only.

Called by `turn` until it has nothing more to say. What single instances need is `cell`'s.
"""

from __future__ import annotations

from collections.abc import Iterator

from rollout.core.running import thresholds
from rollout.core.running.agenda import Agenda
from rollout.core.running.evolve import DRIFT, OBSERVED
from rollout.core.running.journey import DOWN, FINAL, TABLE, Phase
from rollout.core.running.state import Run
from rollout.model import event as ev
from rollout.model import limits
from rollout.model.event import AnyEvent, Trigger
from rollout.model.spec import PPM


def decide(run: Run, agenda: Agenda) -> Iterator[AnyEvent]:
    """Events about the run as a whole that are due now; all of them fit together."""
    if run.stopping:
        return
    if run.aborted is not None:
        news = list(_good_news(run, agenda))
        yield from news or _abort(run)
        return
    if run.alarm is not None:
        yield run.alarm
        return
    halted = thresholds.halt(run) or _stale_plan(run)
    if halted is not None:
        yield halted
        return
    news = list(_good_news(run, agenda))
    # what is released keeps its cell and its wave from closing
    yield from news or _waves(run, agenda)


_AWAITED = OBSERVED | {Phase.COMPARING}


def _abort(run: Run) -> Iterator[ev.RunClosed]:
    """Close the run once no call is open and no observation can tell more."""
    open_now = run.open_calls or any(
        run.phase(ordinal) in _AWAITED and not run.held[ordinal]
        for ordinal in range(len(run.phases))
    )
    if not open_now:
        counts = classes(run)
        yield ev.RunClosed(counts, _exit(run, counts))


def _stale_plan(run: Run) -> ev.Halted | None:
    """Too much of the wave is not as the plan saw it."""
    if run.wave_open is None:
        return None
    drifted, targets = run.drift_in_wave[run.wave_open], run.layout.waves[run.wave_open].targets
    if drifted <= limits.DRIFT_COUNT or drifted * PPM <= targets * limits.DRIFT_SHARE_PPM:
        return None
    text = f"{drifted} of {targets} targets of wave {run.layout.waves[run.wave_open].name} drifted"
    return ev.Halted(DRIFT, "R0607", 6, text)


def _good_news(run: Run, agenda: Agenda) -> Iterator[ev.Released]:
    """StartTime became trusted in a region: judge its restarts in doubt again."""
    for family in dict.fromkeys(agenda.news):
        if run.trusted(family):
            held = [o for o in run.doubts_held if run.family(o) == family and o not in run.foreign]
            for start in range(0, len(held), limits.EVENT_ORDINALS_MAX):
                part = tuple(held[start : start + limits.EVENT_ORDINALS_MAX])
                yield ev.Released(part, "start_time_trusted")


def _waves(run: Run, agenda: Agenda) -> Iterator[AnyEvent]:
    if run.wave_open is None:
        yield from _between_waves(run, agenda)
        return
    span = run.layout.waves[run.wave_open]
    closed = 0
    for cell in run.cells_open:
        if run.left_in_cell[cell] == 0:
            closed += 1
            yield ev.CellClosed(cell)
    if run.cells_next < span.cells[1]:
        if run.left_before is None and run.left_in_open_cells < limits.OPEN_INSTANCES_MAX:
            yield ev.CellOpened(run.cells_next)
    elif closed == len(run.cells_open) and run.left_in_wave[run.wave_open] == 0:
        yield ev.WaveClosed(run.wave_open)


def _between_waves(run: Run, agenda: Agenda) -> Iterator[AnyEvent]:
    if run.left_before is not None:
        return
    if run.waves_closed < len(run.layout.waves):
        yield ev.WaveStarted(run.waves_closed, run.layout.waves[run.waves_closed].name)
    elif run.left == 0 and not run.open_calls and agenda.keys.all_compared():
        counts = classes(run)
        given_up = sum(run.phase(ordinal) in DOWN for ordinal in run.abandoned)
        doubts = counts["in_doubt"] - given_up  # a restart that is held unseen is one too
        if doubts:
            yield ev.Halted("in_doubt", "R0501", 5, f"{doubts} restarts are in doubt")
        else:
            yield ev.RunClosed(counts, _exit(run, counts))


def classes(run: Run) -> dict[str, int]:
    """Return the number of instances by class if the run closed now. The sum is the inventory."""
    counts = dict.fromkeys(("done", "unverified", "failed", "skipped", "in_doubt", "stranded"), 0)
    for phase in Phase:
        if phase in FINAL or phase is Phase.IN_DOUBT:
            last = phase
        elif run.phase_counts[phase]:
            last = TABLE.get((phase, Trigger.CLOSED), Phase.IN_DOUBT)
        else:
            continue
        counts[last.word] += run.phase_counts[phase]
    counts["excluded"] = len(run.plan.exclusions)
    return counts


def _exit(run: Run, counts: dict[str, int]) -> int:
    """5 where an instance is in doubt; 3 where one failed, is stranded or unverified, or was held
    back from its rotation, also by an abort.
    """
    if counts["in_doubt"]:
        return 5
    left_behind = run.left or any(run.held[ordinal] for ordinal in run.causes)
    given_up = any(run.phase(ordinal) is Phase.SKIPPED for ordinal in run.abandoned)
    bad = counts["failed"] or counts["stranded"] or counts["unverified"]
    return 3 if bad or left_behind or given_up else 0
