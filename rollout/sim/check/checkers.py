"""The list of checkers, and the violations they find in a simulated run.

Called after each run with its record. The checkers are small classes, one per invariant.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from rollout.sim.check import (
    approvals,
    census,
    claims,
    effects,
    failures,
    gates,
    last,
    leases,
    logins,
    others,
    quarantine,
    rates,
    restarts,
    sends,
    windows,
)
from rollout.sim.check.history import History
from rollout.sim.world.record import RunRecord


class Checker(Protocol):
    """One property. `ids` are the invariants and promises of docs/safety.md that it checks."""

    @property
    def ids(self) -> tuple[str, ...]:
        """Return the ids, such as `I-01`."""

    def check(self, history: History) -> Iterator[str]:
        """Yield each violation as text."""


CHECKERS: tuple[Checker, ...] = (
    claims.RunFinishes(),
    claims.OneStation(),
    sends.DurableFirst(),
    sends.IntentsAreWhole(),
    sends.SentAsIntended(),
    sends.OneProcess(),
    effects.LinuxOnly(),
    effects.CompareAndSet(),
    restarts.RightState(),
    restarts.NotLocked(),
    restarts.OneOpen(),
    restarts.RestartedOnce(),
    restarts.SettledFirst(),
    restarts.MinuteGuard(),
    effects.EffectsIntended(),
    effects.WavesInOrder(),
    restarts.AttemptsBounded(),
    sends.HaltHolds(),
    sends.SentInTime(),
    effects.KeysStay(),
    effects.PlanIsReadOnly(),
    claims.AttachFirst(),
    claims.InForce(),
    claims.FailedByFact(),
    claims.GoneIsGone(),
    claims.ClassesPartition(),
    claims.BudgetHeld(),
    rates.RateHeld(),
    census.CensusFirst(),
    census.MembersCounted(),
    claims.JournalSound(),
    claims.FoldIsState(),
    claims.DrainsSoon(),
    logins.LoginProved(),
    logins.HostKeyKept(),
    logins.CanaryLoginHalts(),
    gates.GatesAnswered(),
    gates.BakesHeld(),
    gates.PauseHolds(),
    failures.FailureLimits(),
    windows.WindowsHeld(),
    last.LastOnes(),
    approvals.ApprovedFirst(),
    quarantine.CohortsHeld(),
    leases.LeasesHeld(),
    others.LaterWavesWait(),
    others.OwnMaterial(),
    others.BusyWaits(),
    others.StartsAsPlanned(),
    others.ForeignRunsHalt(),
)
"""The first two also check runs that got stuck; the others need a complete journal."""


def violations(record: RunRecord) -> list[str]:
    """Return all violations of a run; of one that got stuck only that."""
    history = History(record)
    lost = record.stuck or record.bug
    return [
        f"{'/'.join(checker.ids)} {type(checker).__name__}: {text}"
        for checker in (CHECKERS[:2] if lost else CHECKERS)
        for text in checker.check(history)
    ]
