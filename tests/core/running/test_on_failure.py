"""Limits of failures from the spec: a number, a share of a sample, and strict admission."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.core.running.failure_shares import Shares
from rollout.core.running.journey import AT_RISK
from rollout.core.running.layout import Layout
from rollout.model import event as ev
from rollout.model.command import Attach, RestartCall
from rollout.model.spec import PPM, Amount, Budget, OnFailure, Spec, WaveKind, WaveSpec
from tests.core import samples
from tests.core.scenarios import halt_of, named
from tests.core.world import Script, World


def ids(*numbers: int) -> tuple[str, ...]:
    """Return instance ids of the sample fleet."""
    return tuple(f"i-{number:04d}" for number in numbers)


def limited(rule: OnFailure, *, cap: int = 20, canary: int = 0) -> Spec:
    """Return a spec with these limits, and a canary of this size."""
    first = [WaveSpec("canary", WaveKind.AMOUNT, Amount(count=canary))] if canary else []
    return samples.capped(cap, waves=(*first, *samples.REST), on_failure=rule)


def story_of(size: int, script: Script, spec: Spec) -> World:
    """Return a started run of a fleet of this size."""
    rows = samples.fleet(size)
    return World(samples.make_plan(rows, spec), rows, script).start()


def begun_after_halt(story: World) -> list[ev.AnyEvent]:
    """Return what began after the first halt."""
    halted = next(n for n, event in enumerate(story.journal) if isinstance(event, ev.Halted))
    begins = (ev.Issued, ev.WaveStarted, ev.CellOpened)
    return [event for event in story.journal[halted:] if isinstance(event, begins)]


def test_nothing_begins_after_the_third_failure() -> None:
    """40 restarts are in flight and all fail: the third failure halts the run (A-05)."""
    stuck = ids(*range(80))
    story = story_of(80, Script(stuck=stuck), limited(OnFailure(failed=3), cap=40)).go()

    assert halt_of(story) == ("failures", "R0504", 5)
    assert not begun_after_halt(story)
    assert "onFailure.failed is 3" in story.run.halted.detail  # type: ignore[union-attr]
    restarted = {one for call in named(story, RestartCall) for one in call}
    assert len(restarted) == 40, "the cap lets 40 restarts begin, and no failure lets more"


@pytest.mark.parametrize("limit", [1, 3, 7])
def test_strict_failures_never_pass_the_limit(limit: int) -> None:
    """With `strict` at most `failed` instances are ever attached: all of them may fail (A-05)."""
    story = story_of(60, Script(stuck=ids(*range(60))), limited(OnFailure(limit, strict=True)))
    most = 0

    def count(_: object) -> None:
        nonlocal most
        open_now = sum(story.run.phase_counts[phase] for phase in AT_RISK)
        most = max(most, open_now + sum(story.run.troubles.failed))

    story.decider.after_step = count
    story.go()

    assert halt_of(story) == ("failures", "R0504", 5)
    assert sum(story.run.troubles.failed) == limit == most
    assert len({one for call in named(story, Attach) for one in call}) == limit


def test_strict_rotates_a_healthy_fleet() -> None:
    """Success gives its place to the next instance: the run finishes."""
    story = story_of(30, Script(), limited(OnFailure(2, strict=True))).go()

    assert story.run.closed is not None
    assert story.run.closed.counts["done"] == 30


def test_failures_below_the_limit_pass_a_canary() -> None:
    """The spec's limit replaces the built-in one: two failures of three let the next wave start."""
    story = story_of(30, Script(stuck=ids(0, 10)), limited(OnFailure(failed=3), canary=3)).go()

    assert story.run.halted is None
    assert story.run.closed is not None
    assert story.run.closed.counts["done"] == 28


@pytest.mark.parametrize("sample", [20, 25])
def test_a_share_counts_from_the_sample_on(sample: int) -> None:
    """2 of 20 in the canary are 10 %, which a sample of 25 does not judge."""
    rule = OnFailure(share_ppm=PPM // 10, min_sample=sample)
    story = story_of(60, Script(stuck=ids(0, 3)), limited(rule, canary=20)).go()

    assert (story.run.halted is not None) == (sample <= 20)
    if story.run.halted is not None:
        detail = "run: 2 of 20 finished instances failed, onFailure.failedPercent is 10%"
        assert story.run.halted.detail == detail
        assert not begun_after_halt(story)


def test_a_resume_accepts_the_failures_so_far() -> None:
    """The journal records who accepted them, and they do not count again."""
    story = story_of(150, Script(stuck=ids(0, 1, 2)), limited(OnFailure(failed=3), cap=5)).go()
    assert halt_of(story) == ("failures", "R0504", 5)
    story.resume().go()

    accepted = [event for event in story.journal if isinstance(event, ev.FailuresAccepted)]
    assert {one for event in accepted for one in event.ordinals} == {0, 1, 2}
    assert story.run.closed is not None
    assert story.run.closed.counts["done"] == 147


@given(st.lists(st.tuples(st.integers(0, 11), st.sampled_from(["", "done", "failed"]))))
def test_shares_equal_a_count_of_all_outcomes(changes: list[tuple[int, str]]) -> None:
    """After any changes each scope has the numbers that a count from the start gives."""
    rows = samples.fleet(12)
    budgets = (Budget("fleet", Amount(count=12)), Budget("zone", Amount(count=2)))
    first = WaveSpec("canary", WaveKind.AMOUNT, Amount(count=4))
    rule = OnFailure(share_ppm=PPM // 4, min_sample=3)
    spec = samples.spec(budgets=budgets, waves=(first, *samples.REST), on_failure=rule)
    plan = samples.make_plan(rows, spec)
    layout = Layout(plan)
    shares, outcomes = Shares.of(layout, len(plan.groups), rule), [""] * 12
    for ordinal, outcome in changes:
        outcomes[ordinal] = outcome
        shares.count(ordinal, failed=outcome == "failed", judged=outcome != "")
    members: list[list[int]] = [list(range(12))]
    members += [[o for o in range(12) if layout.wave_of(o) == wave] for wave in range(2)]
    members += [
        [o for o in range(12) if group in layout.targets[o].groups]
        for group in range(len(plan.groups))
    ]
    for scope, ordinals in enumerate(members):
        judged = sum(outcomes[o] != "" for o in ordinals)
        failed = sum(outcomes[o] == "failed" for o in ordinals)
        assert (shares.judged[scope], shares.failed[scope]) == (judged, failed)
        assert (scope in shares.over) == (judged >= 3 and 4 * failed >= judged and failed > 0)
