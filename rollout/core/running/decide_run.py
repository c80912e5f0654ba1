"""Decide what the run as a whole needs next: waves, cells, halts and the close.

Called by `Decider.turn` until nothing is left to decide. Reads the state and the watch list only,
so calling it twice changes nothing. What single instances need is decided in `decide_instances`.
"""

from __future__ import annotations

from collections.abc import Iterator

from rollout.core.invariant import invariant
from rollout.core.running import gate_queries, gates, quarantine, thresholds, windows
from rollout.core.running.journey import DOWN, FINAL, TABLE, Phase
from rollout.core.running.state import Run
from rollout.core.running.watching import Watching
from rollout.errors import Exit
from rollout.model import event as ev
from rollout.model import limits
from rollout.model.event import AnyEvent, Trigger
from rollout.model.halts import HaltReason, halted
from rollout.model.spec import PPM
from rollout.model.text import some
from rollout.model.time import Instant


def decide(run: Run, watching: Watching, now: Instant) -> tuple[list[AnyEvent], Instant | None]:
    """Return the events about the run as a whole that are due at `now`, and when the next one is
    due without new input: None where only an event can bring one.
    """
    events = list(_events(run, watching, now))
    if run.frozen:
        return events, None
    wakes = (gates.wake(run, watching.queries), windows.wakes_at(run, watching.offset, now))
    return events, min((at for at in wakes if at is not None), default=None)


def _events(run: Run, watching: Watching, now: Instant) -> Iterator[AnyEvent]:
    if run.stopping:
        return
    if run.aborted is None:
        halt = run.alarm or thresholds.halt(run) or _drift(run)
        if halt is not None:
            yield halt
            return
    released = list(_released(run, watching))
    if released:  # keeps its cell and its wave from closing
        yield from released
    elif run.aborted is not None:
        yield from _close_aborted(run)
    elif (hold := quarantine.due(run)) is not None:
        yield hold
    elif (window := windows.verdict(run, watching.offset, now)) is not None:
        yield window
    else:
        yield from _waves(run, watching, now)


def _close_aborted(run: Run) -> Iterator[ev.RunClosed]:
    """Close the run once no call is open and no observation is awaited."""
    if not gates.awaited(run):
        yield _closed(run)


def _drift(run: Run) -> ev.Halted | None:
    """Return the halt for an open wave of which too many targets differ from the plan."""
    if run.wave_open is None:
        return None
    drifted, span = run.drift_in_wave[run.wave_open], run.layout.waves[run.wave_open]
    few = drifted * PPM <= span.targets * limits.DRIFT_SHARE_PPM
    if drifted <= limits.DRIFT_COUNT or few:
        return None
    text = f"{drifted} of {span.targets} targets of wave {span.name} drifted"
    return halted(HaltReason.DRIFT, f"{text}: {_differences(run, run.wave_open)}")


def _differences(run: Run, wave: int) -> str:
    """Return what differs in a wave, the most frequent difference first, each with instances."""
    found: dict[str, list[str]] = {}
    for ordinal, detail in run.drifts.items():
        if run.layout.wave_of(ordinal) == wave:
            found.setdefault(detail, []).append(run.layout.targets[ordinal].instance)
    ordered = sorted(found.items(), key=lambda item: -len(item[1]))
    return some([f"{len(ids)} {detail} ({some(ids, 3)})" for detail, ids in ordered])


def _released(run: Run, watching: Watching) -> Iterator[ev.Released]:
    """Release held restarts in doubt of each family where StartTime became trusted."""
    for family in dict.fromkeys(watching.calibrated):
        if run.trusted(family):
            held = [o for o in run.doubts_held if run.family(o) == family and o not in run.foreign]
            for start in range(0, len(held), limits.EVENT_ORDINALS_MAX):
                part = tuple(held[start : start + limits.EVENT_ORDINALS_MAX])
                yield ev.Released(part, "start_time_trusted")


def _waves(run: Run, watching: Watching, now: Instant) -> Iterator[AnyEvent]:
    if run.wave_open is None:
        yield from _between_waves(run, watching, now)
        return
    span = run.layout.waves[run.wave_open]
    closed = [cell for cell in run.cells_open if run.left_in_cell[cell] == 0]
    yield from map(ev.CellClosed, closed)
    if run.cells_next < span.cells[1]:
        room = run.left_in_open_cells < limits.OPEN_INSTANCES_MAX
        if run.left_before is None and room and not run.resting:
            yield ev.CellOpened(run.cells_next)
    elif len(closed) == len(run.cells_open) and run.left_in_wave[run.wave_open] == 0:
        gated = run.plan.waves[run.wave_open].gated
        at = max(now, run.service_time, watching.latest(now)) if gated else 0
        yield ev.WaveClosed(run.wave_open, at)


def _between_waves(run: Run, watching: Watching, now: Instant) -> Iterator[AnyEvent]:
    if run.left_before is not None:
        return
    if run.last_wave is not None and run.last_wave < run.waves_closed < len(run.layout.waves):
        name = run.layout.waves[run.last_wave].name
        yield halted(HaltReason.LAST_WAVE, f"wave {name} is closed (--until-wave)")
    elif run.gate is not None:
        verdict = gates.opened(run, now) or gate_queries.gave_up(run)
        if verdict is not None:
            yield verdict
    elif run.waves_closed < len(run.layout.waves):
        if not run.resting:
            yield ev.WaveStarted(run.waves_closed, run.layout.waves[run.waves_closed].name)
    elif run.left == 0 and not run.open_calls and watching.keys.all_compared():
        given_up = sum(run.phase(ordinal) in DOWN for ordinal in run.abandoned)
        doubts = classes(run)["in_doubt"] - given_up  # a restart that is held unseen is one too
        if doubts:
            yield halted(HaltReason.IN_DOUBT, f"{doubts} restarts are in doubt")
        else:
            yield _closed(run)


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
        counts[last.label] += run.phase_counts[phase]
    counts["excluded"] = len(run.plan.exclusions)
    return counts


def exit_of(run: Run) -> int:
    """Return the exit code of a process whose run closed, halted or was drained."""
    invariant(run.stopping, "a run that continues has no exit code")
    end = run.closed or run.halted
    if end is not None:
        return end.exit
    terminated = run.drained is not None and run.drained.word == "SIGTERM"
    return Exit.TERMINATED.value if terminated else Exit.INTERRUPTED.value


def _closed(run: Run) -> ev.RunClosed:
    """Return the close with its exit code: HALTED where an instance is in doubt; SOME_FAILED where
    one failed, is stranded or unverified, or was held back from its rotation, also by an abort.
    """
    counts = classes(run)
    if counts["in_doubt"]:
        return ev.RunClosed(counts, Exit.HALTED.value)
    left_behind = run.left or any(run.held[ordinal] for ordinal in run.causes)
    given_up = any(run.phase(ordinal) is Phase.SKIPPED for ordinal in run.abandoned)
    bad = counts["failed"] or counts["stranded"] or counts["unverified"]
    code = Exit.SOME_FAILED if bad or left_behind or given_up else Exit.DONE
    return ev.RunClosed(counts, code.value)
