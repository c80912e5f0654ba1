"""Short runs for the tests of the decider, and what they were about."""

from __future__ import annotations

from rollout.model import event as ev
from rollout.model.command import ImportKey
from tests.core import samples
from tests.core.world import Script, World


def world(size: int, cap: int, script: Script | None = None, **changes: object) -> World:
    """A started run over similar instances with an absolute budget."""
    rows = samples.fleet(size)
    plan = samples.make_plan(rows, samples.capped(cap, **changes))
    return World(plan, rows, script).start()


def commands(story: World, kind: type) -> list[ev.Issued]:
    """The intents of one kind, in order."""
    return [event for event in story.events(ev.Issued) if isinstance(event.command, kind)]


def named(story: World, kind: type) -> list[tuple[str, ...]]:
    """The instances that intents of one kind named, in order."""
    issued = commands(story, kind)
    return [e.command.instances for e in issued if not isinstance(e.command, ImportKey)]


def halt_of(story: World) -> tuple[str, str, int]:
    """Reason, code and exit of the halt."""
    assert story.run.halted is not None
    return story.run.halted.reason, story.run.halted.code, story.run.halted.exit
