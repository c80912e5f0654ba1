"""`audit verify`: a clean run is clean, and every rule that a journal breaks is named."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from rollout.errors import Exit
from rollout.journal import writer
from rollout.journal.chain import Head
from rollout.journal.verify import GroupPeak, Verdict, verify
from rollout.model import event as ev
from rollout.model.command import Attach, ImportKey, RestartCall
from rollout.model.event import OperatorWord, Resolution, Trigger
from rollout.model.instance import Status
from rollout.model.outcome import Refused, RetryClass, Unknown
from rollout.model.plan import PlanLimits, RestartKind, digest, encode
from rollout.model.spec import OnUnknown
from tests.journal import samples, stories
from tests.journal.samples import NOW
from tests.journal.stories import NEW, OLD, SITE, Story

REFUSED = Refused("OperationConflict", RetryClass.STATE)
FACT = Refused("DependencyViolation.WindowsInstance", RetryClass.FACT)


ABORT = ev.OperatorCommand("1", OperatorWord.ABORT, samples.ACTOR, NOW, "inbox")


def resolved(ordinal: int, resolution: Resolution) -> ev.OperatorCommand:
    """An operator stated this about an instance."""
    name = stories.names((ordinal,))[0]
    word = OperatorWord.RESOLVE
    return ev.OperatorCommand("2", word, samples.ACTOR, NOW, "inbox", "seen", name, resolution)


def in_rest() -> Story:
    """A run whose canary went well and whose second wave has just been opened."""
    return Story().open_wave(0).rotated(0, 1).close_wave(0).open_wave(1)


def messages(verdict: Verdict) -> str:
    """All that is wrong, one a line."""
    return "\n".join(f"{problem.code} {problem.message}" for problem in verdict.problems)


def test_a_clean_run_is_told_in_figures(tmp_path: Path) -> None:
    """Lines, population, calls and peaks come from the journal; nothing is wrong."""
    story = stories.whole()

    verdict = verify(story.write(tmp_path))

    assert messages(verdict) == "" and verdict.exit is Exit.DONE
    assert verdict.plan_matches and verdict.sealed and verdict.closed
    assert verdict.lines == len(story.events)
    assert {name: count for name, count in verdict.classes.items() if count} == {
        "done": 5,
        "excluded": 2,
    }
    assert sum(verdict.classes.values()) == verdict.found == 7
    assert verdict.calls == {"AttachKeyPair": 2, "RebootInstance": 4, "StartInstance": 1}
    assert (verdict.attached, verdict.restarted) == (5, 5)
    assert verdict.groups == (GroupPeak("fleet", 1, 2),)


@pytest.mark.parametrize(
    "story, unfinished",
    [
        (Story(), 5),
        (Story().open_wave(0).attach(0, 1), 5),
        (in_rest().attached(2, 3).restart(2, 3).settle(Unknown("timeout")), 3),
        (in_rest().attached(2, 3).restart(2).add(samples.HALTED), 3),
        (in_rest().add(ev.Held((2, 3, 4), "transitional")), 0),
        (in_rest().attach(2).settle(FACT), 2),
    ],
)
def test_a_run_under_way_is_clean(tmp_path: Path, story: Story, unfinished: int) -> None:
    """A run may end anywhere without breaking a rule; what is unfinished is counted."""
    verdict = verify(story.write(tmp_path))

    assert messages(verdict) == "" and not verdict.closed
    assert verdict.unfinished == unfinished
    assert sum(verdict.classes.values()) == verdict.found


LEGAL: dict[str, Callable[[], Story]] = {
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
        .move(Trigger.SEEN_UNTOUCHED, 2)
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
        .add(ev.Split((2,), 1), ev.Split((3,), 2))
        .attach(2)
        .settle(FACT)
        .attach(3)
        .settle()
    ),
    "an attach of a dead process is read back and repeated": lambda: (
        in_rest().attach(2, 3).resume().move(Trigger.SEEN_UNATTACHED, 2, 3).attach(2, 3)
    ),
    "what was held is taken up by a resume, also after its wave": lambda: (
        Story()
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
        Story()
        .add(ev.WaveStarted(0, "canary"), ev.CellOpened(0))
        .add(ev.Issued(1, ImportKey(*SITE), NOW))
        .settle(n=1)
    ),
    "running without a comparison, and compared later": lambda: (
        in_rest()
        .attached(2, 3, 4)
        .restart(2)
        .settle()
        .move(Trigger.SEEN_BOOTED, 2)
        .move(Trigger.SEEN_RUNNING, 2)
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
        .move(Trigger.SEEN_BOOTED, 2)
        .move(Trigger.SEEN_RUNNING, 2)
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
        .move(Trigger.SEEN_SERVING, 2)
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
        .move(Trigger.SEEN_BOOTED, 2)
        .move(Trigger.TIMED_OUT, 2)
        .attach(3)
        .settle()
        .move(Trigger.GAVE_UP, 3)
    ),
}


@pytest.mark.parametrize("name", LEGAL)
def test_what_may_happen_is_no_false_alarm(tmp_path: Path, name: str) -> None:
    """Refusals, doubts, resumes and drift are part of a clean run."""
    assert messages(verify(LEGAL[name]().write(tmp_path))) == ""


WRONG: dict[str, tuple[str, Callable[[], Story]]] = {
    "cap passed": (
        "i-00000004: 3 down of 2 in fleet",
        lambda: (
            in_rest()
            .attached(2, 3, 4)
            .restart(2, 3)
            .issue(RestartCall(RestartKind.REBOOT, (4,), ("i-00000004",)), Status.RUNNING, NEW)
        ),
    ),
    "cap passed over waves: a failed instance is down": (
        "i-00000003: 3 down of 2 in fleet",
        lambda: (
            Story()
            .open_wave(0)
            .attached(0, 1)
            .restart(0, 1)
            .move(Trigger.SEEN_BOOTED, 0, 1)
            .move(Trigger.TIMED_OUT, 0, 1)
            .close_wave(0)
            .open_wave(1)
            .attached(3)
            .restart(3)
        ),
    ),
    "cap passed over a resume: doubts keep their permits": (
        "i-00000004: 3 down of 2 in fleet",
        lambda: (
            in_rest()
            .attached(2, 3, 4)
            .restart(2, 3)
            .add(samples.HALTED)
            .resume()
            .issue(RestartCall(RestartKind.REBOOT, (4,), ("i-00000004",)), Status.RUNNING, NEW)
        ),
    ),
    "second restart without evidence": (
        "i-00000002: restarted while it is restarting",
        lambda: in_rest().attached(2).restart(2).settle(Unknown("timeout")).restart(2),
    ),
    "second restart after the first one was seen": (
        "i-00000002: restarted while it is done",
        lambda: in_rest().rotated(2).restart(2),
    ),
    "a late refusal is no evidence": (
        "i-00000002: restarted while it is restarting",
        lambda: in_rest().attached(2).restart(2).resume().settle(REFUSED).restart(2),
    ),
    "a restart that was accepted is repeated": (
        "i-00000002: its restart was accepted, and is repeated",
        lambda: (
            in_rest().attached(2).restart(2).settle().move(Trigger.SEEN_UNTOUCHED, 2).restart(2)
        ),
    ),
    "an intent after an abort": (
        "an intent after the run was aborted",
        lambda: in_rest().add(ABORT).attach(2),
    ),
    "a statement that nobody made": (
        "stated_restarted, which no operator stated",
        lambda: in_rest().attached(2).restart(2).move(Trigger.STATED_RESTARTED, 2),
    ),
    "a statement that was made once and counts twice": (
        "stated_untouched, which no operator stated",
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
        "closed with 1 instances in doubt that were not abandoned",
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
        "i-00000002: restarted while it is attaching",
        lambda: in_rest().attach(2).settle().restart(2),
    ),
    "restart judged on the former key": (
        "i-00000002 restarted before the key was seen on it",
        lambda: (
            in_rest()
            .attached(2)
            .issue(RestartCall(RestartKind.REBOOT, (2,), ("i-00000002",)), Status.RUNNING, OLD)
        ),
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
        "i-00000002 had key pair `mine`",
        lambda: in_rest().issue(Attach((2,), ("i-00000002",)), Status.RUNNING, "mine"),
    ),
    "attach of an excluded instance": (
        "i-windows1 is not in the plan at 2",
        lambda: in_rest().issue(Attach((2,), ("i-windows1",)), Status.RUNNING, OLD),
    ),
    "attach over two cells": (
        "i-00000002 and i-00000001 are not in one cell",
        lambda: in_rest().attach(1, 2),
    ),
    "ids and ordinals differ": (
        "do not match",
        lambda: in_rest().issue(Attach((2, 3), ("i-00000002",)), Status.RUNNING, OLD),
    ),
    "an id twice": (
        "an id twice in one call",
        lambda: in_rest().attach(2, 2),
    ),
    "51 ids": (
        "51 ids in one call",
        lambda: in_rest().attach(*([2] * 51)),
    ),
    "101 ids": (
        "101 ids in one call",
        lambda: in_rest().attached(2).restart(*([2] * 101)),
    ),
    "attach before the key pair was ready": (
        "before its key pair was ready",
        lambda: Story().add(ev.WaveStarted(0, "canary"), ev.CellOpened(0)).attach(0),
    ),
    "import into a region of nobody": (
        "a key pair for cn-shanghai, which is not planned",
        lambda: Story().add(ev.Issued(1, ImportKey("1", "cn-shanghai"), NOW)),
    ),
    "done although the key pair was another one": (
        "its lines say 2 done, 3 unverified, 2 excluded",
        lambda: (
            in_rest().attached(2, 3, 4).change_key().rotated_on(2, 3, 4).close_wave(1).close(done=5)
        ),
    ),
    "a start of what somebody stopped": (
        "i-00000002 started, which was Running when it was planned",
        lambda: (
            in_rest()
            .attached(2)
            .issue(RestartCall(RestartKind.START, (2,), ("i-00000002",)), Status.STOPPED, NEW)
        ),
    ),
    "a call after others attached many": (
        "call 4 although others attached 6",
        lambda: (
            in_rest()
            .add(ev.Drifted(ev.DriftKind.ELSEWHERE, (2, 3, 4, 2, 3, 4), "has the new key"))
            .attach(2)
        ),
    ),
    "a comparison of the future": (
        "vouches for attaches that come after it",
        lambda: in_rest().add(ev.KeyReady(*SITE, "fp", 99)),
    ),
    "wave begun before the one before ended": (
        "wave rest is not the next one",
        lambda: Story().open_wave(0).rotated(0).add(ev.WaveStarted(1, "rest")),
    ),
    "wave closed with work left": (
        "a wave closes with 1 instances unfinished",
        lambda: Story().open_wave(0).rotated(0).close_wave(0),
    ),
    "wave begun after a failure that nobody accepted": (
        "wave rest starts after 1 failures",
        lambda: (
            Story()
            .open_wave(0)
            .rotated(0)
            .attached(1)
            .restart(1)
            .move(Trigger.SEEN_BOOTED, 1)
            .move(Trigger.TIMED_OUT, 1)
            .close_wave(0)
            .open_wave(1)
        ),
    ),
    "wave begun before a released instance has finished": (
        "wave rest starts before an earlier one has finished",
        lambda: (
            Story()
            .open_wave(0)
            .rotated(0)
            .add(ev.Held((1,), "transitional"))
            .close_wave(0)
            .resume()
            .open_wave(1)
        ),
    ),
    "cell closed with work left": (
        "cell 0 closes with 2 instances unfinished",
        lambda: Story().open_wave(0).add(ev.CellClosed(0)),
    ),
    "cell of another wave": (
        "cell 1 opens outside its wave",
        lambda: Story().open_wave(0).add(ev.CellOpened(1)),
    ),
    "cell out of order": (
        "cell 1 opens out of order",
        lambda: Story().add(ev.WaveStarted(0, "canary"), ev.CellOpened(1)),
    ),
    "call of a cell that is not open": (
        "i-00000002 is in cell 1, not open",
        lambda: Story().open_wave(0).attach(2),
    ),
    "an intent after a halt": (
        "an intent after the run was halted",
        lambda: in_rest().add(samples.HALTED).attach(2),
    ),
    "a stale writer": (
        "an intent of epoch 1: a stale writer",
        lambda: in_rest().resume().attach(2, epoch=1),
    ),
    "an epoch left out": (
        "epoch 3 after 1",
        lambda: in_rest().add(ev.Resumed(3, samples.ACTOR, NOW)),
    ),
    "a call left out": (
        "call 9 after call 3",
        lambda: in_rest().attach(2, n=9),
    ),
    "an ending without an intent": (
        "call 9 ended and was never begun",
        lambda: in_rest().settle(n=9),
    ),
    "an ending for a stranger": (
        "ended for 3, which it did not name",
        lambda: in_rest().attach(2).add(ev.Settled(4, NOW, REFUSED, ((3, REFUSED),))),
    ),
    "an instance held is not asked": (
        "i-00000002 is held for an operator",
        lambda: in_rest().add(ev.Held((2,), "transitional")).attach(2),
    ),
    "done without a boot": (
        "i-00000002: seen_running while it is restarting",
        lambda: in_rest().attached(2).restart(2).move(Trigger.SEEN_RUNNING, 2),
    ),
    "evidence that only an ending can be": (
        "restart_refused is no evidence",
        lambda: in_rest().attached(2).restart(2).move(Trigger.RESTART_REFUSED, 2),
    ),
    "retried against the plan": (
        "retried, which the plan does not allow",
        lambda: in_rest().attached(2).restart(2).move(Trigger.RETRIED, 2),
    ),
    "an ordinal of nobody": (
        "ordinal 5 is not in the plan",
        lambda: in_rest().move(Trigger.DROPPED, 5).add(ev.Held((5,), "x")),
    ),
    "started twice": (
        "a run starts once",
        lambda: in_rest().add(samples.started(plan_digest=digest(encode(stories.a_plan())))),
    ),
    "counts of the close": (
        "the close counts 4 done, 2 excluded; its lines say 5 done, 2 excluded",
        lambda: in_rest().rotated(2, 3, 4).close_wave(1).close(done=4),
    ),
    "closed while something is open": (
        "closed with 3 instances unfinished",
        lambda: in_rest().close(done=2, skipped=3),
    ),
    "closed with a call open": (
        "closed with 1 calls open",
        lambda: in_rest().attach(2).close(done=2, skipped=2, stranded=1),
    ),
    "closed as if no instance needed an operator": (
        "closed as if no instance needed an operator",
        lambda: in_rest().rotated(2, 3).attach(4).settle(FACT).close(done=4, failed=1),
    ),
    "something after the close": (
        "Halted after the run was closed",
        lambda: stories.whole().add(samples.HALTED),
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_every_broken_rule_is_named(tmp_path: Path, name: str) -> None:
    """A journal whose chain is sound but that tells of a broken rule is refused, exit 9."""
    words, make = WRONG[name]

    verdict = verify(make().write(tmp_path))

    assert words in messages(verdict)
    assert {problem.code for problem in verdict.problems} == {"R0905"}
    assert verdict.exit is Exit.INTEGRITY


def test_a_broken_rule_is_named_by_event_and_line(tmp_path: Path) -> None:
    """Line and place in the line, so that it can be found with an editor."""
    story = in_rest().attached(2).restart(2).settle(Unknown("timeout")).restart(2)

    problem = verify(story.write(tmp_path)).problems[0]

    assert problem.message.startswith(f"{len(story.events)}-1: ")
    assert problem.place is not None and problem.place.line == len(story.events)


def test_retry_once_is_once(tmp_path: Path) -> None:
    """The operator's standing answer allows one more restart of an instance, not two."""
    story = Story(stories.a_plan(on_unknown=OnUnknown.RETRY_ONCE)).open_wave(0).attached(0)
    story.restart(0).settle(Unknown("timeout")).move(Trigger.RETRIED, 0).restart(0)
    assert messages(verify(story.write(tmp_path / "once"))) == ""

    story.settle(Unknown("timeout")).move(Trigger.RETRIED, 0)

    assert "i-00000000 retried twice" in messages(verify(story.write(tmp_path / "twice")))


def test_what_was_assumed_is_not_done(tmp_path: Path) -> None:
    """`assumeDone` ends in a class of its own and frees the permit."""
    story = Story(stories.a_plan(cap=1, on_unknown=OnUnknown.ASSUME_DONE)).open_wave(0)
    story.attached(0, 1).restart(0).move(Trigger.ASSUMED, 0).restart(1)

    verdict = verify(story.write(tmp_path))

    assert messages(verdict) == "" and verdict.classes["unverified"] == 1


def test_exposed_instances_are_counted(tmp_path: Path) -> None:
    """An attach beyond the exposure limit is named."""
    plan = msgspec.structs.replace(stories.a_plan(), limits=PlanLimits(1, 0))

    verdict = verify(Story(plan).open_wave(0).attach(0, 1).write(tmp_path))

    assert "2 exposed of 1" in messages(verdict) and verdict.exposed_peak == 2


def test_a_plan_that_leaves_instances_out_is_named(tmp_path: Path) -> None:
    """Targets and exclusions are the whole inventory, each instance once."""
    plan = stories.a_plan()
    doubled = msgspec.structs.replace(plan, exclusions=plan.exclusions[:1] * 3)

    text = messages(verify(Story(doubled).write(tmp_path)))

    assert "names an instance twice" in text and "leaves instances out" in text


def test_another_plan_is_named_and_the_chain_still_followed(tmp_path: Path) -> None:
    """A changed plan file is R0901; how long the sound journal is, is told all the same."""
    story = stories.whole()
    run_dir = story.write(tmp_path)
    (run_dir / "plan.json").write_bytes(encode(stories.a_plan(cap=3)))

    verdict = verify(run_dir)

    assert [problem.code for problem in verdict.problems] == ["R0901"]
    assert not verdict.plan_matches and verdict.lines == len(story.events)


def test_a_broken_chain_ends_the_story(tmp_path: Path) -> None:
    """What stands before the break is told, what follows is not believed."""
    run_dir = stories.whole().write(tmp_path)
    path = run_dir / "journal-000001.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    del lines[9]
    path.write_bytes(b"".join(lines))

    verdict = verify(run_dir)

    assert [problem.code for problem in verdict.problems] == ["R0903"]
    assert verdict.lines == 9 and not verdict.sealed


def test_a_torn_tail_is_told_not_refused(tmp_path: Path) -> None:
    """A crash may leave half a line; behind the close of a run there is nothing to leave."""
    for story, code in ((in_rest(), []), (stories.whole(), ["R0904"])):
        run_dir = story.write(tmp_path / ("x" + "".join(code)))
        with (run_dir / "journal-000001.jsonl").open("ab") as journal:
            journal.write(b'{"seq":')

        verdict = verify(run_dir)

        assert verdict.torn is not None and verdict.torn.bytes == 7
        assert [problem.code for problem in verdict.problems] == code


def test_an_empty_journal_proves_nothing(tmp_path: Path) -> None:
    """A journal without a line is no clean run."""
    run_dir = in_rest().write(tmp_path)
    (run_dir / "journal-000001.jsonl").write_bytes(b"")
    (run_dir / "journal.seal").unlink()

    assert [problem.code for problem in verify(run_dir).problems] == ["R0902"]


def test_many_problems_are_counted_and_some_shown(tmp_path: Path) -> None:
    """The first fifty are told, the number is of all."""
    story = in_rest()
    for _ in range(60):
        story.settle(n=999)

    verdict = verify(story.write(tmp_path))

    assert len(verdict.problems) == 50 and verdict.problems_found == 60


HEAD_HARMS = ("last line edited", "last line cut", "two lines cut", "closed by a forged line")


@pytest.mark.parametrize("harm", HEAD_HARMS)
def test_a_head_from_outside_shows_what_the_chain_cannot(tmp_path: Path, harm: str) -> None:
    """The last line of a journal that no process closed: an edit or a cut breaks no chain."""
    run_dir = in_rest().attached(2, 3).restart(2, 3).write(tmp_path)
    (run_dir / "journal.seal").unlink()
    before = verify(run_dir)
    head = Head(before.lines, before.head)
    assert before.last_line == "unprotected"
    _harm(run_dir / "journal-000001.jsonl", harm)

    assert verify(run_dir, head=head).exit is Exit.INTEGRITY
    assert "R0907" in messages(verify(run_dir, head=head)) or "R0903" in messages(verify(run_dir))


def _harm(path: Path, harm: str) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    if harm == "last line edited":
        lines[-1] = lines[-1].replace(b'"at":', b'"at":1', 1)
    elif harm == "closed by a forged line":
        lines[-1] = lines[-1].replace(
            b'"body":[', b'"body":[{"type":"RunClosed","counts":{},"exit":0},', 1
        )
    else:
        del lines[-1 if harm == "last line cut" else -2 :]
    path.write_bytes(b"".join(lines))


def test_the_last_line_is_protected_by_head_seal_or_nothing(tmp_path: Path) -> None:
    """A head of an earlier line vouches for that one only; a resumed run is sealed no more."""
    story = stories.whole()
    run_dir = story.write(tmp_path)
    closed = verify(run_dir)
    assert closed.last_line == "seal"

    last = Head(closed.lines, closed.head)
    assert verify(run_dir, head=last).last_line == "head"
    journal = run_dir / "journal-000001.jsonl"
    third = Head(3, hashlib.sha256(journal.read_bytes().splitlines()[2]).hexdigest())
    assert messages(verify(run_dir, head=third)) == ""
    assert verify(run_dir, head=third).last_line == "seal"


def test_a_journal_that_goes_on_behind_its_seal_has_an_unprotected_end(tmp_path: Path) -> None:
    """The seal of a run that was halted says nothing of the lines of a later process."""
    run_dir = in_rest().add(samples.HALTED).write(tmp_path)
    reader = writer.read(run_dir)
    assert list(reader)
    journal = writer.reopen(reader)
    journal.append([ev.Resumed(2, samples.ACTOR, samples.NOW)], samples.NOW)
    journal.sync_now()
    journal.release()

    verdict = verify(run_dir)

    assert (messages(verdict), verdict.sealed, verdict.last_line) == ("", True, "unprotected")
