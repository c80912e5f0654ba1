"""The ledger: how many instances may be down or exposed, and how many are.

The only code that grants an attach or a restart. Read by `decide_instances` before it decides,
written by `evolve`. A permit is returned only on evidence: the instance serves again, the call did
not happen, the instance does not exist. Members that are down without a call of this run take
permits too. Knows nothing of waves, calls or time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from rollout.core.invariant import invariant
from rollout.core.running.journey import EXPOSED, Phase
from rollout.core.running.layout import Layout
from rollout.model.plan import Group, RestartKind
from rollout.model.spec import FLEET

CLOSE_CAP = 4
"""In groups with a smaller cap an instance is attached only when a permit is free for it."""

_AHEAD = frozenset({Phase.ATTACHING, Phase.ATTACHED})
_EXPOSED = bytes(phase in EXPOSED for phase in Phase)
_WAITS = bytes(phase in _AHEAD for phase in Phase)


class Ledger(msgspec.Struct, eq=False):
    """All permits of a run, by group.

    `used` permits are reserved; `kept` of them are held by suspended instances, which only an
    operator can bring back (failed and down, held in doubt), and `keeper` is one of these.
    `outside` members are down without a call of this run and take a permit each; `away` has these
    members. `lasting` are the ones of them that no instance waits for any longer; `lasting_in`
    counts these by group. `ahead` instances of a group are attached, or about to be, and have no
    permit yet; those postponed (`aside`) because the service refuses their restart for now do not
    count there. `exposed_kept` of the exposed instances are suspended, and `exposed_keeper` is one
    of them. `parts` marks the groups that are only a part of the fleet. At most `ahead_caps` of a
    group run ahead: its cap, or its restarts in ten minutes if these are fewer. `touched` are the
    groups whose counts changed since `permit_queues` used them, and `full` those whose permits are
    all kept, also by lasting members; both are sets. At most `down_max` instances can be down at
    once, if the caps of all groups are used.
    """

    layout: Layout
    caps: list[int]
    exposed_max: int
    used: list[int]
    kept: list[int]
    keeper: list[int]
    ahead: list[int]
    permits: bytearray
    suspended: bytearray
    aside: bytearray
    parts: bytearray
    ahead_caps: list[int]
    touched: dict[int, None]
    full: dict[int, None]
    outside: list[int]
    away: dict[int, None]
    lasting_in: list[int]
    lasting: dict[int, None]
    down_max: int = 0
    exposed: int = 0
    exposed_kept: int = 0
    exposed_keeper: int = -1

    @classmethod
    def of(cls, layout: Layout, groups: Sequence[Group], exposed_max: int) -> Ledger:
        """Return a ledger with all permits free."""
        count, caps = len(layout.targets), [group.cap for group in groups]
        return cls(
            layout,
            caps,
            exposed_max,
            used=[0] * len(caps),
            kept=[0] * len(caps),
            keeper=[-1] * len(caps),
            ahead=[0] * len(caps),
            permits=bytearray(count),
            suspended=bytearray(count),
            aside=bytearray(count),
            parts=bytearray(group.key != FLEET for group in groups),
            ahead_caps=[min(group.cap, group.rate or group.cap) for group in groups],
            touched={},
            full={number: None for number, cap in enumerate(caps) if not cap},
            outside=[0] * len(caps),
            away={},
            lasting_in=[0] * len(caps),
            lasting={},
            down_max=_down_max(groups),
        )

    # queries

    @property
    def down(self) -> int:
        """Return how many instances have permits."""
        return self.permits.count(1)

    def left(self, group: int) -> int:
        """Return the permits left in a group; less than 0 if too many are down without this run."""
        return self.caps[group] - self.used[group] - self.outside[group]

    def counts(self, ordinal: int) -> bool:
        """Return whether a target takes permits already: reserved before its attach, or because it
        is down without this run. The latter become its own when it is Running again.
        """
        return bool(self.permits[ordinal]) or ordinal in self.away

    def keeper_of(self, group: int, waiting: int = -1) -> int:
        """Return a member that keeps a permit of this group permanently, other than the one that is
        `waiting`; -1 if none does.
        """
        if self.kept[group]:
            return self.keeper[group]
        members = (o for o in self.lasting if o != waiting and group in self.layout.groups_of(o))
        return next(members, -1)

    def groups_of(self, ordinal: int) -> tuple[int, ...]:
        """Return the groups that one instance counts in."""
        return self.layout.targets[ordinal].groups

    def reboot_groups(self, ordinal: int) -> tuple[int, ...]:
        """Return the groups whose permits the planned restart takes: none for a start."""
        target = self.layout.targets[ordinal]
        return target.groups if target.restart is RestartKind.REBOOT else ()

    def reserves_early(self, ordinal: int) -> bool:
        """Return whether its permits are taken before its attach: one of its groups has cap 1."""
        return any(self.caps[group] == 1 for group in self.reboot_groups(ordinal))

    def full_group(
        self,
        ordinal: int,
        kind: RestartKind,
        left: Callable[[int], int],
        overtaken: Callable[[int], bool] | None = None,
    ) -> int | None:
        """Return the first group without a permit left for this restart; None = it may begin.

        `left` returns the permits left in a group. A start takes no permit: a stopped instance
        cannot go down. A permit that the instance takes already counts, unless a member has gone
        down since, so that too many would be down: `overtaken` says so for a group.
        """
        if kind is RestartKind.START:
            return None
        if self.permits[ordinal] and overtaken is not None:
            return next((group for group in self.groups_of(ordinal) if overtaken(group)), None)
        if self.counts(ordinal):
            return next((group for group in self.groups_of(ordinal) if self.left(group) < 0), None)
        return next((group for group in self.groups_of(ordinal) if left(group) <= 0), None)

    def attachable(
        self,
        ordinals: Sequence[int],
        checking: Sequence[int],
        exposing: int,
        left: Callable[[int], int],
    ) -> AttachRoom:
        """Return which of these may be attached now.

        `checking` (by group) and `exposing` count instances on their way to an attach that the
        ledger does not count yet; `left` returns the permits left in a group. Attaches run ahead of
        restarts by no more than the permits that can still be returned, so that no instance is
        stranded behind a group whose permits are all kept. An instance that only a part of the
        fleet has no room for is blocked, and does not hold back the others. While enough instances
        are ahead, no call is made for a part of these: then none may.
        """
        admission, counted = AttachRoom([], []), _Counted()
        exposable = self.exposed_max - self.exposed - exposing
        if exposable <= 0:
            return admission
        for ordinal in ordinals:
            if len(admission.attached) >= exposable:
                busy = self.exposed - self.exposed_kept + exposing
                if 2 * busy >= self.exposed_max - self.exposed_kept:
                    admission.attached.clear()
                return admission
            groups = self.reboot_groups(ordinal)
            early, own = self.reserves_early(ordinal), ordinal in self.away
            full = [
                group
                for group in groups
                if self.room(group, checking[group]) + own <= counted.all.get(group, 0)
                or (early and left(group) + own <= counted.early.get(group, 0))
            ]
            part = next((group for group in full if self.parts[group]), None)
            if part is not None:
                admission.blocked.append((ordinal, part))
            elif full:
                if any(self.enough_ahead(group, checking[group]) for group in full):
                    admission.attached.clear()
                return admission
            else:
                admission.attached.append(ordinal)
                counted.add(groups, early=early)
        return admission

    @property
    def frozen(self) -> bool:
        """Return whether exposure or a group is kept in full: only then `blocked_by` has one."""
        return bool(self.full) or self.exposed_kept >= self.exposed_max

    def blocked_by(self, ordinal: int) -> int | None:
        """Return a suspended instance that keeps what this one needs before its attach; None where
        nothing is kept.
        """
        if self.exposed_kept >= self.exposed_max:
            return self.exposed_keeper
        if self.permits[ordinal]:
            return None
        own = ordinal in self.lasting  # it does not wait for itself
        for group in self.reboot_groups(ordinal):
            others = self.kept[group] + self.lasting_in[group] - own
            if group in self.full and others >= self.caps[group]:
                return self.keeper_of(group, ordinal)
        return None

    def room(self, group: int, checking: int) -> int:
        """Return how many more members of a group may be ahead of their permits."""
        return self._ahead_max(group) - self.ahead[group] - checking

    def enough_ahead(self, group: int, checking: int) -> bool:
        """Return whether half of the allowed instances are ahead: a batch can wait until all of it
        fits, and no permit is idle.
        """
        cap = self.caps[group]
        return cap >= CLOSE_CAP and 2 * (self.ahead[group] + checking) >= self._ahead_max(group)

    # updates

    def moved(self, ordinal: int, before: Phase, after: Phase) -> None:
        """An instance changed phase: count its exposure and its waiting again."""
        exposing = _EXPOSED[after] - _EXPOSED[before]
        self.exposed += exposing
        if self.suspended[ordinal]:
            self.exposed_kept += exposing
        change = _WAITS[after] - _WAITS[before]
        if self.aside[ordinal]:
            self.aside[ordinal] = 0
        elif change and not self.permits[ordinal] and not self.suspended[ordinal]:
            self._wait(ordinal, change)

    def reserve(self, ordinal: int, phase: Phase) -> None:
        """Take one permit in every group of the instance: all or none."""
        if self.permits[ordinal]:
            return
        for group in self.groups_of(ordinal):
            invariant(
                self.left(group) > 0,
                f"I-31: group {group} has no permit for ordinal {ordinal}",
            )
            self.used[group] += 1
            self.touched[group] = None
        if _WAITS[phase] and not self.aside[ordinal]:
            self._wait(ordinal, -1)
        self.permits[ordinal] = 1

    def release(self, ordinal: int, phase: Phase) -> None:
        """Return the permits: evidence says that the instance is not down because of this run."""
        if not self.permits[ordinal]:
            return
        self.take_back(ordinal, phase)
        self.permits[ordinal] = 0
        for group in self.groups_of(ordinal):
            self.used[group] -= 1
            self.touched[group] = None
        if _WAITS[phase]:
            self._wait(ordinal, 1)

    def postpone(self, ordinal: int) -> None:
        """An attached instance without a permit waits because the service refuses its restart:
        others may be attached in its place until its restart is tried again.
        """
        if not self.aside[ordinal]:
            self.aside[ordinal] = 1
            self._wait(ordinal, -1)

    def suspend(self, ordinal: int, phase: Phase) -> None:
        """No call is made for it: a permit that it has is kept, and it waits for none."""
        if not self.suspended[ordinal]:
            self._suspend(ordinal, phase, -1)

    def take_back(self, ordinal: int, phase: Phase) -> None:
        """Calls are made for it again, or its permit is returned: undo `suspend`."""
        if self.suspended[ordinal]:
            self._suspend(ordinal, phase, 1)

    def lose(self, ordinal: int) -> None:
        """A member is down without a call of this run: it takes a permit of each of its groups."""
        self.away[ordinal] = None
        self._count_outside(ordinal, 1)

    def regain(self, ordinal: int) -> None:
        """The member is Running again: undo `lose` and `give_up`."""
        del self.away[ordinal]
        self._count_outside(ordinal, -1)
        if ordinal in self.lasting:
            del self.lasting[ordinal]
            self._count_lasting(ordinal, -1)

    def give_up(self, ordinal: int) -> None:
        """The member is down for long: no instance waits for its permits."""
        self.lasting[ordinal] = None
        self._count_lasting(ordinal, 1)

    # private

    def _count_outside(self, ordinal: int, change: int) -> None:
        for group in self.layout.groups_of(ordinal):
            self.outside[group] += change
            self.touched[group] = None

    def _count_lasting(self, ordinal: int, change: int) -> None:
        for group in self.layout.groups_of(ordinal):
            self.lasting_in[group] += change
            self.touched[group] = None
            self._mark_full(group)

    def _suspend(self, ordinal: int, phase: Phase, change: int) -> None:
        self.suspended[ordinal] = change < 0
        if _EXPOSED[phase]:
            self.exposed_kept -= change
            self.exposed_keeper = ordinal
        if self.permits[ordinal]:
            for group in self.groups_of(ordinal):
                self.kept[group] -= change
                self.keeper[group] = ordinal
                self.touched[group] = None
                self._mark_full(group)
        elif _WAITS[phase] and not self.aside[ordinal]:
            self._wait(ordinal, change)

    def _mark_full(self, group: int) -> None:
        if self.kept[group] + self.lasting_in[group] >= self.caps[group]:
            self.full[group] = None
        else:
            self.full.pop(group, None)

    def _wait(self, ordinal: int, change: int) -> None:
        for group in self.reboot_groups(ordinal):
            self.ahead[group] += change
            self.touched[group] = None

    def _ahead_max(self, group: int) -> int:
        cap = self.caps[group]
        taken = self.used[group] if cap < CLOSE_CAP else self.kept[group]
        return min(cap - taken - self.outside[group], self.ahead_caps[group])


def _down_max(groups: Sequence[Group]) -> int:
    fleet = [group.cap for group in groups if group.key == FLEET]
    return min(fleet) if fleet else sum(group.cap for group in groups)


class AttachRoom(NamedTuple):
    """Instances that may be attached now, and blocked ones, each with a group without room."""

    attached: list[int]
    blocked: list[tuple[int, int]]


class _Counted:
    """By group: the instances that one decision attaches, and those that reserve permits early."""

    def __init__(self) -> None:
        self.all: dict[int, int] = {}
        self.early: dict[int, int] = {}

    def add(self, groups: Sequence[int], *, early: bool) -> None:
        for group in groups:
            self.all[group] = self.all.get(group, 0) + 1
            if early:
                self.early[group] = self.early.get(group, 0) + 1
