"""Turn the budgets of a spec into groups of instances with caps.

Called by `planner`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

from rollout.core.planning.selection import NonTarget
from rollout.errors import CODES, PlanError, Problem
from rollout.model.instance import Instance, Status
from rollout.model.phrase import Wording, say
from rollout.model.plan import Group
from rollout.model.spec import FLEET, SCALING_TAG, TAG_PREFIX, Budget

_STOPPED = Status.STOPPED
"""A global name: an attribute of an enum class costs 50 ns per instance."""


class Groups:
    """Assigns instances to groups page by page, and counts the members of each group.

    A group of a part of the fleet is made for its first target; its number is its position in
    `Plan.groups`. An instance without the tag or the id of a budget is in no group of that budget.
    `ungrouped` counts the targets of which no budget limits how many are down.
    """

    def __init__(self, budgets: Sequence[Budget]) -> None:
        self.ungrouped = 0
        self._budgets = budgets
        fleet = [index for index, one in enumerate(budgets) if one.by == FLEET]
        self._numbers = {(index, FLEET): number for number, index in enumerate(fleet)}
        self._fleet = tuple(range(len(fleet)))
        self._fleets = [(index, FLEET) for index in fleet]
        self._parts = [
            (index, f"{one.by}{'=' if one.by.startswith(TAG_PREFIX) else ':'}", _value_of(one.by))
            for index, one in enumerate(budgets)
            if one.by != FLEET
        ]
        self._reboots = [0] * len(fleet)
        self._capped = [budgets[index].max_down is not None for index in fleet]
        self._others: Counter[tuple[int, str]] = Counter()
        self._known: dict[tuple[int, ...], tuple[int, ...]] = {}
        self._outside: list[tuple[int, bool, tuple[tuple[int, str], ...]]] = []

    def add(self, targets: Sequence[Instance]) -> list[tuple[int, ...]]:
        """Return the groups of each of these targets, ascending."""
        running = [one.status is not _STOPPED for one in targets]
        for group in self._fleet:
            self._reboots[group] += sum(running)
        fleet_capped = any(self._capped[: len(self._fleet)])
        if not self._parts:
            self.ungrouped += 0 if fleet_capped else len(targets)
            return [self._fleet] * len(targets)
        found = []
        for one, reboots in zip(targets, running, strict=True):
            parts = self._parts_of(one)
            if reboots:
                for group in parts:
                    self._reboots[group] += 1
            groups = (*self._fleet, *sorted(parts))
            self.ungrouped += not (fleet_capped or any(self._capped[group] for group in parts))
            found.append(self._known.setdefault(groups, groups))  # equal tuples share memory
        return found

    def count(self, others: Iterable[NonTarget]) -> None:
        """Count members that are no targets. Instances that the spec does not cover are members of
        the parts of the fleet only, and not in the base of percentages.
        """
        for position, one, covered in others:
            keys = [
                (index, prefix + value)
                for index, prefix, value_of in self._parts
                if (value := value_of(one)) is not None
            ]
            if covered:
                keys += self._fleets
                for key in keys:
                    self._others[key] += 1
            self._outside.append((position, covered, tuple(keys)))

    def members_outside(self, fleet: Sequence[int]) -> Iterator[tuple[int, tuple[int, ...]]]:
        """Yield the position of each counted instance, and its groups with a cap and with targets
        to reboot. `fleet` are further groups of all instances that the spec covers.
        """
        used = {
            key: number
            for key, number in self._numbers.items()
            if self._capped[number] and self._reboots[number]
        }
        known: dict[tuple[int, ...], tuple[int, ...]] = {}
        for position, covered, keys in self._outside:
            groups = sorted(used[key] for key in keys if key in used)
            found = (*groups, *(fleet if covered else ()))
            if found:
                yield position, known.setdefault(found, found)  # equal tuples share memory

    def made(self) -> list[Group]:
        """Return the groups in order of their numbers, with their caps as numbers.

        The base of a percentage is the group's members, targets or not. Errors: PlanError R0312 for
        each group with targets to reboot whose cap comes to 0, and for a fleet with fewer members
        than the count.
        """
        groups, problems = [], []
        for (index, key), number in self._numbers.items():
            budget, others = self._budgets[index], self._others[index, key]
            reboots = self._reboots[number]
            members = others + reboots
            cap = budget.cap(members)
            if reboots and not (cap > 0 and (cap <= members or key != FLEET)):
                problems.append(_bad_budget(index, budget, key, members, cap))
            groups.append(Group(key, index, cap, members, others, budget.restarts_per_10m))
        if problems:
            raise PlanError(tuple(problems), CODES["R0312"].exit)
        return groups

    def _parts_of(self, one: Instance) -> list[int]:
        """Return the groups of one target that are a part of the fleet; new ones are made."""
        groups = []
        for index, prefix, value_of in self._parts:
            value = value_of(one)
            if value is not None:
                number = self._numbers.setdefault((index, prefix + value), len(self._numbers))
                if number == len(self._reboots):
                    self._reboots.append(0)
                    self._capped.append(self._budgets[index].max_down is not None)
                groups.append(number)
        return groups


def _value_of(by: str) -> Callable[[Instance], str | None]:
    """Return the function that returns an instance's value, None where it has none."""
    match by:
        case "region":
            return lambda one: one.region
        case "zone":
            return lambda one: one.zone
        case "account":
            return lambda one: one.account
        case "resourceGroup":
            return lambda one: one.resource_group or None
        case "deploymentSet":
            return lambda one: one.deployment_set or None
        case _:
            tag = SCALING_TAG if by == "scalingGroup" else by.removeprefix(TAG_PREFIX)
            return lambda one: next((value for key, value in one.tags if key == tag), None)


def _bad_budget(index: int, budget: Budget, key: str, members: int, cap: int) -> Problem:
    stated = f"budgets[{index}] ({budget.by}): maxDown {budget.text}"
    if cap == 0:
        base: Wording = str(members)
        if key != FLEET:
            base = say("the {members} members of {group}", members=members, group=key)
        fix = say(
            "add `atLeast: 1`, or write a count, for example `maxDown: 1`; {note}", note=_BASE
        )
        return Problem(
            "R0312", say("{budget} of {base} comes to 0", budget=stated, base=base), cure=fix
        )
    fix = say("write at most {members}, or a percentage; {note}", members=members, note=_BASE)
    return Problem(
        "R0312", say("{budget} is more than {members}", budget=stated, members=members), cure=fix
    )


_BASE = say("only running instances that the spec covers count")
