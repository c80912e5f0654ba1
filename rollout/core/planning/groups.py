"""Turn the budgets of a spec into groups with caps.

Called by `planner`.
"""

from __future__ import annotations

from collections.abc import Sequence

from rollout.errors import PlanError, RolloutError
from rollout.model.plan import Group
from rollout.model.spec import Budget


def make_groups(budgets: Sequence[Budget], members: int, reboots: int) -> list[Group]:
    """Return one group for each budget (only `by: fleet` so far), with its cap as a number.

    `members` is the base of a percentage: the instances that the spec covers and that were not
    Stopped when planned. They need not be targets. A stopped instance serves no traffic, so it
    cannot go down. `reboots` of the members are targets. Errors: PlanError R0312 if targets are to
    be rebooted and a cap comes to 0 or is greater than the base.
    """
    groups = []
    for index, budget in enumerate(budgets):
        cap = budget.max_down.of(members)
        if reboots and not 0 < cap <= members:
            raise _bad_budget(index, budget, members, cap)
        groups.append(Group(budget.by, index, cap, members, members - reboots))
    return groups


def _bad_budget(index: int, budget: Budget, members: int, cap: int) -> RolloutError:
    stated = f"budgets[{index}] ({budget.by}): maxDown {budget.max_down}"
    if cap == 0:
        message = f"{stated} of {members} comes to 0"
        fix = f"write an absolute number, for example `maxDown: 1`; {_BASE}"
    else:
        message = f"{stated} is more than {members}"
        fix = f"write at most {members}, or a percentage; {_BASE}"
    return PlanError.of("R0312", message, help=fix)


_BASE = "only running instances that the spec covers count"
