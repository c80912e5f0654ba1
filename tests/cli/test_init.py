"""A new project: its spec is valid and plans against the emulator, and no file is replaced."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rollout.cli import main
from rollout.errors import Exit
from tests.e2e.stage import PUBLIC_KEY, stage


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory with a public key."""
    (tmp_path / "new.pub").write_text(f"{PUBLIC_KEY}\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


ANSWERS = [
    "--key-pair",
    "ops-2027",
    "--public-key",
    "new.pub",
    "--region",
    "cn-hangzhou",
    "--region",
    "cn-shanghai",
]


def test_a_project_is_written_without_a_terminal(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The spec and the settings are valid, and the next commands are named."""
    arguments = [
        "init",
        "fleet",
        *ANSWERS,
        "--select",
        "env=prod",
        "--max-down",
        "2",
        "--profile",
        "ops",
    ]
    assert main.main(arguments) == Exit.DONE

    said = capsys.readouterr().out
    monkeypatch.chdir(project / "fleet")
    assert "Next:  cd fleet" in said and "Next:  rollout plan plans/first.yaml" in said
    assert main.main(["validate", "plans/first.yaml"]) == Exit.DONE, capsys.readouterr().err
    assert main.main(["config", "show", "--query", "settings[?origin=='rollout.toml'].value"]) == 0
    assert '["ops", "runs"]' in capsys.readouterr().out


def test_no_file_is_replaced(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A second init ends with an error, and all files keep their content."""
    main.main(["init", *ANSWERS])
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}

    assert main.main(["init", *ANSWERS, "--name", "other"]) == Exit.USAGE

    assert "R0024" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in project.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    "change,code,exit_code",
    [
        (["--name", "Not A Name"], "R0110", Exit.BAD_INPUT),
        (["--max-down", "200%"], "R0108", Exit.BAD_INPUT),
        (["--select", "env in ("], "R0109", Exit.BAD_INPUT),
        (["--cron", "daily"], "R0160", Exit.BAD_INPUT),
        (["--bake", "5"], "R0107", Exit.BAD_INPUT),
        (["--key-pair", "k"], "R0110", Exit.BAD_INPUT),
        (["--region", ""], "R0105", Exit.BAD_INPUT),
        (["--time-zone", "Nowhere", "--cron", "30 9 20 1,4,7,10 *"], "R0139", Exit.BAD_INPUT),
    ],
)
def test_wrong_answers_are_refused_before_anything_is_written(
    project: Path,
    capsys: pytest.CaptureFixture[str],
    change: list[str],
    code: str,
    exit_code: Exit,
) -> None:
    """The error is that of the spec's field. It names the option, not a file without content."""
    answers = ANSWERS[2:] if change[0] == "--key-pair" else ANSWERS
    assert main.main(["init", *answers, *change]) == exit_code

    printed = capsys.readouterr().err
    assert f"error[{code}]: {change[0]} " in printed and printed.count("error[") == 1
    assert "plans" not in printed
    assert [path.name for path in project.iterdir()] == ["new.pub"]


def test_a_missing_answer_names_its_option(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a terminal nothing is prompted for."""
    assert main.main(["init", *ANSWERS[:4]]) == Exit.CONFIRM

    assert "add --region REGION" in capsys.readouterr().err


@pytest.mark.parametrize("name, warnings", [("ops-{year}q{quarter}", 0), ("ops", 1)])
def test_a_schedule_is_written(
    project: Path, capsys: pytest.CaptureFixture[str], name: str, warnings: int
) -> None:
    """The public key has the name of today, and the schedule can be added. A name without a date is
    reported, because it is the same at each tick.
    """
    cron = ["--cron", "30 9 20 1,4,7,10 *", "--time-zone", "Asia/Shanghai", "--bake", "1h"]
    assert main.main(["init", "--key-pair", name, *ANSWERS[2:], *cron]) == Exit.DONE
    assert "Next:  rollout schedule add plans/first.yaml" in capsys.readouterr().out
    (key,) = project.glob("keys/*")
    assert "{" not in key.name

    assert main.main(["schedule", "add", "plans/first.yaml"]) == Exit.DONE

    printed = capsys.readouterr()
    assert "30 9 20 1,4,7,10 *  Asia/Shanghai  plan" in printed.out
    assert printed.err.count("R0362") == warnings


def test_a_profile_gives_the_region(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The spec has the region of the profile, and the settings its name. An unknown profile is
    refused with the names of the known ones.
    """
    profiles = [{"name": "ops", "region_id": "cn-shenzhen"}]
    (project / "config.json").write_text(json.dumps({"profiles": profiles}))
    monkeypatch.setenv("ALICLOUD_SHARED_CREDENTIALS_FILE", "config.json")

    assert main.main(["init", *ANSWERS[:4], "--from-profile", "dev"]) == Exit.DENIED
    assert "profiles there: ops" in capsys.readouterr().err
    assert main.main(["init", *ANSWERS[:4], "--from-profile", "ops"]) == Exit.DONE

    assert 'regions: ["cn-shenzhen"]' in (project / "plans" / "first.yaml").read_text()
    assert 'profile = "ops"' in (project / "rollout.toml").read_text()


def test_the_project_plans_against_the_emulator(tmp_path: Path) -> None:
    """From `init` to a plan with targets, as a new user types it."""
    with stage(tmp_path, size=24) as made:
        assert made.run("init", *ANSWERS, "--name", "night").returncode == Exit.DONE
        planned = made.run("plan", "plans/night.yaml", "--detailed-exitcode")

    assert planned.returncode == Exit.CHANGES, planned.stderr
    assert "ops-2027" in planned.stdout


def test_a_misspelled_region_is_pointed_out(capsys: pytest.CaptureFixture[str]) -> None:
    """`init` and `validate` accept a region outside the built-in list, with a warning that
    suggests the closest one.
    """
    answers = [*ANSWERS[:-4], "--region", "cn-hangzou"]

    assert main.main(["init", *answers]) == Exit.DONE
    told = capsys.readouterr().err
    assert "warning[R0204]: region cn-hangzou is not in the built-in list" in told
    assert "help: did you mean `cn-hangzhou`?" in told
    assert main.main(["validate", "plans/first.yaml"]) == Exit.DONE
    listed = " ".join(capsys.readouterr().out.split())
    assert "R0204" in listed and "`cn-hangzhou`?" in listed
