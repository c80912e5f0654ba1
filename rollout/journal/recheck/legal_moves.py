"""What may become of an instance, by the journal's own rules: a second table next to the core's.

Used by `rules` only, and written without a look at `core.journey`.
"""

from __future__ import annotations

from rollout.model.event import Trigger
from rollout.model.outcome import RetryClass
from rollout.model.spec import OnUnknown

PLANNED, ATTACHING, ATTACHED, RESTARTING, BOOTED, COMPARING = range(6)
DONE, UNVERIFIED, FAILED, SKIPPED, STRANDED = range(6, 11)
WORDS = (
    *("planned", "attaching", "attached", "restarting", "booted", "comparing"),
    *("done", "unverified", "failed", "skipped", "stranded"),
)
UNFINISHED = frozenset({PLANNED, ATTACHING, ATTACHED, RESTARTING, BOOTED, COMPARING})
EXPOSED = frozenset({ATTACHING, ATTACHED, RESTARTING})

MOVES: dict[Trigger, tuple[frozenset[int], int]] = {
    Trigger.SEEN_ATTACHED: (frozenset({PLANNED, ATTACHING}), ATTACHED),
    Trigger.SEEN_UNATTACHED: (frozenset({ATTACHING}), PLANNED),
    Trigger.GAVE_UP: (frozenset({ATTACHING}), FAILED),
    Trigger.LEFT_STOPPED: (frozenset({ATTACHED}), STRANDED),
    Trigger.SEEN_BOOTED: (frozenset({ATTACHED, RESTARTING}), BOOTED),
    Trigger.DOUBTED: (frozenset({RESTARTING}), RESTARTING),
    Trigger.SEEN_UNTOUCHED: (frozenset({RESTARTING}), ATTACHED),
    Trigger.RETRIED: (frozenset({RESTARTING}), ATTACHED),
    Trigger.ASSUMED: (frozenset({RESTARTING}), UNVERIFIED),
    Trigger.SEEN_RUNNING: (frozenset({BOOTED}), DONE),
    Trigger.TIMED_OUT: (frozenset({BOOTED}), FAILED),
    Trigger.DROPPED: (UNFINISHED, SKIPPED),
    Trigger.STATED_RESTARTED: (
        frozenset({ATTACHED, RESTARTING, BOOTED, FAILED, STRANDED}),
        UNVERIFIED,
    ),
    Trigger.STATED_UNTOUCHED: (frozenset({RESTARTING}), ATTACHED),
    Trigger.SEEN_SERVING: (frozenset({RESTARTING}), RESTARTING),
}
"""What a look or a due time may say of an instance: where it must be, where it is then."""

ABANDONED = {
    PLANNED: SKIPPED,
    ATTACHING: STRANDED,
    ATTACHED: STRANDED,
    RESTARTING: RESTARTING,
    BOOTED: FAILED,
}
"""Where an instance is after an operator gave it up."""

FREES = frozenset(
    {
        Trigger.SEEN_RUNNING,
        Trigger.SEEN_UNTOUCHED,
        Trigger.RETRIED,
        Trigger.ASSUMED,
        Trigger.DROPPED,
        Trigger.STATED_RESTARTED,
        Trigger.STATED_UNTOUCHED,
        Trigger.SEEN_SERVING,
    }
)
"""What gives a permit back: it serves again, it did not happen, it is gone, or an operator's
answer. A time-out does not: that instance is down."""

BUSY = frozenset({RetryClass.STATE, RetryClass.GONE})
"""Refusals that may not last: repeated until they have lasted for the plan's restart timeout."""

POLICIES = {Trigger.RETRIED: OnUnknown.RETRY_ONCE, Trigger.ASSUMED: OnUnknown.ASSUME_DONE}

CLASSES = {
    PLANNED: "skipped",
    ATTACHING: "stranded",
    ATTACHED: "stranded",
    RESTARTING: "in_doubt",
    BOOTED: "in_doubt",
    COMPARING: "unverified",
    DONE: "done",
    UNVERIFIED: "unverified",
    FAILED: "failed",
    SKIPPED: "skipped",
    STRANDED: "stranded",
}
"""The class an instance ends in by where it is at the close."""
