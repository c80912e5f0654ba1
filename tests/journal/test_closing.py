"""A run counts as closed only where seal, chain and last line agree on it."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from rollout.journal import writer
from rollout.journal.closing import closed_at
from rollout.model import limits
from rollout.model.event import RunClosed
from tests.journal import samples

CLOSED = RunClosed({"done": 1}, 0)
JOURNAL = "journal-000001.jsonl"


def write(runs_dir: Path, *, sealed: bool = True) -> Path:
    """A journal of three lines, the last of which closes the run."""
    journal = writer.create(runs_dir, samples.RUN, b"{}")
    for events in ([samples.started()], samples.turn(1), [*samples.turn(2), CLOSED]):
        journal.append(events, samples.NOW)
        journal.sync_now()
    if sealed:
        journal.close()
    journal.release()
    return runs_dir / samples.RUN


def test_a_closed_run_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where its last lines stand in different files of the journal."""
    assert closed_at(write(tmp_path / "one")) == samples.NOW

    monkeypatch.setattr(limits, "SEGMENT_BYTES_MAX", 1)
    assert closed_at(write(tmp_path / "three")) == samples.NOW
    assert (tmp_path / "three" / samples.RUN / "journal-000003.jsonl").exists()


def _forge(run_dir: Path) -> None:
    """A line that closes the run but does not follow."""
    with (run_dir / JOURNAL).open("ab") as journal:
        journal.write(b'{"seq":4,"at":1,"prev":"%064d","body":[%s]}\n' % (0, _body()))


def _chain(run_dir: Path) -> None:
    """A line that closes the run and follows the last one; the seal does not know it."""
    path = run_dir / JOURNAL
    head = hashlib.sha256(path.read_bytes().splitlines()[-1]).hexdigest().encode()
    with path.open("ab") as journal:
        journal.write(b'{"seq":4,"at":1,"prev":"%b","body":[%b]}\n' % (head, _body()))


def _seal(run_dir: Path) -> None:
    """A forged line, and a seal that was made for it."""
    _forge(run_dir)
    last = (run_dir / JOURNAL).read_bytes().splitlines()[-1]
    seal = b'{"seq":4,"sha256":"%b"}' % hashlib.sha256(last).hexdigest().encode()
    (run_dir / "journal.seal").write_bytes(seal)


def _body() -> bytes:
    return msgspec.json.encode(CLOSED)


FORGERIES: dict[str, Callable[[Path], object]] = {
    "unchained": _forge,
    "chained": _chain,
    "unchained and sealed": _seal,
    "text within an event": lambda run_dir: (run_dir / JOURNAL).write_bytes(
        (run_dir / JOURNAL).read_bytes().replace(b"start_time", b'\\"type\\":\\"RunClosed\\"')
    ),
    "nothing": lambda _: None,
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_an_open_run_is_not_closed_by_a_forged_end(tmp_path: Path, forgery: str) -> None:
    """Whatever bytes stand at the end: `apply` must not pass over an open run."""
    run_dir = samples.write(tmp_path, 3)
    FORGERIES[forgery](run_dir)

    assert closed_at(run_dir) is None


@pytest.mark.parametrize("harm", ["no seal", "seal of an earlier line", "torn tail", "no journal"])
def test_what_is_not_certain_is_left_to_the_fold(tmp_path: Path, harm: str) -> None:
    """A killed process, a damaged seal or tail: the answer takes a read of the whole journal."""
    run_dir = write(tmp_path, sealed=harm != "no seal")
    if harm == "seal of an earlier line":
        (run_dir / "journal.seal").write_bytes(b'{"seq":2,"sha256":"%064d"}' % 0)
    elif harm == "torn tail":
        with (run_dir / JOURNAL).open("ab") as journal:
            journal.write(b'{"seq":4')
    elif harm == "no journal":
        (run_dir / JOURNAL).unlink()

    assert closed_at(run_dir) is None
