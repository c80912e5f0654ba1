"""The chained-rotation guard: no plan attaches a key over a rotation that is unproven."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.core.planning import planner
from rollout.core.planning.scope import Scope
from rollout.model.instance import Proof
from rollout.model.plan import Origin, OriginKind, Plan, Reason, WantedKey, public_key_digest
from tests.core import samples

DIGEST = public_key_digest(samples.PUBLIC_KEY)
KEYS = (samples.NEW_KEY, samples.OLD_KEY, "ops-older")
RETRY, UNDO = (Origin(kind, "r-1", "sha256:0") for kind in (OriginKind.RETRY, OriginKind.UNDO))

fleets = st.lists(
    st.tuples(
        st.sampled_from(KEYS),
        st.none() | st.tuples(st.sampled_from(KEYS), st.sampled_from([DIGEST, "sha256:other"])),
    ),
    min_size=1,
    max_size=20,
)
"""The attached key pair of each instance, and the key of its last rotation if it is unproven."""
Fleet = list[tuple[str, tuple[str, str] | None]]


def planned(fleet: Fleet, origin: Origin | None = None, *, allowed: bool = False) -> Plan:
    """The plan of this fleet with the new key, as of a spec or made from a run."""
    rows = [samples.instance(number, key_pair=key) for number, (key, _) in enumerate(fleet)]
    unproven = {
        row.id: Proof(*earlier, "r-1")
        for row, (_, earlier) in zip(rows, fleet, strict=True)
        if earlier is not None
    }
    wanted = WantedKey(samples.NEW_KEY, samples.PUBLIC_KEY, DIGEST, ())
    scope = None if origin is None else Scope((wanted,), origin=origin)
    context = planner.PlanContext("rollout test", scope=scope, unproven=unproven)
    spec = samples.capped(1, chain_unproven=allowed)
    return planner.make_plan(spec, samples.inventory(rows), {}, samples.NOW, context)


@given(fleets, st.sampled_from([None, RETRY, UNDO]))
def test_no_attach_covers_an_unproven_rotation_to_another_key(
    fleet: Fleet, origin: Origin | None
) -> None:
    """I-17: an instance is left out exactly if the plan would attach its key, the last rotation
    wanted another one, and the plan does not undo that rotation. Its detail names key and run.
    """
    plan = planned(fleet, origin)

    out = {int(one.instance[2:]): one for one in plan.exclusions}
    for number, (current, earlier) in enumerate(fleet):
        other = earlier is not None and earlier != (samples.NEW_KEY, DIGEST)
        chained = other and current != samples.NEW_KEY
        undone = origin is UNDO and earlier is not None and earlier[0] == current
        assert (number in out) == (chained and not undone)
        if number in out and earlier is not None:
            assert out[number].reason is Reason.FORMER_ROTATION_UNPROVEN
            assert out[number].detail == f"{earlier[0]} in run r-1"
    warned = {warning.code: warning.count for warning in plan.warnings}
    assert warned.get("R0350", 0) == len(out)


@given(fleets)
def test_an_override_rotates_all_of_them(fleet: Fleet) -> None:
    """No instance is left out for its last rotation."""
    assert planned(fleet, allowed=True).exclusions == ()


@pytest.mark.parametrize(
    "runs,named",
    [
        (["r-1", "r-1"], "retry or undo run r-1 first."),
        (["r-2", "r-1"], "retry or undo these runs first: r-1, r-2."),
        ([f"r-{one}" for one in range(6)], "first: r-0, r-1, r-2, r-3 and 2 more."),
    ],
)
def test_the_warning_names_the_runs_to_finish(runs: list[str], named: str) -> None:
    """The commands that finish or undo an unproven rotation need the id of its run."""
    rows = [samples.instance(number, key_pair="ops-old") for number in range(len(runs))]
    unproven = {
        row.id: Proof("ops-older", DIGEST, run) for row, run in zip(rows, runs, strict=True)
    }
    context = planner.PlanContext("rollout test", unproven=unproven)

    plan = planner.make_plan(samples.capped(1), samples.inventory(rows), {}, samples.NOW, context)

    (text,) = [one.text for one in plan.warnings if one.code == "R0350"]
    assert text.endswith(named)
