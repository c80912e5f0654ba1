"""status, history and audit in every format, on one finished run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from rollout.cli import main
from rollout.errors import Exit
from tests.e2e.stage import stage


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project directory with one finished run."""
    folder = tmp_path_factory.mktemp("finished")
    with stage(folder, size=36, options=("--boot-time", "200ms")) as made:
        made.write_spec("shown", max_down="80%")
        ended = made.run("apply", "shown.yaml", "--confirm", "shown", "-o", "json")
        assert ended.returncode == 0, ended.stderr
        (folder / "summary.json").write_text(ended.stdout, "utf-8")
        (folder / "talk.txt").write_text(ended.stderr, "utf-8")
    return folder


@pytest.fixture
def here(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that directory, which is the working directory."""
    copy = tmp_path / "project"
    shutil.copytree(finished, copy)
    monkeypatch.chdir(copy)
    return copy


def shown(capsys: pytest.CaptureFixture[str], *words: str, end: int = 0) -> str:
    """The stdout of a command."""
    assert main.main(words) == end
    return capsys.readouterr().out


def run_dir(folder: Path) -> Path:
    """The run's directory."""
    (found,) = (folder / "runs").glob("r-*")
    return found


def test_the_talk_of_an_apply_off_a_terminal(here: Path) -> None:
    """The preview, then one line for each change of state, without escape codes and bars."""
    talk = (here / "talk.txt").read_text("utf-8")
    lines = [line.split()[2] for line in talk.splitlines() if line[:2] == "20"]

    assert talk.startswith("EMULATOR ")
    assert "\x1b" not in talk
    assert [line for line in lines if line != "wave.progress"] == [
        "run.started",
        "wave.started",
        "wave.closed",
        "wave.started",
        "wave.closed",
        "run.closed",
    ]


def test_the_result_of_an_apply_is_data(here: Path) -> None:
    """`apply -o json` prints exactly one document, and its classes add up."""
    summary = json.loads((here / "summary.json").read_text("utf-8"))

    assert (summary["state"], summary["exit"], summary["emulator"]) == ("closed", 0, True)
    assert sum(summary["classes"].values()) == 24
    assert summary["run_dir"] == f"runs/{run_dir(here).name}"


def test_status_says_where_everything_is(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Head, waves and the sum over the inventory; EMULATOR first."""
    text = shown(capsys, "status")

    assert text.splitlines()[0].startswith("EMULATOR ")
    assert f"{run_dir(here).name}  CLOSED" in text
    assert "24 found = " in text
    assert "resume" not in text


@pytest.mark.parametrize("words", [("status",), ("status", "r-")])
def test_a_run_is_named_by_its_beginning_or_not_at_all(
    here: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    """Without a name the newest run is used; a unique prefix is enough."""
    view = json.loads(shown(capsys, *words, "-o", "json"))

    assert view["run"] == run_dir(here).name
    assert view["format_version"] == "1.0"
    assert view["updated_at"].endswith("Z")


def test_no_such_run(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown id is a usage error whose help is `rollout history`."""
    assert main.main(["status", "r-zzzz"]) == Exit.USAGE

    assert "rollout history" in capsys.readouterr().err


def test_history_has_a_line_a_run(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Table, JSON, JSON lines and ids describe the same run."""
    run_id = run_dir(here).name
    table = shown(capsys, "history").splitlines()
    (row,) = json.loads(shown(capsys, "history", "-o", "json"))["runs"]

    assert table[0].split()[0] == "run" and table[1].split()[0] == run_id
    assert json.loads(shown(capsys, "history", "-o", "jsonl")) == row
    assert shown(capsys, "history", "-o", "ids").split() == [run_id]
    assert (row["state"], row["plan"], row["exit"]) == ("closed", "shown", 0)


def test_history_of_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An empty list is not an error, and its JSON is valid."""
    runs = ("--runs-dir", str(tmp_path / "none"))

    assert "No runs" in shown(capsys, "history", *runs)
    assert shown(capsys, "history", "-o", "ids", *runs) == ""
    assert json.loads(shown(capsys, "history", "-o", "json", *runs))["runs"] == []


def entries(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, Any]]:
    """Rows of `audit show`."""
    text = shown(capsys, "audit", "show", *words, "-o", "jsonl")
    return [json.loads(line) for line in text.splitlines()]


def test_audit_show_prints_the_whole_run(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From start to close, each call with its result; text and JSON have the same rows."""
    rows = entries(capsys)

    assert [rows[0]["event"], rows[-1]["event"]] == ["RunStarted", "RunClosed"]
    issued = {row["call"] for row in rows if row["event"] == "Issued"}
    settled = {row["call"] for row in rows if row["event"] == "Settled"}
    assert issued == settled
    assert len(shown(capsys, "audit", "show").splitlines()) == len(rows)
    assert json.loads(shown(capsys, "audit", "show", "-o", "json"))["entries"] == rows


def test_audit_show_prints_one_instance(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its attach and restart with request ids, its former state, and its boot."""
    done = next(row for row in entries(capsys) if row["action"] == "RebootInstance")
    (instance,) = done["instances"]

    life = entries(capsys, "--instance", instance)

    assert {row["action"] for row in life} >= {"AttachKeyPair", "RebootInstance"}
    assert all(row["instances"] in ([], [instance]) for row in life)
    assert all(row["request_id"] for row in life if row["event"] == "Settled")
    assert any("observed before: Running" in row["text"] for row in life)


def test_audit_show_says_why_an_instance_is_out(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An excluded instance has a reason; an unknown instance is a usage error."""
    plan = json.loads((run_dir(here) / "plan.json").read_bytes())
    out = next(one for one in plan["exclusions"] if one["reason"] == "windows")

    assert "windows" in shown(capsys, "audit", "show", "--instance", out["instance"])
    assert main.main(["audit", "show", "--instance", "i-nobody"]) == Exit.USAGE


def test_audit_verify_of_a_good_run(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 0, with chain, population and caps; `valid` is true in JSON."""
    text = shown(capsys, "audit", "verify")
    verdict = json.loads(shown(capsys, "audit", "verify", "-o", "json"))

    assert "hash chain unbroken" in text and "24 = " in text
    assert verdict["valid"] and verdict["classes"]["done"] > 0
    assert verdict["groups"][0]["peak"] <= verdict["groups"][0]["cap"]


def test_audit_verify_with_a_head_from_outside(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The printed head is found; another head is exit 9, a malformed one a usage error."""
    head = json.loads(shown(capsys, "status", "-o", "json"))["head"]
    text = shown(capsys, "audit", "verify", "--head", head)

    assert f"head        {head}" in text and "it is the line in --head" in text
    later = head.replace(":", "0:", 1)
    for other in (later, f"1:{'0' * 64}"):
        assert main.main(["audit", "verify", "--head", other]) == Exit.INTEGRITY
        assert "error[R0907]" in capsys.readouterr().err
    assert main.main(["audit", "verify", "--head", head[:-1]]) == Exit.USAGE


def test_audit_verify_of_a_changed_journal(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One changed character: exit 9, the first damaged line is named, nothing is repaired."""
    journal = run_dir(here) / "journal-000001.jsonl"
    raw = journal.read_bytes()
    changed = raw.replace(b'"not_after":1', b'"not_after":2', 1)
    journal.write_bytes(changed)

    assert main.main(["audit", "verify"]) == Exit.INTEGRITY

    talk = capsys.readouterr()
    assert "error[R0903]" in talk.err and "journal-000001.jsonl:" in talk.err
    assert journal.read_bytes() == changed


@pytest.mark.parametrize("words", [("status",), ("audit", "show"), ("resume", "r-")])
def test_a_damaged_run_is_refused(
    here: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    """A journal with a broken chain is refused by every command."""
    journal = run_dir(here) / "journal-000001.jsonl"
    journal.write_bytes(journal.read_bytes().replace(b'"not_after":1', b'"not_after":2', 1))

    assert main.main(words) == Exit.INTEGRITY
    assert "error[R0903]" in capsys.readouterr().err


def test_a_damaged_run_stays_in_the_history(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A damaged run does not prevent the list."""
    (run_dir(here) / "plan.json").write_bytes(b"{}")

    assert "unreadable" in shown(capsys, "history")


def test_resume_of_a_closed_run_changes_nothing(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It prints the summary and returns the run's exit code; --last finds no open run."""
    before = {path: path.read_bytes() for path in run_dir(here).iterdir()}

    text = shown(capsys, "resume", run_dir(here).name)

    assert "CLOSED" in text and "audit:  rollout audit verify" in text
    assert main.main(["resume", "--last"]) == Exit.DONE
    assert "no run is open" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in run_dir(here).iterdir()} == before


@pytest.mark.parametrize("words", [("resume",), ("resume", "r-x", "--last")])
def test_resume_wants_a_name_or_last(words: tuple[str, ...]) -> None:
    """Neither and both are usage errors."""
    assert main.main(words) == Exit.USAGE


def test_show_tells_the_life_of_an_instance(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The state of one instance, what it waits for, and its events; as data the same."""
    run = run_dir(here).name
    rows = json.loads(shown(capsys, "show", run, "--wave", "bulk", "-o", "json"))["instances"]
    instance = rows[0]["instance"]
    text = shown(capsys, "show", run, "--instance", instance)
    life = json.loads(shown(capsys, "show", run, "--instance", instance, "-o", "json"))

    assert text.startswith(f"{instance}  done since ")
    assert "waits nothing: it is finished" not in text
    assert life["phase"] == "done"
    assert life["entries"][0]["action"] == "AttachKeyPair"
    assert all(instance in one["instances"] for one in life["entries"])


def test_show_finds_what_is_left_out_or_unknown(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exclusions have their reasons; an unknown instance or wave is R0524."""
    run = run_dir(here).name
    rows = json.loads(shown(capsys, "show", run, "--exclusions", "-o", "json"))["instances"]
    assert rows
    assert all(row["reason"] for row in rows)
    shown(capsys, "show", run, "--instance", "i-none", end=64)
    shown(capsys, "show", run, "--wave", "none", end=64)
    shown(capsys, "show", run, "--wave", "bulk", "--exclusions", end=64)
    assert shown(capsys, "show", run) == shown(capsys, "status", run)
