"""Which bakes and gates of a spec are in its plan."""

from __future__ import annotations

import msgspec
import pytest

from rollout.core.planning import planner
from rollout.core.planning.narrowing import Narrowing
from rollout.model.spec import WaveGate
from rollout.model.time import HOUR
from tests.core import samples


@pytest.mark.parametrize(
    "narrowing, gated",
    [
        (Narrowing(), [True, False]),
        (Narrowing(max_down=1), [True, False]),
        (Narrowing(wave="canary"), [False]),
    ],
)
def test_a_plan_has_the_gates_between_its_waves(narrowing: Narrowing, gated: list[bool]) -> None:
    """Narrowing removes no bake and no gate that a next wave follows; the last wave has none."""
    canary = msgspec.structs.replace(samples.CANARY, bake_ms=HOUR, gate=WaveGate.MANUAL)
    context = planner.PlanContext("rollout test", narrowing=narrowing)
    wanted = samples.spec(waves=(canary, *samples.REST))
    plan = planner.make_plan(wanted, samples.inventory(samples.fleet(5)), {}, samples.NOW, context)

    assert [wave.gated for wave in plan.waves] == gated
    assert plan.estimate.duration_ms > HOUR * sum(gated)
