"""The chained-rotation guard over real runs: plan, retry, undo and the check before an apply."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from rollout.app.plan import PlanResult
from rollout.app.plan_file import SavedPlan
from rollout.app.retry import retry
from rollout.app.session import Connection, Session
from rollout.app.undo import undo
from rollout.ecs.transport import AiohttpTransport, SignedCall
from rollout.ecs.wire import HttpReply
from rollout.emulator.cloud.switches import Switches
from rollout.emulator.dispatch import Cloud as EmulatedCloud
from rollout.emulator.fleet import synthetic
from rollout.emulator.http import server
from rollout.errors import Exit, RolloutError
from rollout.journal import proofs
from rollout.journal.directory import DirectoryStore
from rollout.model.event import Trigger
from rollout.model.outcome import Refused, RetryClass, Unknown
from rollout.model.plan import Exclusion, Reason, RestartKind
from tests.app import service as stage
from tests.app.test_preflight import RUNS, api_error, applied, code_of, planned
from tests.journal import example_runs
from tests.journal.example_runs import NEW, ExampleRun

NEXT = stage.SPEC.replace("fleet-2026", "fleet-2027")


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project directory, which is the working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


async def stranded_one(cloud: EmulatedCloud, project: Path) -> tuple[str, str]:
    """Rotate the cloud; one instance is attached and refuses its restart. Its id, and the run."""
    saved = await planned(cloud, project)
    reboots = [one for one in saved.plan.targets() if one.restart is RestartKind.REBOOT]
    one = reboots[0].instance

    class Refusing(AiohttpTransport):
        async def send(self, call: SignedCall) -> HttpReply:
            text = f"{call.query}"
            if call.action == "RebootInstance" and one in text and "DryRun" not in text:
                return api_error("OperationDenied.Test", 403)
            return await super().send(call)

    ended = await applied(cloud, saved, Refusing)
    assert ended.view.classes["stranded"] == 1
    return one, ended.view.run


def unproven(saved: SavedPlan) -> list[Exclusion]:
    """The instances that the guard left out."""
    reason = Reason.FORMER_ROTATION_UNPROVEN
    return [one for one in saved.plan.exclusions if one.reason is reason]


@pytest.mark.asyncio
async def test_a_stranded_instance_gets_no_other_key_until_it_is_retried(project: Path) -> None:
    """The next key's plan leaves it out and names the run. A plan of the same key and a retry
    restart it; afterwards the next key's plan takes it.
    """
    cloud = stage.emulated()
    one, run = await stranded_one(cloud, project)

    [out] = unproven(await planned(cloud, project, NEXT))
    assert (out.instance, out.detail) == (one, f"fleet-2026 in run {run}")
    same = await planned(cloud, project)
    assert [target.instance for target in same.plan.targets()] == [one]
    async with server.serve(cloud) as url:
        session = Session(connection=Connection(endpoint=url, emulator=True))
        again = (await retry(run, session)).saved
    assert (await applied(cloud, again)).exit is Exit.DONE

    after = await planned(cloud, project, NEXT)
    assert not unproven(after) and one in {target.instance for target in after.plan.targets()}


@pytest.mark.asyncio
async def test_an_undo_of_the_unproven_rotation_is_no_chain(project: Path) -> None:
    """It attaches the key from before, and is applied: the guard does not refuse it."""
    cloud = stage.emulated()
    one, run = await stranded_one(cloud, project)

    async with server.serve(cloud) as url:
        session = Session(connection=Connection(endpoint=url, emulator=True))
        back = (await undo(run, session)).saved

    assert back.plan.name == "fleet-undo"
    assert not unproven(back) and one in {target.instance for target in back.plan.targets()}
    assert (await applied(cloud, back)).exit is Exit.DONE
    assert not unproven(await planned(cloud, project, NEXT))


@pytest.mark.asyncio
@pytest.mark.parametrize("make", [retry, undo])
async def test_another_emulator_has_none_of_the_instances(
    project: Path, make: Callable[[str | None, Session], Awaitable[PlanResult]]
) -> None:
    """Exit 6 instead of a plan without targets. Without an id, the newest run is used."""
    cloud = stage.emulated()
    assert (await applied(cloud, await planned(cloud, project))).exit is Exit.DONE
    now = server.wall_clock_ms()
    other = synthetic.build(size=5, seed=2, now=now, regions=("cn-hangzhou", "cn-shanghai"))

    async with server.serve(EmulatedCloud(other, Switches())) as url:
        session = Session(connection=Connection(endpoint=url, emulator=True))
        with pytest.raises(RolloutError) as caught:
            await make(None, session)

    assert code_of(caught) == ("R0617", Exit.CONFLICT)


@pytest.mark.asyncio
async def test_a_plan_without_this_runs_directory_is_refused(project: Path) -> None:
    """Planned where the earlier run is unknown, applied where it is known: exit 6, no call."""
    cloud = stage.emulated()
    one, run = await stranded_one(cloud, project)
    effects = len(cloud.ledger)
    (project / "runs").rename(project / "elsewhere")
    saved = await planned(cloud, project, NEXT)
    (project / "elsewhere").rename(project / "runs")

    with pytest.raises(RolloutError) as caught:
        await applied(cloud, saved)

    assert code_of(caught) == ("R0615", Exit.CONFLICT)
    [problem] = caught.value.problems
    assert one in problem.message and run in problem.message
    assert f"rollout retry {run}" in (problem.help or "")
    assert len(cloud.ledger) == effects and len(RUNS.runs()) == 1


def guarded(runs_dir: Path, example: ExampleRun) -> set[str]:
    """The last digits of the instances whose rotation a run leaves unproven."""
    example.write(runs_dir)
    folded = proofs.fold(DirectoryStore(runs_dir))
    assert not folded.proofs.keys() & folded.unproven.keys()
    assert all(one.run == example.run for one in folded.unproven.values())
    assert {one.key_pair for one in folded.unproven.values()} <= {NEW}
    return {name[-1] for name in folded.unproven}


def test_only_attaches_that_may_have_happened_leave_a_rotation_unproven(tmp_path: Path) -> None:
    """Done and refused: proved or never begun. Lost, attached, restarted, or stated by an operator:
    unproven.
    """
    run = ExampleRun().open_wave(0).rotated(0).attached(1).close_wave(0).open_wave(1)
    run.attach(2).settle(Refused("OperationDenied.Test", RetryClass.FACT, "", "R"))
    run.attach(3).settle(Unknown("timeout"))
    assert guarded(tmp_path / "one", run) == {"1", "3"}

    run = ExampleRun().open_wave(0).attached(0).restart(0).attached(1)
    run.move(Trigger.STATED_RESTARTED, 1)
    assert guarded(tmp_path / "two", run) == {"0", "1"}

    run = ExampleRun().open_wave(0).attach(0).settle(Unknown("timeout"))
    run.move(Trigger.OBSERVED_UNATTACHED, 0)
    assert guarded(tmp_path / "three", run) == set()


def test_a_damaged_run_leaves_all_its_targets_unproven(tmp_path: Path) -> None:
    """Its journal may hide an attach to any of them. If its plan is damaged too, no plan may be
    applied, because nobody knows its targets.
    """
    run_dir = example_runs.whole().write(tmp_path)
    path = run_dir / "journal-000001.jsonl"
    path.write_bytes(path.read_bytes().replace(b"i-00000000", b"i-00000001", 1))
    assert len(proofs.fold(DirectoryStore(tmp_path)).unproven) == 5

    (run_dir / "plan.json").unlink()
    folded = proofs.fold(DirectoryStore(tmp_path))
    assert folded.unproven == {} and len(folded.unknown) == 1
