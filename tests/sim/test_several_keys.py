"""Plans with several keys at the same sites, through faults, crashes and other operators."""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from rollout.app import plan_check
from rollout.core.running.layout import Layout
from rollout.sim.check import checkers, crashes
from rollout.sim.world import scenario
from rollout.sim.world.world import World


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 3))
def test_no_invariant_breaks_with_several_keys(seed: int, keys: int) -> None:
    """Whatever goes wrong, each instance gets its own key or is reported as not done; the plan is
    consistent with itself and the journal passes its recheck.
    """
    drawn = msgspec.structs.replace(scenario.draw(seed), keys=keys)

    record = World(drawn).run()

    assert list(plan_check.contradictions(record.plan)) == []
    assert checkers.violations(record) == []


@settings(max_examples=10, deadline=None)
@given(keys=st.integers(2, 3), present=st.booleans(), seed=st.integers(0, 99))
def test_in_a_calm_run_every_instance_ends_with_its_own_key(
    *, keys: int, present: bool, seed: int
) -> None:
    """Key pairs are compared, and imported where they are missing, once per site and key; each
    AttachKeyPair call has one key.
    """
    calm = crashes.calm(keys=keys, key_present=present, seed=seed, size=30)

    record = World(calm).run()

    in_force = {one.instance: one.key_in_force for one in record.cloud.observe(record.ended)}
    assert {name: in_force[name] for name in record.wanted} == {
        name: key.name for name, key in record.wanted.items()
    }
    layout = Layout(record.plan)
    imports = [one for one in record.sent if one.action == "ImportKeyPair"]
    assert len(imports) == (0 if present else sum(map(len, layout.key_sites.values())))
    assert checkers.violations(record) == []
