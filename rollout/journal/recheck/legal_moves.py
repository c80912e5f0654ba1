"""The legal moves of an instance: a second table, independent of the core's `journey`.

Called by the other modules of the recheck.
"""

from __future__ import annotations

from enum import IntEnum

from rollout.model.event import Trigger
from rollout.model.outcome import RetryClass
from rollout.model.spec import OnUnknown


class State(IntEnum):
    """Where an instance is. VERIFYING: it runs, and no login has proved its key yet. COMPARING: it
    runs, and its key pair has not been compared yet.
    """

    PLANNED = 0
    ATTACHING = 1
    ATTACHED = 2
    RESTARTING = 3
    BOOTED = 4
    VERIFYING = 5
    COMPARING = 6
    DONE = 7
    UNVERIFIED = 8
    FAILED = 9
    SKIPPED = 10
    STRANDED = 11


S = State
UNFINISHED = frozenset(range(S.DONE))
EXPOSED = frozenset({S.ATTACHING, S.ATTACHED, S.RESTARTING})
AT_RISK = EXPOSED | {S.BOOTED, S.VERIFYING}
JUDGED = frozenset({S.DONE, S.UNVERIFIED, S.FAILED, S.STRANDED})

MOVES: dict[Trigger, tuple[frozenset[int], int]] = {
    Trigger.OBSERVED_ATTACHED: (frozenset({S.PLANNED, S.ATTACHING}), S.ATTACHED),
    Trigger.OBSERVED_UNATTACHED: (frozenset({S.ATTACHING}), S.PLANNED),
    Trigger.GAVE_UP: (frozenset({S.ATTACHING}), S.FAILED),
    Trigger.LEFT_STOPPED: (frozenset({S.ATTACHED}), S.STRANDED),
    Trigger.OBSERVED_BOOTED: (frozenset({S.ATTACHED, S.RESTARTING}), S.BOOTED),
    Trigger.DOUBTED: (frozenset({S.RESTARTING}), S.RESTARTING),
    Trigger.OBSERVED_UNTOUCHED: (frozenset({S.RESTARTING}), S.ATTACHED),
    Trigger.RETRIED: (frozenset({S.RESTARTING}), S.ATTACHED),
    Trigger.ASSUMED: (frozenset({S.RESTARTING}), S.UNVERIFIED),
    Trigger.OBSERVED_RUNNING: (frozenset({S.BOOTED}), S.DONE),
    Trigger.TIMED_OUT: (frozenset({S.BOOTED}), S.FAILED),
    Trigger.DROPPED: (UNFINISHED, S.SKIPPED),
    Trigger.STATED_RESTARTED: (
        frozenset({S.ATTACHED, S.RESTARTING, S.BOOTED, S.FAILED, S.STRANDED}),
        S.UNVERIFIED,
    ),
    Trigger.STATED_UNTOUCHED: (frozenset({S.RESTARTING}), S.ATTACHED),
    Trigger.OBSERVED_SERVING: (frozenset({S.RESTARTING}), S.RESTARTING),
}
"""The states from which an observation or a timeout moves an instance, and the state after it."""

ABANDONED = {
    S.PLANNED: S.SKIPPED,
    S.ATTACHING: S.STRANDED,
    S.ATTACHED: S.STRANDED,
    S.RESTARTING: S.RESTARTING,
    S.BOOTED: S.FAILED,
}
"""The state after an operator abandoned an instance, by its state before; SKIPPED for others."""

FREES = frozenset(
    {
        Trigger.OBSERVED_RUNNING,
        Trigger.OBSERVED_UNTOUCHED,
        Trigger.RETRIED,
        Trigger.ASSUMED,
        Trigger.DROPPED,
        Trigger.STATED_RESTARTED,
        Trigger.STATED_UNTOUCHED,
        Trigger.OBSERVED_SERVING,
    }
)
"""Triggers that return a permit: the instance serves again, was not restarted or is gone, or an
operator stated its outcome. After a timeout the instance is still down."""

BUSY = frozenset({RetryClass.STATE, RetryClass.GONE})
"""Refusals that are final only after they have lasted for the plan's restart timeout."""

POLICIES = {Trigger.RETRIED: OnUnknown.RETRY_ONCE, Trigger.ASSUMED: OnUnknown.ASSUME_DONE}

CLASSES = {
    S.PLANNED: "skipped",
    S.ATTACHING: "stranded",
    S.ATTACHED: "stranded",
    S.RESTARTING: "in_doubt",
    S.BOOTED: "in_doubt",
    S.VERIFYING: "unverified",
    S.COMPARING: "unverified",
    S.DONE: "done",
    S.UNVERIFIED: "unverified",
    S.FAILED: "failed",
    S.SKIPPED: "skipped",
    S.STRANDED: "stranded",
}
"""The class of an instance in each state at the close of the run."""
