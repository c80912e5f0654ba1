"""A crash anywhere, then a resume: the same end as without the crash, and no restart twice."""

import msgspec
import pytest

from rollout.core.layout import Layout
from rollout.emulator.switches import Switches
from rollout.model.spec import Calls, OnUnknown, Stopped
from rollout.model.time import SECOND
from rollout.sim import checkers, scenario
from rollout.sim.scenario import Scenario, Stop, Stopping
from rollout.sim.story import Story
from rollout.sim.world import World


def calm(**changes: object) -> Scenario:
    """Fourteen instances of one region and nothing that goes wrong, unless `changes` say so."""
    plain = msgspec.structs.replace(
        scenario.draw(1),
        size=14,
        regions=("cn-hangzhou",),
        switches=Switches(boot_time_ms=15 * SECOND),
        faults=(),
        calls_per_minute=None,
        key_present=True,
        already_percent=0,
        stopped=Stopped.START,
        calls=Calls.SINGLE,
        on_unknown=OnUnknown.HOLD,
        settle_ms=60 * SECOND,
        cap_percents=(30,),
        exposed_max=1000,
        canary=True,
        cover=False,
        stops=(),
        drifts=(),
        rivals=(),
    )
    return msgspec.structs.replace(plain, **changes)


REFERENCES = {
    "one by one": calm(),
    "many a call": calm(calls=Calls.BATCH, canary=False),
    "key imported": calm(key_present=False, cap_percents=(100,)),
}


def points(reference: Scenario) -> int:
    """How many points a run passes at which its process may die."""
    world = World(reference)
    world.live()
    return world.fuse.passed


def crashed(reference: Scenario, *passes: int) -> Story:
    """The story with a crash at each of these points, counted from the process's begin."""
    stops = tuple(Stopping(Stop.CRASH, after, 5 * SECOND) for after in passes)
    return World(msgspec.structs.replace(reference, stops=stops)).live()


def ends(story: Story) -> dict[str, tuple[str, int, str | None]]:
    """How each target ends: its phase, how often it was restarted, which key is in force."""
    assert story.run is not None
    restarts: dict[str | None, int] = {}
    for entry in story.cloud.ledger:
        if entry.effect in ("reboot", "start"):
            restarts[entry.instance] = restarts.get(entry.instance, 0) + 1
    in_force = {one.instance: one.key_in_force for one in story.cloud.sights(story.ended)}
    return {
        target.instance: (
            story.run.phase(ordinal).word,
            restarts.get(target.instance, 0),
            in_force[target.instance],
        )
        for ordinal, target in enumerate(story.run.layout.targets)
    }


def wrong(story: Story, expected: dict[str, tuple[str, int, str | None]]) -> list[str]:
    """What the checkers say, and which targets end otherwise.

    A restart whose call nobody heard of may stay in doubt where StartTime is not trusted yet: then
    it was made once or never, and what waits only for the permits it keeps is held back.
    """
    if story.stuck or story.bug:
        return checkers.violations(story)
    found = ends(story)
    kept = {
        target.instance
        for ordinal, target in enumerate(Layout(story.plan).targets)
        if story.run and story.run.causes.get(ordinal, "").startswith("budget_held")
    }
    others = [
        f"{instance}: {found[instance]}"
        for instance, end in expected.items()
        if found[instance] != end
        and instance not in kept
        and (found[instance][0] != "in_doubt" or found[instance][1] > 1)
    ]
    return checkers.violations(story) + others


@pytest.mark.parametrize("name", REFERENCES)
def test_a_crash_at_every_point_ends_as_without_it(name: str) -> None:
    """Wherever the process dies once, the resumed run ends in the same classes and keys, or with
    the one restart in doubt that nobody can know of.
    """
    reference = REFERENCES[name]
    expected = ends(World(reference).live())

    found = {
        after: problems
        for after in range(1, points(reference) + 1)
        if (problems := wrong(crashed(reference, after), expected))
    }

    assert not found


def test_two_crashes_end_as_without_them() -> None:
    """A resumed process may die too, wherever it has come to."""
    reference = REFERENCES["many a call"]
    expected = ends(World(reference).live())
    last = points(reference)

    found = {
        (first, second): problems
        for first in range(1, last + 1, 7)
        for second in range(1, last + 1, 9)
        if (problems := wrong(crashed(reference, first, second), expected))
    }

    assert not found
