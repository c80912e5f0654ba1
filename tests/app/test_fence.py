"""Marks on key pairs: operators with other runs directories see a run; nothing depends on them."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from rollout.app import execute, fence
from rollout.app import plan as planning
from rollout.app.notices import Notices
from rollout.app.plan_file import SavedPlan
from rollout.app.session import Connection, Session
from rollout.ecs.transport import AiohttpTransport, SignedCall
from rollout.ecs.wire import HttpReply
from rollout.emulator.cloud.users import Statement, User
from rollout.emulator.dispatch import Cloud as EmulatedCloud
from rollout.emulator.http import server
from rollout.errors import Exit, Problem, RolloutError
from rollout.journal.reader import run_id
from rollout.model.fence import LIFE_MS, TAG_KEY, Fence, read
from rollout.model.time import MINUTE
from tests.app import service as stage
from tests.app.test_preflight import RUNS, code_of

KEY = "fleet-2026"
REGIONS = ("cn-hangzhou", "cn-shanghai")


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project directory, which is the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(fence, "RETRY_S", 0.05)
    return tmp_path


class Watched(AiohttpTransport):
    """Records the calls about tags."""

    tagging: list[str] = []  # noqa: RUF012 - shared: the test reads what all instances sent

    async def send(self, call: SignedCall) -> HttpReply:
        reply = await super().send(call)
        if "agResources" in call.action:
            self.tagging.append(f"{call.action} {reply.status}")
        return reply


class Heard(Notices):
    """Keeps warnings."""

    def __init__(self) -> None:
        self.codes: list[str] = []

    def warn(self, problem: Problem) -> None:
        self.codes.append(problem.code)


def clouded(*, with_key: bool = True) -> EmulatedCloud:
    """A cloud of twelve instances whose regions have the new key pair."""
    cloud = stage.emulated(12)
    for region in REGIONS if with_key else ():
        cloud.pairs.add(region, KEY, stage.PUBLIC_KEY.strip(), 0)
    return cloud


def mark(cloud: EmulatedCloud, run: str, left_ms: int, region: str = REGIONS[1]) -> None:
    """Let a process elsewhere mark the key pair of a region."""
    pair = cloud.pairs.find(region, KEY)
    assert pair is not None
    text = Fence(run, 1, server.wall_clock_ms() + left_ms, "zhou.min@ops-2").text()
    pair.tags = ((TAG_KEY, text),)


def marks(cloud: EmulatedCloud) -> list[Fence | None]:
    """The marks on the key pair in each region; None for a region without one."""
    pairs = [cloud.pairs.find(region, KEY) for region in REGIONS]
    return [read(dict(pair.tags).get(TAG_KEY, "")) if pair else None for pair in pairs]


async def all_marked(cloud: EmulatedCloud) -> None:
    """Wait until the key pair of each region is marked."""
    while None in marks(cloud):  # noqa: ASYNC110 - the emulator has no event
        await anyio.sleep(0.01)


async def planned(cloud: EmulatedCloud, project: Path) -> SavedPlan:
    """A plan of the whole cloud."""
    async with stage.connected(cloud) as service:
        return (await planning.create(stage.write_spec(project), service, RUNS)).saved


async def applied(
    cloud: EmulatedCloud, saved: SavedPlan, heard: Heard, *, fenced: bool = True
) -> Exit:
    """Apply the plan until its run closes; return the exit code."""
    Watched.tagging.clear()
    session = Session(allow_unsafe_fs=True, notices=heard, fence=fenced)
    async with (
        stage.connected(cloud, Watched) as service,
        execute.hold_runs(session, service.clock.now()) as runner,
    ):
        return (await runner.begin(saved, service)).exit


@pytest.mark.asyncio
async def test_a_run_marks_its_key_pairs_and_removes_the_marks(project: Path) -> None:
    """Each region's key pair is marked once, and nothing is left when the run is closed."""
    cloud, heard = clouded(), Heard()
    saved = await planned(cloud, project)

    assert await applied(cloud, saved, heard) is Exit.DONE
    assert sorted(Watched.tagging) == ["TagResources 200"] * 2 + ["UntagResources 200"] * 2
    assert marks(cloud) == [None, None]
    assert heard.codes == []


@pytest.mark.asyncio
async def test_a_mark_names_run_and_process_while_the_run_is_driven(project: Path) -> None:
    """An operator elsewhere reads which run, whose process, and until when."""
    cloud, heard = clouded(), Heard()
    found: list[Fence | None] = []

    async with stage.connected(cloud) as service:
        service.allow_key_changes()
        places = fence.places((await planned(cloud, project)).plan)
        mine = fence.Marks(service, "r-aaaa", 3, places)

        async def drive() -> None:
            await all_marked(cloud)
            found.extend(marks(cloud))

        await fence.while_driving(drive, mine, heard)

    assert all(one is not None and (one.run, one.epoch) == ("r-aaaa", 3) for one in found)
    assert all(one is not None and "@" in one.by for one in found)
    assert marks(cloud) == [None, None]


@pytest.mark.asyncio
async def test_the_marks_of_others_are_not_removed(project: Path) -> None:
    """A process that overwrote the mark has its own."""
    cloud = clouded()
    async with stage.connected(cloud) as service:
        service.allow_key_changes()
        places = fence.places((await planned(cloud, project)).plan)
        mine = fence.Marks(service, "r-aaaa", 1, places)

        async def drive() -> None:
            await all_marked(cloud)
            mark(cloud, "r-other", LIFE_MS)

        await fence.while_driving(drive, mine, Heard())

    first, second = marks(cloud)
    assert first is None
    assert second is not None and second.run == "r-other"


@pytest.mark.asyncio
async def test_an_error_of_the_run_passes_and_the_marks_are_removed(project: Path) -> None:
    """It is not wrapped in a group, and the key pairs are free again."""
    cloud = clouded()
    async with stage.connected(cloud) as service:
        service.allow_key_changes()
        places = fence.places((await planned(cloud, project)).plan)

        async def drive() -> None:
            await all_marked(cloud)
            raise LookupError("of the run")

        with pytest.raises(LookupError, match="of the run"):
            await fence.while_driving(drive, fence.Marks(service, "r-aaaa", 1, places), Heard())
    assert marks(cloud) == [None, None]


@pytest.mark.asyncio
async def test_a_fresh_mark_of_another_runs_directory_ends_apply(project: Path) -> None:
    """Exit 6 with run, operator and time, before the first effect; --no-fence continues."""
    cloud, heard = clouded(), Heard()
    saved = await planned(cloud, project)
    mark(cloud, "r-other", 5 * MINUTE)

    with pytest.raises(RolloutError) as caught:
        await applied(cloud, saved, heard)
    assert code_of(caught) == ("R0620", Exit.CONFLICT)
    text = caught.value.problems[0].message
    assert "r-other" in text and "zhou.min@ops-2" in text and "cn-shanghai" in text
    assert "--no-fence" in str(caught.value.problems[0].help)
    assert len(cloud.ledger) == 0 and RUNS.runs() == []

    assert await applied(cloud, saved, heard, fenced=False) is Exit.DONE
    assert Watched.tagging == [] and heard.codes == []


@pytest.mark.asyncio
async def test_a_plan_warns_of_a_fresh_mark(project: Path) -> None:
    """Who reviews the plan learns that an apply would be refused now; the plan is the same."""
    cloud, heard = clouded(), Heard()
    mark(cloud, "r-other", 5 * MINUTE)
    spec = stage.write_spec(project)

    async with server.serve(cloud) as url:
        here = Connection(endpoint=url, emulator=True)
        for fenced in (True, False):
            session = Session(connection=here, notices=heard, fence=fenced)
            assert (await planning.plan(spec, session)).saved.plan.counts.targets
    assert heard.codes == ["R0620"]


@pytest.mark.asyncio
async def test_the_same_plan_elsewhere_is_another_run(project: Path) -> None:
    """Both runs have the same id, because a plan's digest names its run."""
    cloud = clouded()
    saved = await planned(cloud, project)
    mark(cloud, run_id(saved.digest), 5 * MINUTE)

    with pytest.raises(RolloutError) as caught:
        await applied(cloud, saved, Heard())
    assert code_of(caught) == ("R0620", Exit.CONFLICT)


@pytest.mark.asyncio
@pytest.mark.parametrize("left_ms", [-1000, 24 * 60 * MINUTE])
async def test_an_old_or_impossible_mark_does_not_count(project: Path, left_ms: int) -> None:
    """A killed process blocks others for a quarter of an hour at most."""
    cloud = clouded()
    saved = await planned(cloud, project)
    mark(cloud, "r-other", left_ms)

    assert await applied(cloud, saved, Heard()) is Exit.DONE
    assert marks(cloud) == [None, None]


@pytest.mark.asyncio
async def test_runs_of_the_same_runs_directory_are_known(project: Path) -> None:
    """Locks and leases decide about them, such as the one of a killed process before its resume."""
    cloud = clouded()
    saved = await planned(cloud, project)
    assert await applied(cloud, saved, Heard()) is Exit.DONE
    mark(cloud, run_id(saved.digest), 5 * MINUTE)

    async with stage.connected(cloud) as service:
        await fence.check(saved.plan, service, RUNS)


@pytest.mark.asyncio
@pytest.mark.parametrize("denied", ["ecs:TagResources", "ecs:*Resources"])
async def test_a_run_goes_on_without_permission_to_mark(project: Path, denied: str) -> None:
    """One warning, R0621, and the same exit code."""
    cloud, heard = clouded(), Heard()
    saved = await planned(cloud, project)
    cloud.access.put(User(statements=(Statement("allow"), Statement("deny", (denied,)))))

    assert await applied(cloud, saved, heard) is Exit.DONE
    assert heard.codes == ["R0621"]


@pytest.mark.asyncio
async def test_a_rule_of_the_safety_policy_means_no_mark(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The optional call is left out, and the run is not refused for it."""
    cloud, heard = clouded(), Heard()
    saved = await planned(cloud, project)
    monkeypatch.setenv("ALIBABA_CLOUD_SAFETY_POLICY_ENABLED", "true")
    monkeypatch.setenv("ALIBABA_CLOUD_SAFETY_POLICY_RULES", "ecs:Tag*=deny")

    assert await applied(cloud, saved, heard) is Exit.DONE
    assert heard.codes == ["R0621"] and Watched.tagging == []


@pytest.mark.asyncio
async def test_an_imported_key_pair_is_marked_once_it_exists(project: Path) -> None:
    """Before its import there is nothing to mark, which is no reason for a warning."""
    cloud, heard = clouded(with_key=False), Heard()
    saved = await planned(cloud, project)

    assert await applied(cloud, saved, heard) is Exit.DONE
    assert "TagResources 200" in Watched.tagging
    assert marks(cloud) == [None, None] and heard.codes == []
