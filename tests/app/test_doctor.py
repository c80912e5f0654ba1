"""`rollout doctor`: each thing that can be wrong is one finding, and nothing is changed."""

from __future__ import annotations

import shutil
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from types import SimpleNamespace

import pytest

from rollout.app import checks as checking
from rollout.app import doctor
from rollout.app.checks import Check, CheckState
from rollout.app.notices import Notices
from rollout.app.session import Connection, Session
from rollout.emulator.cloud.users import Statement, User
from rollout.emulator.dispatch import Cloud as EmulatedCloud
from rollout.emulator.http import server
from rollout.engines.service import Service
from rollout.errors import AccessError, Exit
from rollout.model.event import ClockSkew
from rollout.model.time import HOUR, MINUTE
from tests.app import factory
from tests.app import service as stage

NOW = factory.NOW


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project directory, which is the working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


async def examined(
    cloud: EmulatedCloud, spec: Path | None = None, *, session: Session | None = None
) -> list[Check]:
    """The findings against an emulated cloud."""

    def connected(_: Connection, notices: Notices) -> AbstractAsyncContextManager[Service]:
        return stage.connected(cloud, notices=notices)

    given = session or Session(allow_unsafe_fs=True)
    return await doctor.examine(given, spec, environment={}, connected=connected)


def of(checks: list[Check], name: str) -> list[Check]:
    """The findings with this name."""
    return [one for one in checks if one.name == name]


@pytest.mark.asyncio
async def test_a_healthy_project_has_no_problem(project: Path) -> None:
    """Everything that is checked has a finding; the cloud and the directory stay unchanged."""
    cloud = stage.emulated()

    checks = await examined(cloud, stage.write_spec(project))

    assert checking.exit_of(checks) is Exit.DONE
    assert {one.name for one in checks} == {
        *("runs directory", "disk", "lock", "endpoint", "proxy", "spec", "identity"),
        *("credentials", "clock", "inventory", "key pair", "restart permission"),
        *("attach permission", "safety policy"),
    }
    assert {str(one.text) for one in of(checks, "restart permission")} >= {
        "cn-hangzhou: RebootInstance is permitted",
        "cn-shanghai: RebootInstance is permitted",
    }
    assert of(checks, "attach permission")[0].state is CheckState.UNKNOWN
    assert len(cloud.ledger) == 0
    assert not (project / "runs").exists()


@pytest.mark.asyncio
async def test_a_denied_restart_is_one_problem(project: Path) -> None:
    """The other checks still run, and the exit code is that of the denial."""
    cloud = stage.emulated()
    denied = Statement("deny", ("ecs:RebootInstance",), ("acs:ecs:cn-shanghai:*",))
    cloud.access.put(User(statements=(Statement("allow"), denied)))

    checks = await examined(cloud, stage.write_spec(project))

    (bad,) = [one for one in checks if one.state is CheckState.PROBLEM]
    assert (bad.name, bad.code, bad.exit) == ("restart permission", "R0403", Exit.DENIED)
    assert "RebootInstance" in str(bad.text) and bad.fix
    assert checking.exit_of(checks) is Exit.DENIED


@pytest.mark.asyncio
async def test_key_pairs_are_compared_in_each_region(project: Path) -> None:
    """A region whose key pair has another public key is a problem, the other region is not."""
    cloud = stage.emulated()
    other = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHNvbWVib2R5IGVsc2UncyBrZXkuIDMyIGJ5dGVz other"
    cloud.pairs.add("cn-hangzhou", "fleet-2026", other, 0)
    cloud.pairs.add("cn-shanghai", "fleet-2026", stage.PUBLIC_KEY, 0)

    checks = await examined(cloud, stage.write_spec(project))

    wrong, right = of(checks, "key pair")
    assert (wrong.state, wrong.code) == (CheckState.PROBLEM, "R0314")
    assert right.state is CheckState.OK and "fingerprint" in str(right.text)


@pytest.mark.asyncio
async def test_an_empty_listing_is_not_a_healthy_inventory(project: Path) -> None:
    """Without DescribeInstances the service returns an empty list: a problem, not 0 instances."""
    cloud = stage.emulated()
    denied = Statement("deny", ("ecs:DescribeInstances",))
    cloud.access.put(User(statements=(Statement("allow"), denied)))

    checks = await examined(cloud, stage.write_spec(project))

    assert {one.code for one in of(checks, "inventory")} == {"R0211"}
    assert not of(checks, "key pair")


@pytest.mark.asyncio
async def test_a_wrong_spec_does_not_hide_the_identity(project: Path) -> None:
    """All problems of a spec are findings, and the connection is still checked."""
    spec = stage.write_spec(project, text=stage.SPEC.replace("size: rest", "size: nonsense"))

    checks = await examined(stage.emulated(), spec)

    assert of(checks, "spec")[0].state is CheckState.PROBLEM
    assert of(checks, "identity")[0].state is CheckState.OK
    assert checking.exit_of(checks) is Exit.BAD_INPUT


@pytest.mark.asyncio
async def test_missing_credentials_are_a_finding() -> None:
    """An error of the connection is a problem with its own exit code."""

    def refused(*_: object) -> AbstractAsyncContextManager[Service]:
        raise AccessError.of("R0401", "no credentials were found")

    checks = await doctor.examine(Session(), environment={}, connected=refused)

    assert [one.code for one in checks if one.state is CheckState.PROBLEM] == ["R0401"]
    assert checking.exit_of(checks) is Exit.DENIED


@pytest.mark.asyncio
async def test_a_runs_directory_that_cannot_be_created_is_a_problem(project: Path) -> None:
    """A finding names the runs directory before `apply` needs it."""
    session = Session(runs_dir=Path("/proc/rollout-runs"), allow_unsafe_fs=True)

    checks = await examined(stage.emulated(), session=session)

    (found,) = of(checks, "runs directory")
    assert (found.state, found.code) == (CheckState.PROBLEM, "R0802")
    assert found.exit is Exit.IO


@pytest.mark.asyncio
async def test_settings_of_this_machine_are_findings(project: Path) -> None:
    """A bad proxy, a contradicting endpoint and a world-writable runs directory are reported."""
    runs = project / "runs"
    runs.mkdir()
    runs.chmod(0o777)
    connection = Connection(endpoint="https://ecs.cn-hangzhou.aliyuncs.com", emulator=True)
    environment = {"HTTPS_PROXY": "socks5://h:1"}

    def refused(*_: object) -> AbstractAsyncContextManager[Service]:
        raise AccessError.of("R0401", "no credentials were found")

    checks = await doctor.examine(
        Session(connection=connection), environment=environment, connected=refused
    )

    codes = {one.name: one.code for one in checks if one.state is CheckState.PROBLEM}
    assert codes == {
        "runs directory": "R0011", "endpoint": "R0002", "proxy": "R0015", "identity": "R0401",
    }  # fmt: skip
    assert checking.exit_of(checks) is Exit.CONFIG


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "token, left_ms, state",
    [
        (None, None, CheckState.OK),
        ("token-of-a-user", 3 * HOUR, CheckState.WARNING),
    ],
)
async def test_the_expiry_of_credentials(
    token: str | None, left_ms: int | None, state: CheckState
) -> None:
    """Keys without an end are fine; a token whose end the source does not name is a warning."""
    cloud = stage.emulated()
    environment = {}
    if token is not None and left_ms is not None:
        until = server.wall_clock_ms() + left_ms
        cloud.access.put(User(key_id="STS.k", secret="s", token=token, token_until=until))
        environment = {
            "ALIBABA_CLOUD_ACCESS_KEY_ID": "STS.k",
            "ALIBABA_CLOUD_ACCESS_KEY_SECRET": "s",
            "ALIBABA_CLOUD_SECURITY_TOKEN": token,
        }

    def connected(_: Connection, notices: Notices) -> AbstractAsyncContextManager[Service]:
        return stage.connected(cloud, environment=environment, notices=notices)

    checks = await doctor.examine(
        Session(allow_unsafe_fs=True), environment={}, connected=connected
    )

    (found,) = of(checks, "credentials")
    assert found.state is state
    assert (found.code == "R0415") is (state is CheckState.WARNING)


@pytest.mark.parametrize(
    "skew, state, code",
    [
        (MINUTE, CheckState.OK, ""),
        (-MINUTE - 1, CheckState.WARNING, "R0420"),
        (15 * MINUTE, CheckState.WARNING, "R0420"),
        (15 * MINUTE + 1, CheckState.PROBLEM, "R0414"),
        (-48 * HOUR, CheckState.PROBLEM, "R0414"),
    ],
)
def test_the_clock_is_compared(skew: int, state: CheckState, code: str) -> None:
    """A warning above a minute, a problem above 15 minutes, whether or not it is corrected."""
    plain = doctor.clock(None, skew, NOW)
    corrected = doctor.clock(ClockSkew(NOW, NOW + skew), 0, NOW)

    assert (plain.state, plain.code) == (corrected.state, corrected.code) == (state, code)


@pytest.mark.parametrize(
    "free, state",
    [(1 << 30, CheckState.OK), (1 << 29, CheckState.WARNING), (1 << 20, CheckState.PROBLEM)],
)
def test_free_space_is_judged(
    free: int, state: CheckState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too little space for a journal is a problem; a directory that does not exist has a parent."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))

    assert doctor.disk(tmp_path / "not" / "yet").state is state
