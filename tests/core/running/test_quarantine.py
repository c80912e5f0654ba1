"""`onFailure.quarantine`: what fails alone is held, the rest continues."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.core.running.journey import Phase
from rollout.journal.recheck.rules import Rules
from rollout.model import event as ev
from rollout.model.command import Attach, RestartCall
from rollout.model.outcome import Refused, RetryClass
from rollout.model.spec import OnFailure
from tests.core import samples
from tests.core.world import Script, World
from tests.fuzz import cases

RULE = OnFailure(failed=50, quarantine=True)
FACT = Refused("InvalidImage.NotSupported", RetryClass.FACT)


def story(images: str, rule: OnFailure = RULE) -> World:
    """A finished run over one instance for each letter, its image. The service refuses the attach
    of those with the image `x`, or `y`.
    """
    rows = [samples.instance(n, image=f"m-{one}", zone="") for n, one in enumerate(images)]
    bad = {f"i-{n:04d}": FACT for n, one in enumerate(images) if one in "xy"}
    spec = samples.exposing(2, on_failure=rule)
    return World(samples.make_plan(rows, spec), rows, Script(refuse=bad)).start().go()


def holds(world: World) -> list[ev.Held]:
    """The holds of a quarantine."""
    held = (event for event in world.journal if isinstance(event, ev.Held))
    return [event for event in held if event.reason.startswith("quarantined")]


def begun_after(world: World, first: ev.AnyEvent) -> set[int]:
    """The ordinals of attaches and restarts that began after an event."""
    after = world.journal[world.journal.index(first) + 1 :]
    commands = [event.command for event in after if isinstance(event, ev.Issued)]
    calls = [one for one in commands if isinstance(one, Attach | RestartCall)]
    return {ordinal for call in calls for ordinal in call.ordinals}


def violations(world: World) -> list[str]:
    """What the second check of the journal finds."""
    rules = Rules(world.plan)
    return [text for event in world.journal for text in rules.take(event)]


def test_a_failing_image_is_held_and_the_rest_is_rotated() -> None:
    """Three of ten instances with one image fail: the other seven are not touched and end as
    skipped, all others are done.
    """
    world = story("aaaaxxxaaaaxxxxxxxaaaa")
    world.check_end()

    assert holds(world)
    assert {event.reason for event in holds(world)} == {"quarantined: image m-x"}
    assert world.classes["done"] == 12
    assert world.classes["failed"] < 10
    assert world.classes["skipped"] == 10 - world.classes["failed"]
    assert violations(world) == []


@pytest.mark.parametrize("field, name", [("os_name", "OS"), ("instance_type", "instance type")])
def test_a_failing_kind_is_held_and_the_rest_is_rotated(field: str, name: str) -> None:
    """Three instances with one OS or instance type fail, and no image or zone is common to them."""
    kinds = "aaaaxxxaaaaxxxxxxxaaaa"
    rows = [
        samples.instance(n, image=f"m-{n}", zone="", **{field: f"kind {one}"})
        for n, one in enumerate(kinds)
    ]
    bad = {row.id: FACT for row, one in zip(rows, kinds, strict=True) if one == "x"}
    spec = samples.exposing(2, on_failure=RULE)
    world = World(samples.make_plan(rows, spec), rows, Script(refuse=bad)).start().go()
    world.check_end()

    assert {event.reason for event in holds(world)} == {f"quarantined: {name} kind x"}
    assert world.classes["done"] == 12 and world.classes["skipped"] > 0
    assert violations(world) == []


@pytest.mark.parametrize(
    "images, rule",
    [
        ("aaaaxxxaaaaxxxxaaaa", OnFailure(failed=50)),  # no quarantine
        ("aaaaxxaaaay", RULE),  # too few failures
        ("aaaaxxyyaaaaxxxyyyaaaa", RULE),  # two images fail
        ("xxxxxxxxxxxxaa", RULE),  # too few others
    ],
)
def test_others_are_not_held(images: str, rule: OnFailure) -> None:
    """Without the field, or if the cohort does not fail alone, every instance is tried."""
    world = story(images, rule)

    assert not holds(world)
    assert world.classes["skipped"] == 0
    assert violations(world) == []


@cases(40)
@given(st.text("aabx", min_size=6, max_size=24), st.integers(4, 8))
def test_no_call_begins_in_a_cohort_that_fails_alone(images: str, failed: int) -> None:
    """I-84: After a hold no instance of it is attached or restarted, every other instance is
    rotated unless the run halts, and the second check of the journal agrees.
    """
    world = story(images, OnFailure(failed=failed, quarantine=True))

    for hold in holds(world):
        assert not begun_after(world, hold) & set(hold.ordinals)
        assert {images[ordinal] for ordinal in hold.ordinals} == {"x"}
    if world.run.halted is None:
        good = [n for n, one in enumerate(images) if one != "x"]
        assert all(world.run.phase(ordinal) is Phase.DONE for ordinal in good)
    assert violations(world) == []


def test_an_operator_releases_no_instance_of_a_held_image() -> None:
    """The restart of an instance was lost before its image failed, and its cell is closed when an
    operator states that it did not happen: it is not restarted again.
    """
    images = "xaaaaxxx"
    rows = [samples.instance(n, image=f"m-{one}", zone="") for n, one in enumerate(images)]
    bad = {f"i-{n:04d}": FACT for n in (5, 6, 7)}
    script = Script(refuse=bad, calls={2: "lost_before"}, start_time_moves=False)
    world = World(samples.make_plan(rows, samples.exposing(9, on_failure=RULE)), rows, script)
    world.start().go()
    assert world.run.held[0] and world.classes["failed"] == 3 and not world.run.cells_open
    order = ev.OperatorCommand(
        *("1", ev.OperatorVerb.RESOLVE, samples.ACTOR, world.now, "inbox", "", "i-0000"),
        ev.Resolution.UNTOUCHED,
    )
    assert not world.decider.operate(order, world.now)
    world.resume().go()

    assert world.run.causes[0] == "quarantined: image m-x"
    assert world.classes["skipped"] + world.classes["stranded"] == 1
    assert violations(world) == []


def test_the_second_check_finds_a_call_in_a_failing_cohort() -> None:
    """A journal of a run without the rule violates the rule."""
    world = story("aaaaxxxaaaaxxxxxxxaaaa", OnFailure(failed=50))
    world.plan = samples.make_plan(
        [
            samples.instance(n, image=f"m-{one}", zone="")
            for n, one in enumerate("aaaaxxxaaaaxxxxxxxaaaa")
        ],
        samples.exposing(2, on_failure=RULE),
    )

    assert any("failed alone (quarantine)" in text for text in violations(world))
