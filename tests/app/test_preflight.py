"""Checks before a run starts: every refusal comes before the first effect."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import msgspec
import pytest

from rollout.app import execute, preflight
from rollout.app import plan as planning
from rollout.app import runs as folding
from rollout.app.plan_file import SavedPlan, with_digest
from rollout.app.runs import RunResult
from rollout.app.session import Session
from rollout.ecs.patience import Patience
from rollout.ecs.transport import AiohttpTransport, Lost, SignedCall
from rollout.ecs.wire import HttpReply
from rollout.emulator.cloud.users import Statement, User
from rollout.emulator.dispatch import Cloud as EmulatedCloud
from rollout.engines.local import LocalEngine
from rollout.errors import Exit, RolloutError
from rollout.journal.directory import DirectoryStore
from rollout.journal.reader import run_id
from rollout.model.plan import Identity
from tests.app import factory
from tests.app import service as stage

RUNS = DirectoryStore(Path("runs"))


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project directory, which is the working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def changed(**changes: object) -> SavedPlan:
    """The factory's plan with other fields."""
    return with_digest(msgspec.structs.replace(factory.plan(), **changes))


def code_of(caught: pytest.ExceptionInfo[RolloutError]) -> tuple[str, Exit]:
    """Code and exit code of an error."""
    return caught.value.problems[0].code, caught.value.exit


@pytest.mark.parametrize(
    "changes,code,exit_code",
    [
        ({"rules": 99}, "R0321", Exit.BAD_INPUT),
        ({"applyable": False}, "R0604", Exit.CONFLICT),
    ],
)
def test_plans_that_may_not_be_applied(
    changes: dict[str, object], code: str, exit_code: Exit
) -> None:
    """Plans with another rules version, offline plans and plans with errors are refused."""
    with pytest.raises(RolloutError) as caught:
        preflight.check_plan(changed(**changes).plan)

    assert code_of(caught) == (code, exit_code)


def test_a_plan_past_its_expiry_is_stale() -> None:
    """A plan is valid up to and including its last instant."""
    plan = factory.plan()
    preflight.check_time(plan, plan.expires_at)

    with pytest.raises(RolloutError) as caught:
        preflight.check_time(plan, plan.expires_at + 1)

    assert code_of(caught) == ("R0601", Exit.CONFLICT)


def test_a_plan_from_the_future_is_refused() -> None:
    """A clock that was a year ahead during planning does not extend the validity."""
    plan = factory.plan()
    preflight.check_time(plan, plan.as_of - preflight.CLOCKS_APART_MS)

    with pytest.raises(RolloutError) as caught:
        preflight.check_time(plan, plan.as_of - preflight.CLOCKS_APART_MS - 1)

    assert code_of(caught) == ("R0601", Exit.CONFLICT)
    assert "was created at" in caught.value.problems[0].message


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "identity",
    [
        Identity("9999999999999999", "acs:ram::9999999999999999:user/ops", "env", emulator=True),
        Identity("1234567890123456", "acs:ram::1234567890123456:user/ops", "env", emulator=False),
    ],
)
async def test_a_plan_for_another_account_is_refused(identity: Identity) -> None:
    """Another account, or a plan for the real service on an emulator: exit 4, no call."""
    cloud = stage.emulated()
    saved = changed(identity=(identity,))

    async with stage.connected(cloud, stage.ReadOnly) as service:
        stage.ReadOnly.sent.clear()
        with pytest.raises(RolloutError) as caught:
            preflight.check_identity(saved.plan, service)

    assert code_of(caught) == ("R0405", Exit.DENIED)
    assert not stage.ReadOnly.sent


async def planned(cloud: EmulatedCloud, project: Path, text: str = stage.SPEC) -> SavedPlan:
    """A plan of the whole cloud."""
    async with stage.connected(cloud) as service:
        spec = stage.write_spec(project, text=text)
        return (await planning.create(spec, service, RUNS)).saved


async def applied(
    cloud: EmulatedCloud,
    saved: SavedPlan,
    transport: type[AiohttpTransport] = AiohttpTransport,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> RunResult:
    """Apply a plan until it finishes."""
    session = Session(allow_unsafe_fs=True)
    async with (
        stage.connected(cloud, transport, environment) as service,
        execute.hold_runs(session, service.clock.now()) as runner,
    ):
        return await runner.begin(saved, service)


@pytest.mark.asyncio
async def test_a_recreated_key_pair_is_refused(project: Path) -> None:
    """A key of the plan's name with other material, imported after planning: exit 6, no run."""
    cloud = stage.emulated()
    saved = await planned(cloud, project)
    other = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHNvbWVib2R5IGVsc2UncyBrZXkuIDMyIGJ5dGVz other"
    cloud.pairs.add("cn-hangzhou", saved.plan.keys[0].name, other, 0)

    with pytest.raises(RolloutError) as caught:
        await applied(cloud, saved)

    assert code_of(caught) == ("R0606", Exit.CONFLICT)
    assert "a new name" in (caught.value.problems[0].help or "")
    assert RUNS.runs() == []


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "calls, action, denied",
    [
        ("single", "RebootInstance", True),
        ("single", "StartInstance", True),
        ("single", "RebootInstances", False),
        ("batch", "RebootInstances", True),
    ],
)
async def test_restarts_that_are_not_permitted_are_found_before_any_attach(
    project: Path, calls: str, action: str, *, denied: bool
) -> None:
    """A key that is attached and never comes into force leaves an instance exposed: exit 4, and
    the cloud as it was. The action that a plan does not use may be denied."""
    cloud = stage.emulated()
    saved = await planned(cloud, project, stage.SPEC.replace("1s }", f"1s, calls: {calls} }}"))
    cloud.access.put(User(statements=(Statement("allow"), Statement("deny", (f"ecs:{action}",)))))

    async with stage.connected(cloud) as service:
        if denied:
            with pytest.raises(RolloutError) as caught:
                await preflight.check(saved, service, RUNS)
            assert code_of(caught) == ("R0403", Exit.DENIED)
            assert action in caught.value.problems[0].message
        else:
            await preflight.check(saved, service, RUNS)

    assert len(cloud.ledger) == 0


class Deaf(AiohttpTransport):
    """A gateway that executes a dry run like the call itself."""

    async def send(self, call: SignedCall) -> HttpReply:
        if "DryRun=true" in call.query:
            return HttpReply(200, {}, b'{"RequestId": "R"}')
        return await super().send(call)


@pytest.mark.asyncio
async def test_a_service_that_passes_over_dry_runs_is_not_trusted(project: Path) -> None:
    """If a dry run may have restarted an instance, no run starts."""
    cloud = stage.emulated()
    saved = await planned(cloud, project)

    async with stage.connected(cloud, Deaf) as service:
        with pytest.raises(RolloutError) as caught:
            await preflight.check(saved, service, RUNS)

    assert "executed a dry run" in caught.value.problems[0].message


class Failing(AiohttpTransport):
    """A transport on which the first `times` dry runs fail in one way."""

    reply: HttpReply | Exception
    times = 1_000
    dry_runs = 0

    async def send(self, call: SignedCall) -> HttpReply:
        if "DryRun=true" in call.query:
            self.dry_runs += 1
            if self.dry_runs <= self.times:
                if isinstance(self.reply, Exception):
                    raise self.reply
                return self.reply
        return await super().send(call)


def api_error(code: str, status: int) -> HttpReply:
    """A refusal that does not deny permission."""
    return HttpReply(status, {}, b'{"RequestId": "R", "Code": "%s"}' % code.encode())


FAILURES = [
    (api_error("Throttling.User", 400), "R0411", Exit.FAILED),
    (HttpReply(502, {}, b"<html>502 Bad Gateway</html>"), "R0412", Exit.FAILED),
    (HttpReply(200, {}, b"<html>Please log in</html>"), "R0412", Exit.FAILED),
    (Lost("timeout"), "R0410", Exit.FAILED),
    (api_error("ServiceUnavailable", 503), "R0411", Exit.FAILED),
    (api_error("OperationConflict", 409), "R0413", Exit.DENIED),
    (api_error("InvalidInstanceId.NotFound", 404), "R0413", Exit.DENIED),
    (api_error("UnheardOf.Code", 400), "R0413", Exit.DENIED),
]


@pytest.mark.asyncio
@pytest.mark.parametrize("reply, code, exit_code", FAILURES)
async def test_inconclusive_dry_runs_are_no_permission(
    project: Path, reply: HttpReply | Exception, code: str, exit_code: Exit
) -> None:
    """Throttled, lost, answered by a proxy or refused for another reason: no run starts."""
    cloud = stage.emulated()
    saved = await planned(cloud, project)

    class Never(Failing):
        pass

    Never.reply = reply
    async with stage.connected(cloud, Never) as service:
        service.client.patience = Patience(service.clock, 300)
        with pytest.raises(RolloutError) as caught:
            await preflight.check(saved, service, RUNS)

    assert code_of(caught) == (code, exit_code)
    message = caught.value.problems[0].message
    assert "Instance in cn-" in message or "Instance at cn-" in message
    assert len(cloud.ledger) == 0


@pytest.mark.asyncio
async def test_dry_runs_that_fail_for_a_while_are_repeated(project: Path) -> None:
    """The run starts after they succeed."""
    cloud = stage.emulated()
    saved = await planned(cloud, project)

    class Briefly(Failing):
        reply = Lost("reset")
        times = 3

    async with stage.connected(cloud, Briefly) as service:
        await preflight.check(saved, service, RUNS)


@pytest.mark.asyncio
async def test_a_resumed_run_is_checked_for_what_is_left(project: Path) -> None:
    """Dry runs name unfinished targets only; without any, none is sent."""
    cloud = stage.emulated()
    saved = await planned(cloud, project)
    left = saved.plan.waves[0].cells[0].batches[0].targets[-1].instance
    cloud.access.put(User(statements=(Statement("allow"), Statement("deny", ("ecs:Reboot*",)))))

    async with stage.connected(cloud) as service:
        await preflight.check_restarts(saved.plan, service, frozenset())
        with pytest.raises(RolloutError) as caught:
            await preflight.check_restarts(saved.plan, service, frozenset({left}))

    assert code_of(caught) == ("R0403", Exit.DENIED)
    assert len(caught.value.problems) == 1


@pytest.mark.asyncio
async def test_a_run_ends_well_and_its_plan_is_applied_once(project: Path) -> None:
    """All targets are done, exit 0; applying the plan again is refused."""
    cloud = stage.emulated()
    saved = await planned(cloud, project)

    ended = await applied(cloud, saved)

    assert ended.exit is Exit.DONE
    assert ended.view.classes["done"] == saved.plan.counts.targets
    [run] = RUNS.runs()
    assert run.is_closed() and run.driver() == ""
    with pytest.raises(RolloutError) as caught:
        await applied(cloud, saved)
    assert code_of(caught) == ("R0602", Exit.CONFLICT)
    assert "new plan" in (caught.value.problems[0].help or "")


def keys(number: int) -> dict[str, str]:
    """The n-th temporary keys of one role, as the environment has them."""
    return {
        "ALIBABA_CLOUD_ACCESS_KEY_ID": f"STS.{number}",
        "ALIBABA_CLOUD_ACCESS_KEY_SECRET": f"secret-{number}",
        "ALIBABA_CLOUD_SECURITY_TOKEN": f"token-{number}",
    }


def admit(cloud: EmulatedCloud, number: int, until: int | None = None) -> None:
    """Let the cloud know those keys."""
    key_id, secret, token = keys(number).values()
    user = User("ops/session", key_id, secret, kind="AssumedRoleUser", token=token)
    cloud.access.put(msgspec.structs.replace(user, token_until=until))


@pytest.mark.asyncio
async def test_keys_that_expire_in_the_middle_of_a_run_cost_no_instance(project: Path) -> None:
    """The service refuses an expired token during restarts: new keys are read, nothing fails."""
    cloud = stage.emulated()
    environment = keys(1)
    admit(cloud, 1)
    saved = await planned(cloud, project)
    refused: list[str] = []

    class Expiring(AiohttpTransport):
        async def send(self, call: SignedCall) -> HttpReply:
            reply = await super().send(call)
            if call.action == "RebootInstance" and environment == keys(1):
                admit(cloud, 1, until=0)
                admit(cloud, 2)
                environment.update(keys(2))
            refused.extend([call.action] if b"InvalidSecurityToken.Expired" in reply.body else [])
            return reply

    ended = await applied(cloud, saved, Expiring, environment)

    assert refused
    assert ended.exit is Exit.DONE
    assert ended.view.classes["done"] == saved.plan.counts.targets


@pytest.mark.asyncio
@pytest.mark.parametrize("minutes", [16, -16])
async def test_a_run_whose_clock_is_off_is_signed_again_and_ends_well(
    project: Path, minutes: int
) -> None:
    """The service's clock is measured at the first refusal; no later call is refused for it."""
    cloud = stage.emulated()
    cloud.switch(msgspec.structs.replace(cloud.switches, clock_skew_ms=minutes * 60_000))
    saved = await planned(cloud, project)
    refused: list[str] = []

    class Watching(AiohttpTransport):
        async def send(self, call: SignedCall) -> HttpReply:
            reply = await super().send(call)
            refused.extend([call.action] if b"InvalidTimeStamp.Expired" in reply.body else [])
            return reply

    ended = await applied(cloud, saved, Watching)

    assert ended.exit is Exit.DONE
    assert refused == ["GetCallerIdentity"]


@pytest.mark.asyncio
async def test_an_open_run_keeps_its_unfinished_targets(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plan with instances of an open run is refused; the help names resume and abort."""
    cloud = stage.emulated()
    first = await planned(cloud, project)

    wait = LocalEngine._wait

    async def wait_or_die(engine: LocalEngine, wake: int | None) -> None:
        if len(cloud.ledger) > 0:
            raise KeyboardInterrupt
        await wait(engine, wake)

    with monkeypatch.context() as patch:
        patch.setattr(LocalEngine, "_wait", wait_or_die)
        with pytest.raises(BaseException):  # noqa: B017 - a group of what the kill left
            await applied(cloud, first)
    run = run_id(first.digest)
    assert folding.open_runs(RUNS)[0].stored.id == run

    second = await planned(cloud, project)
    with pytest.raises(RolloutError) as caught:
        await applied(cloud, second)

    assert code_of(caught) == ("R0602", Exit.CONFLICT)
    assert f"rollout resume {run}" in (caught.value.problems[0].help or "")
    assert f"rollout abort {run}" in (caught.value.problems[0].help or "")


@pytest.mark.asyncio
async def test_two_plans_of_the_same_instances_are_not_both_applied(project: Path) -> None:
    """The second plan was written before the first ran: it would restart the instances again.
    Exit 6, no call, and a plan that was created afterwards is not refused.
    """
    cloud = stage.emulated()
    first = await planned(cloud, project)
    second = await planned(cloud, project)
    assert first.digest != second.digest
    await applied(cloud, first)
    effects = len(cloud.ledger)

    with pytest.raises(RolloutError) as caught:
        await applied(cloud, second)

    assert code_of(caught) == ("R0614", Exit.CONFLICT)
    message = caught.value.problems[0].message
    assert run_id(first.digest) in message and f"{first.plan.counts.targets} of these" in message
    assert len(cloud.ledger) == effects and len(RUNS.runs()) == 1
    later = await planned(cloud, project, stage.SPEC.replace("fleet-2026", "fleet-2027"))
    assert (await applied(cloud, later)).exit is Exit.DONE


@pytest.mark.asyncio
async def test_a_plan_of_other_instances_is_applied_after_a_run(project: Path) -> None:
    """Two plans of one reading, each with one region: the run of the first is no obstacle."""
    cloud = stage.emulated()
    texts = [stage.SPEC.replace(f", cn-{name}", "").replace(f"cn-{name}, ", "")
             for name in ("hangzhou", "shanghai")]  # fmt: skip
    plans = [await planned(cloud, project, text) for text in texts]

    for saved in plans:
        assert (await applied(cloud, saved)).exit is Exit.DONE
