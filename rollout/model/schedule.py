"""The schedule of a spec: when rotations are due, and what a due tick does."""

from __future__ import annotations

import enum

import msgspec

from rollout.model.time import HOUR, Duration

CATCH_UP_MAX_MS: Duration = 1 * HOUR
"""A tick never fires later than this after its time, unless it was queued."""


class Overlap(enum.StrEnum):
    """What to do with a tick that is due while a run is open: skip it, or wait for the run."""

    SKIP = "skip"
    QUEUE = "queue"


class OnDue(enum.StrEnum):
    """What a due tick does: save a plan, or save it and apply it."""

    PLAN = "plan"
    PLAN_AND_APPLY = "planAndApply"


class Schedule(msgspec.Struct, frozen=True):
    """When a spec is due: a cron expression in the local time of an IANA time zone."""

    cron: str
    time_zone: str
    overlap: Overlap = Overlap.SKIP
    catch_up_ms: Duration = CATCH_UP_MAX_MS
    on_due: OnDue = OnDue.PLAN
