"""The differences of two plans are complete, and none are reported between equal plans."""

from __future__ import annotations

import msgspec

from rollout.cli.views import diff as views
from rollout.core.planning import plan_diff
from rollout.model.plan import Plan
from rollout.model.spec import OnUnknown
from tests.app import factory


def test_a_plan_does_not_differ_from_itself() -> None:
    """Times and digests are not compared."""
    plan = factory.plan()
    later = msgspec.structs.replace(plan, made_at=plan.made_at + 1, tool="rollout 9")

    assert not plan_diff.compare(plan, later)


def test_a_changed_setting_is_named_with_both_values() -> None:
    """Only the field that changed is listed."""
    plan = factory.plan()
    other = msgspec.structs.replace(plan, on_unknown=OnUnknown.RETRY_ONCE)

    found = plan_diff.compare(plan, other)

    assert [(one.setting, one.after) for one in found.settings] == [
        ("on_unknown", OnUnknown.RETRY_ONCE.value)
    ]
    assert not found.instances


def test_each_instance_that_changes_its_treatment_is_listed_once() -> None:
    """An excluded target, a new and a released instance; the reverse diff mirrors it."""
    plan = factory.plan()
    gone, out = plan.exclusions[0], plan.exclusions[1]
    removed = next(plan.targets()).instance
    other = _without(plan, removed)
    exclusions = (
        msgspec.structs.replace(out, instance="i-new"),
        msgspec.structs.replace(out, instance=removed),
        *plan.exclusions[1:],
    )
    other = msgspec.structs.replace(other, exclusions=exclusions)

    found = plan_diff.compare(plan, other).instances
    back = plan_diff.compare(other, plan).instances

    changes = {one.instance: one.change for one in found}
    assert changes == {gone.instance: "gone", "i-new": "new", removed: "removed"}
    assert {one.instance: one.change for one in back} == {
        gone.instance: "new",
        "i-new": "gone",
        removed: "added",
    }
    assert all(
        (one.before, one.after) == (two.after, two.before)
        for one, two in zip(found, back, strict=True)
    )


def _without(plan: Plan, instance: str) -> Plan:
    """Return the plan without one target."""
    first, *waves = plan.waves
    cell, *cells = first.cells
    batch, *batches = cell.batches
    kept = tuple(one for one in batch.targets if one.instance != instance)
    batch = msgspec.structs.replace(batch, targets=kept)
    cell = msgspec.structs.replace(cell, batches=(batch, *batches))
    first = msgspec.structs.replace(first, cells=(cell, *cells))
    return msgspec.structs.replace(plan, waves=(first, *waves))


def test_the_text_names_every_difference_at_80_columns() -> None:
    """Marks, both treatments and the totals, in lines that fit."""
    plan = factory.plan()
    removed = next(plan.targets()).instance
    other = msgspec.structs.replace(_without(plan, removed), name="other")

    text = views.text(plan_diff.compare(plan, other), 80)

    assert f"- {removed}" in text and "~ name" in text
    assert text.endswith("Different: 1 setting, 1 instance (1 gone).")
    assert all(len(line) <= 80 for line in text.splitlines())
