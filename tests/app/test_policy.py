"""The least RAM policy, against the emulator's users: it suffices, and nothing in it is spare."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rollout.app import execute, policy
from rollout.app import plan as planning
from rollout.app.plan_file import SavedPlan
from rollout.app.policy import Purpose
from rollout.app.session import Session
from rollout.emulator.cloud.users import Statement, User
from rollout.emulator.dispatch import Cloud as EmulatedCloud
from rollout.errors import Exit, RolloutError
from rollout.journal.directory import DirectoryStore
from rollout.model.plan import Plan
from tests.app import factory
from tests.app import service as stage
from tests.core import samples

RUNS = DirectoryStore(Path("runs"))
BATCH = stage.SPEC.replace("1s }", "1s, calls: batch }")


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project directory, which is the working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def user_of(document: dict[str, Any], *, without: str = "") -> User:
    """An emulated user with this policy, less one action."""
    return User(
        statements=tuple(
            Statement(
                "allow",
                tuple(action for action in one["Action"] if action != without),
                tuple(one["Resource"]),
            )
            for one in document["Statement"]
        )
    )


async def planned(cloud: EmulatedCloud, project: Path, text: str = stage.SPEC) -> SavedPlan:
    """A plan of the whole cloud by its present user."""
    async with stage.connected(cloud) as service:
        spec = stage.write_spec(project, text=text)
        return (await planning.create(spec, service, RUNS)).saved


async def applied(cloud: EmulatedCloud, saved: SavedPlan) -> Exit:
    """The exit code of an apply by the cloud's present user."""
    session = Session(allow_unsafe_fs=True)
    async with (
        stage.connected(cloud) as service,
        execute.hold_runs(session, service.clock.now()) as runner,
    ):
        return (await runner.begin(saved, service)).exit


def actions(document: dict[str, Any]) -> set[str]:
    """All actions of a policy."""
    return {action for one in document["Statement"] for action in one["Action"]}


@pytest.mark.asyncio
async def test_the_policy_for_planning_suffices_and_is_least(project: Path) -> None:
    """A user with exactly this policy plans; without any one of its actions it cannot."""
    document = policy.make("plan")
    assert actions(document) == {"ecs:DescribeInstances", "ecs:DescribeKeyPairs"}
    cloud = stage.emulated()
    cloud.pairs.add("cn-hangzhou", "fleet-2026", stage.PUBLIC_KEY, 0)
    cloud.pairs.add("cn-shanghai", "fleet-2026", stage.PUBLIC_KEY, 0)
    text = stage.SPEC.replace("ENSURE", "require")

    cloud.access.put(user_of(document))
    assert (await planned(cloud, project, text)).plan.counts.targets

    for action in sorted(actions(document)):
        cloud.access.put(user_of(document, without=action))
        with pytest.raises(RolloutError):
            await planned(cloud, project, text)


@pytest.mark.asyncio
@pytest.mark.parametrize("narrow", [True, False])
@pytest.mark.parametrize("text", [stage.SPEC, BATCH])
async def test_the_policy_for_applying_suffices(project: Path, text: str, *, narrow: bool) -> None:
    """A user with exactly this policy applies the plan, also if it is limited to the plan."""
    cloud = stage.emulated()
    saved = await planned(cloud, project, text)

    cloud.access.put(user_of(policy.make("apply", saved.plan if narrow else None)))

    assert await applied(cloud, saved) is Exit.DONE


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "action",
    [
        "ecs:AttachKeyPair",
        "ecs:DescribeKeyPairs",
        "ecs:ImportKeyPair",
        "ecs:RebootInstance",
        "ecs:StartInstance",
    ],
)
async def test_no_action_for_applying_is_spare(project: Path, action: str) -> None:
    """Without one action of the policy nothing is rotated: the apply is refused or halts.

    DescribeInstances is tried with the policy for planning: without it a listing is empty.
    """
    cloud = stage.emulated()
    saved = await planned(cloud, project)
    document = policy.make("apply", saved.plan)
    assert action in actions(document)

    cloud.access.put(user_of(document, without=action))

    try:
        ended = await applied(cloud, saved)
    except RolloutError as error:
        ended = error.exit
    assert ended in (Exit.DENIED, Exit.HALTED, Exit.CONFLICT)
    assert not {"attach", "reboot", "start"} & {entry.effect for entry in cloud.ledger}


def test_a_policy_for_a_plan_names_its_instances_and_key_pairs() -> None:
    """No instance that is not a target may be attached or restarted."""
    plan = factory.plan()
    document = policy.make("apply", plan)

    changing = [one for one in document["Statement"] if "Describe" not in one["Action"][0]]
    named = {resource for one in changing for resource in one["Resource"]}
    targets = {one.instance for one in plan.targets()}
    assert not [resource for resource in named if resource.endswith("*")]
    assert {one.rpartition("/")[2] for one in named if ":instance/" in one} == targets
    assert {one.rpartition("/")[2] for one in named if ":keypair/" in one} == {plan.keys[0].name}


@pytest.mark.parametrize("purpose", ["plan", "apply"])
def test_no_policy_allows_what_a_run_never_does(purpose: Purpose) -> None:
    """No pattern in an action, and nothing that deletes, detaches or stops."""
    for plan in (None, factory.plan()):
        found = actions(policy.make(purpose, plan))
        assert not [one for one in found if "*" in one]
        assert not [one for one in found if any(w in one for w in ("Delete", "Detach", "Stop"))]


def test_a_long_policy_is_noticed() -> None:
    """RAM accepts 6,144 characters: about a hundred instances by name."""
    plan: Plan = factory.plan(1000)

    assert policy.is_too_long(policy.make("apply", plan))
    assert not policy.is_too_long(policy.make("apply"))


def test_the_policy_of_a_plan_lets_a_census_observe_other_regions() -> None:
    """Without that right, members of groups in a region without targets would count as down."""
    rows = [
        samples.instance(0),
        samples.instance(1, region=samples.REGIONS[1], locks=("security",)),
    ]
    observe, *others = policy.make("apply", samples.make_plan(rows))["Statement"]

    assert [one.split(":")[2] for one in observe["Resource"]] == list(samples.REGIONS)
    assert not any(samples.REGIONS[1] in name for one in others for name in one["Resource"])
