"""`rollout plan` with options that narrow the plan."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rollout.cli import main
from rollout.errors import Exit
from tests.app import service as stage

SOURCE = "source: ecs, regions: [cn-hangzhou, cn-shanghai]"


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A project directory, which is the working directory; the spec in it has four instances."""
    monkeypatch.chdir(tmp_path)
    rows = [f"i-bp{n},cn-hangzhou,linux,Running,former" for n in range(4)]
    table = "\n".join(["InstanceId,RegionId,OSType,Status,KeyPairName", *rows, ""])
    (tmp_path / "fleet.csv").write_text(table, "utf-8")
    text = stage.SPEC.replace(SOURCE, "source: csv, path: fleet.csv")
    return stage.write_spec(tmp_path, text=text).name


def test_the_next_command_keeps_the_options(
    project: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Copying the suggested command never plans more instances than the preview shows."""
    options = ["--limit", "i-bp*", "--exclude", "i-bp3", "--max-down", "1"]

    assert main.main(["plan", project, "--offline", *options]) == Exit.DONE

    shown = capsys.readouterr().out
    typed = "--limit 'i-bp*' --exclude i-bp3 --max-down 1"
    assert f"Next:  rollout plan {project} --offline {typed} --out fleet.plan.json" in shown
    assert "Narrowed   --limit 'i-bp*' · --exclude i-bp3 · --max-down 1" in shown
    assert "3 targets" in shown


def test_json_has_the_options(project: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Scripts read what was narrowed; without options there is no such field."""
    assert main.main(["plan", project, "--offline", "--limit", "i-bp1", "-o", "json"]) == Exit.DONE
    assert main.main(["plan", project, "--offline", "-o", "json"]) == Exit.DONE

    narrowed, whole = map(json.loads, capsys.readouterr().out.splitlines())
    assert narrowed["narrowed"] == {"limit": ["i-bp1"]} and narrowed["counts"]["targets"] == 1
    assert "narrowed" not in whole and whole["counts"]["targets"] == 4


def test_a_pattern_that_matches_nothing_is_exit_64(project: str) -> None:
    """A misspelled exclusion never passes in silence."""
    assert main.main(["plan", project, "--offline", "--exclude", "i-bp9"]) == Exit.USAGE
