"""`audit verify`: a clean run is clean, and every rule that a journal breaks is named."""

import hashlib
from pathlib import Path

import pytest

from rollout.errors import Exit
from rollout.journal import writer
from rollout.journal.chain import Head
from rollout.journal.directory import DirectoryRun
from rollout.journal.verify import GroupPeak, verify
from rollout.model import event as ev
from rollout.model.plan import encode
from tests.journal import example_runs, samples
from tests.journal.recheck.cases import in_rest, messages


def test_a_clean_run_is_reported_in_figures(tmp_path: Path) -> None:
    """Lines, population, calls and peaks come from the journal; nothing is wrong."""
    example = example_runs.whole()

    verdict = verify(DirectoryRun(example.write(tmp_path)))

    assert messages(verdict) == "" and verdict.exit is Exit.DONE
    assert verdict.plan_matches and verdict.sealed and verdict.closed
    assert verdict.lines == len(example.events)
    assert {name: count for name, count in verdict.classes.items() if count} == {
        "done": 5,
        "excluded": 2,
    }
    assert sum(verdict.classes.values()) == verdict.found == 7
    assert verdict.calls == {"AttachKeyPair": 2, "RebootInstance": 4, "StartInstance": 1}
    assert (verdict.attached, verdict.restarted) == (5, 5)
    assert verdict.groups == (GroupPeak("fleet", 1, 2),)


def test_another_plan_is_named_and_the_chain_still_followed(tmp_path: Path) -> None:
    """A changed plan file is R0901; the valid lines are counted nevertheless."""
    example = example_runs.whole()
    run_dir = example.write(tmp_path)
    (run_dir / "plan.json").write_bytes(encode(example_runs.a_plan(cap=3)))

    verdict = verify(DirectoryRun(run_dir))

    assert [problem.code for problem in verdict.problems] == ["R0901"]
    assert not verdict.plan_matches and verdict.lines == len(example.events)


def test_verification_stops_at_a_broken_chain(tmp_path: Path) -> None:
    """Lines before the break are counted, later lines are ignored."""
    run_dir = example_runs.whole().write(tmp_path)
    path = run_dir / "journal-000001.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    del lines[9]
    path.write_bytes(b"".join(lines))

    verdict = verify(DirectoryRun(run_dir))

    assert [problem.code for problem in verdict.problems] == ["R0903"]
    assert verdict.lines == 9 and not verdict.sealed


def test_a_torn_tail_is_reported_not_refused(tmp_path: Path) -> None:
    """A crash may leave half a line; behind the close of a run there is nothing to leave."""
    for example, code in ((in_rest(), []), (example_runs.whole(), ["R0904"])):
        run_dir = example.write(tmp_path / ("x" + "".join(code)))
        with (run_dir / "journal-000001.jsonl").open("ab") as journal:
            journal.write(b'{"seq":')

        verdict = verify(DirectoryRun(run_dir))

        assert verdict.torn is not None and verdict.torn.bytes == 7
        assert [problem.code for problem in verdict.problems] == code


def test_an_empty_journal_proves_nothing(tmp_path: Path) -> None:
    """A journal without a line is no clean run."""
    run_dir = in_rest().write(tmp_path)
    (run_dir / "journal-000001.jsonl").write_bytes(b"")
    (run_dir / "journal.seal").unlink()

    assert [problem.code for problem in verify(DirectoryRun(run_dir)).problems] == ["R0902"]


def test_many_problems_are_counted_and_some_shown(tmp_path: Path) -> None:
    """The first fifty are listed, and all are counted."""
    example = in_rest()
    for _ in range(60):
        example.settle(n=999)

    verdict = verify(DirectoryRun(example.write(tmp_path)))

    assert len(verdict.problems) == 50 and verdict.problems_found == 60


HEAD_HARMS = ("last line edited", "last line cut", "two lines cut", "closed by a forged line")


@pytest.mark.parametrize("harm", HEAD_HARMS)
def test_a_head_from_outside_shows_what_the_chain_cannot(tmp_path: Path, harm: str) -> None:
    """The last line of a journal that no process closed: an edit or a cut breaks no chain."""
    run_dir = in_rest().attached(2, 3).restart(2, 3).write(tmp_path)
    (run_dir / "journal.seal").unlink()
    before = verify(DirectoryRun(run_dir))
    head = Head(before.lines, before.head)
    assert before.last_line == "unprotected"
    _harm(run_dir / "journal-000001.jsonl", harm)

    assert verify(DirectoryRun(run_dir), head=head).exit is Exit.INTEGRITY
    assert "R0907" in messages(verify(DirectoryRun(run_dir), head=head)) or "R0903" in messages(
        verify(DirectoryRun(run_dir))
    )


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
    example = example_runs.whole()
    run_dir = example.write(tmp_path)
    closed = verify(DirectoryRun(run_dir))
    assert closed.last_line == "seal"

    last = Head(closed.lines, closed.head)
    assert verify(DirectoryRun(run_dir), head=last).last_line == "head"
    journal = run_dir / "journal-000001.jsonl"
    third = Head(3, hashlib.sha256(journal.read_bytes().splitlines()[2]).hexdigest())
    assert messages(verify(DirectoryRun(run_dir), head=third)) == ""
    assert verify(DirectoryRun(run_dir), head=third).last_line == "seal"


def test_a_journal_that_continues_after_its_seal_has_an_unprotected_end(tmp_path: Path) -> None:
    """The seal of a run that was halted says nothing of the lines of a later process."""
    run_dir = in_rest().add(samples.HALTED).write(tmp_path)
    reader = writer.read(run_dir)
    assert list(reader)
    journal = writer.reopen(reader)
    journal.append([ev.Resumed(2, samples.ACTOR, samples.NOW)], samples.NOW)
    journal.sync_now()
    journal.release()

    verdict = verify(DirectoryRun(run_dir))

    assert (messages(verdict), verdict.sealed, verdict.last_line) == ("", True, "unprotected")
