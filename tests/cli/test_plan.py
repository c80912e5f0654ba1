"""`rollout plan`: the file of `--out` and the suggested commands."""

from __future__ import annotations

import shlex
from pathlib import Path

import msgspec
import pytest

from rollout.app import plan as planning
from rollout.app import plan_file, retry, undo
from rollout.cli import main, planned_result
from rollout.cli.options import Common
from rollout.cli.output import Output
from rollout.cli.terminal import Terminal
from rollout.errors import Exit
from rollout.model import signed_note
from rollout.model.approval import Approvers
from rollout.model.plan import Origin, OriginKind
from rollout.model.time import HOUR
from tests.app import factory
from tests.app import service as stage

SOURCE = "source: ecs, regions: [cn-hangzhou, cn-shanghai]"
KEY = str(signed_note.signer_of("li.wei", bytes(32)).verifier)
RULE = Approvers(1, (KEY,))


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


def test_the_next_command_makes_the_same_plan(
    project: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Overrides, their reason, the age and what is accepted are in the suggested command."""
    words = ["--override", "budgets[0].maxDown=60%", "--reason", "CHG 1", "--max-age", "48h"]
    words += ["--allow-empty", "--offline", "--runs-dir", "my runs"]

    assert main.main(["plan", project, *words]) == Exit.DONE
    (line,) = [one for one in capsys.readouterr().out.splitlines() if one.startswith("Next:")]
    again = shlex.split(line.removeprefix("Next:"))[1:]
    assert sorted(again) == sorted(["plan", project, *words, "--out", "fleet.plan.json"])

    assert main.main(again) == Exit.DONE
    made = plan_file.load_plan(Path("fleet.plan.json")).plan
    assert made.overridden()[0].reason == "CHG 1"
    assert made.expires_at - made.made_at == 48 * HOUR


@pytest.mark.parametrize(
    "changes,after",
    [
        ({}, "rollout rehearse 'sp ace.json'"),
        ({"applyable": True}, "rollout apply 'sp ace.json'"),
        ({"applyable": True, "approvals": RULE}, "rollout approve 'sp ace.json' --key KEY"),
    ],
    ids=["offline", "online", "approvals"],
)
def test_the_next_commands_of_a_saved_plan(
    changes: dict[str, object], after: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Paths are quoted; a plan that needs approvals is approved before it is applied."""
    plan = msgspec.structs.replace(factory.plan(), **{"applyable": False, **changes})
    planned = planning.PlanResult(plan_file.with_digest(plan), planning.InventoryReading(1, 1))

    planned_result.show(
        Terminal.of(Common()), planned, Output(), Path("sp ace.json"), "rollout plan x"
    )

    lines = capsys.readouterr().out.rpartition("Saved sp ace.json")[2].splitlines()[1:]
    assert lines[0] == "Next:  rollout rehearse 'sp ace.json'"
    assert lines[-1].removeprefix("Next:").strip() == after and len(lines) == 1 + bool(changes)


def test_a_saved_plan_without_targets_is_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files exist, so the output says so; there is no next command."""
    monkeypatch.chdir(tmp_path)
    made = factory.plan()
    plan = msgspec.structs.replace(made, counts=msgspec.structs.replace(made.counts, targets=0))
    planned = planning.PlanResult(plan_file.with_digest(plan), planning.InventoryReading(1, 1))

    planned_result.show(Terminal.of(Common()), planned, Output(), Path("empty.json"), "x")

    assert Path("empty.json").is_file()
    size = Path("empty.json").stat().st_size
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == f"Saved empty.json ({size / 1000:.0f} KB) and empty.json.sha256"


@pytest.mark.parametrize("command", ["undo", "retry"])
def test_the_next_command_of_undo_and_retry_names_the_run(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the newest run was meant, with the options that change the plan."""
    origin = Origin(OriginKind(command), "r-1", "sha256:00")
    plan = msgspec.structs.replace(factory.plan(), origin=origin)
    planned = planning.PlanResult(plan_file.with_digest(plan), planning.InventoryReading(1, 1))

    async def made(*_: object, **__: object) -> planning.PlanResult:
        return planned

    monkeypatch.setattr(undo if command == "undo" else retry, command, made)
    option = ["--wave", "canary"] if command == "undo" else ["--failed", "--in-doubt"]

    assert main.main([command, *option, "--max-age", "48h"]) == Exit.DONE

    words = " ".join(sorted([*option, "--max-age 48h"], key=lambda one: one == "--max-age 48h"))
    (line,) = [one for one in capsys.readouterr().out.splitlines() if one.startswith("Next:")]
    assert line == f"Next:  rollout {command} r-1 {words} --out {plan.name}.plan.json"
