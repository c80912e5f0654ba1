"""Time zones of the IANA database, from the tzdata package, so that the version is known.

Called by `window_forms` and `dates` to check a name, and by `app` while planning. Never uses the
system's files.
"""

from __future__ import annotations

import importlib.resources
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import tzdata  # type: ignore[import-untyped]

from rollout.model.time import MINUTE, SECOND, Instant

VERSION = str(tzdata.IANA_VERSION)
"""Version of the time zone data, such as `2026f`."""
_MINUTE = timedelta(minutes=1)


@cache
def names() -> frozenset[str]:
    """Return the names of all time zones."""
    text = importlib.resources.files("tzdata").joinpath("zones").read_text("utf-8")
    return frozenset(text.split())


class LocalZone:
    """The local time of a time zone. Its methods are those of `core.planning.windows.Zone`."""

    def __init__(self, name: str) -> None:
        """Load a time zone; KeyError for an unknown name."""
        if name not in names():
            raise KeyError(name)
        path = importlib.resources.files("tzdata.zoneinfo").joinpath(*name.split("/"))
        with path.open("rb") as file:
            self.tzinfo = ZoneInfo.from_file(file, key=name)

    def first(self, day: date, minute: int) -> Instant:
        """Return the first instant whose local time is this one or, if it is skipped, later."""
        return self._at(_local(day, minute), fold=0)[0]

    def after(self, day: date, minute: int) -> Instant:
        """Return the end of the last instant whose local time is before this one."""
        instant, exists = self._at(_local(day, minute) - _MINUTE, fold=1)
        return instant + MINUTE if exists else instant

    def day_of(self, at: Instant) -> date:
        """Return the local date of an instant."""
        return self._shown(at).date()

    def offset(self, at: Instant) -> int:
        """Return local time minus UTC at an instant, in minutes."""
        return (self._shown(at).utcoffset() or timedelta()) // _MINUTE

    def _at(self, local: datetime, fold: int) -> tuple[Instant, bool]:
        """Return the instant of a local time, and whether it exists. `fold` 1 means the second
        pass of a repeated time. For a skipped time return the instant at which the clocks change.
        """
        instant = self._utc(local, fold)
        if self._shown(instant).replace(tzinfo=None) == local:
            return instant, True
        before, after = sorted((self._utc(local, 0), self._utc(local, 1)))
        old = self._shown(before).utcoffset()
        while after - before > SECOND:
            middle = (before + after) // 2
            if self._shown(middle).utcoffset() == old:
                before = middle
            else:
                after = middle
        return after // SECOND * SECOND, False

    def _utc(self, local: datetime, fold: int) -> Instant:
        return round(local.replace(tzinfo=self.tzinfo, fold=fold).timestamp() * 1000)

    def _shown(self, at: Instant) -> datetime:
        return datetime.fromtimestamp(at / 1000, UTC).astimezone(self.tzinfo)


def _local(day: date, minute: int) -> datetime:
    return datetime.combine(day, time()) + minute * _MINUTE
