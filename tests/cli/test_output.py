"""`-o json|jsonl|csv|ids` and `--query` mean the same in every command that lists or shows."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import shutil
from pathlib import Path

import pytest

from rollout.app import keys
from rollout.app.drift import DriftedInstance, FleetDrift
from rollout.cli import main, output
from rollout.cli import terminal as terminals
from rollout.cli.commands import drift
from rollout.cli.output import Output, Shown
from rollout.cli.terminal import Terminal
from rollout.ecs.replies import ListedKeyPair
from rollout.errors import Exit, UsageError
from tests import golden_journals
from tests.app import service

COMMANDS = (
    "history",
    "status",
    "show {run}",
    "show {run} --exclusions",
    "show {run} --wave all",
    "show {run} --instance i-0000",
    "show {plan}",
    "audit show {run}",
    "config show",
    "explain R0412",
    "explain exit-codes",
    "notify {run}",
    "schedule list",
    "schedule list fleet",
    "schedule next fleet",
    "validate fleet.yaml",
    "version",
)
SPEC = (
    service.SPEC.replace("ENSURE", "import")
    + '  schedule: { cron: "30 9 20 1,4,7,10 *", timeZone: Asia/Shanghai }\n'
)


@pytest.fixture(autouse=True)
def project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Path:
    """A project with one run in doubt and one schedule."""
    shutil.copytree(golden_journals.FOLDER / "in_doubt", tmp_path / "runs")
    (tmp_path / "runs").chmod(0o700)
    (plan,) = tmp_path.glob("runs/r-*/plan.json")
    digest = hashlib.sha256(plan.read_bytes()).hexdigest()
    plan.with_name("plan.json.sha256").write_text(f"{digest}  plan.json\n")
    monkeypatch.chdir(tmp_path)
    service.write_spec(tmp_path, text=SPEC)
    assert main.main(["schedule", "add", "fleet.yaml"]) == Exit.DONE
    capsys.readouterr()
    return tmp_path


def shown(capsys: pytest.CaptureFixture[str], line: str, *more: str) -> str:
    """Return what a command prints."""
    (run,) = Path("runs").glob("r-*")
    words = line.format(run=run.name, plan=run / "plan.json").split()
    assert main.main([*words, *more]) == Exit.DONE, capsys.readouterr().err
    return capsys.readouterr().out


@pytest.mark.parametrize("line", COMMANDS)
def test_every_format_has_the_same_rows(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The JSON is one versioned document; jsonl and csv have the same rows; the table is text."""
    document = json.loads(shown(capsys, line, "-o", "json"))
    rows = [json.loads(row) for row in shown(capsys, line, "-o", "jsonl").splitlines()]
    table = list(csv.DictReader(io.StringIO(shown(capsys, line, "-o", "csv"))))

    assert document["format_version"] == "1.0"
    assert [set(row) for row in rows] == [
        {name for name, value in row.items() if value or name in rows[number]}
        for number, row in enumerate(table)
    ]
    assert shown(capsys, line, "--query", "format_version") == '"1.0"\n'
    assert not shown(capsys, line).startswith(("{", "["))


def test_ids_can_be_piped(capsys: pytest.CaptureFixture[str]) -> None:
    """One id per line: runs, targets, and the instances that need an operator."""
    (run,) = Path("runs").glob("r-*")

    assert shown(capsys, "history", "-o", "ids") == f"{run.name}\n"
    assert shown(capsys, "show {plan}", "-o", "ids") == "i-0000\ni-0001\ni-0002\n"
    assert shown(capsys, "status", "-o", "ids") == "i-0000\n"


def test_a_query_selects_from_the_document(capsys: pytest.CaptureFixture[str]) -> None:
    """A value, a list of ids, and rows of its own."""
    assert shown(capsys, "status", "--query", "classes.done") == "2\n"
    assert shown(capsys, "status", "-o", "ids", "--query", "left[].region") == "cn-hangzhou\n"
    rows = shown(capsys, "history", "-o", "csv", "--query", "runs[].{state: state, exit: exit}")
    assert rows.splitlines() == ["state,exit", "halted,5"]


def test_ids_of_checks_are_what_failed(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`validate` lists the invalid files, `doctor --policy` the permissions."""
    (project / "bad.yaml").write_text(SPEC.replace("maxDown", "maxUnavailable"))

    assert main.main(["validate", "fleet.yaml", "bad.yaml", "-o", "ids"]) == Exit.BAD_INPUT
    assert capsys.readouterr().out == "bad.yaml\n"
    assert main.main(["validate", "fleet.yaml", "bad.yaml", "-o", "csv"]) == Exit.BAD_INPUT
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert (row["file"], row["severity"], row["code"], row["line"]) == (
        "bad.yaml", "error", "R0104", "8",
    )  # fmt: skip
    assert "ecs:AttachKeyPair\n" in shown(capsys, "doctor --policy apply", "-o", "ids")
    assert shown(capsys, "doctor --policy apply", "--query", "Version") == '"1"\n'


def test_ticks_can_be_selected(capsys: pytest.CaptureFixture[str]) -> None:
    """The next tick of each schedule, and the decisions about one."""
    (tick,) = shown(capsys, "schedule next fleet --count 1", "-o", "ids").splitlines()

    assert shown(capsys, "schedule list", "--query", "schedules[].next") == f'["{tick}"]\n'
    assert shown(capsys, "schedule list", "-o", "ids") == "fleet\n"
    events = shown(capsys, "schedule list fleet", "-o", "ids", "--query", "entries[].event")
    assert events == "added\n"
    assert " cron=30 9 20 1,4,7,10 * time_zone=Asia/Shanghai " in shown(
        capsys, "schedule list fleet"
    )


@pytest.mark.parametrize(
    "form, expected",
    [
        (Output(output="ids"), "i-2\n"),
        (Output(query="current"), "1\n"),
        (
            Output(output="csv"),
            "instance,region,key_pair,why,detail\ni-2,cn-hangzhou,,no key pair,\n",
        ),
    ],
)
def test_drift_can_be_piped(
    form: Output, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The drifted instances, and the counts of the others."""
    drifted = [DriftedInstance("i-2", "cn-hangzhou", "", "no key pair")]

    output.show(
        _terminal(), form, drift.result_of(FleetDrift("ops", 3, drifted, {"rule": 1}, 1), 80)
    )

    assert capsys.readouterr().out == expected


@pytest.mark.parametrize(
    "arguments",
    [
        ["--query", "runs["],
        ["--query", "length(`1`)"],
        ["--query", "format_version", "-o", "ids"],
        ["--query", "runs[].run", "-o", "csv"],
        ["--query", "runs", "-o", "ids"],
    ],
)
def test_a_wrong_query_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 64 with the cause, also if only the format does not suit."""
    assert main.main(["history", *arguments]) == Exit.USAGE

    assert "R0023" in capsys.readouterr().err


def test_a_spreadsheet_runs_no_cell(capsys: pytest.CaptureFixture[str]) -> None:
    """A text that begins like a formula is quoted; commas and line feeds stay in their cell."""
    rows = [{"name": "=1+1", "text": 'a,"b"\nc', "number": -3, "list": ["x"], "none": None}]
    result = Shown(text=str, document=dict, rows=lambda: rows, ids=list)

    output.show(_terminal(), Output(output="csv"), result)

    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert row == {
        "name": "'=1+1",
        "text": 'a,"b"\nc',
        "number": "-3",
        "list": '["x"]',
        "none": "",
    }


def test_rows_are_made_only_for_their_format(capsys: pytest.CaptureFixture[str]) -> None:
    """Ids of a large plan do not build its document."""

    def refuse() -> dict[str, object]:
        raise UsageError.of("R0001", "built")

    result = Shown(text=str, document=refuse, rows=lambda: [refuse()], ids=lambda: ["i-1"])

    output.show(_terminal(), Output(output="ids"), result)

    assert capsys.readouterr().out == "i-1\n"


def _terminal() -> Terminal:
    return Terminal(out_color=False, err_color=False, width=80, live=False, interactive=False)


def test_the_sum_of_a_drift_fits_80_columns() -> None:
    """It is wrapped between words, with all counts."""
    excluded = {"windows": 2, "locked": 2, "password_only": 1, "former_rotation_unproven": 1}
    text = drift.result_of(FleetDrift("fleet-2026q4", 90, [], excluded, 84), 80).text()

    assert all(len(line) <= 80 for line in text.splitlines())
    assert " ".join(text.split()).endswith("password_only 1, former_rotation_unproven 1")


def test_a_table_of_key_pairs_fits_a_terminal_of_80_columns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rows with a fingerprint are broken between their cells; a pipe gets whole rows."""
    pair = ListedKeyPair("fleet-2026q4", ":".join(["ab"] * 20), 1_796_121_000_000)

    async def described(*_: object) -> dict[str, list[ListedKeyPair]]:
        return {"cn-hangzhou": [pair]}

    monkeypatch.setattr(keys, "list_all", described)
    assert main.main(["keys", "list"]) == Exit.DONE
    assert max(map(len, capsys.readouterr().out.splitlines())) > 80

    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(terminals, "_is_terminal", lambda _: True)
    assert main.main(["keys", "list"]) == Exit.DONE
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 80 and pair.fingerprint in printed
