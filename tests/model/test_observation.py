"""Observed states before a call: grouped without loss."""

import itertools

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from rollout.model.instance import Status
from rollout.model.observation import Observed, ObservedGroup, gather, spread

SIGHTS = st.lists(
    st.builds(
        Observed,
        st.sampled_from([Status.RUNNING, Status.STOPPED]),
        st.sampled_from(["", "ops-2026q4"]),
        st.integers(0, 3),
        st.integers(1, 2),
    )
)


@given(SIGHTS)
def test_shared_entries_are_read_per_instance(sights: list[Observed]) -> None:
    """Every instance's status, key pair, StartTime and time of the service come back, in order."""
    told = msgspec.json.encode(gather(sights))

    assert list(spread(msgspec.json.decode(told, type=tuple[ObservedGroup, ...]))) == sights


@given(SIGHTS)
def test_equal_neighbors_share_an_entry(sights: list[Observed]) -> None:
    """Two entries in a row differ in more than StartTime; one instance's entry has one number."""
    told = gather(sights)

    looks = [(seen.status, seen.key_pair, seen.api_time) for seen in told]
    assert all(one != other for one, other in itertools.pairwise(looks))
    assert not any(isinstance(seen.started_at, tuple) and len(seen.started_at) < 2 for seen in told)
