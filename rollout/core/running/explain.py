"""Explain why one instance of a run waits, from the state that the journal gives.

Called by the use case of `rollout show`. Reads the state only. A new reason is a row in `_REASONS`.
"""

from __future__ import annotations

from collections.abc import Callable

from rollout.core.running import gates
from rollout.core.running.journey import FINAL, Phase
from rollout.core.running.state import Run
from rollout.model import limits
from rollout.model.command import Attach, ImportKey
from rollout.model.text import some
from rollout.model.time import MINUTE, SECOND, format_instant
from rollout.model.view import InstanceView

HOLDERS_NAMED = 3
"""Holders of permits that a text names; the others are a count."""


def explain(run: Run, ordinal: int) -> InstanceView:
    """Return one target of a run: its phase, its groups and why it waits; empty if finished."""
    target = run.layout.targets[ordinal]
    _, region = run.layout.site_of(ordinal)
    kind = run.layout.kinds[target.kind]
    return InstanceView(
        target.instance,
        region,
        target.zone,
        target.image,
        kind.os_name,
        kind.instance_type,
        run.layout.waves[run.layout.wave_of(ordinal)].name,
        run.phase(ordinal).label,
        tuple(run.plan.groups[group].key for group in target.groups),
        bool(run.ledger.permits[ordinal]),
        next((text for text in (reason(run, ordinal) for reason in _REASONS) if text), ""),
        run.causes.get(ordinal, ""),
        run.failed_down(ordinal),
    )


def _held(run: Run, ordinal: int) -> str:
    if run.phase(ordinal) in FINAL or not run.held[ordinal]:
        return ""
    return f"for an operator: held because of {run.causes.get(ordinal, 'an unknown reason')}"


def _stopped(run: Run, _: int) -> str:
    if run.halted is not None:
        return f"for a resume: the run halted ({run.halted.code} {run.halted.detail})"
    if run.drained is not None:
        return f"for a resume: the run was stopped by {run.drained.word}"
    return ""


def _called(run: Run, ordinal: int) -> str:
    for issued in run.open_calls.values():
        command = issued.command
        if not isinstance(command, ImportKey) and ordinal in command.ordinals:
            action = "AttachKeyPair" if isinstance(command, Attach) else command.kind.action()
            latest = format_instant(issued.not_after)
            return f"for the reply to {action} (call {issued.n}, sent before {latest})"
    return ""


def _in_doubt(run: Run, ordinal: int) -> str:
    if run.phase(ordinal) is not Phase.IN_DOUBT:
        return ""
    end = format_instant(run.settle_end(ordinal))
    return f"for evidence: its restart is in doubt and may take effect until {end}; {_observed()}"


def _attaching(run: Run, ordinal: int) -> str:
    attaching = run.phase(ordinal) is Phase.ATTACHING
    return f"for the record to show the new key pair; {_observed()}" if attaching else ""


def _booting(run: Run, ordinal: int) -> str:
    if run.phase(ordinal) not in (Phase.RESTARTING, Phase.SETTLING):
        return ""
    record = run.restarting.get(ordinal)
    since = f" since {format_instant(record.begun)}" if record is not None else ""
    return f"for its boot{since}; {_observed()}"


def _comparing(run: Run, ordinal: int) -> str:
    return "for a comparison of the key pair" if run.phase(ordinal) is Phase.COMPARING else ""


def _paused(run: Run, _: int) -> str:
    if run.paused is None:
        return ""
    return f"for an operator to continue the run: {gates.paused_by(run.paused)}"


def _gate(run: Run, ordinal: int) -> str:
    later = run.gate is not None and run.layout.wave_of(ordinal) > run.gate.wave
    return gates.text(run, run.waves_closed - 1, run.service_time) if later else ""


def _wave(run: Run, ordinal: int) -> str:
    wave = run.layout.wave_of(ordinal)
    if wave < run.waves_closed or wave == run.wave_open:
        return ""
    before = run.waves_closed if run.wave_open is None else run.wave_open
    if before == wave:
        return f"for its wave {run.layout.waves[wave].name} to start"
    left = run.left_in_wave[before]
    return f"for wave {run.layout.waves[before].name}, which has {left:,} unfinished instances"


def _cell(run: Run, ordinal: int) -> str:
    unopened = run.layout.cell_of[ordinal] >= run.cells_next
    return "for earlier instances of its wave" if unopened else ""


def _busy(run: Run, ordinal: int) -> str:
    busy = run.busy.get(ordinal)
    if busy is None:
        return ""
    since, times = format_instant(busy.first), busy.refusals
    return (
        f"because the service refuses its call as busy ({busy.code}, {times} times since {since})"
    )


def _permit(run: Run, ordinal: int) -> str:
    """A group without a permit left, the instances that have its permits, and its members that are
    down without this run.
    """
    kind = run.layout.targets[ordinal].restart
    group = run.ledger.full_group(ordinal, kind, run.ledger.left)
    if group is None:
        return ""
    ledger = run.ledger
    holders = [
        target.instance
        for other, target in enumerate(run.layout.targets)
        if ledger.permits[other] and group in target.groups and other != ordinal
    ]
    parts = []
    if holders:
        used = f"{ledger.used[group]} of {ledger.caps[group]}"
        parts.append(f"{used} are held by {some(holders, HOLDERS_NAMED)}")
    away = [
        f"{run.layout.member(other).instance} ({one.evidence} since {format_instant(one.since)})"
        for other, one in run.away.items()
        if group in run.layout.groups_of(other)
    ]
    if away:
        text = f"down without this run: {some(away, HOLDERS_NAMED)}"
        parts.append(f"{text}, observed every {limits.CENSUS_AGAIN_MS // MINUTE} min")
    return f"for a permit of {run.plan.groups[group].key}: {'; '.join(parts)}" if parts else ""


def _census(run: Run, ordinal: int) -> str:
    waits = run.phase(ordinal) in (Phase.PLANNED, Phase.ATTACHED) and not run.counted
    return f"for a census of {len(run.layout.members):,} members of the groups" * waits


def _exposed(run: Run, ordinal: int) -> str:
    full = run.ledger.exposed >= run.ledger.exposed_max
    planned = run.phase(ordinal) is Phase.PLANNED
    return f"because {run.ledger.exposed:,} instances are exposed, the limit" * (full and planned)


def _strict(run: Run, ordinal: int) -> str:
    rule = run.plan.failure_rule()
    if rule is None or not rule.strict or run.phase(ordinal) is not Phase.PLANNED:
        return ""
    counted = run.troubles.total() + run.at_risk
    full = counted >= rule.failed
    return f"because {run.at_risk} instances may still fail (strict onFailure.failed)" * full


def _lane(run: Run, ordinal: int) -> str:
    site = run.layout.site_of(ordinal)
    slow = next((one for lane, one in run.slowed.items() if lane.site == site), None)
    return f"for a throttled lane: {slow.action}, {slow.per_minute:,} a minute" if slow else ""


def _turn(run: Run, ordinal: int) -> str:
    attached = run.phase(ordinal) is Phase.ATTACHED
    return "for its restart call" if attached else "for its attach"


def _observed() -> str:
    return f"observed every {limits.OBSERVE_TICK_MS // SECOND} s while a process drives the run"


def _finished(run: Run, ordinal: int) -> str:
    return "nothing: it is finished" if run.phase(ordinal) in FINAL or run.closed else ""


_REASONS: tuple[Callable[[Run, int], str], ...] = (
    _finished,
    _held,
    _stopped,
    _called,
    _in_doubt,
    _attaching,
    _booting,
    _comparing,
    _paused,
    _gate,
    _wave,
    _cell,
    _busy,
    _census,
    _permit,
    _exposed,
    _strict,
    _lane,
    _turn,
)
"""The reasons in order of precedence; the first text is the answer, and the last always has one."""
