"""Comparisons of key pairs, from the journal alone: *done* needs the plan's key material.

Called by `instances` and `evidence`. Shares no code with the core.
"""

from __future__ import annotations

from collections.abc import Iterable

from rollout.model.site import KeySite


class Material:
    """The comparisons of one run, by site and wanted key.

    A comparison proves the attaches that were observed before it began. An instance that runs
    without a proof waits for the next comparison; after a mismatch it is never proved.
    """

    def __init__(self) -> None:
        self.observed = 0
        self._order: dict[int, int] = {}
        self._vouched: dict[KeySite, int] = {}
        self._waiting: dict[KeySite, set[int]] = {}
        self._suspect: set[int] = set()

    def attached(self, ordinal: int) -> None:
        """Note that the attach of this instance was observed."""
        self.observed += 1
        self._order[ordinal] = self.observed

    def detached(self, ordinal: int) -> None:
        """Note that this instance is not attached."""
        self._order.pop(ordinal, None)
        self._suspect.discard(ordinal)

    def holds(self, key_site: KeySite, ordinal: int) -> bool:
        """Return whether a comparison proves this instance."""
        known = 0 < self._order.get(ordinal, 0) <= self._vouched.get(key_site, 0)
        return known and ordinal not in self._suspect

    def suspect(self, ordinal: int) -> bool:
        """Return whether other material was found before a comparison proved this instance."""
        return ordinal in self._suspect

    def wait(self, key_site: KeySite, ordinal: int) -> None:
        """Let this instance wait for the next comparison."""
        self._waiting.setdefault(key_site, set()).add(ordinal)

    def good(self, key_site: KeySite, observed: int) -> list[int]:
        """Return the waiting instances that this comparison proves."""
        self._vouched[key_site] = observed
        waiting = self._waiting.get(key_site, set())
        proved = sorted(one for one in waiting if self.holds(key_site, one))
        waiting.difference_update(proved)
        return proved

    def bad(self, key_site: KeySite, attached: Iterable[int]) -> list[int]:
        """Return the waiting instances; those of `attached` without a proof become suspect."""
        self._suspect.update(one for one in attached if not self.holds(key_site, one))
        return sorted(self._waiting.pop(key_site, set()))
