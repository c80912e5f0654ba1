"""The decider against a key pair that changes during the run."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rollout.model import event as ev
from rollout.model import limits
from rollout.model.command import Attach, ImportKey, Observation, ObserveKeyPair, RestartCall
from rollout.model.event import Trigger
from rollout.model.site import Site
from rollout.model.spec import Amount, WaveKind, WaveSpec
from rollout.model.time import MINUTE, SECOND
from tests.core import samples
from tests.core.scenarios import commands, halt_of, world
from tests.core.world import Script, World

REGION = samples.REGIONS[0]
FOREIGN = ("ssh-ed25519 AAAAother test", "ffff")
HALT = ("key_pair", "R0606", 6)


def _recreate(story: World, pair: tuple[str, str] | None = FOREIGN) -> None:
    """Replace the key pair, or delete it."""
    if pair is None:
        del story.keys[REGION]
    else:
        story.keys[REGION] = pair


def _when(story: World, trigger: Trigger | type, action: Callable[[], object]) -> None:
    """Do something at the first event of a type, or when the first instance moves like that."""
    append = story._append
    done: list[bool] = []

    def watch(event: ev.AnyEvent) -> None:
        append(event)
        moved = event.trigger if isinstance(event, ev.Moved) else None
        if trigger in (type(event), moved) and not done:
            done.append(True)
            action()

    story.decider.append = watch


def _phases(story: World) -> set[str]:
    return {story.run.phase(ordinal).label for ordinal in range(len(story.run.phases))}


@pytest.mark.parametrize("pair", [FOREIGN, (samples.PUBLIC_KEY, "0000"), None])
@pytest.mark.parametrize(
    "trigger", [Trigger.OBSERVED_ATTACHED, Trigger.OBSERVED_BOOTED, Trigger.OBSERVED_RUNNING]
)
def test_nothing_is_done_with_a_key_pair_that_was_recreated(
    trigger: Trigger, pair: tuple[str, str] | None
) -> None:
    """Other material after the attach halts the run, and what was attached is never done."""
    story = world(6, 2)
    _when(story, trigger, lambda: _recreate(story, pair))
    story.go()

    assert halt_of(story) == HALT
    assert story.classes["done"] == 0
    assert not commands(story, ImportKey)
    assert story.run.comparisons.doubted or story.classes["unverified"]


def test_what_a_comparison_vouched_for_stays_done() -> None:
    """A key pair that changes later does not take back what was compared after its attach."""
    rows = samples.fleet(6)
    waves = (WaveSpec("canary", WaveKind.AMOUNT, Amount(count=2)), *samples.REST)
    story = World(samples.make_plan(rows, samples.capped(6, waves=waves)), rows).start()
    _when(story, ev.WaveClosed, lambda: _recreate(story))
    story.go()

    assert halt_of(story) == HALT
    assert story.classes["done"] == 2
    assert len(commands(story, Attach)) == 1, "compared again before the second wave's first attach"


def test_a_resume_compares_before_anything_else() -> None:
    """A key pair recreated between two processes: no attach and no restart in the second one."""
    story = world(4, 1)
    while not commands(story, RestartCall):
        story.go(until=story.now + 100)
    effects = len(story.events(ev.Issued))
    _recreate(story)
    story.resume().go()

    assert halt_of(story) == HALT
    assert len(story.events(ev.Issued)) == effects
    assert story.classes["done"] == 0


def test_what_was_doubted_is_never_done_although_the_key_pair_was_restored() -> None:
    """After a mismatch a good comparison proves later attaches only: unverified, or held."""
    story = world(4, 4)
    _when(story, Trigger.OBSERVED_BOOTED, lambda: _recreate(story))
    story.go()
    assert halt_of(story) == HALT
    story.keys[REGION] = (samples.PUBLIC_KEY, samples.FINGERPRINT)
    story.resume().go()

    assert story.run.closed is not None
    assert story.classes["done"] == 0
    assert story.classes["unverified"] + story.classes["stranded"] == 4
    assert set(story.run.causes.values()) == {"key_pair_changed"}


def test_a_doubted_instance_is_not_restarted() -> None:
    """A restart would put the other material in force, so the instance is held."""
    story = world(4, 1)
    _when(story, Trigger.OBSERVED_ATTACHED, lambda: _recreate(story))
    story.go()
    story.keys[REGION] = (samples.PUBLIC_KEY, samples.FINGERPRINT)
    restarts = len(commands(story, RestartCall))
    doubted = set(story.run.comparisons.doubted)
    story.resume().go()

    again = commands(story, RestartCall)[restarts:]
    assert doubted
    assert not any(set(one.command.ordinals) & doubted for one in again)  # type: ignore[union-attr]


def test_an_attach_needs_a_comparison_of_the_last_minute() -> None:
    """However long a wave takes, no attach relies on an older comparison."""
    story = world(12, 1, Script(boot_ms=40 * SECOND))
    asked: list[int] = []
    original = story._look

    def look(look: Observation) -> None:
        if isinstance(look, ObserveKeyPair):
            asked.append(story.now)
        original(look)

    story._look = look  # type: ignore[method-assign]
    sent: list[int] = []
    send = story._send

    def sending(issued: ev.Issued) -> None:
        if isinstance(issued.command, Attach):
            sent.append(story.now)
        send(issued)

    story._send = sending  # type: ignore[method-assign]
    story.go()

    assert story.classes["done"] == 12
    ages = [at - max(one for one in asked if one <= at) for at in sent]
    assert max(ages) <= limits.KEY_AGE_MAX_MS
    assert len(asked) <= 3 + (story.now - samples.NOW) // MINUTE, "one a minute, not one an attach"


def test_a_running_instance_waits_a_minute_at_most_for_its_comparison() -> None:
    """While a wave is open, an instance is done within a minute of running, and keeps no permit."""
    story = world(20, 1, Script(boot_ms=20 * SECOND))
    waited: dict[int, int] = {}
    since: dict[int, int] = {}
    while story.run.closed is None:
        story.go(until=story.now + SECOND)
        for ordinal in range(20):
            if story.run.phase(ordinal).label == "comparing":
                assert not story.run.ledger.permits[ordinal]
                since.setdefault(ordinal, story.now)
                waited[ordinal] = story.now - since[ordinal]

    assert max(waited.values()) <= limits.KEY_AGE_MAX_MS + 5 * SECOND


def test_the_last_comparison_decides_at_the_close() -> None:
    """A key pair recreated after the last boot is found before the run closes."""
    story = world(1, 1)
    _when(story, Trigger.OBSERVED_RUNNING, lambda: _recreate(story))
    story.go()

    assert halt_of(story) == HALT
    assert story.run.closed is None
    assert _phases(story) == {"unverified"}


def test_a_region_is_not_vouched_for_by_another() -> None:
    """The comparison of one region says nothing about attaches in another."""
    rows = samples.fleet(4, regions=2)
    story = World(samples.make_plan(rows, samples.capped(4)), rows).start()
    site = Site(samples.ACCOUNT, REGION)
    _when(story, Trigger.OBSERVED_RUNNING, lambda: _recreate(story))
    story.go()

    assert halt_of(story) == HALT
    bad = [o for o in range(4) if story.run.layout.site_of(o) == site]
    assert all(story.run.phase(ordinal).label != "done" for ordinal in bad)
