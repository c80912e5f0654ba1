"""A target compared with a new observation."""

from __future__ import annotations

import pytest

from rollout.core.running.drift import judge
from rollout.model.event import DriftKind
from rollout.model.instance import OsFamily, Status
from tests.core import samples


@pytest.mark.parametrize(
    "changes, kind, ends",
    [
        ({"os": OsFamily.WINDOWS}, DriftKind.MATERIAL, "os_changed"),
        ({"os": OsFamily.UNKNOWN}, DriftKind.MATERIAL, "os_changed"),
        ({"key_pair": "theirs"}, DriftKind.CONFLICT, ""),
        ({"key_pair": ""}, DriftKind.CONFLICT, ""),
        ({"locks": ("financial",)}, DriftKind.NARROWING, "locked"),
        ({"expires_at": samples.NOW}, DriftKind.NARROWING, "expired"),
        ({"status": Status.STOPPED}, DriftKind.STATE, "stopped_since_plan"),
        ({"key_pair": samples.NEW_KEY}, DriftKind.ELSEWHERE, ""),
    ],
)
def test_each_difference_has_its_kind(
    changes: dict[str, object], kind: DriftKind, ends: str
) -> None:
    """What differs decides what follows."""
    target = samples.targets_of(samples.make_plan(samples.fleet(1), samples.capped(1)).waves[0])[0]
    seen = samples.instance(0, **changes)
    found = judge(target, seen, samples.NEW_KEY, own_attach=False, at_api=samples.NOW)

    assert found is not None and (found.kind, found.ends) == (kind, ends)


@pytest.mark.parametrize("status", [Status.RUNNING, Status.STARTING, Status.UNKNOWN])
def test_what_is_as_planned_or_passes_by_itself_is_no_drift(status: Status) -> None:
    """A transitional state is waited for, not reported as drift."""
    target = samples.targets_of(samples.make_plan(samples.fleet(1), samples.capped(1)).waves[0])[0]
    seen = samples.instance(0, status=status)

    assert judge(target, seen, samples.NEW_KEY, own_attach=False, at_api=samples.NOW) is None


def test_a_started_target_is_reported_and_rotated() -> None:
    """Somebody started it meanwhile: a drift of state that ends nothing."""
    rows = samples.fleet(1, status=Status.STOPPED)
    target = samples.targets_of(samples.make_plan(rows).waves[0])[0]
    found = judge(target, samples.instance(0), samples.NEW_KEY, own_attach=False, at_api=0)

    assert found is not None and (found.kind, found.ends) == (DriftKind.STATE, "")
