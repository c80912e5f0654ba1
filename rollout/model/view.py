"""Read models for people: what a run looks like now. Made by `core.view`, shown by `cli`."""

from __future__ import annotations

import msgspec


class WaveView(msgspec.Struct, frozen=True):
    """One wave: how many targets are in each phase (by its word), and whether it is open."""

    name: str
    targets: int
    state: str
    phases: dict[str, int]
    held: int


class GroupView(msgspec.Struct, frozen=True):
    """One group: permits in use of its cap, and how many of them are kept for good."""

    key: str
    cap: int
    used: int
    kept: int


class Left(msgspec.Struct, frozen=True):
    """An instance that needs a person: its phase or class, and why."""

    instance: str
    region: str
    phase: str
    why: str


class LaneView(msgspec.Struct, frozen=True):
    """A throttled lane: calls a minute now and of the quota (0 = not learned), throttled calls, and
    when it may be used again, in UTC.
    """

    region: str
    action: str
    per_minute: int
    quota: int
    throttled: int
    until: str


class RunView(msgspec.Struct, frozen=True):
    """One run: `state` is running, drained, halted or closed; `waiting` says how many wait for
    what; `classes` sum to the inventory."""

    run: str
    name: str
    state: str
    reason: str
    exit: int
    epoch: int
    waves: tuple[WaveView, ...]
    groups: tuple[GroupView, ...]
    exposed: int
    exposed_max: int
    in_doubt: int
    phases: dict[str, int]
    classes: dict[str, int]
    waiting: dict[str, int]
    left: tuple[Left, ...]
    calls: int
    lanes: tuple[LaneView, ...] = ()
    restarted_elsewhere: tuple[str, ...] = ()
    """Instances that other operators restarted during the run, in order; the first thousand."""
    skipped: tuple[Left, ...] = ()
    """Instances that drifted out of the plan and need no operator; the first thousand."""
