"""A call or move that breaks a rule is a violation, and its text names the rule."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from rollout.errors import Exit
from rollout.journal.directory import DirectoryRun
from rollout.journal.verify import verify
from rollout.model import event as ev
from rollout.model.command import Attach, RestartCall
from rollout.model.event import Trigger
from rollout.model.instance import Status
from rollout.model.plan import PlanLimits, RestartKind
from tests.journal import example_runs, samples
from tests.journal.example_runs import NEW, OLD, ExampleRun
from tests.journal.recheck.cases import ABORT, REFUSED, in_rest, messages
from tests.journal.samples import NOW

WRONG: dict[str, tuple[str, Callable[[], ExampleRun]]] = {
    "cap passed": (
        "i-00000004: 3 instances of group fleet are down, its cap is 2",
        lambda: (
            in_rest()
            .attached(2, 3, 4)
            .restart(2, 3)
            .issue(RestartCall(RestartKind.REBOOT, (4,), ("i-00000004",)), Status.RUNNING, NEW)
        ),
    ),
    "cap passed over a resume: doubts keep their permits": (
        "i-00000004: 3 instances of group fleet are down, its cap is 2",
        lambda: (
            in_rest()
            .attached(2, 3, 4)
            .restart(2, 3)
            .add(samples.HALTED)
            .resume()
            .issue(RestartCall(RestartKind.REBOOT, (4,), ("i-00000004",)), Status.RUNNING, NEW)
        ),
    ),
    "a restart that was accepted is repeated": (
        "i-00000002: its restart was accepted and may not be repeated",
        lambda: (
            in_rest().attached(2).restart(2).settle().move(Trigger.OBSERVED_UNTOUCHED, 2).restart(2)
        ),
    ),
    "an intent after an abort": (
        "was issued after the run was aborted",
        lambda: in_rest().add(ABORT).attach(2),
    ),
    "reboot of a stopped instance": (
        "reboot of i-00000002, which was Stopped",
        lambda: (
            in_rest()
            .attached(2)
            .issue(RestartCall(RestartKind.REBOOT, (2,), ("i-00000002",)), Status.STOPPED, NEW)
        ),
    ),
    "attach over a foreign key": (
        "i-00000002: attach over foreign key pair `mine`",
        lambda: in_rest().issue(Attach((2,), ("i-00000002",)), Status.RUNNING, "mine"),
    ),
    "an attach of the other key of the plan": (
        "i-00000003: attach of a key that is not planned",
        lambda: in_rest(example_runs.two_keys()).issue(
            Attach((3,), ("i-00000003",)), Status.RUNNING, OLD
        ),
    ),
    "an attach whose own key pair was not compared": (
        "before the key pair was compared",
        lambda: (
            ExampleRun(example_runs.two_keys())
            .add(
                ev.WaveStarted(0, "canary"), ev.CellOpened(0), ev.KeyReady(*example_runs.SITE, "fp")
            )
            .issue(Attach((0,), ("i-00000000",), 1), Status.RUNNING, OLD)
        ),
    ),
    "a restart on the other key of the plan": (
        "i-00000003",
        lambda: (
            in_rest(example_runs.two_keys())
            .attached(3)
            .issue(RestartCall(RestartKind.REBOOT, (3,), ("i-00000003",)), Status.RUNNING, NEW)
        ),
    ),
    "done by a comparison of the other key": (
        "the events before it give 3 done, 1 unverified, 1 stranded, 2 excluded",
        lambda: (
            in_rest(example_runs.two_keys())
            .rotated(2)
            .attached(3)
            .restart(3)
            .settle()
            .change_key(1)
            .compare(0)
            .move(Trigger.OBSERVED_BOOTED, 3)
            .move(Trigger.OBSERVED_RUNNING, 3)
            .attached(4)
            .close(done=5)
        ),
    ),
    "ids and ordinals differ": (
        "do not match",
        lambda: in_rest().issue(Attach((2, 3), ("i-00000002",)), Status.RUNNING, OLD),
    ),
    "an id twice": (
        "one call names an instance twice",
        lambda: in_rest().attach(2, 2),
    ),
    "51 ids": (
        "51 instances in one call",
        lambda: in_rest().attach(*([2] * 51)),
    ),
    "101 ids": (
        "101 instances in one call",
        lambda: in_rest().attached(2).restart(*([2] * 101)),
    ),
    "attach before the key pair was ready": (
        "before the key pair was compared",
        lambda: ExampleRun().add(ev.WaveStarted(0, "canary"), ev.CellOpened(0)).attach(0),
    ),
    "done although the key pair was another one": (
        "the events before it give 2 done, 3 unverified, 2 excluded",
        lambda: (
            in_rest().attached(2, 3, 4).change_key().rotated_on(2, 3, 4).close_wave(1).close(done=5)
        ),
    ),
    "an intent after a halt": (
        "was issued after the run halted",
        lambda: in_rest().add(samples.HALTED).attach(2),
    ),
    "a stale writer": (
        "is from epoch 1, the epoch is 2: a stale writer",
        lambda: in_rest().resume().attach(2, epoch=1),
    ),
    "a call left out": (
        "call 9 follows call 3",
        lambda: in_rest().attach(2, n=9),
    ),
    "an ending without an intent": (
        "call 9 was settled but never issued",
        lambda: in_rest().settle(n=9),
    ),
    "an ending for a stranger": (
        "was settled for ordinal 3, which it does not name",
        lambda: in_rest().attach(2).add(ev.Settled(4, NOW, REFUSED, ((3, REFUSED),))),
    ),
    "an instance held is not asked": (
        "i-00000002 is held for an operator",
        lambda: in_rest().add(ev.Held((2,), "transitional")).attach(2),
    ),
    "done without a boot": (
        "i-00000002: observed_running while restarting",
        lambda: in_rest().attached(2).restart(2).move(Trigger.OBSERVED_RUNNING, 2),
    ),
    "evidence that only an ending can be": (
        "restart_refused follows from the result of a call",
        lambda: in_rest().attached(2).restart(2).move(Trigger.RESTART_REFUSED, 2),
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_every_broken_rule_is_named(tmp_path: Path, name: str) -> None:
    """A journal with a valid chain whose events break a rule is a violation, exit 9."""
    words, make = WRONG[name]

    verdict = verify(DirectoryRun(make().write(tmp_path)))

    assert words in messages(verdict)
    assert {problem.code for problem in verdict.problems} == {"R0905"}
    assert verdict.exit is Exit.INTEGRITY


def test_exposed_instances_are_counted(tmp_path: Path) -> None:
    """An attach above the exposure limit is a violation."""
    plan = msgspec.structs.replace(example_runs.a_plan(), limits=PlanLimits(1, 0))

    verdict = verify(DirectoryRun(ExampleRun(plan).open_wave(0).attach(0, 1).write(tmp_path)))

    assert (
        "2 instances are exposed, the limit is 1" in messages(verdict) and verdict.exposed_peak == 2
    )
