"""`rollout demo`: it finishes or fails with an error."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rollout.app import demo as project
from rollout.cli import demo, main
from rollout.errors import Exit, RolloutError
from rollout.model.phrase import say
from tests import tree


def test_the_demo_rotates_kills_resumes_and_verifies(tmp_path: Path) -> None:
    """From an empty directory to a verified run, with a SIGKILL; every promise is checked."""
    ended = subprocess.run(
        [sys.executable, "-m", "rollout", "demo", "--size", "60"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )

    assert ended.returncode == Exit.DONE, ended.stdout + ended.stderr
    told = ended.stdout
    steps = [line for line in told.splitlines() if line.startswith("$ rollout ")]
    assert [step.split()[2] for step in steps] == [
        "emulator", "validate", "plan", "apply", "status", "resume", "audit",
    ]  # fmt: skip
    assert "SIGKILL" in told and "INTERRUPTED" in told and "CLOSED" in told
    assert told.count("  ok   ") == 6 and "  NOT  " not in told
    assert "Traceback" not in told + ended.stderr
    assert list(tmp_path.glob("runs/demo/*/runs/r-*/journal-000001.jsonl"))


@pytest.mark.parametrize("kept,end", [(True, Exit.DONE), (False, Exit.FAILED)])
def test_a_broken_promise_fails_the_demo(
    monkeypatch: pytest.MonkeyPatch, end: Exit, *, kept: bool
) -> None:
    """The exit code follows from the findings."""
    monkeypatch.setattr(demo.Demo, "run", lambda _: [project.Finding(kept, say("something"))])

    assert main.main(["demo"]) == end


def test_a_tiny_fleet_is_refused() -> None:
    """A smaller fleet would finish before the kill."""
    assert main.main(["demo", "--size", "3"]) == Exit.USAGE


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    """A disk error is reported without a traceback."""
    (tmp_path / "runs").write_text("a file, not a folder", "utf-8")

    with pytest.raises(RolloutError) as caught:
        project.lay_out(tmp_path / "runs" / "demo")

    assert caught.value.exit is Exit.IO


def test_the_demo_s_files_ship_with_the_package() -> None:
    """An installed wheel contains the quickstart spec and its key."""
    wheel = tree.config()["tool"]["hatch"]["build"]["targets"]["wheel"]
    names = {project.SPEC, project.KEY}

    assert {name: f"rollout/{name}" for name in names}.items() <= wheel["force-include"].items()
    assert all((tree.ROOT / name).is_file() for name in (project.SPEC, project.KEY))
