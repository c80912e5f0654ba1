"""Which instances of a fleet do not have the wanted key pair in force."""

from __future__ import annotations

import pytest

from rollout.app import drift
from rollout.model.instance import Instance, Status
from rollout.model.plan import Reason
from tests.core import samples


@pytest.mark.parametrize(
    "change, why",
    [
        ({"locks": ("financial",)}, "locked"),
        ({"expires_at": samples.NOW}, "expired"),
        ({"status": Status.STARTING}, "neither Running nor Stopped"),
    ],
)
def test_an_instance_that_a_plan_leaves_out_for_now_is_listed(
    change: dict[str, object], why: str
) -> None:
    """What no plan can rotate now does not have the key pair either, so the fleet is not all
    well.
    """
    rows = _fleet(change)

    found = drift.of_plan(samples.make_plan(rows))

    assert [one.why for one in found.drifted if one.key_pair is None] == [why]
    assert len(found.drifted) == 2 and not found.excluded


def test_an_instance_without_a_key_pair_by_choice_is_excluded() -> None:
    """Its spec keeps its password login: it needs no key pair."""
    found = drift.of_plan(samples.make_plan(_fleet({"key_pair": ""})))

    assert found.excluded == {Reason.PASSWORD_ONLY: 1} and len(found.drifted) == 1


def _fleet(change: dict[str, object]) -> list[Instance]:
    """Two instances, one of them changed."""
    return [samples.instance(0), samples.instance(1, **change)]
