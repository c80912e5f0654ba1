"""Retry: which instances of a closed run a new plan takes, by their phase."""

from __future__ import annotations

from pathlib import Path

import pytest

from rollout.app import derived, runs
from rollout.app import plan as planning
from rollout.app.plan_file import load_plan, save_plan
from rollout.app.retry import retry
from rollout.app.session import Connection, Session
from rollout.app.undo import undo
from rollout.core.running.journey import Phase
from rollout.emulator.http import server
from rollout.errors import RolloutError
from rollout.journal import proofs
from rollout.journal.directory import DirectoryRun, DirectoryStore
from rollout.journal.store import StoredRun
from rollout.model.outcome import Unknown
from rollout.model.plan import Origin, OriginKind
from tests.app import service as stage
from tests.app.test_preflight import applied
from tests.journal import example_runs

PHASES = (Phase.FAILED, Phase.STRANDED, Phase.SKIPPED, Phase.IN_DOUBT, Phase.UNVERIFIED, Phase.DONE)


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project folder, which is the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "failed,in_doubt,taken",
    [
        (False, False, {0, 1, 2}),
        (True, False, {0, 1}),
        (False, True, {0, 1, 2, 3}),
        (True, True, {0, 1, 3}),
    ],
)
async def test_the_flags_choose_the_phases(
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    failed: bool,
    in_doubt: bool,
    taken: set[int],
) -> None:
    """Failed, stranded and skipped; `--failed` without skipped ones, `--in-doubt` with doubtful
    ones; never done or unverified ones. The plan names its run.
    """
    cloud, fold = stage.emulated(), runs.fold
    store = DirectoryStore(Path("runs"))
    async with stage.connected(cloud) as service:
        spec = stage.write_spec(project)
        saved = (await planning.create(spec, service, store)).saved
    result = await applied(cloud, saved)
    run, ids = result.view.run, [target.instance for target in saved.plan.targets()]

    def with_phases(stored: StoredRun) -> runs.Folded:
        folded = fold(stored)
        folded.run.phases[: len(PHASES)] = bytes(PHASES)
        return folded

    monkeypatch.setattr(runs, "fold", with_phases)
    monkeypatch.setattr(proofs, "fold", lambda _: proofs.FoldedProofs({}, ()))
    async with server.serve(cloud) as url:
        session = Session(connection=Connection(endpoint=url, emulator=True))
        planned = await retry(run, session, failed=failed, in_doubt=in_doubt)

    save_plan(planned.saved, project / "retry.plan.json")
    plan = load_plan(project / "retry.plan.json").plan
    assert {target.instance for target in plan.targets()} == {ids[one] for one in taken}
    assert plan.origin == Origin(OriginKind.RETRY, run, saved.digest)
    assert plan.counts.found == saved.plan.counts.found


@pytest.mark.asyncio
async def test_the_retry_of_an_undo_is_named_like_the_undo(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It attaches the former key, so the name of the forward rotation does not confirm it."""
    cloud, fold = stage.emulated(12), runs.fold
    store = DirectoryStore(Path("runs"))
    async with stage.connected(cloud) as service:
        saved = (await planning.create(stage.write_spec(project), service, store)).saved
    rotated = (await applied(cloud, saved)).view.run
    async with server.serve(cloud) as url:
        session = Session(connection=Connection(endpoint=url, emulator=True))
        undone = (await applied(cloud, (await undo(rotated, session)).saved)).view.run

    def with_one_failed(stored: StoredRun) -> runs.Folded:
        folded = fold(stored)
        folded.run.phases[0] = Phase.FAILED
        return folded

    monkeypatch.setattr(runs, "fold", with_one_failed)
    async with server.serve(cloud) as url:
        session = Session(connection=Connection(endpoint=url, emulator=True))
        names = [(await retry(run, session)).saved.plan.name for run in (rotated, undone)]
        again = (await undo(undone, session)).saved.plan.name

    assert names == ["fleet", "fleet-undo"]
    assert again == "fleet-undo"


def test_a_lost_restart_holds_a_new_plan_back() -> None:
    """Until the settle window of a doubtful restart is over, a second one could follow it: exit 6.
    Instances that are not in doubt hold nothing back.
    """
    folded = runs.fold(open_run())
    end = folded.run.settle_end(1)
    assert folded.run.phase(1) is Phase.IN_DOUBT

    with pytest.raises(RolloutError, match="R0613"):
        derived.check_settled(folded, [0, 1], end - 1)
    derived.check_settled(folded, [0, 1], end)
    derived.check_settled(folded, [0], end - 1)


def open_run() -> StoredRun:
    """A run with one instance done, and one whose restart got no reply."""
    example = example_runs.ExampleRun().open_wave(0).rotated(0).attached(1).restart(1)
    example.settle(Unknown("timeout"))
    return DirectoryRun(example.write(Path("runs")))


@pytest.mark.asyncio
@pytest.mark.parametrize("make", [retry, undo])
async def test_an_open_run_is_refused(
    project: Path, monkeypatch: pytest.MonkeyPatch, make: object
) -> None:
    """A run that is not closed may still change its instances: exit 6, R0611, no call."""
    cloud = stage.emulated()
    async with stage.connected(cloud) as service:
        saved = (
            await planning.create(stage.write_spec(project), service, DirectoryStore(Path("runs")))
        ).saved
    result = await applied(cloud, saved)
    fold = runs.fold

    def still_open(stored: StoredRun) -> runs.Folded:
        folded = fold(stored)
        folded.run.closed = None
        return folded

    monkeypatch.setattr(runs, "fold", still_open)
    assert callable(make)
    with pytest.raises(RolloutError) as caught:
        await make(result.view.run, Session())
    assert caught.value.problems[0].code == "R0611"
