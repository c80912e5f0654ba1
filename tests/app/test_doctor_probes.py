"""`rollout doctor SPEC` asks the gates and checks what the proofs of login need."""

from __future__ import annotations

import subprocess
from pathlib import Path

import msgspec
import pytest

from rollout.app import doctor_probes, proofs
from rollout.app import plan as planning
from rollout.app.checks import Check, CheckState, Checkup
from rollout.errors import Exit, RolloutError
from rollout.journal.directory import DirectoryStore
from rollout.model.gate import AnyGate, ExecGate, HttpGate, PrometheusGate
from rollout.model.spec import KeyPairSpec
from rollout.model.verify import CommandHook, HttpHook, SshLogin, Verify
from tests.app import factory
from tests.app import service as stage

CLOSED = "http://127.0.0.1:9"
"""An address that nothing listens on."""


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project directory without an SSH agent, which is the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return tmp_path


def new_key(path: Path) -> str:
    """Write a private key, and return its public half."""
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "new", "-f", str(path)]
    subprocess.run(command, check=True)
    return path.with_suffix(".pub").read_text().strip()


async def asked(*gates: AnyGate) -> list[Check]:
    """The findings for a spec with these gates."""
    found = Checkup()
    await doctor_probes.gates(found, msgspec.structs.replace(factory.spec(), gates=gates))
    return found.checks


async def proved(verify: Verify | None, public_key: str = factory.PUBLIC_KEY) -> list[Check]:
    """The findings for a spec with these proofs of login."""
    found = Checkup()
    key = KeyPairSpec("ops-new", public_key)
    spec = msgspec.structs.replace(factory.spec(), verify=verify, key_pair=key)
    await doctor_probes.logins(found, spec)
    return found.checks


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "gate,state,text",
    [
        (ExecGate(argv=("true",)), CheckState.OK, "exec true answers, and is open now"),
        (ExecGate(argv=("false",)), CheckState.OK, "exec false answers, and is shut now"),
        (ExecGate(argv=("sleep", "9"), timeout_ms=50), CheckState.PROBLEM, "gave no answer"),
        (ExecGate(argv=("no-such-program",)), CheckState.PROBLEM, "is not a program"),
        (ExecGate(argv=("true",), env=("NO_SUCH",)), CheckState.PROBLEM, "NO_SUCH is not set"),
        (HttpGate(url=CLOSED), CheckState.PROBLEM, "gave no answer"),
        (PrometheusGate(url=CLOSED, query="up", wanted="> 0"), CheckState.PROBLEM, "no answer"),
        (
            HttpGate(url=CLOSED, headers={"Authorization": "${env:NO_SUCH}"}),
            CheckState.PROBLEM,
            "NO_SUCH",
        ),
    ],
)
async def test_a_gate_must_answer(gate: AnyGate, state: CheckState, text: str) -> None:
    """Open or shut is an answer; a run would wait for one that never comes, and then halt."""
    (found,) = await asked(gate)

    assert (found.name, found.state) == ("gate", state)
    assert text in str(found.text)
    assert (found.code == "R0343") is (state is CheckState.PROBLEM)
    assert (found.exit is Exit.CONFIG) is (state is CheckState.PROBLEM)


@pytest.mark.asyncio
async def test_every_gate_is_a_finding() -> None:
    """One without an answer does not hide the others, and a spec without gates has none."""
    found = await asked(ExecGate(argv=("no-such-program",)), ExecGate(argv=("true",)))

    assert [one.state for one in found] == [CheckState.PROBLEM, CheckState.OK]
    assert await asked() == []


@pytest.mark.asyncio
async def test_hooks_must_be_startable() -> None:
    """A missing program would fail every instance after its restart; a URL is not asked yet."""
    hooks = Verify(command=(CommandHook(("no-such-program", "{instance}")),))
    (missing,) = await proved(hooks)
    assert (missing.state, missing.code) == (CheckState.PROBLEM, "R0351")

    hooks = Verify(
        http=(HttpHook("https://health.internal/{instance}"),),
        command=(CommandHook(("true", "{instance}")), CommandHook(("{instance}.sh",))),
    )
    programs, http = await proved(hooks)
    assert programs.state is CheckState.OK and "2 programs" in str(programs.text)
    assert http.state is CheckState.UNKNOWN and "health.internal" in str(http.text)
    assert await proved(None) == []


@pytest.mark.asyncio
async def test_a_missing_program_ends_preflight() -> None:
    """Before anything is attached, also for a plan that another machine created."""
    hooks = Verify(command=(CommandHook(("no-such-program",)),))
    plan = msgspec.structs.replace(factory.plan(), verify=hooks)

    async with stage.connected(stage.emulated()) as service:
        with pytest.raises(RolloutError) as caught:
            async with proofs.prober(plan, service):
                pass
    assert (caught.value.problems[0].code, caught.value.exit) == ("R0351", Exit.CONFIG)


@pytest.mark.asyncio
async def test_the_new_key_must_be_present(project: Path) -> None:
    """In the identity file, or in the agent; otherwise R0349 says where it was looked for."""
    public = new_key(project / "id")
    login = SshLogin("ops", identity="file:id", expect_old_key_refused=False)

    (found,) = await proved(Verify(login), public)
    assert (found.state, found.text) == (CheckState.OK, "the new key is present")
    (absent,) = await proved(Verify(login))
    assert (absent.state, absent.code) == (CheckState.PROBLEM, "R0349")
    assert "file:id" in str(absent.text)
    (unreadable,) = await proved(Verify(msgspec.structs.replace(login, identity="file:gone")))
    assert "identity gone cannot be used: No such file" in str(unreadable.text)
    (no_agent,) = await proved(Verify(SshLogin("ops")))
    assert no_agent.state is CheckState.PROBLEM and "SSH_AUTH_SOCK is not set" in str(no_agent.text)


@pytest.mark.asyncio
async def test_an_agent_that_only_former_keys_need_is_a_warning(project: Path) -> None:
    """The new key is in a file, but the former ones are to be refused, and are in no agent."""
    public = new_key(project / "id")
    warning, found = await proved(Verify(SshLogin("ops", identity="file:id")), public)

    assert (warning.state, warning.code) == (CheckState.WARNING, "R0349")
    assert "no SSH agent" in str(warning.text)
    assert found.state is CheckState.OK


@pytest.mark.asyncio
async def test_absent_former_keys_are_a_problem(project: Path) -> None:
    """The plan of the inventory names the key pairs whose private keys must be there."""
    public = new_key(project / "id")
    verify = Verify(SshLogin("ops", identity="file:id"))
    found = Checkup()
    async with stage.connected(stage.emulated()) as service:
        store = DirectoryStore(Path("runs"))
        spec = stage.write_spec(project)
        (project / "new.pub").write_text(public)
        plan = (await planning.create(spec, service, store)).saved.plan
        given = msgspec.structs.replace(plan, verify=verify)
        await doctor_probes.former_logins(found, given, service)
        await doctor_probes.former_logins(found, plan, service)

    (absent,) = found.checks
    assert (absent.name, absent.code) == ("former keys", "R0349")
    assert "former key pair" in str(absent.text)
