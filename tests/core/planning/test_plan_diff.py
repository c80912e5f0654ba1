"""The differences of two plans are complete, and none are reported between equal plans."""

from __future__ import annotations

import msgspec

from rollout.cli.views import diff as views
from rollout.core.planning import plan_diff
from rollout.model.approval import Approvers
from rollout.model.plan import Plan, Warn
from rollout.model.spec import OnUnknown, WaveGate
from rollout.model.time import DAY, HOUR, SECOND, Instant
from rollout.model.windows import Interval, PlanWindows
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


def test_a_changed_wave_is_described_in_words() -> None:
    """Bake, gate and questions are text, as in the preview, not JSON."""
    plan = factory.plan()
    first, *others = plan.waves
    asked = msgspec.structs.replace(first, bake_ms=90_000, gate=WaveGate.MANUAL, gates=(0, 2))
    other = msgspec.structs.replace(plan, waves=(asked, *others))

    (found,) = plan_diff.compare(plan, other).settings

    assert (found.setting, found.before) == ("wave 1", "canary, gate auto")
    assert found.after == "canary, bake 1m30s, gate manual, questions 1, 3"


def test_windows_are_compared_in_the_time_of_both_plans() -> None:
    """A plan made later within a window, with a later end, has the same windows."""
    plan = factory.plan()
    start, day = plan.made_at, [Interval(n * DAY, n * DAY + 8 * HOUR) for n in range(4)]
    first = [
        msgspec.structs.replace(one, opens=start + one.opens, closes=start + one.closes)
        for one in day
    ]
    before = _with_windows(plan, start, start + 3 * DAY, first[:3])
    shorter = Interval(start + HOUR, first[0].closes)
    later = _with_windows(plan, start + HOUR, start + 4 * DAY, [shorter, *first[1:]])
    last = _with_windows(plan, first[0].closes - SECOND, start + 4 * DAY, first[1:])

    assert not plan_diff.compare(before, later)
    assert not plan_diff.compare(before, last)


def test_only_windows_that_differ_are_shown() -> None:
    """The first ones of each plan in local time and UTC, and the number of the others."""
    plan = factory.plan()
    start = plan.made_at
    windows = [Interval(start + n * DAY, start + n * DAY + HOUR, 480, 480) for n in range(6)]
    moved = [msgspec.structs.replace(one, closes=one.closes + HOUR) for one in windows[1:]]
    before = _with_windows(plan, start, start + 60 * DAY, windows)
    after = _with_windows(plan, start, start + 60 * DAY, [windows[0], *moved])

    (found,) = plan_diff.compare(before, after).settings

    shown = found.before
    assert found.setting == "windows" and shown.startswith("Asia/Shanghai: ")
    assert windows[0].opens_text not in shown
    assert f"{windows[1].opens_text} to {windows[1].closes_text} (" in shown
    assert shown.endswith(" and 2 more") and found.after != shown
    assert plan_diff.compare(plan, before).settings[0].before == ""


def test_the_author_and_the_moment_are_not_compared() -> None:
    """Another person who plans the same spec later gets the same plan."""
    plan = factory.plan()
    rule = Approvers(1, ("key",), not_author=True, author=("li.wei",))
    warnings = tuple(Warn(code, 1, "then") for code in ("R0116", "R0346", "R0347", "R0360"))
    before = msgspec.structs.replace(plan, approvals=rule, warnings=warnings)
    other = msgspec.structs.replace(rule, author=("zhou.min",))
    after = msgspec.structs.replace(plan, approvals=other, warnings=())

    assert not plan_diff.compare(before, after)
    assert plan_diff.compare(before, plan)


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


def _with_windows(plan: Plan, made_at: Instant, until: Instant, windows: list[Interval]) -> Plan:
    """The plan made at another time with these windows."""
    known = PlanWindows("Asia/Shanghai", f"tz {made_at}", until, tuple(windows))
    return msgspec.structs.replace(plan, made_at=made_at, windows=known)
