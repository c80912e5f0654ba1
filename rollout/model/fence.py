"""The mark of a run on its key pairs, for operators with other runs directories.

Written as a tag by `app.marks`. It carries no secret. Pure.
"""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from typing import Final

import msgspec

from rollout.model.event import RunStarted
from rollout.model.time import MINUTE, Duration, Instant, format_instant

TAG_KEY: Final = "rollout-run"
LIFE_MS: Final[Duration] = 15 * MINUTE
"""How long a mark counts; a process that drives a run renews it three times as often."""
BY_CHARS_MAX: Final = 60
"""The value of a tag has at most 128 characters."""

_FORM: Final = re.compile(
    r"(r-[a-z0-9]{1,20}) ([0-9a-f]{8}) (\d{1,9}) (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ) (\S+)"
)
_ODD: Final = re.compile(r"[^A-Za-z0-9._@-]")


class Fence(msgspec.Struct, frozen=True):
    """A mark: the run, the origin of its journal, its epoch, until when the mark counts, and
    `user@host` of its process.
    """

    run: str
    origin: str
    epoch: int
    until: Instant
    by: str

    def text(self) -> str:
        """Return the value of the tag. Characters that a tag may not contain become `_`."""
        by = _ODD.sub("_", self.by)[:BY_CHARS_MAX] or "_"
        return f"{self.run} {self.origin} {self.epoch} {format_instant(self.until)} {by}"

    def counts(self, now: Instant) -> bool:
        """Return whether the mark is in force. One that ends long after a mark's life is wrong."""
        return now < self.until <= now + 2 * LIFE_MS

    def is_of(self, started: RunStarted | None) -> bool:
        """Return whether a process of this journal wrote the mark. The same plan in two runs
        directories has two journals with the same run id.
        """
        return started is not None and (self.run, self.origin) == (started.run, origin_of(started))


def origin_of(started: RunStarted) -> str:
    """Return 8 hexadecimal digits for the process that began a journal, and when: they differ
    between the journals of one plan.
    """
    who = f"{started.at} {started.actor.pid} {started.actor.user}@{started.actor.machine}"
    return hashlib.sha256(who.encode()).hexdigest()[:8]


def read(text: str) -> Fence | None:
    """Return the mark in the value of a tag; None if the value is anything else."""
    found = _FORM.fullmatch(text)
    if found is None:
        return None
    try:
        until = datetime.strptime(found[4], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None
    return Fence(found[1], found[2], int(found[3]), int(until.timestamp()) * 1000, found[5])
