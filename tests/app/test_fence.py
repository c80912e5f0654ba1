"""Before a run: a mark of another runs directory on a key pair refuses it."""

from __future__ import annotations

from pathlib import Path

import pytest

from rollout.app import fence
from rollout.app import plan as planning
from rollout.app.session import Connection, Session
from rollout.emulator.http import server
from rollout.errors import Exit, RolloutError
from rollout.journal.reader import run_id
from rollout.model.time import MINUTE
from tests.app import service as stage
from tests.app.marking import (
    Heard,
    Watched,
    applied,
    clouded,
    mark,
    marks_on,
    planned,
)
from tests.app.test_preflight import RUNS, code_of


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project directory, which is the working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


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
    assert marks_on(cloud) == [None, None]


@pytest.mark.asyncio
async def test_runs_of_the_same_runs_directory_are_known(project: Path) -> None:
    """Locks and leases decide about them, such as the one of a killed process before its resume. A
    mark of the same plan's run elsewhere counts also when this directory has one.
    """
    cloud = clouded()
    saved = await planned(cloud, project)
    assert await applied(cloud, saved, Heard()) is Exit.DONE
    (run,) = RUNS.runs()

    async with stage.connected(cloud) as service:
        mark(cloud, run.id, 5 * MINUTE, started=run.started)
        await fence.check(saved.plan, service, RUNS)

        mark(cloud, run.id, 5 * MINUTE)
        with pytest.raises(RolloutError) as caught:
            await fence.check(saved.plan, service, RUNS)
    assert code_of(caught) == ("R0620", Exit.CONFLICT)
