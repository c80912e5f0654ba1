"""The station of each instance: what it waits for in this process. Never journaled.

`waiting` and `watching` own the queues; each move between them goes through `Stations.move`. An
unfinished instance of an opened cell is at exactly one station.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping

import msgspec

from rollout.core.invariant import invariant


class Station(enum.IntEnum):
    """One station. The number is its column value and is never displayed."""

    NONE = 0
    """Its cell is not open, it is finished or held, or only a comparison of its key is missing."""
    QUEUED = 1
    """Its batch waits for the observation before the attach."""
    DELAYED = 2
    """Its batch is queued again after a pause."""
    CHECKING = 3
    """It is being observed before its attach."""
    CHECKED = 4
    """It matches the plan and waits for its attach call."""
    SPLITTING = 5
    """Its attach call was refused as a whole and is to be halved."""
    CALLING = 6
    """An attach or a restart of it is open."""
    WATCHED = 7
    """It is observed on a later tick."""
    DUE = 8
    """It is observed as soon as its site has room."""
    OBSERVING = 9
    """It is being observed, and a call for it has been sent."""
    MISSING = 10
    """Replies leave it out; a second API is called as soon as its site has room."""
    CONFIRMING = 11
    """That second API is being called."""
    READY_LATER = 12
    """It is attached and may be restarted from an instant on."""
    READY = 13
    """It may be restarted as soon as its groups have permits and its lane has room."""
    PARKED = 14
    """It waits for a permit of one group."""
    REFRESHING = 15
    """It is being observed before its restart."""
    BLOCKED = 16
    """It waits for room in one group before the observation for its attach."""
    PACED = 17
    """It waits until another restart of one group may begin."""
    PROBING = 18
    """A login to it is probed, or waits for its next probe."""


S = Station

IN_FLIGHT = frozenset({S.CHECKING, S.OBSERVING, S.REFRESHING})
"""Stations of instances that are being observed by DescribeInstances."""

_AFTER_OBSERVATION = frozenset({S.WATCHED, S.MISSING, S.READY_LATER, S.READY})

TABLE: Mapping[Station, frozenset[Station]] = {
    S.NONE: frozenset({S.QUEUED, S.DELAYED, S.DUE, S.WATCHED, S.READY_LATER, S.READY, S.PROBING}),
    # on the way to an attach
    S.QUEUED: frozenset({S.CHECKING, S.BLOCKED}),
    S.BLOCKED: frozenset({S.DELAYED}),
    S.DELAYED: frozenset({S.QUEUED}),
    S.CHECKING: _AFTER_OBSERVATION | {S.CHECKED},
    S.CHECKED: frozenset({S.CALLING, S.DUE, S.DELAYED, S.BLOCKED}),
    S.SPLITTING: frozenset({S.DELAYED}),
    S.CALLING: frozenset({S.SPLITTING, S.DELAYED, S.DUE, S.WATCHED, S.READY_LATER}),
    # observations
    S.WATCHED: frozenset({S.DUE, S.READY_LATER}),
    S.DUE: IN_FLIGHT | {S.READY_LATER},
    S.OBSERVING: _AFTER_OBSERVATION | {S.DELAYED, S.PROBING},
    S.MISSING: frozenset({S.CONFIRMING, S.WATCHED, S.READY_LATER}),
    S.CONFIRMING: frozenset({S.WATCHED, S.READY_LATER}),
    # on the way to a restart
    S.READY_LATER: frozenset({S.READY}),
    S.READY: frozenset({S.CALLING, S.PARKED, S.PACED, S.REFRESHING}),
    S.PARKED: frozenset({S.READY}),
    S.PACED: frozenset({S.READY}),
    S.REFRESHING: _AFTER_OBSERVATION | {S.PROBING},
    # after a restart
    S.PROBING: frozenset(),
}
"""The stations after each station. From each the instance can also finish, be held, or be
dropped by an abort: then it has none.
"""

_LEGAL = tuple(1 | sum(1 << after for after in TABLE[before]) for before in Station)


class Stations(msgspec.Struct, eq=False):
    """The station of each target, by ordinal."""

    column: bytearray

    def at(self, ordinal: int) -> Station:
        """Return the station of one target."""
        return _STATIONS[self.column[ordinal]]

    def move(self, ordinal: int, to: Station) -> None:
        """Move one target to a station. `Bug` where the table has no such move."""
        column = self.column
        if not _LEGAL[column[ordinal]] >> to & 1:
            before = self.at(ordinal).name
            invariant(condition=False, text=f"ordinal {ordinal} moves from {before} to {to.name}")
        column[ordinal] = to


_STATIONS = tuple(Station)
