"""The state machine of one instance: the table phase x trigger -> phase. Read this file first.

All moves of an instance go through `move`; a pair that is not in the table is a `Bug`. The
diagram in the docs is generated from this table. Knows nothing of time, calls or budgets.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping

from rollout.core.invariant import Bug
from rollout.model.event import Trigger as H


class Phase(enum.IntEnum):
    """The state of one instance. The number is its column value and is never displayed."""

    PLANNED = 0
    ATTACHING = 1
    ATTACHED = 2
    RESTARTING = 3
    IN_DOUBT = 4
    SETTLING = 5
    VERIFYING = 6
    COMPARING = 7
    DONE = 8
    UNVERIFIED = 9
    FAILED = 10
    SKIPPED = 11
    STRANDED = 12

    @property
    def label(self) -> str:
        """The phase as people read it: `in_doubt`."""
        return self.name.lower()


P = Phase

FINAL: frozenset[Phase] = frozenset({P.DONE, P.UNVERIFIED, P.FAILED, P.SKIPPED, P.STRANDED})
"""Phases in which the instance is not changed any more."""

EXPOSED: frozenset[Phase] = frozenset({P.ATTACHING, P.ATTACHED, P.RESTARTING, P.IN_DOUBT})
"""The key is, or may be, attached and is not yet in force."""

DOWN: frozenset[Phase] = frozenset({P.RESTARTING, P.IN_DOUBT, P.SETTLING})
"""May be unavailable because of us."""

AT_RISK: frozenset[Phase] = EXPOSED | DOWN | {P.VERIFYING}
"""May still fail because of us."""

TABLE: Mapping[tuple[Phase, H], Phase] = {
    # before the attach
    (P.PLANNED, H.ATTACH_ISSUED): P.ATTACHING,
    (P.PLANNED, H.OBSERVED_ATTACHED): P.ATTACHED,
    (P.PLANNED, H.DROPPED): P.SKIPPED,
    (P.PLANNED, H.CLOSED): P.SKIPPED,
    (P.PLANNED, H.ABANDONED): P.SKIPPED,
    # the attach, until it is read back
    (P.ATTACHING, H.ATTACH_REPEATABLE): P.PLANNED,
    (P.ATTACHING, H.ATTACH_REFUSED): P.FAILED,
    (P.ATTACHING, H.OBSERVED_ATTACHED): P.ATTACHED,
    (P.ATTACHING, H.OBSERVED_UNATTACHED): P.PLANNED,
    (P.ATTACHING, H.GAVE_UP): P.FAILED,
    (P.ATTACHING, H.DROPPED): P.SKIPPED,
    (P.ATTACHING, H.CLOSED): P.STRANDED,
    (P.ATTACHING, H.ABANDONED): P.STRANDED,
    # the restart
    (P.ATTACHED, H.RESTART_ISSUED): P.RESTARTING,
    (P.ATTACHED, H.OBSERVED_BOOTED): P.SETTLING,
    (P.ATTACHED, H.LEFT_STOPPED): P.STRANDED,
    (P.ATTACHED, H.DROPPED): P.SKIPPED,
    (P.ATTACHED, H.CLOSED): P.STRANDED,
    (P.ATTACHED, H.ABANDONED): P.STRANDED,
    (P.ATTACHED, H.STATED_RESTARTED): P.UNVERIFIED,
    (P.RESTARTING, H.RESTART_REPEATABLE): P.ATTACHED,
    (P.RESTARTING, H.RESTART_REFUSED): P.STRANDED,
    (P.RESTARTING, H.ANSWER_LOST): P.IN_DOUBT,
    (P.RESTARTING, H.DOUBTED): P.IN_DOUBT,
    (P.RESTARTING, H.OBSERVED_BOOTED): P.SETTLING,
    (P.RESTARTING, H.DROPPED): P.SKIPPED,
    (P.RESTARTING, H.CLOSED): P.IN_DOUBT,
    (P.RESTARTING, H.ABANDONED): P.IN_DOUBT,
    (P.RESTARTING, H.STATED_RESTARTED): P.UNVERIFIED,
    (P.RESTARTING, H.STATED_UNTOUCHED): P.ATTACHED,
    # doubt: only evidence, or what an operator states, ends it
    (P.IN_DOUBT, H.OBSERVED_BOOTED): P.SETTLING,
    (P.IN_DOUBT, H.OBSERVED_UNTOUCHED): P.ATTACHED,
    (P.IN_DOUBT, H.RETRIED): P.ATTACHED,
    (P.IN_DOUBT, H.ASSUMED): P.UNVERIFIED,
    (P.IN_DOUBT, H.DROPPED): P.SKIPPED,
    (P.IN_DOUBT, H.ABANDONED): P.IN_DOUBT,
    (P.IN_DOUBT, H.OBSERVED_SERVING): P.IN_DOUBT,
    (P.IN_DOUBT, H.STATED_RESTARTED): P.UNVERIFIED,
    (P.IN_DOUBT, H.STATED_UNTOUCHED): P.ATTACHED,
    # booted after the attach: the key is in force once it is Running
    (P.SETTLING, H.OBSERVED_RUNNING): P.DONE,
    (P.SETTLING, H.LOGIN_AWAITED): P.VERIFYING,
    (P.SETTLING, H.KEY_UNPROVED): P.COMPARING,
    (P.SETTLING, H.KEY_CHANGED): P.UNVERIFIED,
    (P.SETTLING, H.TIMED_OUT): P.FAILED,
    (P.SETTLING, H.DROPPED): P.SKIPPED,
    (P.SETTLING, H.CLOSED): P.IN_DOUBT,
    (P.SETTLING, H.ABANDONED): P.FAILED,
    (P.SETTLING, H.STATED_RESTARTED): P.UNVERIFIED,
    # Running, and the plan wants a login to prove the key
    (P.VERIFYING, H.LOGIN_PROVED): P.DONE,
    (P.VERIFYING, H.KEY_UNPROVED): P.COMPARING,
    (P.VERIFYING, H.KEY_CHANGED): P.UNVERIFIED,
    (P.VERIFYING, H.LOGIN_FAILED): P.FAILED,
    (P.VERIFYING, H.CLOSED): P.UNVERIFIED,
    # Running, and the key pair was not compared since its attach: the next comparison decides
    (P.COMPARING, H.KEY_PROVED): P.DONE,
    (P.COMPARING, H.KEY_CHANGED): P.UNVERIFIED,
    (P.COMPARING, H.CLOSED): P.UNVERIFIED,
    # an operator restarted or repaired it after the run had given up
    (P.FAILED, H.STATED_RESTARTED): P.UNVERIFIED,
    (P.STRANDED, H.STATED_RESTARTED): P.UNVERIFIED,
}


def move(phase: Phase, trigger: H) -> Phase:
    """The phase after this trigger. `Bug` where the table has no such move."""
    try:
        return TABLE[phase, trigger]
    except KeyError:
        message = f"{trigger} cannot happen to an instance that is {phase.label}"
        raise Bug(message) from None
