"""Checkers of the census: members of groups that are down without the run.

They compare journal and hidden cloud and never use the core's decisions. Listed and called by
`checkers`.
"""

from __future__ import annotations

from collections.abc import Iterator

from rollout.emulator.fault_plan import FaultPlan
from rollout.model import event as ev
from rollout.model.command import RestartCall
from rollout.model.plan import RestartKind
from rollout.model.spec import FLEET
from rollout.model.time import SECOND, Instant
from rollout.sim.check.claims import BudgetHeld
from rollout.sim.check.history import History, Intent
from rollout.sim.world.others import NEVER
from rollout.sim.world.scenario import ExternalChange


class CensusFirst:
    """No restart begins before a census of its wave, process and window."""

    ids = ("I-95",)

    def check(self, history: History) -> Iterator[str]:
        """Follow the journal."""
        if not history.layout.members:
            return
        for intent, basis in _restarts(history):
            if basis is None:
                yield f"call {intent.issued.n} restarts before a census"


class MembersCounted:
    """A reboot begins only if its groups have a permit left next to the members that are down."""

    ids = ("I-96",)

    def check(self, history: History) -> Iterator[str]:
        """Count members that were down during the whole last census before an intent and until it,
        and instances that reboots of the run have down.
        """
        record, layout = history.record, history.layout
        outages = [*_outages(history)]
        if not outages:
            return
        lag = _lag(history)
        own = BudgetHeld().changes(history)
        for intent, basis in _restarts(history):
            command = intent.issued.command
            if basis is None or getattr(command, "kind", None) is not RestartKind.REBOOT:
                continue
            at, wave = intent.journaled.at, layout.wave_of(intent.ordinals[0])
            away = [
                (ordinal, groups)
                for ordinal, groups, begun, until in outages
                if begun < basis - lag and at < until and _is_observed(history, ordinal, wave)
            ]
            for ordinal in intent.ordinals:
                for group in layout.targets[ordinal].groups:
                    others = sum(
                        change
                        for when, change, other in own
                        if when <= at and other != ordinal and group in layout.targets[other].groups
                    )
                    members = sum(group in groups for one, groups in away if one != ordinal)
                    cap = record.plan.groups[group].cap
                    if members and others + members >= cap:
                        name = layout.targets[ordinal].instance
                        yield f"{name} with {others} and {members} others down of {cap}"
                        return


def _is_observed(history: History, ordinal: int, wave: int) -> bool:
    """Return whether a census of a wave observes a member: an exclusion, or a target that is in a
    part of the fleet with targets of this wave or an earlier one.
    """
    layout, groups = history.layout, history.record.plan.groups
    if ordinal >= len(layout.targets):
        return True
    end = layout.cells[layout.waves[wave].cells[1] - 1].end
    parts = {one for one in layout.targets[ordinal].groups if groups[one].key != FLEET}
    return any(parts.intersection(target.groups) for target in layout.targets[:end])


def _outages(history: History) -> Iterator[tuple[int, tuple[int, ...], Instant, Instant]]:
    """Yield the outages that the run did not cause: the member, its groups, begin and end. A target
    that hangs stays down.
    """
    record, layout = history.record, history.layout
    for ordinal in layout.members:
        name, groups = layout.member(ordinal).instance, layout.groups_of(ordinal)
        for begun, until in record.outages.get(name, ()):
            yield ordinal, groups, begun, until
        hangs = [at for at, one in record.touched.get(name, ()) if one.change in _HANGS]
        restarted = history.restarts.get(name, ())
        if hangs and not any(effect.entry.at >= hangs[0] for effect in restarted):
            gone = history.touched(name, ExternalChange.GONE)
            yield from () if gone else [(ordinal, groups, hangs[0], NEVER)]


_HANGS = (ExternalChange.HANGS,)


def _restarts(history: History) -> Iterator[tuple[Intent, Instant | None]]:
    """Yield each intent to restart, and the earliest begin of the last census before it."""
    earliest: Instant | None = None
    basis: Instant | None = None
    paused = False
    for journaled in history.journaled:
        event, decided = journaled.event, history.record.decided(journaled.at)
        match event:
            case ev.CensusTaken():
                basis, earliest = earliest, decided
            case ev.OperatorCommand(command=ev.OperatorVerb.PAUSE):
                paused = True
            case ev.OperatorCommand(command=ev.OperatorVerb.RESUME | ev.OperatorVerb.PROMOTE):
                basis = None if paused else basis
                earliest, paused = decided if paused else earliest, False
            case ev.WaveStarted() | ev.Resumed() | ev.WindowOpened():
                basis, earliest = None, decided
            case ev.Issued(command=RestartCall()):
                yield history.intents[event.n], basis
            case _:
                pass


def _lag(history: History) -> int:
    """Return how outdated a reply to a census may be."""
    scenario = history.record.scenario
    switches = scenario.switches
    faults = FaultPlan(scenario.faults).lag_ms_max
    return faults + switches.describe_lag_ms + switches.stale_status_ms + 2 * SECOND
