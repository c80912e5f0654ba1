"""Planning against a service: its calls, its refusals, its proofs."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from rollout.app import plan as planning
from rollout.emulator.dispatch import Cloud as EmulatedCloud
from rollout.errors import Exit, RolloutError
from rollout.journal import writer
from rollout.journal.directory import DirectoryStore
from rollout.journal.reader import run_id
from rollout.model.event import FORMAT_VERSION, Actor, RunStarted
from rollout.model.plan import RULES
from rollout.model.site import Site
from tests.app import service as stage

RUNS = DirectoryStore(Path("runs"))


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project directory, which is the working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


async def refusal(
    cloud: EmulatedCloud, spec: Path, runs_dir: Path = Path("runs")
) -> tuple[str, Exit]:
    """Code and exit code of the error of a planning."""
    async with stage.connected(cloud) as service:
        with pytest.raises(RolloutError) as caught:
            await planning.create(spec, service, DirectoryStore(runs_dir))
    return caught.value.problems[0].code, caught.value.exit


@pytest.mark.asyncio
async def test_planning_is_read_only(project: Path) -> None:
    """A plan sends only Describe* and GetCallerIdentity, and changes nothing."""
    cloud = stage.emulated()
    stage.ReadOnly.sent.clear()

    async with stage.connected(cloud, stage.ReadOnly) as service:
        made = await planning.create(stage.write_spec(project), service, RUNS)

    assert made.saved.plan.counts.targets > 0
    assert made.saved.plan.applyable and made.saved.plan.identity[0].emulator
    assert set(stage.ReadOnly.sent) == {
        "GetCallerIdentity",
        "DescribeInstances",
        "DescribeKeyPairs",
    }
    assert not list(cloud.ledger)
    assert RUNS.runs() == []


@pytest.mark.asyncio
async def test_a_connection_is_read_only_by_default(project: Path) -> None:
    """A mutating call during planning is refused and not sent."""
    cloud = stage.emulated()
    stage.ReadOnly.sent.clear()

    async with stage.connected(cloud, stage.ReadOnly) as service:
        answer = await service.attach_key_pair(
            Site(service.identity.account, "cn-hangzhou"),
            "fleet-former",
            ("i-x",),
            not_after=service.clock.now() + 1000,
        )

    assert "AttachKeyPair" not in stage.ReadOnly.sent
    assert type(answer.outcome).__name__ == "Refused"


@pytest.mark.asyncio
async def test_regions_without_the_key_pair_are_reported(project: Path) -> None:
    """With ensure: import the plan counts these regions; with require it is refused."""
    cloud = stage.emulated()

    async with stage.connected(cloud) as service:
        made = await planning.create(stage.write_spec(project), service, RUNS)
    assert [one.present for one in made.saved.plan.keys[0].regions] == [False, False]
    assert any(warning.code == "R0308" for warning in made.saved.plan.warnings)

    required = stage.write_spec(project, ensure="require")
    assert await refusal(cloud, required) == ("R0606", Exit.CONFLICT)


@pytest.mark.asyncio
async def test_the_same_name_with_another_key_is_refused(project: Path) -> None:
    """A key pair of the same name with another public key is not used."""
    spec = stage.write_spec(project, text=stage.SPEC.replace("fleet-2026", "fleet-former"))

    assert await refusal(stage.emulated(), spec) == ("R0314", Exit.BAD_INPUT)


@pytest.mark.asyncio
async def test_a_fleet_that_shrank_is_doubted(project: Path) -> None:
    """Far fewer instances than in the last run of the same spec are refused."""
    spec = stage.write_spec(project)
    async with stage.connected(stage.emulated(40)) as service:
        before = (await planning.create(spec, service, RUNS)).saved
    journal = writer.create(Path("runs"), run_id(before.digest), before.raw)
    actor = Actor("me", "arn", "here", 1, "rollout")
    plan = before.plan
    journal.append(
        [RunStarted(FORMAT_VERSION, journal.run, before.digest, plan.spec_digest,
                    plan.inventory_digest, RULES, actor, plan.made_at)],
        plan.made_at,
    )  # fmt: skip
    journal.close()

    assert await refusal(stage.emulated(10), spec) == ("R0212", Exit.CONFLICT)
    async with stage.connected(stage.emulated(10)) as service:
        shrunk = await planning.create(spec, service, RUNS, allow=planning.Allow(empty=True))
    assert shrunk.saved.plan.counts.found == 10


@pytest.mark.asyncio
async def test_offline_plans_ask_nothing_and_say_so(project: Path) -> None:
    """Without a service the plan comes from files, and cannot be applied."""
    (project / "fleet.csv").write_text(
        "instance_id,region,os_type,status,key_pair\n"
        "i-bp1,cn-hangzhou,linux,Running,former\ni-bp2,cn-hangzhou,windows,Running,\n"
        "i-bp3,cn-hangzhou,linux,Running,former\n",
        "utf-8",
    )
    spec = stage.write_spec(
        project,
        text=stage.SPEC.replace(
            "source: ecs, regions: [cn-hangzhou, cn-shanghai]", "source: csv, path: fleet.csv"
        ).replace("50%", "1"),
    )

    made = await planning.create(spec, None, RUNS)

    plan = made.saved.plan
    assert (plan.applyable, plan.identity) == (False, ())
    assert plan.counts.targets == 2
    assert any(warning.code == "R0306" for warning in plan.warnings)


@pytest.mark.asyncio
async def test_the_same_inputs_make_the_same_plan(project: Path) -> None:
    """Two plans of an unchanged fleet differ only in their times."""
    cloud = stage.emulated()
    spec = stage.write_spec(project)

    async with stage.connected(cloud) as service:
        one = (await planning.create(spec, service, RUNS)).saved.plan
        two = (await planning.create(spec, service, RUNS)).saved.plan

    times = {"made_at": 0, "expires_at": 0, "as_of": 0}
    assert msgspec.structs.replace(one, **times) == msgspec.structs.replace(two, **times)
