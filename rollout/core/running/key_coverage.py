"""Track which attached instances are covered by a comparison of the key pair.

Part of the state: written by `evolve`, read by `cell` and `sight`. Knows no time: a comparison
vouches for the attaches that were observed before it began, in the order of the journal.
"""

from __future__ import annotations

from collections.abc import Iterable

from rollout.model.site import Site


class Comparisons:
    """The comparisons of one run.

    `attached` counts the attaches observed so far in the run; `numbers` holds the number of each
    unfinished instance's attach. `covered` is, by site, the last number that a comparison with the
    plan's key material vouches for. `waiting` are running instances that no comparison vouches
    for yet, `doubted` those that a comparison with other material followed.
    """

    __slots__ = ("attached", "covered", "doubted", "numbers", "waiting")

    def __init__(self) -> None:
        self.attached = 0
        self.numbers: dict[int, int] = {}
        self.covered: dict[Site, int] = {}
        self.waiting: dict[Site, dict[int, None]] = {}
        self.doubted: dict[int, None] = {}

    def observe(self, ordinal: int) -> None:
        """An attach of this instance was observed."""
        self.attached += 1
        self.numbers[ordinal] = self.attached

    def vouched(self, site: Site, ordinal: int) -> bool:
        """Whether the key pair was the plan's when it was compared after this attach."""
        number = self.numbers.get(ordinal)
        return (
            number is not None
            and number <= self.covered.get(site, 0)
            and ordinal not in self.doubted
        )

    def wait(self, site: Site, ordinal: int) -> None:
        """It runs, and the next comparison decides whether it is done."""
        self.waiting.setdefault(site, {})[ordinal] = None

    def match(self, site: Site, attached: int) -> list[int]:
        """The key pair is the plan's, compared after so many attaches: return who is vouched for
        now and waited for it.
        """
        self.covered[site] = attached
        waiting = self.waiting.get(site, {})
        proved = [ordinal for ordinal in waiting if self.vouched(site, ordinal)]
        for ordinal in proved:
            del waiting[ordinal]
        return proved

    def differ(self, site: Site, attached: Iterable[int]) -> list[int]:
        """The key pair is another one: doubt those of `attached` that nothing vouches for, and
        return who waited.
        """
        for ordinal in attached:
            if not self.vouched(site, ordinal):
                self.doubted[ordinal] = None
        return list(self.waiting.pop(site, {}))

    def forget(self, ordinal: int) -> None:
        """It is finished, or not attached after all."""
        self.numbers.pop(ordinal, None)
        self.doubted.pop(ordinal, None)
