"""How members of groups that are down without the run are shown, by the stored run of one quorum
whose member came back and one whose member did not.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from rollout.cli import main
from rollout.journal.directory import DirectoryRun
from tests import golden_journals


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The id of the run, in the runs directory of the working directory."""
    shutil.copytree(golden_journals.FOLDER / "counted", tmp_path / "runs")
    for path in (tmp_path / "runs").rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)
    (tmp_path / "runs").chmod(0o700)
    monkeypatch.chdir(tmp_path)
    return golden_journals.find(tmp_path / "runs").id


def shown(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The output of a command."""
    assert main.main(words) == 0
    return capsys.readouterr().out


def test_the_audit_log_names_members_that_are_down(
    run: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says which members took permits, which of them came back, and what was left out."""
    text = shown(capsys, "audit", "show", run)

    assert "down without this run (Stopping): takes a permit of each of its groups" in text
    assert "i-0004  Running again" in text
    assert "down for ten minutes: instances do not wait for its permits any longer" in text
    assert "budget_held by i-0005" in text
    assert "members of groups were counted" in text
    assert "each follows its intent" in shown(capsys, "audit", "verify", run)


def test_programs_receive_members_that_are_down(
    run: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The events name the member, its status, and whether instances still wait for it."""
    lines = map(json.loads, shown(capsys, "events", run).splitlines())
    found = [one for one in lines if one["type"].startswith("rollout.member.")]

    assert [(one["type"][8:], one["data"]["instance"]) for one in found] == [
        ("member.down", "i-0004"),
        ("member.down", "i-0005"),
        ("member.running", "i-0004"),
        ("member.down", "i-0005"),
    ]
    assert found[-1]["data"] == {
        "instance": "i-0005",
        "region": "cn-hangzhou",
        "reason": "Stopping",
        "kind": "lasting",
    }


def test_status_and_show_name_the_member_that_an_instance_waits_for(
    run: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before the run closed: with its status, since when, and when it is observed again."""
    path = DirectoryRun(Path("runs") / run).path / "journal-000001.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    first_back = next(n for n, line in enumerate(lines) if b"MembersUp" in line)
    path.write_bytes(b"".join(lines[:first_back]))
    (path.parent / "journal.seal").unlink(missing_ok=True)

    status = " ".join(shown(capsys, "status", run).split())
    assert "down without this run, each with a permit: i-0004 Stopping since 2026" in status
    waits = " ".join(shown(capsys, "show", run, "--instance", "i-0000").split())
    assert (
        "waits for a permit of tag:quorum=a: down without this run: i-0004 (Stopping since" in waits
    )
    assert "observed every 1 min" in waits
