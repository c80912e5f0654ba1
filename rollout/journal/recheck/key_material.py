"""The rule that *done* needs the plan's key material, checked again from what a journal says.

Called by `rules` with attaches, comparisons and endings in order. A second opinion on purpose: it
shares no code with the core.
"""

from __future__ import annotations

from collections.abc import Iterable

from rollout.model.site import KeySite


class Material:
    """The comparisons of one run, by site and wanted key.

    A comparison vouches for the attaches that were observed before it began. What runs without
    one waits for the next; what a mismatch followed is never vouched for.
    """

    def __init__(self) -> None:
        self.observed = 0
        self._order: dict[int, int] = {}
        self._vouched: dict[KeySite, int] = {}
        self._waiting: dict[KeySite, set[int]] = {}
        self._suspect: set[int] = set()

    def attached(self, ordinal: int) -> None:
        """The attach of this instance was observed."""
        self.observed += 1
        self._order[ordinal] = self.observed

    def detached(self, ordinal: int) -> None:
        """It turned out not to be attached."""
        self._order.pop(ordinal, None)
        self._suspect.discard(ordinal)

    def holds(self, key_site: KeySite, ordinal: int) -> bool:
        """Whether a comparison vouches for this instance."""
        known = 0 < self._order.get(ordinal, 0) <= self._vouched.get(key_site, 0)
        return known and ordinal not in self._suspect

    def suspect(self, ordinal: int) -> bool:
        """Whether other material was found before a comparison vouched for it."""
        return ordinal in self._suspect

    def wait(self, key_site: KeySite, ordinal: int) -> None:
        """It runs without a comparison."""
        self._waiting.setdefault(key_site, set()).add(ordinal)

    def good(self, key_site: KeySite, observed: int) -> list[int]:
        """Return who waited and is vouched for by this comparison."""
        self._vouched[key_site] = observed
        waiting = self._waiting.get(key_site, set())
        proved = sorted(one for one in waiting if self.holds(key_site, one))
        waiting.difference_update(proved)
        return proved

    def bad(self, key_site: KeySite, attached: Iterable[int]) -> list[int]:
        """Return who waited; the `attached` that nothing vouches for become suspect."""
        self._suspect.update(one for one in attached if not self.holds(key_site, one))
        return sorted(self._waiting.pop(key_site, set()))
