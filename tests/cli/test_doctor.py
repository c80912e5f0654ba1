"""`rollout doctor`: the table, JSON, and the policy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rollout.app import plan_file
from rollout.app.checks import Check, CheckState
from rollout.cli import main
from rollout.cli.views import checkup, render
from rollout.errors import Exit
from rollout.model.phrase import say
from tests.app import factory

CHECKS = [
    Check("disk", CheckState.OK, "80 GB free"),
    Check(
        "clock", CheckState.WARNING, "differs by 61 s", "set this machine's clock (NTP)", "R0420"
    ),
    Check("identity", CheckState.PROBLEM, "no credentials", "set them", "R0401", Exit.DENIED),
    Check("attach permission", CheckState.UNKNOWN, "no dry run"),
]


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project directory without credentials, which is the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("ALIBABA_CLOUD_ACCESS_KEY_ID", "ROLLOUT_EMULATOR", "ROLLOUT_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ALIBABA_CLOUD_ECS_METADATA_DISABLED", "true")
    return tmp_path


def test_the_table_has_each_check_and_its_fix() -> None:
    """CheckState, name, text, code and fix of each check, then the counts."""
    lines = checkup.text(CHECKS, 100)

    assert "not checkable  attach permission  no dry run" in lines
    assert "problem        identity           no credentials [R0401]" in lines
    assert f"{' ' * 34}fix: set them" in lines
    assert lines[-1] == "1 problem, 1 warning, 1 ok, 1 not checkable."


def test_json_has_the_exit_code_of_the_first_problem() -> None:
    """Scripts read state, code and fix of each check."""
    found = checkup.data(CHECKS)

    assert found["exit"] == 4
    assert [row["state"] for row in found["checks"]] == [
        "ok", "warning", "problem", "not checkable",
    ]  # fmt: skip
    assert json.loads(json.dumps(found)) == found


def test_json_has_phrases_as_english_texts() -> None:
    """Text and fix of a check are phrases for people, and plain text for scripts."""
    check = Check("disk", CheckState.PROBLEM, say("{n} B free", n=1), say("free {n} B", n=2))

    (row,) = json.loads(render.as_json(checkup.data([check])))["checks"]

    assert (row["text"], row["fix"]) == ("1 B free", "free 2 B")


def test_without_credentials_the_exit_code_is_theirs(capsys: pytest.CaptureFixture[str]) -> None:
    """The command reports all checks and ends with the first problem's exit code."""
    assert main.main(["doctor", "-o", "json", "--api-timeout", "1s"]) == Exit.DENIED

    found = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in found["checks"] if row["state"] == "problem"] == ["identity"]


def test_the_policy_is_json(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--policy prints a document for RAM and nothing else; a long one has a warning on stderr."""
    plan_file.save_plan(plan_file.with_digest(factory.plan(1000)), project / "f.plan.json")

    assert main.main(["doctor", "--policy", "plan"]) == Exit.DONE
    assert json.loads(capsys.readouterr().out)["Version"] == "1"
    assert main.main(["doctor", "--policy", "apply", "--for", "f.plan.json"]) == Exit.DONE
    printed = capsys.readouterr()
    assert "i-" in printed.out and json.loads(printed.out)["Statement"]
    assert "warning[R0416]" in printed.err


def test_for_needs_a_policy() -> None:
    """--for alone is a usage error."""
    assert main.main(["doctor", "--for", "f.plan.json"]) == Exit.USAGE
