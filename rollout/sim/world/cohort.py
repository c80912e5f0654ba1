"""An image or a zone of a scenario whose instances all fail, in a plan with `quarantine`.

Used by `scenario` and the world. Most scenarios have none, so that they cost and find what they did
before.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from rollout.emulator.fault_plan import FaultPlan
from rollout.emulator.faults import Fault
from rollout.model.plan import Plan
from rollout.model.spec import OnFailure
from rollout.sim.time.dice import Dice


class BadCohort(msgspec.Struct, frozen=True):
    """The instance fault of all targets that share the image, or the zone, of target `number`; none
    if `fault` is empty. `rule` is the plan's `onFailure`.
    """

    fault: str = ""
    zone: bool = False
    number: int = 0
    rule: OnFailure | None = None

    def members(self, plan: Plan) -> frozenset[str]:
        """Return the ids of these targets."""
        targets = list(plan.targets()) if self.fault else []
        if not targets:
            return frozenset()
        shared = [one.zone if self.zone else one.image for one in targets]
        value = shared[self.number % len(shared)]
        pairs = zip(targets, shared, strict=True)
        return frozenset(target.instance for target, of in pairs if of == value)


_RULES = (
    *[OnFailure(failed=50, quarantine=True)] * 3,
    OnFailure(failed=5, quarantine=True),
    OnFailure(failed=8, strict=True, quarantine=True),
)


def draw(seed: int) -> BadCohort:
    """Return the failing image or zone of a seed."""
    dice = Dice(seed, "cohort")
    if not dice.chance(8):
        return BadCohort()
    fault = dice.pick(("disk_error", "disk_error", "reboot_ends_stopped", "boot_stuck_starting"))
    return BadCohort(fault, dice.chance(40), dice.number(), dice.pick(_RULES))


class CohortFaults(FaultPlan):
    """A fault plan in which the members of a cohort have its fault too."""

    def __init__(
        self, faults: Iterable[Fault], seed: int, cohort: BadCohort, members: frozenset[str]
    ) -> None:
        super().__init__(faults, seed)
        self._fault, self._members = cohort.fault, members

    def has(self, fault: str, instance: str) -> bool:
        """See FaultPlan."""
        bad = fault == self._fault and instance in self._members
        return bad or super().has(fault, instance)
