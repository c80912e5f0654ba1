"""What must hold of every simulated run, and what is wrong with one.

Called after each run with its history. The checkers are small classes, one an invariant; here is
the list of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from rollout.sim.check import claims, effects, others, restarts, sends
from rollout.sim.check.history import History
from rollout.sim.world.record import RunRecord


class Checker(Protocol):
    """One property. `ids` are the invariants and promises of docs/safety.md it stands for."""

    @property
    def ids(self) -> tuple[str, ...]:
        """Such as `I-01`."""

    def check(self, history: History) -> Iterator[str]:
        """What breaks it, in words; nothing where all is well."""


CHECKERS: tuple[Checker, ...] = (
    claims.ComesToAnEnd(),
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
    effects.PlanOnlyLooks(),
    claims.AttachFirst(),
    claims.InForce(),
    claims.FailedByFact(),
    claims.GoneIsGone(),
    claims.ClassesPartition(),
    claims.BudgetHeld(),
    claims.JournalSound(),
    claims.FoldIsState(),
    claims.DrainsSoon(),
    others.LaterWavesWait(),
    others.OwnMaterial(),
    others.BusyWaits(),
    others.StartsAsPlanned(),
    others.ForeignRunsHalt(),
)
"""The first two also judge runs that lost their way; the others need a journal to its end."""


def violations(record: RunRecord) -> list[str]:
    """Return everything that is wrong with a run; of one that got lost only that it did."""
    history = History(record)
    lost = record.stuck or record.bug
    return [
        f"{'/'.join(checker.ids)} {type(checker).__name__}: {text}"
        for checker in (CHECKERS[:2] if lost else CHECKERS)
        for text in checker.check(history)
    ]
