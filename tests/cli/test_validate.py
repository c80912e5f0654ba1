"""`rollout validate`: specs and the inventory files that they name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rollout.cli import main
from rollout.errors import Exit
from tests.app import service as stage

A = "i-bp1aaaa0001"


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project directory, which is the working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(project: Path, source: str) -> str:
    """A spec with this source; its name."""
    text = stage.SPEC.replace("source: ecs, regions: [cn-hangzhou, cn-shanghai]", source)
    return stage.write_spec(project, text=text).name


def test_the_files_of_a_spec_are_read(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All bad rows of all files are reported at once, with line, column and value."""
    (project / "fleet.csv").write_text(
        f"InstanceId,RegionId\n{A},cn-hangzhou\ni-bp x,cn-hangzhou\n{A}2,cn_hangzhou\n", "utf-8"
    )
    spec = written(project, "source: csv, path: fleet.csv")

    assert main.main(["validate", spec]) == Exit.BAD_INPUT

    told = capsys.readouterr().err
    assert "fleet.csv:3" in told and "`i-bp x` (column `InstanceId`)" in told
    assert "fleet.csv:4" in told and "`cn_hangzhou` (column `RegionId`)" in told


def test_a_file_that_is_missing_is_an_io_error(project: Path) -> None:
    """The same exit code as `plan` would have."""
    assert main.main(["validate", written(project, "source: json, path: none.json")]) == Exit.IO


def test_an_incomplete_listing_is_reported(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Refused with its counts, or a warning with --allow-partial."""
    page = {"Instances": {"Instance": [A]}, "TotalCount": 7}
    (project / "page.json").write_text(json.dumps(page))
    spec = written(project, "source: json, path: page.json, region: cn-hangzhou")

    assert main.main(["validate", spec]) == Exit.BAD_INPUT
    assert "R0215" in capsys.readouterr().err
    assert main.main(["validate", spec, "--allow-partial"]) == Exit.DONE
    assert "R0216" in capsys.readouterr().out


def test_the_standard_input_is_left_alone(project: Path) -> None:
    """The standard input of `plan` is not read."""
    assert (
        main.main(["validate", written(project, 'source: ids, path: "-", region: cn-hangzhou')])
        == Exit.DONE
    )


@pytest.mark.parametrize("age", ["0s", "200h", "169h"])
def test_an_age_that_no_plan_can_have_is_refused(
    project: Path, capsys: pytest.CaptureFixture[str], age: str
) -> None:
    """A plan age of zero or more than a week is a usage error."""
    spec = written(project, "source: ecs, regions: [cn-hangzhou]")

    assert main.main(["plan", spec, "--max-age", age, "--offline"]) == Exit.USAGE
    assert "more than `0s` and at most `168h`" in capsys.readouterr().err


def test_json_names_the_file_of_each_problem(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A problem in a file of the inventory has the path of that file, also as a row."""
    (project / "fleet.csv").write_text("InstanceId,RegionId\ni-bp x,cn-hangzhou\n", "utf-8")
    spec = written(project, "source: csv, path: fleet.csv")

    assert main.main(["validate", spec, "-o", "json"]) == Exit.BAD_INPUT
    assert main.main(["validate", spec, "-o", "jsonl"]) == Exit.BAD_INPUT

    document, row = map(json.loads, capsys.readouterr().out.splitlines())
    (problem,) = document["files"][0]["problems"]
    assert document["files"][0]["file"] == spec
    assert (problem["file"], problem["line"]) == ("fleet.csv", 2)
    assert row == {"severity": "error", **problem}


@pytest.mark.parametrize(
    "name,file,where",
    [
        ("fleet-{year}", "new.pub", "the name of the key pair"),
        ("fleet-2026", "{month}/../new.pub", "the path of the public key"),
        ("fleet-{year}", "{month}/../new.pub", "the name and the path of the key pair"),
    ],
)
def test_filled_in_dates_are_explained_at_80_columns(
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    file: str,
    where: str,
) -> None:
    """The warning says where the dates stand, and is wrapped with its code on the first line."""
    monkeypatch.setenv("COLUMNS", "80")
    for month in range(1, 13):
        (project / f"{month:02}").mkdir()
    text = stage.SPEC.replace("fleet-2026", f'"{name}"').replace(": new.pub", f': "{file}"')
    spec = stage.write_spec(project, text=text)

    assert main.main(["validate", spec.name]) == Exit.DONE

    _, *lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith(" R0360") and all(len(line) <= 80 for line in lines)
    told = " ".join(" ".join(lines).replace("R0360", "").split())
    assert told.startswith(f"! the dates in {where} are those of ")
