"""The report of a run with failures: unfinished instances and next steps."""

from __future__ import annotations

import msgspec
import pytest

from rollout.app.runs import RunFacts
from rollout.cli.views import audit, report, run_words
from rollout.journal.verify import GroupPeak, Verdict
from rollout.model.event import TornTail
from rollout.model.view import GroupView, LaneView, Left, RunView, WaveView

FACTS = RunFacts("runs/r-1", "sha256:" + "ab" * 32, False, 0, 90_000)
CLASSES = {
    "done": 5,
    "unverified": 0,
    "failed": 1,
    "skipped": 1,
    "in_doubt": 1,
    "stranded": 1,
    "open": 4,
    "excluded": 2,
}
VIEW = RunView(
    run="r-1",
    name="fleet",
    state="halted",
    reason="in_doubt: 1 restarts are in doubt",
    exit=5,
    epoch=1,
    waves=(
        WaveView("canary", 2, "closed", {"done": 2}, 0),
        WaveView(
            "rest",
            11,
            "open",
            {
                "done": 3,
                "failed": 1,
                "skipped": 1,
                "in_doubt": 1,
                "stranded": 1,
                "settling": 1,
                "attached": 3,
            },
            1,
        ),
    ),
    groups=(GroupView("fleet", 3, 2, 2),),
    exposed=1,
    exposed_max=1000,
    in_doubt=1,
    phases={},
    classes=CLASSES,
    waiting={"for evidence (keep their permits)": 1},
    left=(
        Left("i-1", "cn-hangzhou", "failed", "status"),
        Left("i-2", "cn-hangzhou", "stranded", "NoStock"),
        Left("i-3", "cn-shanghai", "in_doubt", "settle_window"),
    ),
    calls=20,
)


def test_throttled_lanes_are_shown_with_their_pace_and_pause() -> None:
    """The pause is printed while it lasts; pace and count remain."""
    lane = LaneView("cn-hangzhou", "RebootInstance", 276, 300, 3, "1970-01-01T00:02:00Z")
    view = msgspec.structs.replace(VIEW, lanes=(lane,))
    pace = "cn-hangzhou RebootInstance 276/min of 300 learned · throttled 3"

    assert f"  {pace} · paused until 00:02:00 UTC\n" in report.status(view, FACTS, 100)
    later = msgspec.structs.replace(FACTS, at=200_000)
    assert f"  {pace}\n" in report.status(view, later, 100)
    assert report.data(view, FACTS)["lanes"][0]["per_minute"] == 276


def test_a_halted_run_shows_reason_rest_and_next_step() -> None:
    """Reason, permits, classes, each unfinished instance with its next step, and resume."""
    text = report.status(VIEW, FACTS, 100)

    assert "r-1  HALTED · wave 2/2 rest" in text
    assert "in_doubt: 1 restarts are in doubt" in text
    assert "down 2 of 3 permits (fleet) · exposed 1 of 1,000" in text
    assert "waiting: 1 for evidence" in text
    assert "15 found = 5 done + 0 unverified + 1 failed (1 serve, 0 down) + 1 skipped + 1" in text
    for instance in ("i-1", "i-2", "i-3"):
        assert instance in text
    assert "→ stranded: key attached, not in force" in text
    assert text.endswith("resume: rollout resume r-1\nabort:  rollout abort r-1")
    assert "EMULATOR" not in text


def test_a_failed_instance_serves_or_is_down() -> None:
    """Each failed instance and the number of failed ones show it."""
    rows = (Left("i-1", "cn-hangzhou", "failed", "not_running", down=True), *VIEW.left[1:])
    view = msgspec.structs.replace(VIEW, left=rows, failed_down=1)
    down, serves = report.status(view, FACTS, 80), report.status(VIEW, FACTS, 80)

    assert "failed, down " in down and "1 failed (0 serve, 1 down) + " in down
    assert "failed, serves " in serves and "1 failed (1 serve, 0 down) + " in serves
    assert report.data(view, FACTS)["left"][0]["down"] is True
    assert report.data(view, FACTS)["failed_down"] == 1


def test_a_gate_shows_what_it_waits_for_and_the_command() -> None:
    """The gate stands once, for the instances that wait for it, and not in the wave table, which
    cannot be wrapped; the command that opens it is printed.
    """
    waits = "until 2026-11-30T17:20:45Z (bake of wave canary), for a promotion after wave canary"
    first = msgspec.structs.replace(VIEW.waves[0], state="closed", gate=waits)
    changes = {
        "waves": (first, *VIEW.waves[1:]),
        "waiting": {waits: 7},
        "to_promote": True,
        "reason": "R0508 gate: x",
    }
    text = report.status(msgspec.structs.replace(VIEW, **changes), FACTS, 80)

    assert f"waiting: 7 {waits}" in " ".join(text.split())
    assert text.count("promotion") == 1
    table = ("  wave ", "  canary ", "  rest ")
    assert all(len(line) <= 80 for line in text.splitlines() if not line.startswith(table))
    assert text.endswith(
        "promote: rollout promote r-1\nresume: rollout resume r-1\nabort:  rollout abort r-1"
    )


def test_a_paused_run_names_the_command_that_continues_it() -> None:
    """Whether a process drives it or not."""
    paused = msgspec.structs.replace(VIEW, state="paused", reason="paused by ops: incident 7")
    text = report.status(paused, FACTS, 100)

    assert "r-1  PAUSED" in text and "paused by ops: incident 7" in text
    assert text.endswith("resume: rollout resume r-1")


def test_a_closed_run_offers_no_resume_and_no_resolve() -> None:
    """Both do nothing for a closed run; the next step is a retry."""
    left = (*VIEW.left, Left("i-4", "cn-shanghai", "skipped", "foreign_key"))
    closed = msgspec.structs.replace(VIEW, state="closed", left=left)

    text = report.status(closed, FACTS, 100)

    assert "resume" not in text and "resolve" not in text
    assert "find out who, then retry the run" in text
    assert "check the instance, then retry the run with --in-doubt" in text


@pytest.mark.parametrize(
    "phase,why,command",
    [
        ("failed", "status", "rollout retry r-1"),
        ("stranded", "NoStock", "rollout retry r-1"),
        ("skipped", "aborted", "rollout retry r-1"),
        ("in_doubt", "settle_window", "rollout retry r-1 --in-doubt"),
        ("skipped", "gone", ""),
        ("unverified", "assumed", ""),
    ],
)
def test_the_next_step_of_a_closed_run_is_a_retry_of_it(phase: str, why: str, command: str) -> None:
    """A new plan of the spec would reverse an undo, and leaves out stranded instances. An open run
    cannot be retried, and a retry never plans released and unverified instances.
    """
    left = (Left("i-4", "cn-shanghai", phase, why),)
    closed = msgspec.structs.replace(VIEW, state="closed", left=left)

    text = report.status(closed, FACTS, 100)

    assert text.endswith(f"\n\nretry:  {command}" if command else text[-1:])
    assert ("rollout retry" in text) is bool(command) and "plan again" not in text
    assert "rollout retry" not in report.status(VIEW, FACTS, 100)


def test_a_wave_sums_up_to_its_targets() -> None:
    """Every target of a wave is in exactly one column."""
    (row,) = [
        line for line in report.status(VIEW, FACTS, 100).splitlines() if line.startswith("  rest ")
    ]
    targets, *columns = row.split()[1:-1]

    assert int(targets) == sum(int(number) for number in columns) == 11


def test_waves_and_summary_count_the_same() -> None:
    """The columns of the wave table add up to the classes of the summary and of `-o json`."""
    lines = report.status(VIEW, FACTS, 100).splitlines()
    head = next(line for line in lines if line.startswith("  wave"))
    names = head.replace("in doubt", "in_doubt").split()[2:]
    rows = [line.split() for line in lines if line.startswith(("  canary", "  rest"))]
    total = {name: sum(int(row[2 + n]) for row in rows) for n, name in enumerate(names)}
    total["open"] = total.pop("restarting") + total.pop("waiting")

    assert total == {name: count for name, count in CLASSES.items() if count and name in total}
    assert report.data(VIEW, FACTS)["classes"] == CLASSES


def test_columns_without_an_instance_are_left_out() -> None:
    """A run without failures has a short table that fits 80 columns."""
    quiet = msgspec.structs.replace(VIEW, waves=VIEW.waves[:1], left=())

    (head,) = [line for line in report.status(quiet, FACTS, 80).splitlines() if "targets" in line]

    assert head.split() == ["wave", "targets", "done", "failed"]


@pytest.mark.parametrize(
    "state,holder,word,resumable",
    [
        ("running", "", "INTERRUPTED", True),
        ("running", "run r-1 by process 7 on here", "RUNNING", False),
        ("drained", "", "DRAINED", True),
        ("closed", "", "CLOSED", False),
    ],
)
def test_a_run_nobody_drives_is_interrupted(
    state: str, holder: str, word: str, *, resumable: bool
) -> None:
    """Only a run that a process drives is running, in JSON too; for others see the next step."""
    view = msgspec.structs.replace(VIEW, state=state, reason="")
    facts = msgspec.structs.replace(FACTS, holder=holder)
    text = report.status(view, facts, 100)

    assert f"r-1  {word}" in text
    assert report.data(view, facts)["state"] == word.lower()
    assert ("resume: rollout resume r-1" in text) is resumable
    assert ("driven by process 7 on here" in text) == bool(holder)


def test_the_elapsed_time_of_a_driven_run_ends_now() -> None:
    """The span does not stop at the last journal line; `updated_at` is the time of that line."""
    facts = msgspec.structs.replace(FACTS, holder="run r-1 by process 7 on here", now=600_000)

    assert "(10 m)" in report.status(VIEW, facts, 100)
    assert report.data(VIEW, facts)["updated_at"] == "1970-01-01T00:01:30Z"


def test_skipped_instances_are_listed_apart() -> None:
    """Instances that drifted are listed with the reason, and need no operator."""
    gone = Left("i-9", "cn-hangzhou", "skipped", "stopped_since_plan")
    text = report.status(msgspec.structs.replace(VIEW, skipped=(gone,)), FACTS, 100)

    needs, skipped = text.split("Skipped:")
    assert "i-9" in skipped and "i-9" not in needs
    assert "→ stopped_since_plan: stopped by another operator after planning" in skipped


def test_very_many_left_are_counted() -> None:
    """Twenty are listed, the others are counted, with the command that lists all."""
    many = tuple(Left(f"i-{n}", "cn-hangzhou", "failed", "x") for n in range(50))
    text = report.status(msgspec.structs.replace(VIEW, left=many), FACTS, 100)

    assert "… 30 more: rollout status r-1 -o ids" in text
    assert report.left_ids(many).count("\n") == 49


def test_a_summary_names_audit_and_files() -> None:
    """The summary ends with the commands and paths for details."""
    facts = msgspec.structs.replace(FACTS, head="7:" + "ab" * 32)
    text = report.summary(msgspec.structs.replace(VIEW, state="closed"), facts, 80)

    assert text.splitlines()[-3:] == [
        "audit:  rollout audit verify r-1",
        "head:   7:" + "ab" * 32,
        "files:  runs/r-1",
    ]


def test_a_verdict_on_a_run_that_a_crash_cut() -> None:
    """An incomplete line, a missing seal and the number of open instances are reported."""
    verdict = Verdict(
        run="r-1",
        plan_digest="sha256:1",
        plan_matches=True,
        lines=7,
        torn=TornTail(31, "00"),
        found=11,
        classes=CLASSES,
        unfinished=3,
        calls={"AttachKeyPair": 2},
        groups=(GroupPeak("fleet", 2, 3),),
    )

    text = audit.verdict_text(verdict, 100)

    assert "not sealed: a truncation cannot be detected" in text
    assert "31 bytes of an incomplete line" in text
    assert "(3 unfinished)" in text
    assert "at most 2 of 3 (fleet)" in text
    assert "2 AttachKeyPair; each follows its intent" in text


def test_a_verdict_divides_the_failed_instances() -> None:
    """The verified population shows how many failed instances serve, and how many are down."""
    verdict = Verdict(run="r-1", plan_matches=True, found=2, classes={"failed": 2}, failed_down=1)

    assert "2 = 2 failed (1 serve, 1 down)" in audit.verdict_text(verdict, 100)


def test_a_verdict_with_problems_claims_nothing_of_intents() -> None:
    """With problems, the verdict does not state that each effect has its intent."""
    broken = Verdict(run="r-1", plan_matches=True, calls={"AttachKeyPair": 2}, problems_found=1)

    assert "2 AttachKeyPair; see the errors" in audit.verdict_text(broken, 100)


@pytest.mark.parametrize("width", range(60, 90, 4))
def test_a_sum_is_broken_between_its_classes(width: int) -> None:
    """A number and its class are on the same line."""
    view = msgspec.structs.replace(VIEW, state="closed", left=())
    text = report.status(view, FACTS, width).partition(" found = ")[2]
    words = text.splitlines()

    assert len(words) > 1 and not [line for line in words if line[-1].isdigit()]
    assert "\u00a0" not in text


def test_a_verdict_without_a_plan_says_so() -> None:
    """Without a plan, population and effects are not printed."""
    text = audit.verdict_text(Verdict(run="r-1", problems_found=1), 100)

    assert "not compared" in text and "see the errors" in text
    assert "population" not in text


def test_a_phase_is_the_label_of_the_journal() -> None:
    """Tables of instances name phases as the journal and the JSON document do."""
    assert run_words.phase("in_doubt", down=True) == "in_doubt"
    assert run_words.phase("failed", down=True) == "failed, down"
