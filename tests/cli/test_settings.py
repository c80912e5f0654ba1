"""Settings files: precedence, refusals with positions, origins, and the log file."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from rollout.app import connect
from rollout.cli import main, origins, settings
from rollout.cli.options import CloudOptions
from rollout.errors import ConfigError, Exit


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project folder with an own home, and no variables."""
    home = tmp_path / "home"
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / ".config"))
    for name in list(os.environ):
        if name.startswith("ROLLOUT_"):
            monkeypatch.delenv(name)
    (home / ".config" / "rollout").mkdir(parents=True)
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def users(text: str) -> None:
    """Write the user's file."""
    settings.user_path().write_text(text)


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, tuple[object, str]]:
    """Return value and origin of each setting."""
    assert main.main(["config", "show", "-o", "json", *arguments]) == Exit.DONE
    rows = json.loads(capsys.readouterr().out)["settings"]
    return {row["setting"]: (row["value"], row["origin"]) for row in rows}


def test_the_strongest_source_wins(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Option > variable > rollout.toml > user's file > default."""
    assert shown(capsys)["profile"] == (None, "default")
    users('profile = "user"\nruns-dir = "user-runs"')
    assert shown(capsys)["profile"] == ("user", str(settings.user_path()))
    (project / "rollout.toml").write_text('profile = "project"')
    assert shown(capsys)["profile"] == ("project", "rollout.toml")
    monkeypatch.setenv("ROLLOUT_PROFILE", "variable")
    assert shown(capsys)["profile"] == ("variable", "environment ROLLOUT_PROFILE")
    found = shown(capsys, "--profile", "option")
    assert found["profile"] == ("option", "option")
    assert found["runs-dir"] == ("user-runs", str(settings.user_path()))


def test_a_pyproject_is_read_without_a_rollout_toml(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`[tool.rollout]` counts only if rollout.toml does not exist; other tables do not matter."""
    (project / "pyproject.toml").write_text(
        '[tool.other]\nx = 1\n[tool.rollout]\ncolor = "never"\n'
    )
    assert shown(capsys)["color"] == ("never", "pyproject.toml")

    (project / "rollout.toml").write_text('color = "always"')
    assert shown(capsys)["color"] == ("always", "rollout.toml")


def test_a_command_has_its_own_table(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The table of a command is stronger than the top of the file and reaches no other command."""
    text = (
        'runs-dir = "a"\n[history]\noutput = "json"\nruns-dir = "b"\n[config.show]\ncolor = "never"'
    )
    (project / "rollout.toml").write_text(text)

    assert main.main(["history"]) == Exit.DONE
    assert json.loads(capsys.readouterr().out)["runs"] == []
    assert main.main(["history", "-o", "table"]) == Exit.DONE
    assert capsys.readouterr().out == "No runs in b.\n"
    found = shown(capsys)
    assert (found["runs-dir"][0], found["color"][0]) == ("a", "never")


@pytest.mark.parametrize(
    "text,code,position,hint",
    [
        ("\nemulater = true", "R0020", ":2:1", "did you mean `emulator`?"),
        ('runs_dir = "x"', "R0020", ":1:1", "write `runs-dir`"),
        ('[plan]\nconfirm = "prod"', "R0020", ":2:1", "known here"),
        ("[plam]\n", "R0020", ":1:2", "did you mean `plan`?"),
        ('[history]\nmax-age = "1h"', "R0020", ":2:1", "remove it"),
        ('color = "blue"', "R0021", ":1:1", "choose from"),
        ("emulator = 1", "R0021", ":1:1", "write `emulator = true`"),
        ("profile = 1", "R0021", ":1:1", 'write `profile = "VALUE"`'),
        ("color =\n", "R0019", ":1:8", "on each line"),
        ('security-token = "planted-4711"', "R0112", ":1:1", "profile of the aliyun CLI"),
        ('profile = "LTAI5tPlantedKey00000"', "R0112", ":1:1", "profile of the aliyun CLI"),
    ],
)
def test_a_wrong_file_is_refused_with_its_position(
    project: Path,
    capsys: pytest.CaptureFixture[str],
    text: str,
    code: str,
    position: str,
    hint: str,
) -> None:
    """Exit 78 with code, line, column and fix; a secret is not repeated."""
    (project / "rollout.toml").write_text(text)

    assert main.main(["history"]) == Exit.CONFIG

    said = capsys.readouterr().err
    assert f"[{code}]" in said and f"rollout.toml{position}" in said and hint in said
    assert "lanted" not in said


def test_all_problems_of_a_file_are_reported(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two mistakes are two errors of one command."""
    (project / "rollout.toml").write_text('colour = "never"\n[plan]\noutputt = "json"')

    main.main(["history"])

    said = capsys.readouterr().err
    assert "`color`" in said and "`output`" in said


@pytest.mark.parametrize("words", ["version", "explain R0019", "config path", "--help"])
def test_a_damaged_file_does_not_stop_help(project: Path, words: str) -> None:
    """The commands that explain an error work with a damaged file."""
    (project / "rollout.toml").write_text("=")

    assert main.main(words.split()) == Exit.DONE


def test_a_file_cannot_name_a_private_cloud(project: Path) -> None:
    """Keys go to a host of a private cloud only if the command line names it."""
    cloud = CloudOptions(endpoint="https://ecs.cloud.example")
    connect.endpoint_of(cloud.connection())
    origins.record("endpoint", "rollout.toml")

    with pytest.raises(ConfigError) as raised:
        connect.endpoint_of(cloud.connection())

    origins.clear()
    assert raised.value.problems[0].code == "R0010"


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_log_file_receives_messages_and_errors(
    project: Path, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    """The file is appended to, readable by its owner only, and stderr has the same."""
    log = project / "rollout.log"
    log.write_text("")
    log.chmod(0o644)
    (project / "rollout.toml").write_text('log-file = "rollout.log"')

    for _ in range(2):
        assert main.main(["status", "--log-format", form]) == Exit.USAGE

    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    lines = log.read_text().splitlines()
    assert len(lines) == 2 and all("R0003" in line for line in lines)
    assert all(line.startswith("{") == (form == "json") for line in lines)
    assert capsys.readouterr().err.count("R0003") == 2


@pytest.mark.parametrize("path", ["missing/log", "/dev/null", "."])
def test_an_unusable_log_file_is_an_error(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The command ends with exit 74 before it acts."""
    assert main.main(["history", "--log-file", path]) == Exit.IO

    assert "R0022" in capsys.readouterr().err
