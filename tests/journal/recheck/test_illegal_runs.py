"""A run, wave, cell or close that breaks a rule is a violation, and its text names the rule."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from rollout.errors import Exit
from rollout.journal.directory import DirectoryRun
from rollout.journal.verify import verify
from rollout.model import event as ev
from rollout.model.command import Attach, ImportKey, RestartCall
from rollout.model.event import Resolution, Trigger
from rollout.model.instance import Status
from rollout.model.outcome import Unknown
from rollout.model.plan import RestartKind, digest, encode
from tests.journal import example_runs, samples
from tests.journal.example_runs import NEW, OLD, SITE, ExampleRun
from tests.journal.recheck.cases import FACT, REFUSED, in_rest, messages, resolved
from tests.journal.samples import NOW

WRONG: dict[str, tuple[str, Callable[[], ExampleRun]]] = {
    "cap passed over waves: a failed instance is down": (
        "i-00000003: 3 instances of group fleet are down, its cap is 2",
        lambda: (
            ExampleRun()
            .open_wave(0)
            .attached(0, 1)
            .restart(0, 1)
            .move(Trigger.OBSERVED_BOOTED, 0, 1)
            .move(Trigger.TIMED_OUT, 0, 1)
            .close_wave(0)
            .open_wave(1)
            .attached(3)
            .restart(3)
        ),
    ),
    "second restart without evidence": (
        "i-00000002: restarted while restarting",
        lambda: in_rest().attached(2).restart(2).settle(Unknown("timeout")).restart(2),
    ),
    "second restart after the first one was seen": (
        "i-00000002: restarted while done",
        lambda: in_rest().rotated(2).restart(2),
    ),
    "a late refusal is no evidence": (
        "i-00000002: restarted while restarting",
        lambda: in_rest().attached(2).restart(2).resume().settle(REFUSED).restart(2),
    ),
    "a statement that nobody made": (
        "stated_restarted without the statement of an operator",
        lambda: in_rest().attached(2).restart(2).move(Trigger.STATED_RESTARTED, 2),
    ),
    "a statement that was made once and counts twice": (
        "stated_untouched without the statement of an operator",
        lambda: (
            in_rest()
            .attached(2)
            .restart(2)
            .add(resolved(2, Resolution.UNTOUCHED))
            .move(Trigger.STATED_UNTOUCHED, 2)
            .restart(2)
            .move(Trigger.STATED_UNTOUCHED, 2)
        ),
    ),
    "closed in doubt though nobody aborted": (
        "closed with 1 instances in doubt that no operator abandoned",
        lambda: (
            in_rest()
            .rotated(3, 4)
            .attached(2)
            .restart(2)
            .add(ev.Held((2,), "unproven"))
            .close_wave(1)
            .close(5, done=4, in_doubt=1)
        ),
    ),
    "restart before the attach was seen": (
        "i-00000002: restarted while attaching",
        lambda: in_rest().attach(2).settle().restart(2),
    ),
    "restart judged on the former key": (
        "i-00000002 was restarted before its new key was observed",
        lambda: (
            in_rest()
            .attached(2)
            .issue(RestartCall(RestartKind.REBOOT, (2,), ("i-00000002",)), Status.RUNNING, OLD)
        ),
    ),
    "attach of an excluded instance": (
        "i-windows1 is not target 2 of the plan",
        lambda: in_rest().issue(Attach((2,), ("i-windows1",)), Status.RUNNING, OLD),
    ),
    "attach over two cells": (
        "i-00000002 and i-00000001 are in different cells",
        lambda: in_rest().attach(1, 2),
    ),
    "import into a region of nobody": (
        "import of a key pair into cn-shanghai, where the plan has no target",
        lambda: ExampleRun().add(ev.Issued(1, ImportKey("1", "cn-shanghai"), NOW)),
    ),
    "a start of what somebody stopped": (
        "i-00000002 was started, but was Running when it was planned",
        lambda: (
            in_rest()
            .attached(2)
            .issue(RestartCall(RestartKind.START, (2,), ("i-00000002",)), Status.STOPPED, NEW)
        ),
    ),
    "a call after others attached many": (
        "call 4 was issued after 6 attaches by other operators in its wave",
        lambda: (
            in_rest()
            .add(ev.Drifted(ev.DriftKind.ELSEWHERE, (2, 3, 4, 2, 3, 4), "has the new key"))
            .attach(2)
        ),
    ),
    "a comparison of the future": (
        "covers attaches that follow it",
        lambda: in_rest().add(ev.KeyReady(*SITE, "fp", 99)),
    ),
    "wave begun before the one before ended": (
        "wave rest started out of order",
        lambda: ExampleRun().open_wave(0).rotated(0).add(ev.WaveStarted(1, "rest")),
    ),
    "wave closed with work left": (
        "wave 0 closed with 1 unfinished instances",
        lambda: ExampleRun().open_wave(0).rotated(0).close_wave(0),
    ),
    "wave begun after a failure that nobody accepted": (
        "wave rest started after 1 unaccepted failures",
        lambda: (
            ExampleRun()
            .open_wave(0)
            .rotated(0)
            .attached(1)
            .restart(1)
            .move(Trigger.OBSERVED_BOOTED, 1)
            .move(Trigger.TIMED_OUT, 1)
            .close_wave(0)
            .open_wave(1)
        ),
    ),
    "wave begun before a released instance has finished": (
        "wave rest started before an earlier wave finished",
        lambda: (
            ExampleRun()
            .open_wave(0)
            .rotated(0)
            .add(ev.Held((1,), "transitional"))
            .close_wave(0)
            .resume()
            .open_wave(1)
        ),
    ),
    "cell closed with work left": (
        "cell 0 closed with 2 unfinished instances",
        lambda: ExampleRun().open_wave(0).add(ev.CellClosed(0)),
    ),
    "cell of another wave": (
        "cell 1 opened outside its wave",
        lambda: ExampleRun().open_wave(0).add(ev.CellOpened(1)),
    ),
    "cell out of order": (
        "cell 1 opened out of order",
        lambda: ExampleRun().add(ev.WaveStarted(0, "canary"), ev.CellOpened(1)),
    ),
    "call of a cell that is not open": (
        "i-00000002 is in cell 1, which is not open",
        lambda: ExampleRun().open_wave(0).attach(2),
    ),
    "an epoch left out": (
        "epoch 3 follows epoch 1",
        lambda: in_rest().add(ev.Resumed(3, samples.ACTOR, NOW)),
    ),
    "retried against the plan": (
        "the plan does not allow retried",
        lambda: in_rest().attached(2).restart(2).move(Trigger.RETRIED, 2),
    ),
    "an ordinal of nobody": (
        "ordinal 5 is not in the plan",
        lambda: in_rest().move(Trigger.DROPPED, 5).add(ev.Held((5,), "x")),
    ),
    "started twice": (
        "the run was started twice",
        lambda: in_rest().add(samples.started(plan_digest=digest(encode(example_runs.a_plan())))),
    ),
    "counts of the close": (
        "RunClosed counts 4 done, 2 excluded; the events before it give 5 done, 2 excluded",
        lambda: in_rest().rotated(2, 3, 4).close_wave(1).close(done=4),
    ),
    "closed while something is open": (
        "closed with 3 unfinished instances",
        lambda: in_rest().close(done=2, skipped=3),
    ),
    "closed with a call open": (
        "closed with 1 open calls",
        lambda: in_rest().attach(2).close(done=2, skipped=2, stranded=1),
    ),
    "closed as if no instance needed an operator": (
        "closed with exit code 0 although instances need an operator",
        lambda: in_rest().rotated(2, 3).attach(4).settle(FACT).close(done=4, failed=1),
    ),
    "something after the close": (
        "Halted after the run was closed",
        lambda: example_runs.whole().add(samples.HALTED),
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


def test_a_broken_rule_is_named_by_event_and_line(tmp_path: Path) -> None:
    """Line and place in the line, so that it can be found with an editor."""
    example = in_rest().attached(2).restart(2).settle(Unknown("timeout")).restart(2)

    problem = verify(DirectoryRun(example.write(tmp_path))).problems[0]

    assert problem.message.startswith(f"{len(example.events)}-1: ")
    assert problem.place is not None and problem.place.line == len(example.events)


def test_a_plan_that_leaves_instances_out_is_named(tmp_path: Path) -> None:
    """Targets and exclusions are the whole inventory, each instance once."""
    plan = example_runs.a_plan()
    doubled = msgspec.structs.replace(plan, exclusions=plan.exclusions[:1] * 3)

    text = messages(verify(DirectoryRun(ExampleRun(doubled).write(tmp_path))))

    assert "contains an instance twice" in text and "not contain every instance" in text
