"""The schedule of login probes: which host keys are read, and which logins are probed when.

Never journaled: rebuilt from the state on resume. Filled by `follow` and by the decider, read by
`decide_instances`.
"""

from __future__ import annotations

import heapq

import msgspec

from rollout.core.running.state import Run
from rollout.model import limits
from rollout.model.plan import RestartKind
from rollout.model.probe import Probe, ReadHostKey
from rollout.model.time import SECOND, Duration, Instant


class Logins(msgspec.Struct, eq=False, kw_only=True):
    """The probes of one run in one process. Dicts to None are sets that keep order."""

    run: Run
    unread: dict[int, None] = {}
    """Instances whose host key must be read before their restart; `reading` are those of them for
    which a probe is open."""
    reading: dict[int, None] = {}
    due: dict[int, None] = {}
    """Instances to probe in this turn."""
    later: list[tuple[Instant, int]] = []
    """Heap of instances to probe from an instant on."""
    open: dict[int, None] = {}
    """Instances with an open login probe."""
    since: dict[int, Instant] = {}
    """When the login of an instance was first awaited in this process."""
    tries: dict[int, int] = {}

    def want_host_key(self, ordinal: int) -> None:
        """Read the host key of an instance before its restart, unless the journal knows it."""
        verify = self.run.plan.logins()
        stopped = self.run.layout.targets[ordinal].restart is RestartKind.START
        known = stopped or ordinal in self.run.host_keys
        if verify is not None and verify.ssh is not None and not known:
            self.unread[ordinal] = None

    def await_login(self, ordinal: int, now: Instant) -> None:
        """Probe the login of an instance in this turn."""
        self.since.setdefault(ordinal, now)
        self.due[ordinal] = None

    def again(self, ordinal: int, now: Instant) -> None:
        """Probe the login again after a pause, which doubles up to `PROBE_EVERY_MS`."""
        tries = self.tries[ordinal] = self.tries.get(ordinal, 0) + 1
        pause = min(SECOND << min(tries - 1, 10), limits.PROBE_EVERY_MS)
        heapq.heappush(self.later, (now + pause, ordinal))

    def waited_ms(self, ordinal: int, now: Instant) -> Duration:
        """Return for how long the login of an instance has been awaited in this process."""
        return now - self.since.get(ordinal, now)

    def started(self, probe: Probe) -> None:
        """A probe is open."""
        if isinstance(probe, ReadHostKey):
            self.reading[probe.ordinal] = None
        else:
            del self.due[probe.ordinal]
            self.open[probe.ordinal] = None

    def ended(self, probe: Probe) -> None:
        """A probe has ended, with or without a reply."""
        if isinstance(probe, ReadHostKey):
            self.reading.pop(probe.ordinal, None)
            self.unread.pop(probe.ordinal, None)
        else:
            self.open.pop(probe.ordinal, None)

    def remove(self, ordinal: int) -> None:
        """Probe an instance no longer."""
        if ordinal not in self.due and ordinal not in self.open:
            self.later = [entry for entry in self.later if entry[1] != ordinal]
            heapq.heapify(self.later)
        for known in (self.due, self.open, self.since, self.tries):
            known.pop(ordinal, None)

    def advance(self, now: Instant) -> None:
        """Make due the probes whose pause has ended."""
        while self.later and self.later[0][0] <= now:
            self.due[heapq.heappop(self.later)[1]] = None

    def wake(self) -> list[Instant]:
        """Return when the next probe falls due; empty without one."""
        return [self.later[0][0]] if self.later else []

    @property
    def busy(self) -> bool:
        """Return whether a probe is open or due."""
        return bool(self.unread or self.due or self.open)

    @property
    def room(self) -> int:
        """Return how many more probes may be open."""
        return max(0, limits.PROBES_OPEN_MAX - len(self.reading) - len(self.open))
