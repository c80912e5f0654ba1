"""Failures by wave, counted from the journal alone: a run may not continue after too many.

Called by `instances` when an instance changes its state. Shares no code with the core.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rollout.model import limits
from rollout.model.spec import PPM, OnFailure


class Failures:
    """Instances of each wave that failed or are unfinished, without accepted ones.

    `failed` counts towards a halt within a wave, `left` (in doubt, or attached without a permit)
    only at its end. `conflict`: the instance has a third key; these have their own limit.
    """

    def __init__(
        self,
        wave_of: Sequence[int],
        waves: int,
        rule: OnFailure | None = None,
        groups_of: Sequence[tuple[int, ...]] = (),
    ) -> None:
        self._wave_of = wave_of
        self._targets = [0] * waves
        for wave in wave_of:
            self._targets[wave] += 1
        self._failed: list[set[int]] = [set() for _ in range(waves)]
        self._left: list[set[int]] = [set() for _ in range(waves)]
        self._conflicts: list[set[int]] = [set() for _ in range(waves)]
        self._accepted: set[int] = set()
        self._elsewhere = [0] * waves
        self._halted = ""
        self._rule = rule
        self._groups_of = groups_of
        self._judged: Counter[str] = Counter()
        self._shares: Counter[str] = Counter()
        self._outcomes: dict[int, int] = {}
        self._finished: set[int] = set()

    def count(
        self,
        ordinal: int,
        *,
        failed: bool,
        left: bool = False,
        conflict: bool = False,
    ) -> None:
        """Count one instance in its current state."""
        wave = self._wave_of[ordinal]
        for members, counts in (
            (self._failed[wave], failed),
            (self._left[wave], left),
            (self._conflicts[wave], conflict),
        ):
            if counts and ordinal not in self._accepted:
                members.add(ordinal)
            else:
                members.discard(ordinal)

    def accept(self, ordinals: Sequence[int]) -> None:
        """Count these no longer, until `reopen`: an operator accepted them."""
        self._accepted.update(ordinals)
        for ordinal in ordinals:
            if 0 <= ordinal < len(self._wave_of):
                self.count(ordinal, failed=False)
                self.judge(ordinal, finished=ordinal in self._finished)

    def reopen(self, ordinal: int) -> None:
        """Count this one again: its login failed after an operator accepted it."""
        self._accepted.discard(ordinal)

    def judge(self, ordinal: int, *, finished: bool) -> None:
        """Count one instance in the shares of the run, of its wave and of its groups."""
        if self._rule is None:
            return
        (self._finished.add if finished else self._finished.discard)(ordinal)
        failed = ordinal in self._failed[self._wave_of[ordinal]]
        before = self._outcomes.get(ordinal, 0)
        after = self._outcomes[ordinal] = (finished or failed) + failed
        groups = (f"group {group}" for group in self._groups_of[ordinal])
        for scope in ("the run", f"wave {self._wave_of[ordinal]}", *groups):
            self._judged[scope] += (after > 0) - (before > 0)
            self._shares[scope] += (after > 1) - (before > 1)

    def reached(self, closed: int) -> str:
        """Return the limit of `onFailure` that is reached, empty for none. Instances that are in
        doubt or held for a budget count once their wave is one of the `closed` ones.
        """
        rule = self._rule
        if rule is None:
            return ""
        failed = self._troubled(closed if not rule.strict else len(self._left))
        if rule.strict:
            failed += sum(map(len, self._conflicts))
        if rule.failed and failed >= rule.failed:
            return f"{failed} failures, onFailure.failed is {rule.failed}"
        for scope, count in self._shares.items() if rule.share_ppm else ():
            judged = self._judged[scope]
            if count and judged >= rule.min_sample and count * PPM >= judged * rule.share_ppm:
                return f"{count} of {judged} instances of {scope} failed"
        return ""

    def passes(self, open_instances: int) -> bool:
        """Return whether failures and open instances together pass a strict limit."""
        if self._rule is None or not self._rule.strict:
            return False
        troubles = self._troubled(len(self._left)) + sum(map(len, self._conflicts))
        return troubles + open_instances > self._rule.failed

    def _troubled(self, closed: int) -> int:
        return sum(map(len, self._failed)) + sum(map(len, self._left[:closed]))

    def before(self, wave: int) -> int:
        """Return the number of earlier waves with failures that no operator accepted."""
        if self._rule is not None:
            return 0
        return sum(len(part[n]) for n in range(wave) for part in (self._failed, self._left))

    def within(self, wave: int) -> int:
        """Return the unaccepted failures of an open wave if they require a halt, else 0."""
        if self._rule is not None or (wave == 0 and len(self._targets) > 1):
            return 0
        failed = len(self._failed[wave])
        share = failed * PPM >= self._targets[wave] * limits.FAILURES_SHARE_PPM
        return failed if failed >= limits.FAILURES_MIN and share else 0

    def attached_elsewhere(self, ordinals: Sequence[int]) -> None:
        """Count instances that have the new key without an attach of this run."""
        for ordinal in ordinals:
            self._elsewhere[self._wave_of[ordinal]] += 1

    def halted(self, reason: str) -> None:
        """Note the reason for which the run halted."""
        self._halted = reason

    def resumed(self) -> None:
        """Note that the run continues. If it halted for attaches by other operators, these count no
        longer.
        """
        if self._halted == "elsewhere":
            self._elsewhere = [0] * len(self._elsewhere)
        self._halted = ""

    def elsewhere(self, wave: int) -> int:
        """Return the attaches by other operators in a wave if they require a halt, else 0."""
        found = self._elsewhere[wave]
        share = found * PPM > self._targets[wave] * limits.ELSEWHERE_SHARE_PPM
        return found if found > limits.ELSEWHERE_MAX and share else 0

    def conflicts(self, wave: int) -> int:
        """Return the unaccepted conflicts of a wave if they require a halt, else 0."""
        found = len(self._conflicts[wave])
        share = found * PPM > self._targets[wave] * limits.CONFLICTS_SHARE_PPM
        return found if found > limits.CONFLICTS_MAX and share else 0
