"""Compute the read model of a run from its state.

Called by drivers for progress and by the command line for `status`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice

from rollout.core.running import gate_queries, gates, thresholds, windows
from rollout.core.running.decide_run import classes, exit_of
from rollout.core.running.journey import FINAL, Phase
from rollout.core.running.state import Run
from rollout.model.spec import FLEET
from rollout.model.text import some
from rollout.model.time import Instant, format_instant
from rollout.model.view import AwayView, GroupView, LaneView, Left, RunView, WaveView

LEFT_MAX = 1_000
"""Instances listed by name; the counts name all."""

_LEFT = frozenset({Phase.FAILED, Phase.STRANDED, Phase.UNVERIFIED, Phase.IN_DOUBT})


def view(run: Run, now: Instant = 0) -> RunView:
    """The whole run. Walks every target: for a screen, not for every event.

    A bake that is over at `now` is not shown as one that the next wave waits for.
    """
    state, reason, exit_code = _state(run)
    groups = _groups(run)
    return RunView(
        run=run.run_id,
        name=run.plan.name,
        state=state,
        reason=reason,
        exit=exit_code,
        epoch=run.epoch,
        waves=tuple(_wave(run, number, now) for number in range(len(run.layout.waves))),
        groups=groups,
        exposed=run.ledger.exposed,
        exposed_max=run.ledger.exposed_max,
        in_doubt=run.phase_counts[Phase.IN_DOUBT],
        phases={phase.label: run.phase_counts[phase] for phase in Phase if run.phase_counts[phase]},
        classes=_classes(run),
        away=tuple(_away(run)) if run.closed is None else (),
        failed_down=sum(run.failed_down(ordinal) for ordinal in range(len(run.phases))),
        waiting=_waiting(run, groups, now),
        left=tuple(_rows(run, _needs_a_person)),
        skipped=tuple(_rows(run, _drifted_out)),
        calls=run.calls_issued,
        restarted_elsewhere=tuple(
            run.layout.targets[ordinal].instance
            for ordinal in sorted(run.restarted_elsewhere)[:LEFT_MAX]
        ),
        lanes=lanes(run) if run.closed is None else (),
        clusters=thresholds.clusters(run),
        to_promote=run.aborted is None and gates.unanswered(run),
        window="" if run.closed is not None or run.aborted is not None else windows.text(run),
        shut=run.closed is None and run.aborted is None and bool(gate_queries.shut(run)),
    )


def _groups(run: Run) -> tuple[GroupView, ...]:
    """The groups of the whole fleet, then the other groups with permits in use, the fullest first:
    the fewest permits left, then the most kept.
    """
    ledger = run.ledger
    shown = [
        GroupView(
            group.key,
            group.cap,
            ledger.used[number],
            ledger.kept[number],
            ledger.outside[number],
        )
        for number, group in enumerate(run.plan.groups)
        if ledger.used[number] or ledger.outside[number] or not ledger.parts[number]
    ]
    shown.sort(
        key=lambda one: (
            one.key != FLEET,
            one.key != FLEET and (one.cap - one.used - one.outside, -one.kept),
        )
    )
    return tuple(shown[:LEFT_MAX])


def _away(run: Run) -> Iterator[AwayView]:
    """The members of groups that are down without the run."""
    for ordinal, one in islice(run.away.items(), LEFT_MAX):
        name, site = run.layout.member(ordinal).instance, run.layout.home_of(ordinal)
        yield AwayView(name, site.region, one.evidence, format_instant(one.since))


def lanes(run: Run) -> tuple[LaneView, ...]:
    """The throttled lanes, the most often throttled first."""
    return tuple(
        LaneView(
            one.region,
            one.action,
            one.per_minute,
            one.quota,
            one.throttled,
            format_instant(one.until),
        )
        for one in sorted(run.slowed.values(), key=lambda lane: -lane.throttled)
    )


def _classes(run: Run) -> dict[str, int]:
    """Count the inventory by class. Before the close, `open` counts what is neither finished nor in
    doubt.
    """
    if run.closed is not None:
        return classes(run)
    settled = [phase for phase in Phase if phase in FINAL or phase is Phase.IN_DOUBT]
    counts = {phase.label: run.phase_counts[phase] for phase in settled}
    counts["open"] = len(run.phases) - sum(counts.values())
    counts["excluded"] = len(run.plan.exclusions)
    return counts


def _state(run: Run) -> tuple[str, str, int]:
    if run.closed is not None:
        return "closed", _aborted(run), exit_of(run)
    if run.halted is not None:
        halted = run.halted
        return "halted", f"{halted.code} {halted.reason}: {halted.detail}", exit_of(run)
    if run.drained is not None:
        return "drained", run.drained.word, exit_of(run)
    if run.paused is not None and run.aborted is None:
        return "paused", gates.paused_by(run.paused), 0
    return "running", _aborted(run), 0


def _aborted(run: Run) -> str:
    if run.aborted is None:
        return ""
    reason = f": {run.aborted.reason}" if run.aborted.reason else ""
    return f"aborted by {run.aborted.actor.user}{reason}"


def _wave(run: Run, number: int, now: Instant) -> WaveView:
    span = run.layout.waves[number]
    first, last = span.cells
    start, end = run.layout.cells[first].start, run.layout.cells[last - 1].end
    counts = [run.phases.count(phase, start, end) for phase in Phase]
    phases = {phase.label: counts[phase] for phase in Phase if counts[phase]}
    held = run.held.count(1, start, end)
    if number < run.waves_closed:
        return WaveView(
            span.name, span.targets, "closed", phases, held, gates.text(run, number, now)
        )
    state = "open" if number == run.wave_open else "waiting"
    if run.closed is not None:
        state = "aborted" if number == run.wave_open else "not started"
    return WaveView(span.name, span.targets, state, phases, held)


def _waiting(run: Run, groups: tuple[GroupView, ...], now: Instant) -> dict[str, int]:
    """Count what unfinished instances wait for, each instance once: its wave, its turn, a permit,
    evidence, or an operator.
    """
    held = Counter(run.phase(ordinal) for ordinal, is_held in enumerate(run.held) if is_held)
    open_end = run.layout.cells[run.cells_next - 1].end if run.cells_next else 0
    later = len(run.phases) - open_end
    full = [group.key for group in groups if group.used + group.outside >= group.cap]
    restart = f"for a permit of {some(full)}" if full else _paced(run) or "for a restart call"

    def free(phase: Phase) -> int:
        return run.phase_counts[phase] - held[phase]

    gate = gates.text(run, run.waves_closed - 1, now)
    reasons = {
        gate or "for an earlier wave or cell": later,
        restart: free(Phase.ATTACHED),
        "for an attach": max(0, free(Phase.PLANNED) - later),
        "for a login that proves the key": free(Phase.VERIFYING),
        "for a comparison of the key pair": free(Phase.COMPARING),
        "for evidence (keep their permits)": free(Phase.IN_DOUBT),
        "for an operator (held)": sum(held[phase] for phase in held if phase not in FINAL),
    }
    return {why: count for why, count in reasons.items() if count}


def _paced(run: Run) -> str:
    """Return the wait for a rate that was used up at the last restart; empty where there is none.
    Walks the groups whose restarts were counted.
    """
    rates = run.rates
    for group in sorted(rates.until):
        ended = rates.until[group]
        if rates.open.get(group, 0) + len(ended) >= rates.rates[group] and ended:
            key, free_at = run.plan.groups[group].key, max(ended[0], rates.shut_until)
            limit = f"{rates.rates[group]:,} restarts in ten minutes"
            return f"for the rate of {key} ({limit}, next at {format_instant(free_at)})"
    return ""


def _needs_a_person(run: Run, ordinal: int) -> bool:
    """A run with such an instance never ends with exit 0."""
    phase = run.phase(ordinal)
    given_up = phase is Phase.SKIPPED and ordinal in run.abandoned
    return phase in _LEFT or bool(run.held[ordinal]) or given_up


def _drifted_out(run: Run, ordinal: int) -> bool:
    """Return whether it was skipped for a reason that excludes it from a new plan too."""
    return run.phase(ordinal) is Phase.SKIPPED and not _needs_a_person(run, ordinal)


def _rows(run: Run, wanted: Callable[[Run, int], bool]) -> Iterator[Left]:
    """The first instances of that kind, with phase and cause."""
    chosen = (
        ordinal
        for ordinal, phase in enumerate(run.phases)
        if phase != Phase.DONE and wanted(run, ordinal)
    )
    for ordinal in islice(chosen, LEFT_MAX):
        _, region = run.layout.site_of(ordinal)
        instance = run.layout.targets[ordinal].instance
        phase, cause = run.phase(ordinal), run.causes.get(ordinal, "")
        yield Left(instance, region, phase.label, cause, run.failed_down(ordinal))
