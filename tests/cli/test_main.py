"""The command line as a whole: exit codes, errors in our form, speed, and no traceback ever."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from cyclopts import App

from rollout.cli import main, options
from rollout.cli.options import CloudOptions, Common
from rollout.errors import Exit, StorageError
from tests import reference

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project folder and an environment without settings."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith("ROLLOUT_"):
            monkeypatch.delenv(name)
    return tmp_path


@pytest.mark.parametrize(
    "line",
    [
        "--runs-dir none history",
        "-v --color never --runs-dir=none history",
        "history --runs-dir none",
        "--log-format text --runs-dir none --no-input history",
    ],
)
def test_options_of_every_command_may_come_before_it(
    line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The position of a global option does not change what it means."""
    assert main.main(line.split()) == Exit.DONE

    assert capsys.readouterr().out == "No runs in none.\n"


@pytest.mark.parametrize("line", ["--runs-dir none audit verify", "audit --runs-dir none verify"])
def test_options_may_come_before_a_command_of_two_words(
    line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also before `audit verify`, and between its words."""
    assert main.main(line.split()) == Exit.USAGE

    assert "there are no runs in none" in capsys.readouterr().err


def test_every_option_with_a_value_is_known_before_the_command() -> None:
    """The list of options that take a value follows the options themselves."""
    flags = {"no_input", "verbose", "emulator", "allow_clock_skew"}
    fields = {*Common.__dataclass_fields__, *CloudOptions.__dataclass_fields__} - flags
    named = {f"--{name.replace('_', '-')}" for name in fields}

    assert named | {"-p"} == options.VALUED


@pytest.mark.parametrize(
    "line,said",
    [
        ("pln", "did you mean `plan`?"),
        ("preview", "did you mean `plan`?"),
        ("audit log", "did you mean `show`?"),
        ("validate x.yaml --outptu json", "did you mean `--output`?"),
        ("validate x.yaml -o xml", "choose from `table`, `json`"),
        ("validate", "parameter FILE requires an argument"),
        ("version extra", "unexpected argument `extra`"),
        ("version --runs-dir", "parameter --runs-dir requires an argument"),
        ("validate --file x.yaml", "unknown option `--file`"),
        ("apply x.yaml --dry-run", "`rollout plan` changes nothing"),
        ("apply x.yaml -y", "--confirm"),
        ("apply x.yaml --limit i-1", "--limit PATTERN --out FILE"),
        ("emulator --port 8474", "--listen 127.0.0.1:8473"),
        ("emulator --instances 10", "--size N"),
    ],
)
def test_a_wrong_command_line_is_exit_64_with_a_way_out(
    line: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Typing errors, other tools' words and wrong values end in 64, in our form."""
    assert main.main(line.split()) == Exit.USAGE

    talk = capsys.readouterr()
    assert talk.err.startswith("error[R0001]: ") and said in talk.err
    assert not talk.out


@pytest.mark.parametrize(
    "name,value,said",
    [
        ("ROLLOUT_COLOR", "purple", "purple"),
        ("ROLLOUT_NO_INPUT", "maybe", "ROLLOUT_NO_INPUT"),
    ],
)
def test_a_wrong_setting_is_exit_78(
    name: str,
    value: str,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A setting that cannot be read is an error of every command."""
    monkeypatch.setenv(name, value)

    assert main.main(["version"]) == Exit.CONFIG

    talk = capsys.readouterr().err
    assert talk.startswith("error[R0014]: ") and said in talk


@pytest.mark.parametrize(
    "name",
    [
        "ROLLOUT_SERVICE_HOST",
        "ROLLOUT_PORT",
        "ROLLOUT_WEB_PORT_80_TCP_ADDR",
        "ROLLOUT_NAME",
        "ROLLOUT_ENV_VERSION",
        "ROLLOUT_STATUS_DISABLED",
        "ROLLOUT_RESOURCE_TYPE",
        "ROLLOUT_WHATEVER",
    ],
)
def test_variables_of_others_are_ignored(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Kubernetes, links of containers and CI systems set names that begin like ours."""
    monkeypatch.setenv(name, "10.0.0.1")

    assert main.main(["version"]) == Exit.DONE
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "name, meant",
    [
        ("ROLLOUT_EMULATER", "ROLLOUT_EMULATOR"),
        ("ROLLOUT_END_POINT", "ROLLOUT_ENDPOINT"),
        ("ROLLOUT_RUN_DIR", "ROLLOUT_RUNS_DIR"),
        ("ROLLOUT_COLOUR", "ROLLOUT_COLOR"),
    ],
)
def test_a_misspelled_setting_is_warned_of(
    name: str, meant: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A close misspelling of one of ours is named, and the command runs."""
    monkeypatch.setenv(name, "1")

    assert main.main(["version"]) == Exit.DONE

    talk = capsys.readouterr().err
    assert talk.startswith("warning[R0118]: ")
    assert name in talk and meant in talk


@pytest.mark.parametrize(
    "command",
    [
        "apply fleet.yaml",
        "resume",
        "serve --scheduler",
        "keys ensure x --public-key k.pub",
        "keys retire x",
    ],
)
def test_what_was_meant_for_the_emulator_does_not_change_production(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A misspelled variable that chooses the service ends the commands that change something."""
    monkeypatch.setenv("ROLLOUT_EMULATER", "1")

    assert main.main(command.split()) == Exit.CONFIG
    assert "error[R0014]" in capsys.readouterr().err


def test_a_command_with_the_same_last_word_only_warns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """`schedule resume` calls no service, unlike `resume`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ROLLOUT_EMULATER", "1")

    assert main.main(["schedule", "resume", "x"]) == Exit.USAGE
    told = capsys.readouterr().err
    assert "warning[R0118]" in told and "error[R0014]" not in told


@pytest.mark.parametrize(
    "words, text", [(["r-1", "--last"], "leave out the run, or --last"), ([], "or pass --last")]
)
def test_resume_needs_a_run_or_last_and_not_both(
    words: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error of both does not ask for one of them."""
    assert main.main(["resume", *words]) == Exit.USAGE
    assert text in capsys.readouterr().err


def test_every_variable_named_is_read() -> None:
    """The list of variables and the options that read them are the same."""
    read = {
        variable
        for _, app in reference.commands()
        for option in reference.arguments(app)
        for variable in option.parameter.env_var or ()
    }

    assert sorted(read) == list(options.ENVIRONMENT)


@pytest.mark.parametrize("arguments", [["--help"], [], ["version", "--help"], ["audit"]])
def test_help_is_a_result(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Help goes to stdout and is no error."""
    assert main.main(arguments) == Exit.DONE

    assert "Usage: rollout" in capsys.readouterr().out


@pytest.mark.parametrize("words,app", list(reference.commands()))
def test_help_says_what_a_command_takes(words: str, app: App) -> None:
    """The first line of a command's help names its arguments as the reference does."""
    assert app.usage == f"Usage: {reference.usage(words, app)}"


def test_help_fits_eighty_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line a command, on the narrowest usual terminal."""
    monkeypatch.setenv("COLUMNS", "80")

    main.main(["--help"])

    lines = capsys.readouterr().out.splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert (
        len([line for line in lines if line.startswith("│")])
        == len({one.partition(" ")[0] for one in main.COMMANDS}) + 2
    )


def test_version_says_what_is_installed(capsys: pytest.CaptureFixture[str]) -> None:
    """Bug reports and scripts find program, Python and formats."""
    assert main.main(["version", "-o", "json"]) == Exit.DONE

    facts = json.loads(capsys.readouterr().out)
    assert facts["tool"].startswith("rollout ")
    assert facts["plan_format_version"] == "1.0"


def test_help_loads_little() -> None:
    """`rollout --help` loads no module that takes long to load. Its time is measured by
    `benchmarks start`.
    """
    script = (
        "import sys; from rollout.cli import main; main.main(['--help'])\n"
        "heavy = {'aiohttp', 'anyio', 'asyncio', 'cryptography', 'importlib.metadata', 'pydantic',"
        " 'rich.traceback', 'ruamel', 'ssl', 'structlog'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT
    )

    assert ended.stderr == "[]\n"


def test_a_defect_prints_one_line_and_a_file(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A bug of ours shows no traceback; what we need stands in a file without secrets."""
    (project / "runs").mkdir()

    def explode() -> str:
        message = "AccessKeySecret=planted-secret-2"
        raise ZeroDivisionError(message)

    monkeypatch.setattr("rollout.app.about.python", explode)

    assert main.main(["version"]) == Exit.FAILED

    talk = capsys.readouterr().err
    assert "Traceback" not in talk and "planted-secret-2" not in talk
    assert talk.startswith("error[bug]: ZeroDivisionError")
    (saved,) = (project / "runs").glob("rollout-crash-*.txt")
    assert str(saved.relative_to(project)) in talk
    assert "Traceback" in saved.read_text("utf-8")
    assert "planted-secret-2" not in saved.read_text("utf-8")
    assert saved.stat().st_mode & 0o777 == 0o600


def test_an_interrupt_outside_a_run_is_130(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while planning leaves nothing behind and says how it ended."""

    def interrupt() -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("rollout.app.about.tool", interrupt)

    assert main.main(["version"]) == Exit.INTERRUPTED


def test_sigterm_outside_a_run_is_143(project: Path) -> None:
    """A scheduler that stops us before anything began gets its code."""
    waiting = """
import time
import rollout.cli.main as m
def wait(_):
    print("waiting", flush=True)
    time.sleep(60)
m.main = wait
m.run()
"""
    command = [sys.executable, "-c", waiting]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        process.terminate()

    assert process.returncode == Exit.TERMINATED


def test_a_port_in_use_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    """The emulator names address, reason and a way out, in one line each."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        assert main.main(["emulator", "--size", "1", "--listen", address]) == Exit.CONFIG

    assert capsys.readouterr().err == (
        f"error[R0010]: cannot listen on {address}: Address already in use\n"
        "  help: choose another port; port 0 selects a free one\n"
    )


def test_a_reader_of_stdout_that_left_is_no_error(project: Path) -> None:
    """`rollout version | head -0` ends well."""
    command = f"{sys.executable} -m rollout version | true; exit ${{PIPESTATUS[0]}}"
    ended = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize("redirection", [">&-", "> /dev/full", "1< /dev/null"])
def test_a_lost_result_is_an_io_error(redirection: str) -> None:
    """A closed stdout, a full disk and a read-only descriptor end with 74 and say so."""
    ended = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m rollout version {redirection}"],
        capture_output=True, text=True, cwd=ROOT, check=False,
    )  # fmt: skip
    assert ended.returncode == Exit.IO
    assert ended.stderr.startswith("error[R0804]: the result cannot be written: ")


@pytest.mark.parametrize("form", ["text", "json"])
def test_an_error_says_how_the_run_is_resumed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    """Where an error ended a run, the last line is its resume command, for people and collectors;
    the exit code is that of the error."""

    def fail() -> str:
        error = StorageError.of("R0801", "the journal cannot be written: No space left on device")
        error.resume = "rollout resume r-1"
        raise error

    monkeypatch.setattr("rollout.app.about.tool", fail)

    assert main.main(["version", "--log-format", form]) == Exit.IO
    last = capsys.readouterr().err.splitlines()[-1]
    resume = json.loads(last)["resume"] if form == "json" else last.removeprefix("resume: ")
    assert resume == "rollout resume r-1"


def test_talk_is_json_where_a_collector_reads_it(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With --log-format json every line of stderr is a JSON object, errors and notices too."""
    assert main.main(["validate", "nope.yaml", "--log-format", "json"]) == Exit.IO
    assert main.main(["resume", "--last", "--log-format", "json"]) == Exit.DONE
    assert main.main(["status", "r-x", "--log-format", "json"]) == Exit.USAGE
    assert main.main(["--log-format=json", "statsu"]) == Exit.USAGE

    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["event"] for line in lines] == ["error", "message", "error", "error"]
    assert [line.get("code") for line in lines] == ["R0100", None, "R0003", "R0001"]
    assert {line["level"] for line in lines} == {"error", "info"}


@pytest.mark.parametrize(
    "words, code", [(["history"], 74), (["validate", "/x"], 74), (["version"], 0)]
)
def test_a_working_directory_that_is_gone_is_an_error_of_its_own(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    code: int,
) -> None:
    """Relative paths mean nothing there, so only commands without files run."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()

    ended = main.main(words)
    monkeypatch.chdir(tmp_path)

    assert ended == code
    assert ("R0117" in capsys.readouterr().err) == bool(code)


def test_an_interrupt_while_a_class_is_made_is_an_interrupt(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Python 3.11 wraps it in a RuntimeError; it is no defect of the program."""

    class Interrupting:
        def __set_name__(self, *_: object) -> None:
            raise KeyboardInterrupt

    def interrupted(*_: object) -> None:
        type("Made", (), {"field": Interrupting()})

    monkeypatch.setattr(main, "_before_parsing", lambda *_: Common())
    monkeypatch.setattr(main, "_parse", interrupted)

    assert main.main(["history"]) == Exit.INTERRUPTED
    assert "bug" not in capsys.readouterr().err
