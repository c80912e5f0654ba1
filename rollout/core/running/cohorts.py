"""Find what failed instances have in common: an image or a zone in which most failures are.

Called by `view` and `thresholds`. Pure; knows targets and outcomes, no run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from rollout.model import limits
from rollout.model.plan import Target

ATTRIBUTES = ("image", "zone")
"""Attributes of a target by which failures are grouped."""


def concentrated(
    targets: Sequence[Target], failed: Collection[int], judged: Collection[int]
) -> tuple[str, ...]:
    """Return a sentence for each image or zone that has most of the failures and fails more often
    than the rest. `judged` are the finished instances, failed ones included.
    """
    return tuple(
        text
        for attribute in ATTRIBUTES
        for text in _of_attribute(attribute, targets, failed, judged)
    )


def _of_attribute(
    attribute: str, targets: Sequence[Target], failed: Collection[int], judged: Collection[int]
) -> list[str]:
    failures = Counter(getattr(targets[ordinal], attribute) for ordinal in failed)
    members = Counter(getattr(targets[ordinal], attribute) for ordinal in judged)
    found = []
    for value, count in failures.most_common(1):
        others, failed_others = len(judged) - members[value], len(failed) - count
        most = count * 100 >= len(failed) * limits.COHORT_PERCENT
        more_often = count * others >= 2 * failed_others * members[value]
        if value and others and count >= limits.COHORT_FAILURES_MIN and most and more_often:
            rate = f"{100 * failed_others / others:.0f} %"
            found.append(
                f"{count} of {len(failed)} failures have {attribute} {value}; "
                f"{rate} of the other {others} finished instances failed"
            )
    return found
