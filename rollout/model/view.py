"""Read models of a run for display. Created by `core.running.view`, printed by `cli`."""

from __future__ import annotations

import msgspec


class WaveView(msgspec.Struct, frozen=True):
    """One wave: number of targets in each phase, and whether it is open. `gate` says what the next
    wave waits for after this one closed; empty where it does not wait.
    """

    name: str
    targets: int
    state: str
    phases: dict[str, int]
    held: int
    gate: str = ""


class GroupView(msgspec.Struct, frozen=True):
    """One group: permits in use of its cap, the number that is kept permanently, and its members
    that are `outside` and down without the run.
    """

    key: str
    cap: int
    used: int
    kept: int
    outside: int = 0


class AwayView(msgspec.Struct, frozen=True):
    """A member of groups that is no target and down: its status, and since when, in UTC."""

    instance: str
    region: str
    status: str
    since: str


class Left(msgspec.Struct, frozen=True):
    """An instance that needs an operator: its phase or class, and why. A failed instance that is
    `down` was not Running in time after its boot, and keeps its permit; every other one serves.
    """

    instance: str
    region: str
    phase: str
    why: str
    down: bool = False


class InstanceView(msgspec.Struct, frozen=True):
    """One target of a run. `waits` says what it waits for, `cause` why it ended or is held. `down`
    is true if it failed and was not Running in time after its boot.
    """

    instance: str
    region: str
    zone: str
    image: str
    os_name: str
    instance_type: str
    wave: str
    phase: str
    groups: tuple[str, ...]
    permit: bool
    waits: str
    cause: str
    down: bool = False


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
    """One run: `state` is running, paused, drained, halted or closed; `waiting` has the number of
    instances by cause; `classes` sum to the inventory.
    """

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
    to_promote: bool = False
    """Whether a manual gate waits for `rollout promote`."""
    clusters: tuple[str, ...] = ()
    """What most of the failed instances have in common."""
    window: str = ""
    """When the open window closes, or the next one opens; empty if the plan has no windows."""
    away: tuple[AwayView, ...] = ()
    """Members of groups that are down without the run; the first thousand."""
    failed_down: int = 0
    """Failed instances that are down and keep their permits; the other failed ones serve."""
    shut: bool = False
    """Whether answers keep a gate shut, which `rollout promote --reason` opens despite them."""
    skipped: tuple[Left, ...] = ()
    """Instances that drifted out of the plan and need no operator; the first thousand."""
