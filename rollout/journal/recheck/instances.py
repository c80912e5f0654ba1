"""The instances of a run as its journal describes them: states, holds, permits and what is left.

Called by the other modules of the recheck. Shares no code with the core.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Container, Iterable, Iterator

from rollout.journal.recheck.census import CensusRules
from rollout.journal.recheck.cohorts import FailingCohorts
from rollout.journal.recheck.failures import Failures
from rollout.journal.recheck.key_material import Material
from rollout.journal.recheck.legal_moves import (
    AT_RISK,
    CLASSES,
    EXPOSED,
    JUDGED,
    UNFINISHED,
    State,
)
from rollout.model.plan import Plan, Target
from rollout.model.site import KeySite, Site


class Violations:
    """Descriptions of violated rules, collected for one event."""

    def __init__(self) -> None:
        self._texts: list[str] = []

    def add(self, text: str) -> None:
        """Add a violation; an empty text is none."""
        if text:
            self._texts.append(text)

    def demand(self, condition: object, text: str) -> None:
        """Add a violation unless the condition holds."""
        if not condition:
            self._texts.append(text)

    def take(self) -> list[str]:
        """Return the violations since the last call."""
        texts, self._texts = self._texts, []
        return texts


class TargetStates:
    """All targets of a plan by ordinal, each in one state of `legal_moves`."""

    def __init__(self, plan: Plan, violations: Violations) -> None:
        self.plan = plan
        self.targets: list[Target] = []
        self.cell_of = array("l")
        self.sites: list[Site] = []
        self.wave_of_cell: list[int] = []
        for number, wave in enumerate(plan.waves):
            for cell in wave.cells:
                self.targets.extend(cell.targets())
                self.cell_of.extend([len(self.sites)] * (len(self.targets) - len(self.cell_of)))
                self.sites.append(cell.site)
                self.wave_of_cell.append(number)
        wave_of = [self.wave_of_cell[cell] for cell in self.cell_of]
        self.failures = Failures(
            wave_of, len(plan.waves), plan.failure_rule(), [one.groups for one in self.targets]
        )
        rule = plan.failure_rule()
        self.cohorts = FailingCohorts(plan, quarantine=rule is not None and rule.quarantine)
        self.census = CensusRules(plan, violations.demand)
        self.material = Material()
        self.states = bytearray(len(self.targets))
        self.exposed = self.exposed_peak = self.at_risk = 0
        self.peaks = [0] * len(plan.groups)
        self.left_in_cell = Counter(self.cell_of)
        self.left_in_wave = Counter(wave_of)
        self.failed_down: dict[int, None] = {}
        """Failed instances that booted and were not Running in time. The other failed ones serve.
        """
        self._violations = violations
        self._held: dict[int, str] = {}
        self._permits = bytearray(len(self.targets))
        self._used = [0] * len(plan.groups)

    def classes(self) -> dict[str, int]:
        """Return the size of each class if the run ended here; the sum is the inventory's size."""
        names = ("done", "unverified", "failed", "skipped", "in_doubt", "stranded", "excluded")
        counts = dict.fromkeys(names, 0)
        for state, name in CLASSES.items():
            counts[name] += self.states.count(state)
        counts["excluded"] = len(self.plan.exclusions)
        return counts

    @property
    def unfinished(self) -> int:
        """Number of targets that have no final class and are not held."""
        return sum(self.left_in_cell.values())

    def known(self, ordinals: Iterable[int]) -> Iterator[int]:
        """Yield the ordinals that the plan contains; the others are violations."""
        for ordinal in ordinals:
            if 0 <= ordinal < len(self.targets):
                yield ordinal
            else:
                self._violations.add(f"ordinal {ordinal} is not in the plan")

    def name(self, ordinal: int) -> str:
        """Return the id of an instance."""
        return self.targets[ordinal].instance

    def key_site(self, ordinal: int) -> KeySite:
        """Return the site of an instance, and the key that the plan wants on it."""
        return KeySite(self.sites[self.cell_of[ordinal]], self.targets[ordinal].key)

    def wanted(self, ordinal: int) -> str:
        """Return the name of the key pair that the plan wants on an instance."""
        return self.plan.keys[self.targets[ordinal].key].name

    def move(self, ordinal: int, sources: Container[int], target: int, word: str) -> None:
        """Move an instance to a state; a violation unless it is in one of `sources`."""
        before = self.states[ordinal]
        if before not in sources:
            self._violations.add(f"{self.name(ordinal)}: {word} while {State(before).name.lower()}")
        self.states[ordinal] = target
        if target == State.FAILED and before == State.BOOTED:
            self.failed_down[ordinal] = None
        else:
            self.failed_down.pop(ordinal, None)
        if target == State.PLANNED:
            self.material.detached(ordinal)
        self.exposed += (target in EXPOSED) - (before in EXPOSED)
        self.exposed_peak = max(self.exposed_peak, self.exposed)
        held = ordinal in self._held
        change = (target in UNFINISHED) - (before in UNFINISHED)
        if change and not held:
            self._count_left(ordinal, change)
        if not held:
            self.at_risk += (target in AT_RISK) - (before in AT_RISK)
        if held or target in JUDGED:
            self._count_failure(ordinal)

    def held(self, ordinal: int) -> bool:
        """Return whether the instance waits for an operator."""
        return ordinal in self._held

    def hold(self, ordinal: int, reason: str) -> None:
        """Hold an instance for an operator."""
        if ordinal not in self._held and self.states[ordinal] in UNFINISHED:
            self._count_left(ordinal, -1)
            self.at_risk -= self.states[ordinal] in AT_RISK
        self._held[ordinal] = reason
        self._count_failure(ordinal)

    def release(self, ordinal: int) -> None:
        """Hold an instance no longer."""
        if self._held.pop(ordinal, None) is not None and self.states[ordinal] in UNFINISHED:
            self._count_left(ordinal, 1)
            self.at_risk += self.states[ordinal] in AT_RISK
        self._count_failure(ordinal)

    def release_all(self, but: frozenset[int]) -> None:
        """Hold no instance any longer, except those in the states `but`."""
        for ordinal in sorted(self._held):
            if self.states[ordinal] not in but:
                self.release(ordinal)

    def take_permit(self, ordinal: int) -> None:
        """Count an instance as down in its groups; a violation if that is above a cap."""
        if self._permits[ordinal]:
            return
        self._permits[ordinal] = 1
        for number in self.targets[ordinal].groups:
            group = self.plan.groups[number]
            self._used[number] += 1
            self.peaks[number] = max(self.peaks[number], self._used[number])
            away = self.census.down[number]
            if self._used[number] + away > group.cap:
                without = f", {away} of them without this run" if away else ""
                self._violations.add(
                    f"{self.name(ordinal)}: {self._used[number] + away} instances of group "
                    f"{group.key} are down{without}, its cap is {group.cap}"
                )

    def free_permit(self, ordinal: int) -> None:
        """Count an instance as down no longer."""
        if self._permits[ordinal]:
            self._permits[ordinal] = 0
            for number in self.targets[ordinal].groups:
                self._used[number] -= 1

    def _count_left(self, ordinal: int, change: int) -> None:
        cell = self.cell_of[ordinal]
        self.left_in_cell[cell] += change
        self.left_in_wave[self.wave_of_cell[cell]] += change

    def _count_failure(self, ordinal: int) -> None:
        state, reason = self.states[ordinal], self._held.get(ordinal)
        conflict = reason == "foreign_key" and state in UNFINISHED
        stuck = reason is not None and not conflict and state in UNFINISHED - {State.PLANNED}
        waits = (reason or "").startswith(("budget_held", "quarantined"))
        left = state in (State.RESTARTING, State.BOOTED) or waits
        failed = state in (State.FAILED, State.STRANDED) or (stuck and not left)
        self.failures.count(ordinal, failed=failed, left=stuck and left, conflict=conflict)
        self.failures.judge(ordinal, finished=state in JUDGED)
        self.cohorts.count(
            ordinal, failed=state in (State.FAILED, State.STRANDED), done=state == State.DONE
        )
