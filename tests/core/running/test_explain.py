"""Why an instance waits: each reason names what it waits for."""

from __future__ import annotations

from rollout.core.running.explain import explain
from rollout.core.running.journey import FINAL, Phase
from rollout.core.running.view import view
from rollout.model.instance import Status
from rollout.model.outcome import Refused, RetryClass
from rollout.model.spec import Amount, OnFailure, WaveKind, WaveSpec
from rollout.model.time import SECOND
from tests.core import samples
from tests.core.world import Script, World


def story_of(size: int, cap: int, *, canary: int = 0, rule: OnFailure | None = None) -> World:
    """Return a started run in which every instance stays down after its restart."""
    rows = samples.fleet(size)
    first = [WaveSpec("canary", WaveKind.AMOUNT, Amount(count=canary))] if canary else []
    spec = samples.capped(cap, waves=(*first, *samples.REST), on_failure=rule)
    script = Script(stuck=tuple(row.id for row in rows))
    return World(samples.make_plan(rows, spec), rows, script).start()


def texts(story: World, phase: Phase) -> set[str]:
    """Return what the instances in a phase wait for."""
    run = story.run
    found = (one for one in range(len(run.phases)) if run.phase(one) is phase)
    return {explain(run, one).waits for one in found}


def test_a_permit_names_its_group_and_its_holders() -> None:
    """Attached instances wait for a permit, and the instances that have it are named."""
    story = story_of(12, 5).go(until=samples.NOW + 40 * SECOND)

    (text,) = texts(story, Phase.ATTACHED) or texts(story, Phase.PLANNED)
    assert text == ("for a permit of fleet: 5 of 5 are held by i-0000, i-0001, i-0002 and 2 more")
    assert all("for its boot since" in one for one in texts(story, Phase.SETTLING))


def test_a_later_wave_waits_for_the_canary() -> None:
    """The wave before is named, with its unfinished instances."""
    story = story_of(12, 5, canary=2).go(until=samples.NOW + 40 * SECOND)

    assert texts(story, Phase.PLANNED) == {"for wave canary, which has 2 unfinished instances"}


def test_strict_admission_is_a_reason() -> None:
    """Planned instances wait because those in flight may still fail."""
    story = story_of(12, 5, rule=OnFailure(3, strict=True)).go(until=samples.NOW + 40 * SECOND)

    text = "because 3 instances may still fail (strict onFailure.failed)"
    assert texts(story, Phase.PLANNED) == {text}


def test_every_instance_has_an_answer_at_every_step() -> None:
    """No state of a run leaves an instance without an answer; finished ones wait for nothing."""
    story = story_of(12, 3, canary=2, rule=OnFailure(failed=3))

    def check(_: object) -> None:
        run = story.run
        for one in range(len(run.phases)):
            finished = run.phase(one) in FINAL or run.closed is not None
            assert explain(run, one).waits.startswith("nothing") == finished

    story.decider.after_step = check
    story.go()


def test_a_failed_instance_serves_or_is_down() -> None:
    """A refused attach leaves an instance that serves; an instance that was not Running in time is
    down, and keeps its permit if it was rebooted. A stopped one had none.
    """
    rows = [*samples.fleet(2), samples.instance(2, status=Status.STOPPED)]
    fact = Refused("InvalidInstance.Locked", RetryClass.FACT)
    script = Script(stuck=("i-0001", "i-0002"), refuse={"i-0000": fact})
    spec = samples.capped(2, on_failure=OnFailure(50))
    story = World(samples.make_plan(rows, spec), rows, script).start().go()
    found = [explain(story.run, one) for one in range(3)]

    assert [one.phase for one in found] == ["failed"] * 3
    assert [(one.down, one.permit) for one in found] == [
        (False, False),
        (True, True),
        (True, False),
    ]
    assert view(story.run).failed_down == 2
    assert [one.down for one in view(story.run).left] == [False, True, True]
