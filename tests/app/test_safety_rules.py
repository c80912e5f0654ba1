"""Commands obey the safety policy of the aliyun CLI before they change anything."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import msgspec
import pytest

from rollout.app import connect, doctor, execute, keys, plan_file, preflight, safety_rules, ticks
from rollout.app import plan as planning
from rollout.app.checks import CheckState
from rollout.app.notices import Notices
from rollout.app.session import Connection, Session
from rollout.cli import confirmation, main
from rollout.emulator.dispatch import Cloud as EmulatedCloud
from rollout.engines.service import Service
from rollout.errors import ConfirmationError, Exit, RolloutError
from rollout.model.plan import Plan, RestartKind, Target
from rollout.model.spec import Calls
from tests.app import factory
from tests.app import service as stage
from tests.app.test_preflight import RUNS, code_of
from tests.cli.test_confirmation import UNATTENDED

KEY_FILE = "new.pub"
BATCH = msgspec.structs.replace(factory.plan().restart, calls=Calls.BATCH)


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project directory, which is the working directory and the home directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / KEY_FILE).write_text(stage.PUBLIC_KEY, "utf-8")
    return tmp_path


def obey(monkeypatch: pytest.MonkeyPatch, rules: str) -> None:
    """Put these rules in force."""
    monkeypatch.setenv("ALIBABA_CLOUD_SAFETY_POLICY_ENABLED", "true")
    monkeypatch.setenv("ALIBABA_CLOUD_SAFETY_POLICY_RULES", rules)


def changed(change: dict[str, Any], **of_target: object) -> Plan:
    """The factory's plan with other fields, in the plan and in its targets."""

    def replaced(target: Target) -> Target:
        return msgspec.structs.replace(target, **of_target)

    plan = msgspec.structs.replace(factory.plan(), **change)
    waves = [
        msgspec.structs.replace(
            wave,
            cells=tuple(
                msgspec.structs.replace(
                    cell,
                    batches=tuple(
                        msgspec.structs.replace(one, targets=tuple(map(replaced, one.targets)))
                        for one in cell.batches
                    ),
                )
                for cell in wave.cells
            ),
        )
        for wave in plan.waves
    ]
    return msgspec.structs.replace(plan, waves=tuple(waves))


@pytest.mark.parametrize(
    "plan,actions",
    [
        (factory.plan(), "AttachKeyPair RebootInstance StartInstance"),
        (changed({}, restart=RestartKind.REBOOT), "AttachKeyPair RebootInstance"),
        (changed({}, restart=RestartKind.START), "AttachKeyPair RebootInstance StartInstance"),
        (changed({}, restart=RestartKind.REBOOT, attach=False), "RebootInstance"),
        (
            changed({"restart": BATCH}, restart=RestartKind.REBOOT),
            "AttachKeyPair RebootInstance RebootInstances",
        ),
    ],
)
def test_the_actions_of_a_plan(plan: Plan, actions: str) -> None:
    """What its run may send: a stopped target may run by then, a running one is never started."""
    assert safety_rules.actions_of(plan) == actions.split()


def test_a_missing_key_pair_is_imported() -> None:
    """A region without the key pair adds ImportKeyPair."""
    (wanted,) = factory.plan().keys
    absent = tuple(msgspec.structs.replace(one, present=False) for one in wanted.regions)
    plan = changed({"keys": (msgspec.structs.replace(wanted, regions=absent),)})

    assert safety_rules.actions_of(plan)[0] == "ImportKeyPair"


@pytest.mark.parametrize("action", safety_rules.actions_of(factory.plan()))
@pytest.mark.parametrize("confirmed", [False, True])
def test_a_denied_action_ends_apply_before_it_connects(
    monkeypatch: pytest.MonkeyPatch, action: str, *, confirmed: bool
) -> None:
    """Whatever the operator confirmed: R0417, exit 4, no runs directory, no call."""
    obey(monkeypatch, f"ecs:{action}=deny")
    saved = plan_file.with_digest(factory.plan())

    with pytest.raises(RolloutError) as caught:
        anyio.run(lambda: execute.apply(saved, Session(), confirmed=confirmed))

    assert code_of(caught) == ("R0417", Exit.DENIED)
    assert f"ecs:{action}" in str(caught.value)
    assert not Path("runs").exists()


def test_a_run_without_the_denied_action_may_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rules about other actions do not count."""
    obey(monkeypatch, "ecs:Delete*=deny,ecs:Stop*=deny,ecs:RebootInstances=deny")

    assert safety_rules.check_plan(factory.plan()) == []


def test_confirm_needs_the_specs_name_for_a_plan_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A reviewed plan file needs --confirm too if a rule says so: exit 7 without a terminal."""
    obey(monkeypatch, "ecs:Reboot*=confirm")
    plan = factory.plan()
    plan_file.save_plan(plan_file.with_digest(plan), Path("fleet.plan.json"))

    assert main.main(["apply", "fleet.plan.json"]) == Exit.CONFIRM
    printed = capsys.readouterr().err
    assert "R0701" in printed and "ecs:RebootInstance" in printed and "--confirm fleet" in printed

    rules = safety_rules.check_plan(plan)
    with pytest.raises(ConfirmationError) as caught:
        confirmation.confirm_file(UNATTENDED, plan, rules, "other")
    assert caught.value.problems[0].code == "R0702"
    confirmation.confirm_file(UNATTENDED, plan, rules, "fleet")


def test_a_program_states_that_the_plan_was_confirmed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The Python API refuses a plan with such a rule unless its caller says so."""
    obey(monkeypatch, "*:Attach*=confirm")
    saved = plan_file.with_digest(factory.plan())

    with pytest.raises(ConfirmationError) as caught:
        anyio.run(execute.apply, saved, Session())
    assert caught.value.problems[0].code == "R0701"
    safety_rules.check_confirmed(saved.plan, confirmed=True)


def test_a_schedule_does_not_confirm(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tick that applies by itself has no operator: R0542 names the command for one."""
    obey(monkeypatch, "ecs:Reboot*=confirm")

    with pytest.raises(RolloutError) as caught:
        ticks._check_rules(plan_file.with_digest(factory.plan()), Path("f.plan.json"))
    assert caught.value.problems[0].code == "R0542"
    assert "f.plan.json --confirm fleet" in str(caught.value.problems[0].help)


@pytest.mark.asyncio
async def test_no_command_connects_if_reading_is_denied(monkeypatch: pytest.MonkeyPatch) -> None:
    """R0417 before GetCallerIdentity; `confirm` for a read-only action is not a refusal."""
    obey(monkeypatch, "*:Describe*=deny")
    cloud = stage.emulated()
    with pytest.raises(RolloutError) as caught:
        async with stage.connected(cloud):
            pass
    assert code_of(caught) == ("R0417", Exit.DENIED)

    obey(monkeypatch, "*=confirm")
    async with stage.connected(cloud, stage.ReadOnly):
        pass


@pytest.mark.asyncio
async def test_preflight_refuses_what_the_policy_denies(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also for a plan that another program created: no run, and the cloud as it was."""
    cloud = stage.emulated()
    async with stage.connected(cloud) as service:
        saved = (await planning.create(stage.write_spec(project), service, RUNS)).saved
        obey(monkeypatch, "ecs:ImportKeyPair=deny")
        with pytest.raises(RolloutError) as caught:
            await preflight.check(saved, service, RUNS)

    assert code_of(caught) == ("R0417", Exit.DENIED)
    assert len(cloud.ledger) == 0


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> EmulatedCloud:
    """An emulated cloud that commands connect to."""
    made = stage.emulated()

    def connected(_: Connection, notices: Notices) -> AbstractAsyncContextManager[Service]:
        return stage.connected(made, notices=notices)

    monkeypatch.setattr(
        keys,
        "connect",
        SimpleNamespace(connect=connected, describe_key_pair=connect.describe_key_pair),
    )
    return made


@pytest.mark.asyncio
async def test_imports_outside_a_run_obey_the_policy(
    cloud: EmulatedCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`keys ensure`: deny is exit 4; confirm calls for the key pair's name, only if a region lacks
    the key pair.
    """
    session = Session(allow_unsafe_fs=True)
    asked: list[keys.Regions] = []

    def ask(regions: keys.Regions, rules: Any) -> None:
        asked.append(regions)
        if len(asked) == 1:
            confirmation.confirm_import(UNATTENDED, "ops-2026", regions, rules, None)

    async def ensure() -> object:
        return await keys.ensure("ops-2026", Path(KEY_FILE), session, ask, ["cn-hangzhou"])

    obey(monkeypatch, "ecs:Import*=deny")
    with pytest.raises(RolloutError) as caught:
        await ensure()
    assert code_of(caught) == ("R0417", Exit.DENIED)
    obey(monkeypatch, "ecs:Import*=confirm")
    with pytest.raises(RolloutError) as caught:
        await ensure()
    assert code_of(caught) == ("R0701", Exit.CONFIRM)
    assert len(cloud.ledger) == 0

    await ensure()
    await ensure()
    assert asked == [["cn-hangzhou"]] * 2


@pytest.mark.asyncio
async def test_a_denied_deletion_keeps_the_key_pair(
    cloud: EmulatedCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`keys retire` refuses before it asks for the name."""
    session = Session(allow_unsafe_fs=True)
    await keys.ensure("ops-2026", Path(KEY_FILE), session, lambda *_: None, ["cn-hangzhou"])
    obey(monkeypatch, "*:Delete*=deny")

    with pytest.raises(RolloutError) as caught:
        await keys.retire("ops-2026", session, lambda _: pytest.fail("asked"), ["cn-hangzhou"])
    assert code_of(caught) == ("R0417", Exit.DENIED)
    assert cloud.pairs.find("cn-hangzhou", "ops-2026") is not None


@pytest.mark.asyncio
async def test_doctor_lists_the_rules_about_rotations(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rule is a warning until a plan needs the action; a damaged policy is a problem."""
    environment = {
        "ALIBABA_CLOUD_SAFETY_POLICY_ENABLED": "1",
        "ALIBABA_CLOUD_SAFETY_POLICY_RULES": "ecs:Start*=deny,ecs:RebootInstance=confirm",
    }
    monkeypatch.setenv("ALIBABA_CLOUD_ECS_METADATA_DISABLED", "true")

    async def findings() -> list[tuple[CheckState, str, str]]:
        checks = await doctor.examine(Session(), environment=environment)
        return [
            (one.state, str(one.text), one.code) for one in checks if one.name == "safety policy"
        ]

    found = await findings()
    assert [state for state, _, _ in found] == [CheckState.WARNING] * 3
    assert any("denies ecs:StartInstance" in text for _, text, _ in found)
    environment["ALIBABA_CLOUD_SAFETY_POLICY_RULES"] = "nonsense"
    assert [(state, code) for state, _, code in await findings()] == [(CheckState.PROBLEM, "R0418")]
