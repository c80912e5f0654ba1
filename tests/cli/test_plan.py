"""`rollout plan`: the file of `--out` and the suggested commands."""

from __future__ import annotations

from pathlib import Path

import pytest

from rollout.app import plan as planning
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


@pytest.mark.parametrize("name", ["fleet.yaml", "new.pub", "fleet.csv"])
def test_the_inputs_of_a_plan_are_not_its_output(
    project: str,
    name: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Spec, public key and inventory are refused as --out before the plan is made."""
    before = Path(name).read_bytes()
    monkeypatch.setattr(planning, "plan", lambda *_, **__: pytest.fail("it was planned"))

    assert main.main(["plan", project, "--offline", "--out", name]) == Exit.IO

    assert "error[R0803]: the plan cannot be saved" in capsys.readouterr().err
    assert Path(name).read_bytes() == before


def test_undo_and_retry_replace_no_other_file(
    project: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Their --out is checked first too."""
    for command in ("undo", "retry"):
        assert main.main([command, "--out", project]) == Exit.IO
        assert "exists and is not a plan" in capsys.readouterr().err
