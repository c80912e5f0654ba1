"""Suggested commands reach the same runs and service as the command that prints them."""

from __future__ import annotations

import inspect
import json
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from rollout.cli import main, origins, suggested
from rollout.cli.errors import rendering
from rollout.errors import Exit, RunError
from tests import golden_journals

OPTIONS = ("--profile", "ops", "--runs-dir", "my runs", "--endpoint", "10.0.0.1:1", "--emulator")
SERVICE = "--profile ops --endpoint 10.0.0.1:1 --emulator"
RUNS = "--runs-dir 'my runs'"


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory without settings."""
    monkeypatch.chdir(tmp_path)
    origins.clear()
    yield tmp_path
    origins.clear()


def typed(*words: str) -> None:
    """Parse a command line."""
    main._parse(words)


def test_the_table_of_the_service_is_that_of_the_commands() -> None:
    """A command takes options of the service exactly if the table says so."""
    found = set()
    for name in main.COMMANDS:
        app = main.make_app()
        for word in name.split():
            app = app[word]
        assert app.default_command is not None
        if "cloud" in inspect.signature(app.default_command).parameters:
            found.add(name)

    assert found == suggested.WITH_SERVICE
    assert set(main.COMMANDS) >= suggested.WITH_RUNS


def test_a_command_gets_the_typed_options_that_it_takes() -> None:
    """Options of the service only where they are known, quoted, before the other words."""
    typed("status", "--runs-dir", "my runs")
    assert suggested.command("resume", "r-1") == f"rollout resume {RUNS} r-1"
    assert suggested.command("approve", "a b.json") == "rollout approve 'a b.json'"

    typed("plan", "x.yaml", *OPTIONS)
    assert suggested.command("apply", "x") == f"rollout apply {RUNS} {SERVICE} x"
    assert suggested.command("audit", "verify", "r-1") == f"rollout audit verify {RUNS} r-1"


def test_variables_and_files_are_not_repeated(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They hold for the next command too."""
    monkeypatch.setenv("ROLLOUT_ENDPOINT", "10.0.0.1:1")
    (project / "rollout.toml").write_text('profile = "ops"', "utf-8")

    typed("status")

    assert suggested.command("resume", "r-1") == "rollout resume r-1"


def test_commands_in_a_text_get_the_options_once() -> None:
    """All commands of a help; a name without its arguments and other words stay."""
    typed("status", "--runs-dir", "my runs")
    text = "run `rollout resume r-1`, or rollout abort r-1; `rollout plan` and rollout applying"

    found = suggested.with_options(text)

    assert found == (
        f"run `rollout resume {RUNS} r-1`, or rollout abort {RUNS} r-1; "
        "`rollout plan` and rollout applying"
    )
    assert suggested.with_options(found) == found
    assert suggested.with_options("`rollout history`") == f"`rollout history {RUNS}`"


def test_the_same_command_again_has_all_options_but_those_of_its_output() -> None:
    """Values that begin with a dash, repeated options and flags keep their meaning."""
    words = ["--limit", "i-1", "--limit=-x", "--offline", "--reason", "", "--max-age", "48h"]
    typed("plan", "a b.yaml", *words, "-o", "table", "-vv", "--out", "x", "--override", "a=1")

    again = suggested.again("plan", "a b.yaml")

    assert again == (
        "rollout plan 'a b.yaml' --max-age 48h --offline --limit i-1 --limit=-x "
        "--override a=1 --reason ''"
    )
    typed(*shlex.split(again)[1:])
    assert suggested.again("plan", "a b.yaml") == again


def test_errors_suggest_commands_with_the_options(capsys: pytest.CaptureFixture[str]) -> None:
    """In the help and in the line about resuming, as text and as a log line."""
    typed("status", "--runs-dir", "my runs")
    error = RunError.of("R0506", "halted", help="rollout resume r-1 accepts this")
    error.resume = "rollout resume r-1"

    shown = rendering.render(error)

    assert f"help: rollout resume {RUNS} r-1 accepts" in shown
    assert f"resume: rollout resume {RUNS} r-1" in shown
    words = ("status", "r-none", "--runs-dir", "my runs", "--log-format", "json")
    assert main.main(words) == Exit.USAGE
    last = json.loads(capsys.readouterr().err.splitlines()[-1])
    assert last["help"] == f"rollout apply {RUNS} PLAN"


def test_the_state_of_a_run_suggests_commands_with_the_options(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`status` of a halted run: resume and abort with its runs directory."""
    folder = project / "my runs"
    shutil.copytree(golden_journals.FOLDER / "halted", folder)
    folder.chmod(0o700)

    assert main.main(("status", "--runs-dir", "my runs")) == Exit.DONE

    shown = capsys.readouterr().out
    assert f"rollout resume {RUNS} r-" in shown and f"rollout abort {RUNS} r-" in shown
