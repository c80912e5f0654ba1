"""Track which attached instances are covered by a comparison of the key pair.

Part of the state: written by `evolve`. Knows no time: a comparison covers the attaches that were
observed before it began, in the order of the journal.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from rollout.model.site import KeySite


class Comparisons(msgspec.Struct, eq=False):
    """The comparisons of one run.

    `attached` counts the attaches observed so far in the run; `numbers` holds the number of each
    unfinished instance's attach. `covered` is, by key site, the last number that a comparison with
    the plan's key material vouches for. `waiting` are running instances that no comparison
    vouches for yet, `doubted` those that a comparison with other material followed.
    """

    attached: int = 0
    numbers: dict[int, int] = {}
    covered: dict[KeySite, int] = {}
    waiting: dict[KeySite, dict[int, None]] = {}
    doubted: dict[int, None] = {}

    def observe(self, ordinal: int) -> None:
        """An attach of this instance was observed."""
        self.attached += 1
        self.numbers[ordinal] = self.attached

    def vouched(self, key_site: KeySite, ordinal: int) -> bool:
        """Whether the key pair was the plan's when it was compared after this attach."""
        number = self.numbers.get(ordinal)
        return (
            number is not None
            and number <= self.covered.get(key_site, 0)
            and ordinal not in self.doubted
        )

    def wait(self, key_site: KeySite, ordinal: int) -> None:
        """It runs, and the next comparison decides whether it is done."""
        self.waiting.setdefault(key_site, {})[ordinal] = None

    def match(self, key_site: KeySite, attached: int) -> list[int]:
        """The key pair is the plan's, compared after so many attaches: return the waiting instances
        that it covers.
        """
        self.covered[key_site] = attached
        waiting = self.waiting.get(key_site, {})
        proved = [ordinal for ordinal in waiting if self.vouched(key_site, ordinal)]
        for ordinal in proved:
            del waiting[ordinal]
        return proved

    def differ(self, key_site: KeySite, attached: Iterable[int]) -> list[int]:
        """The key pair is another one: doubt those of `attached` that no comparison covers, and
        return the waiting instances.
        """
        for ordinal in attached:
            if not self.vouched(key_site, ordinal):
                self.doubted[ordinal] = None
        return list(self.waiting.pop(key_site, {}))

    def remove(self, ordinal: int) -> None:
        """It is finished, or not attached after all."""
        self.numbers.pop(ordinal, None)
        self.doubted.pop(ordinal, None)
