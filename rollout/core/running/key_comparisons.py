"""Schedule comparisons and imports of the key pairs of each region. Never journaled.

Part of the watch list: `decide_instances` reads it, the decider reports each comparison to it.
What the comparisons vouch for is state, in `key_coverage`.
"""

from __future__ import annotations

import heapq

import msgspec

from rollout.core.running.journey import Phase
from rollout.core.running.state import Run
from rollout.model import limits
from rollout.model.site import KeySite, Site
from rollout.model.time import Instant


class Comparison(msgspec.Struct, frozen=True, gc=False):
    """When a comparison of a key pair began, how many attaches had been observed by then, and
    whether all instances of the run had been rotated.
    """

    at: Instant
    attached: int
    last: bool


class KeyWatch(msgspec.Struct, eq=False):
    """The key pairs of one run in one process. Dicts to None are sets that keep order."""

    run: Run
    busy: dict[KeySite, None] = {}
    """Key pairs that are being compared or imported, or are compared later."""
    begun: dict[KeySite, Comparison] = {}
    """The comparison of a key pair whose call is open."""
    good: dict[KeySite, Comparison] = {}
    """The last good comparison of a key pair, in this process and since the wave began."""
    missing: dict[KeySite, None] = {}
    """Key pairs that a comparison did not find: to be imported."""
    imports: dict[KeySite, int] = {}
    """Number of imports of a key pair in this process."""
    later: list[tuple[Instant, KeySite]] = []
    """Heap of when a key pair is no longer busy."""

    def advance(self, now: Instant) -> None:
        """End the pauses that are over."""
        while self.later and self.later[0][0] <= now:
            self.busy.pop(heapq.heappop(self.later)[1], None)

    def wakes(self) -> list[Instant]:
        """Return the times at which a comparison falls due."""
        waiting = self.run.comparisons.waiting
        return [
            *(instant for instant, _ in self.later[:1]),
            *(
                known.at + limits.KEY_AGE_MAX_MS + 1
                for key_site, known in self.good.items()
                if waiting.get(key_site) and key_site not in self.busy
            ),
        ]

    def fresh(self, key_site: KeySite, now: Instant) -> bool:
        """Return whether the last comparison of the key pair is recent enough for an attach."""
        known = self.good.get(key_site)
        return known is not None and now <= known.at + limits.KEY_AGE_MAX_MS

    def ready(self, site: Site) -> bool:
        """Whether all wanted key pairs of this site are good, in this process and wave."""
        return all(key_site in self.good for key_site in self.run.layout.key_sites[site])

    def all_compared(self) -> bool:
        """Return whether each key pair was compared after the last instance was rotated."""
        return not any(self.closes(key_site) for key_site in self.run.keys)

    def start(self, key_site: KeySite, now: Instant) -> None:
        """The call that reads the key pair is open."""
        self.busy[key_site] = None
        run = self.run
        last = run.left <= run.phase_counts[Phase.COMPARING]
        self.begun[key_site] = Comparison(now, run.comparisons.attached, last)

    def end(self, key_site: KeySite) -> Comparison:
        """The comparison ended, with or without a reply: return what it began with."""
        self.busy.pop(key_site, None)
        return self.begun.pop(key_site)

    def import_started(self, key_site: KeySite) -> None:
        """The call that imports the key pair is open."""
        self.missing.pop(key_site, None)
        self.busy[key_site] = None
        self.imports[key_site] = self.imports.get(key_site, 0) + 1

    def import_ended(self, key_site: KeySite, now: Instant, *, attempted: bool) -> None:
        """The import ended: compare again. A call that was never sent is no attempt."""
        if attempted:
            self.busy.pop(key_site, None)
        else:
            self.imports[key_site] -= 1
            self.again_later(key_site, now)

    def again_later(self, key_site: KeySite, now: Instant) -> None:
        """Compare again on the next tick."""
        self.busy[key_site] = None
        tick = (now // limits.OBSERVE_TICK_MS + 1) * limits.OBSERVE_TICK_MS
        heapq.heappush(self.later, (tick, key_site))

    def ends(self) -> bool:
        """Return whether all unfinished instances of the open wave wait for a comparison; while
        nothing may begin, all that may still move.
        """
        run = self.run
        if run.resting:
            begun = run.left - run.phase_counts[Phase.PLANNED] - run.phase_counts[Phase.ATTACHED]
            return begun <= run.phase_counts[Phase.COMPARING]
        wave = run.wave_open if run.left_before is None else run.left_before
        left = run.left if wave is None else run.left_in_wave[wave]
        return left <= run.phase_counts[Phase.COMPARING]

    def closes(self, key_site: KeySite) -> bool:
        """Return whether only the last comparison of this key pair is missing before the close."""
        run, known = self.run, self.good.get(key_site)
        ended = run.waves_closed == len(run.layout.waves) and not run.left
        return ended and key_site in run.keys and not (known and known.last)
