"""Runs that follow the rules are clean, wherever they end."""

from collections.abc import Callable
from pathlib import Path

import pytest

from rollout.journal.directory import DirectoryRun
from rollout.journal.verify import verify
from rollout.model import event as ev
from rollout.model.command import ImportKey
from rollout.model.event import Resolution, Trigger
from rollout.model.outcome import Unknown
from rollout.model.spec import OnUnknown
from tests.journal import example_runs, samples
from tests.journal.example_runs import SITE, ExampleRun
from tests.journal.recheck.cases import ABORT, FACT, REFUSED, in_rest, messages, resolved
from tests.journal.samples import NOW


@pytest.mark.parametrize(
    "example, unfinished",
    [
        (ExampleRun(), 5),
        (ExampleRun().open_wave(0).attach(0, 1), 5),
        (in_rest().attached(2, 3).restart(2, 3).settle(Unknown("timeout")), 3),
        (in_rest().attached(2, 3).restart(2).add(samples.HALTED), 3),
        (in_rest().add(ev.Held((2, 3, 4), "transitional")), 0),
        (in_rest().attach(2).settle(FACT), 2),
    ],
)
def test_a_run_under_way_is_clean(tmp_path: Path, example: ExampleRun, unfinished: int) -> None:
    """A run may end anywhere without breaking a rule; what is unfinished is counted."""
    verdict = verify(DirectoryRun(example.write(tmp_path)))

    assert messages(verdict) == "" and not verdict.closed
    assert verdict.unfinished == unfinished
    assert sum(verdict.classes.values()) == verdict.found


LEGAL: dict[str, Callable[[], ExampleRun]] = {
    "a refused restart frees its permit and may be repeated": lambda: (
        in_rest()
        .attached(2, 3, 4)
        .restart(2)
        .settle(REFUSED)
        .restart(3)
        .restart(2)
        .back(2, 3)
        .restart(4)
        .back(4)
        .close_wave(1)
    ),
    "a start takes no permit": lambda: (
        in_rest().attached(2, 3, 4).restart(2).restart(3).restart(4).back(2, 3, 4)
    ),
    "not happened after the settle window: restarted again": lambda: (
        in_rest()
        .attached(2)
        .restart(2)
        .settle(Unknown("timeout"))
        .move(Trigger.OBSERVED_UNTOUCHED, 2)
        .restart(2)
        .back(2)
    ),
    "an instance that is gone frees its permit": lambda: (
        in_rest().attached(2, 3, 4).restart(2, 3).move(Trigger.DROPPED, 2, 3).restart(4)
    ),
    "a batch refused for one Windows id is tried again in halves": lambda: (
        in_rest()
        .attach(2, 3)
        .settle(FACT)
        .add(ev.Split((2,)), ev.Split((3,)))
        .attach(2)
        .settle(FACT)
        .attach(3)
        .settle()
    ),
    "an attach of a dead process is read back and repeated": lambda: (
        in_rest().attach(2, 3).resume().move(Trigger.OBSERVED_UNATTACHED, 2, 3).attach(2, 3)
    ),
    "what was held is taken up by a resume, also after its wave": lambda: (
        ExampleRun()
        .open_wave(0)
        .rotated(0)
        .attached(1)
        .restart(1)
        .add(ev.Held((1,), "unproven"))
        .close_wave(0)
        .resume()
        .add(ev.FailuresAccepted("failures", 0, (1,), samples.ACTOR), ev.Held((1,), "unproven"))
        .open_wave(1)
        .resume()
        .back(1)
    ),
    "a key pair may be imported": lambda: (
        ExampleRun()
        .add(ev.WaveStarted(0, "canary"), ev.CellOpened(0))
        .add(ev.Issued(1, ImportKey(*SITE), NOW))
        .settle(n=1)
    ),
    "running without a comparison, and compared later": lambda: (
        in_rest()
        .attached(2, 3, 4)
        .restart(2)
        .settle()
        .move(Trigger.OBSERVED_BOOTED, 2)
        .move(Trigger.OBSERVED_RUNNING, 2)
        .compare()
        .rotated_on(3, 4)
        .close_wave(1)
        .close(done=5)
    ),
    "other material: what no comparison vouches for is not done": lambda: (
        in_rest()
        .attached(2, 3, 4)
        .restart(2)
        .settle()
        .move(Trigger.OBSERVED_BOOTED, 2)
        .move(Trigger.OBSERVED_RUNNING, 2)
        .change_key()
        .rotated_on(3, 4)
        .close_wave(1)
        .close(3, done=2, unverified=3)
    ),
    "stopped by somebody after the attach": lambda: (
        in_rest()
        .attached(2, 3, 4)
        .add(ev.ForeignRestart((2,), "start_time", NOW))
        .move(Trigger.LEFT_STOPPED, 2)
        .rotated_on(3, 4)
        .close_wave(1)
        .close(3, done=4, stranded=1)
    ),
    "a boot that somebody else caused": lambda: in_rest().attached(2).back(2),
    "an abort closes whatever is open": lambda: (
        in_rest()
        .attached(2, 3)
        .restart(2)
        .settle(Unknown("timeout"))
        .add(ABORT, ev.Held((2,), "unproven"))
        .close(5, done=2, in_doubt=1, stranded=1, skipped=1)
    ),
    "what an operator gave up lets the run close": lambda: (
        in_rest()
        .rotated(3, 4)
        .attached(2)
        .restart(2)
        .settle(Unknown("timeout"))
        .add(resolved(2, Resolution.ABANDON))
        .move(Trigger.ABANDONED, 2)
        .move(Trigger.OBSERVED_SERVING, 2)
        .add(ev.Held((2,), "abandoned"))
        .close_wave(1)
        .close(5, done=4, in_doubt=1)
    ),
    "what an operator states frees the permit": lambda: (
        in_rest()
        .attached(2, 3, 4)
        .restart(2, 3)
        .settle(Unknown("timeout"))
        .add(resolved(2, Resolution.RESTARTED))
        .move(Trigger.STATED_RESTARTED, 2)
        .add(resolved(3, Resolution.UNTOUCHED))
        .move(Trigger.STATED_UNTOUCHED, 3)
        .restart(3)
    ),
    "a late ending changes nothing": lambda: (
        in_rest().attached(2).restart(2).resume().settle(REFUSED).back(2)
    ),
    "a time-out ends an instance that is down": lambda: (
        in_rest()
        .attached(2)
        .restart(2)
        .move(Trigger.OBSERVED_BOOTED, 2)
        .move(Trigger.TIMED_OUT, 2)
        .attach(3)
        .settle()
        .move(Trigger.GAVE_UP, 3)
    ),
}


@pytest.mark.parametrize("name", LEGAL)
def test_what_may_happen_is_no_false_alarm(tmp_path: Path, name: str) -> None:
    """Refusals, doubts, resumes and drift are part of a clean run."""
    assert messages(verify(DirectoryRun(LEGAL[name]().write(tmp_path)))) == ""


def test_a_verdict_counts_failed_instances_that_are_down(tmp_path: Path) -> None:
    """The one that timed out is down; the one whose attach was given up serves."""
    example = LEGAL["a time-out ends an instance that is down"]()
    verdict = verify(DirectoryRun(example.write(tmp_path)))

    assert (verdict.classes["failed"], verdict.failed_down) == (2, 1)


def test_retry_once_is_once(tmp_path: Path) -> None:
    """The operator's standing answer allows one more restart of an instance, not two."""
    example = (
        ExampleRun(example_runs.a_plan(on_unknown=OnUnknown.RETRY_ONCE)).open_wave(0).attached(0)
    )
    example.restart(0).settle(Unknown("timeout")).move(Trigger.RETRIED, 0).restart(0)
    assert messages(verify(DirectoryRun(example.write(tmp_path / "once")))) == ""

    example.settle(Unknown("timeout")).move(Trigger.RETRIED, 0)

    assert "i-00000000 was retried twice" in messages(
        verify(DirectoryRun(example.write(tmp_path / "twice")))
    )


def test_what_was_assumed_is_not_done(tmp_path: Path) -> None:
    """`assumeDone` ends in a class of its own and frees the permit."""
    example = ExampleRun(example_runs.a_plan(cap=1, on_unknown=OnUnknown.ASSUME_DONE)).open_wave(0)
    example.attached(0, 1).restart(0).move(Trigger.ASSUMED, 0).restart(1)

    verdict = verify(DirectoryRun(example.write(tmp_path)))

    assert messages(verdict) == "" and verdict.classes["unverified"] == 1
