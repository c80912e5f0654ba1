"""Batches of one wanted key."""

from __future__ import annotations

import itertools

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from rollout.core.planning.waves import make_batches
from tests.core import samples


@given(st.lists(st.integers(0, 2), max_size=60), st.integers(1, 9))
def test_a_batch_has_one_key_and_every_target_is_in_one(keys: list[int], size: int) -> None:
    """One AttachKeyPair call has one key pair: batches are cut by key, in the order of targets."""
    plan = samples.make_plan(samples.fleet(60), samples.spec())
    made = samples.targets_of(plan.waves[0])
    targets = [msgspec.structs.replace(one, key=key) for one, key in zip(made, keys, strict=False)]

    batches = make_batches(targets, size)

    members = [[*batch.targets] for batch in batches]
    assert all(0 < len(batch) <= size and len({one.key for one in batch}) == 1 for batch in members)
    assert [*itertools.chain(*members)] == sorted(targets, key=lambda one: one.key)
    assert len(batches) == sum(-(-keys.count(key) // size) for key in range(3))
