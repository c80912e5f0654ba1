"""Find what failed instances have in common: an image, a zone, an OS or an instance type.

Called by `thresholds` and `quarantine`. Pure; knows targets and outcomes, no run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from rollout.core.running.layout import Layout
from rollout.model import limits

ATTRIBUTES = ("image", "zone", "OS", "instance type")
"""Attributes of a target by which failures are grouped, in the order of `values`."""


def values(layout: Layout, ordinal: int) -> tuple[str, ...]:
    """Return the value of each attribute of one target, empty where it is unknown."""
    target = layout.targets[ordinal]
    kind = layout.kinds[target.kind]
    return target.image, target.zone, kind.os_name, kind.instance_type


def concentrated(
    layout: Layout, failed: Collection[int], judged: Collection[int]
) -> tuple[str, ...]:
    """Return a sentence for each set of instances that has most of the failures, fails more often
    than the rest, and has an attribute in common; attributes that name the same set share it.
    `judged` are the finished instances, failed ones included.
    """
    columns = zip(*(values(layout, ordinal) for ordinal in judged), strict=True)
    found: dict[tuple[tuple[int, ...], int], list[str]] = {}
    for position, (attribute, column) in enumerate(zip(ATTRIBUTES, columns, strict=False)):
        of = {ordinal: values(layout, ordinal)[position] for ordinal in failed}
        for value, count in Counter(of.values()).most_common(1):
            members = column.count(value)
            others, failed_others = len(judged) - members, len(failed) - count
            most = count * 100 >= len(failed) * limits.COHORT_PERCENT
            more_often = count * others >= 2 * failed_others * members
            if value and others and count >= limits.COHORT_FAILURES_MIN and most and more_often:
                same = tuple(ordinal for ordinal, one in of.items() if one == value)
                found.setdefault((same, others), []).append(f"{attribute} {value}")
    return tuple(
        f"{len(same)} of {len(failed)} failures have {' and '.join(names)}; "
        f"{100 * (len(failed) - len(same)) / others:.0f} % of the other {others} finished "
        "instances failed"
        for (same, others), names in found.items()
    )
