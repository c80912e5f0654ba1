"""Reading: a torn tail is cut, everything else that is wrong is refused by name."""

import hashlib
from pathlib import Path

import pytest

from rollout.errors import Exit, IntegrityError, StorageError
from rollout.journal import reader as readers
from rollout.journal import writer
from rollout.model import limits
from rollout.model.event import TornTail
from rollout.model.plan import digest
from tests.journal import samples

SEGMENT = "journal-000001.jsonl"


def refused(run_dir: Path) -> IntegrityError:
    """The error that reading ends with."""
    with pytest.raises(IntegrityError) as caught:
        list(writer.read(run_dir))
    assert caught.value.exit is Exit.INTEGRITY
    return caught.value


def found(run_dir: Path, lines: int) -> bool:
    """Return whether a read detects that the journal was changed."""
    reader = writer.read(run_dir)
    try:
        return len(list(reader)) != lines or reader.torn is not None or not reader.sealed_at
    except IntegrityError:
        return True


def test_flips_at_the_ends_of_lines_are_found(tmp_path: Path) -> None:
    """P13: what the next line cannot detect (line feeds, the last line), reader and seal detect."""
    run_dir = samples.write(tmp_path, 200)
    path, seal = run_dir / SEGMENT, run_dir / "journal.seal"
    data = path.read_bytes()
    feeds = [position for position, byte in enumerate(data) if byte == 10]
    last = range(feeds[-2] + 1, len(data))
    assert not found(run_dir, 200)

    for position in [*feeds, *last]:
        path.write_bytes(flipped(data, position))
        assert found(run_dir, 200), f"byte {position}"
    path.write_bytes(data)
    data = seal.read_bytes()
    for position in range(len(data) - 1):
        seal.write_bytes(flipped(data, position))
        assert found(run_dir, 200), f"byte {position} of the seal"


def flipped(data: bytes, position: int) -> bytes:
    """The data with one bit of one byte changed."""
    return data[:position] + bytes([data[position] ^ 1 << position % 8]) + data[position + 1 :]


def test_a_torn_last_line_is_reported_and_removed(tmp_path: Path) -> None:
    """B-J01: what a crash left of the last line is reported by length and digest, then cut."""
    run_dir = samples.write(tmp_path, 5, close=False)
    path = run_dir / SEGMENT
    whole = path.read_bytes()
    last = whole.splitlines(keepends=True)[-1]

    for kept in range(1, len(last)):
        path.write_bytes(whole[: len(whole) - len(last) + kept])
        reader = writer.read(run_dir)
        assert len(list(reader)) == 4
        assert reader.torn == TornTail(kept, hashlib.sha256(last[:kept]).hexdigest())

    journal = writer.reopen(reader)
    assert reader.torn is not None
    journal.append([reader.torn], samples.NOW)
    journal.close()
    again = writer.read(run_dir)
    assert [line.seq for line in again] == [1, 2, 3, 4, 5] and again.torn is None


@pytest.mark.parametrize("garbage", [b"\x00" * 70_000, b"\xff\xfe{", b"{}}\n", b"x" * 60_001])
def test_garbage_behind_the_last_line_is_a_torn_tail(tmp_path: Path, garbage: bytes) -> None:
    """A crash may leave anything in the last sectors."""
    run_dir = samples.write(tmp_path, 3, close=False)
    with (run_dir / SEGMENT).open("ab") as journal:
        journal.write(garbage)

    reader = writer.read(run_dir)

    assert len(list(reader)) == 3
    assert reader.torn == TornTail(len(garbage), hashlib.sha256(garbage).hexdigest())


def test_only_the_last_line_can_be_torn(tmp_path: Path) -> None:
    """A bad line with another one after it is refused, and both are named."""
    run_dir = samples.write(tmp_path, 5, close=False)
    path = run_dir / SEGMENT
    lines = path.read_bytes().splitlines(keepends=True)
    lines[2] = lines[2][:50] + b"\n"
    path.write_bytes(b"".join(lines))

    problem = refused(run_dir).problems[0]

    assert problem.code == "R0904" and "line 3 (seq 3)" in problem.message
    assert problem.place is not None
    assert (problem.place.file, problem.place.line) == (str(path), 3)


def test_only_the_last_segment_can_be_torn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A segment is durable before the next one is begun."""
    monkeypatch.setattr(limits, "SEGMENT_BYTES_MAX", 1)
    run_dir = samples.write(tmp_path, 3, close=False)
    reader = writer.read(run_dir)
    assert len(list(reader)) == 3
    journal = writer.reopen(reader)
    journal.append(samples.turn(9), samples.NOW)
    journal.sync_now()
    path = run_dir / SEGMENT
    path.write_bytes(path.read_bytes()[:-1])

    assert refused(run_dir).problems[0].code == "R0904"


def test_a_changed_line_is_found_by_the_next(tmp_path: Path) -> None:
    """The message says which line breaks the hash chain, and both digests."""
    run_dir = samples.write(tmp_path, 5)
    path = run_dir / SEGMENT
    path.write_bytes(path.read_bytes().replace(b"i-00000003", b"i-00000004"))

    problem = refused(run_dir).problems[0]

    assert problem.code == "R0903" and "line 5 (seq 5) breaks the hash chain" in problem.message


def test_a_tail_that_was_cut_after_the_close_is_found(tmp_path: Path) -> None:
    """The seal says where the journal ended, so whole lines cannot vanish from its end."""
    run_dir = samples.write(tmp_path, 5)
    path = run_dir / SEGMENT
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))

    problem = refused(run_dir).problems[0]

    assert problem.code == "R0903" and "lines were removed" in problem.message


def test_a_journal_without_its_seal_is_read(tmp_path: Path) -> None:
    """A killed writer leaves no seal; the journal is as good, and says that it was not closed."""
    run_dir = samples.write(tmp_path, 5)
    (run_dir / "journal.seal").unlink()

    reader = writer.read(run_dir)

    assert len(list(reader)) == 5 and not reader.sealed_at


def test_a_journal_can_continue_after_its_seal(tmp_path: Path) -> None:
    """A seal of an earlier process still holds for the lines it covers."""
    run_dir = samples.write(tmp_path, 3)
    reader = writer.read(run_dir)
    list(reader)
    journal = writer.reopen(reader)
    journal.append(samples.turn(9), samples.NOW)
    journal.sync_now()

    reader = writer.read(run_dir)
    assert len(list(reader)) == 4 and reader.sealed_at


@pytest.mark.parametrize("number", [1, 2])
def test_a_missing_segment_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """B-J04: a journal without one of its files is not read."""
    monkeypatch.setattr(limits, "SEGMENT_BYTES_MAX", 1)
    run_dir = samples.write(tmp_path, 3)
    for name in ("journal-000002.jsonl", "journal-000003.jsonl"):
        (run_dir / name).write_bytes(b"")
    (run_dir / readers.segment_name(number)).unlink()

    assert refused(run_dir).problems[0].code == "R0902"


def test_a_directory_without_a_journal_is_refused(tmp_path: Path) -> None:
    """B-J04: a run directory gets its name together with its journal."""
    run_dir = samples.write(tmp_path, 3)
    (run_dir / SEGMENT).unlink()

    assert refused(run_dir).problems[0].code == "R0902"


def test_a_journal_of_another_run_is_refused(tmp_path: Path) -> None:
    """B-J04: the journal names the run whose directory it lies in."""
    run_dir = samples.write(tmp_path, 3)
    other = run_dir.rename(tmp_path / "r-zzzzzzzzzz")

    problem = refused(other).problems[0]

    assert problem.code == "R0902" and samples.RUN in problem.message


def test_a_journal_begins_with_a_start(tmp_path: Path) -> None:
    """Lines that begin with anything else are no journal of a run."""
    journal = writer.create(tmp_path, samples.RUN, b"{}")
    journal.append(samples.turn(1), samples.NOW)
    journal.close()

    assert refused(tmp_path / samples.RUN).problems[0].code == "R0902"


def test_an_event_of_a_newer_release_is_refused(tmp_path: Path) -> None:
    """B-J03: also at the very end of the journal an unknown event is no torn tail."""
    run_dir = samples.write(tmp_path, 3, close=False)
    path = run_dir / SEGMENT
    head = hashlib.sha256(path.read_bytes().splitlines()[-1]).hexdigest()
    with path.open("a") as journal:
        journal.write(f'{{"seq":4,"at":1,"prev":"{head}","body":[{{"type":"Verified"}}]}}\n')

    problem = refused(run_dir).problems[0]

    assert problem.code == "R0904" and "`Verified` is from a newer release" in problem.message


def test_a_missing_directory_is_an_error_of_the_disk(tmp_path: Path) -> None:
    """Nothing there: said with the path, exit 74."""
    with pytest.raises(StorageError) as caught:
        list(writer.read(tmp_path / "r-missing"))

    assert caught.value.exit is Exit.IO


def test_the_plan_is_the_one_the_run_was_started_on(tmp_path: Path) -> None:
    """The first record names the plan's digest; any other plan next to it is refused."""
    run_dir = samples.write(tmp_path, 1).rename(tmp_path / readers.run_id(digest(b"{}")))
    (run_dir / "plan.json").write_bytes(b"{ }")

    with pytest.raises(IntegrityError) as changed:
        readers.read_plan(run_dir, digest(b"{}"))
    assert changed.value.problems[0].code == "R0901"

    (run_dir / "plan.json").unlink()
    with pytest.raises(IntegrityError) as missing:
        readers.read_plan(run_dir, digest(b"{}"))
    assert missing.value.problems[0].code == "R0902"


def test_a_run_under_the_id_of_another_plan_is_refused(tmp_path: Path) -> None:
    """The id is recomputed from the plan's digest: a renamed run, or a forged first line, shows."""
    run_dir = samples.write(tmp_path, 1)

    with pytest.raises(IntegrityError) as caught:
        readers.read_plan(run_dir, digest(b"{}"))

    problem = caught.value.problems[0]
    assert problem.code == "R0902" and readers.run_id(digest(b"{}")) in problem.message
