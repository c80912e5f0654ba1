"""Images, zones, OSes and instance types that fail alone, counted from the journal alone.

Called by `instances` when an instance changes its state. Shares no code with the core.
"""

from __future__ import annotations

from collections import Counter

from rollout.model import limits
from rollout.model.plan import Plan


class FailingCohorts:
    """Failed and done instances by image, zone, OS and instance type; counts nothing without
    `quarantine`.
    """

    def __init__(self, plan: Plan, *, quarantine: bool) -> None:
        self._targets = list(plan.targets()) if quarantine else []
        self._kinds = plan.target_kinds()
        self._quarantine = quarantine
        self._outcomes: dict[int, str] = {}
        self._counts: Counter[tuple[str, str]] = Counter()
        self._totals: Counter[str] = Counter()

    def count(self, ordinal: int, *, failed: bool, done: bool) -> None:
        """Count one instance in its current state."""
        if not self._quarantine:
            return
        before = self._outcomes.get(ordinal, "")
        after = self._outcomes[ordinal] = "failed" if failed else "done" if done else ""
        for outcome, change in ((before, -1), (after, 1)):
            self._totals[outcome] += change
            for cohort in self._cohorts(ordinal):
                self._counts[outcome, cohort] += change

    def alone(self, ordinal: int) -> str:
        """Return the cohort of an instance that fails alone, empty if none does."""
        failed, done = self._totals["failed"], self._totals["done"]
        if failed < limits.COHORT_FAILURES_MIN:
            return ""
        for cohort in self._cohorts(ordinal):
            others = done - self._counts["done", cohort]
            if self._counts["failed", cohort] == failed and others >= limits.QUARANTINE_OTHERS_MIN:
                return cohort
        return ""

    def _cohorts(self, ordinal: int) -> list[str]:
        target = self._targets[ordinal]
        kind = self._kinds[target.kind]
        all_ = (
            ("image", target.image),
            ("zone", target.zone),
            ("OS", kind.os_name),
            ("instance type", kind.instance_type),
        )
        return [f"{attribute} {value}" for attribute, value in all_ if value]
