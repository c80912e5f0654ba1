"""During a run: its key pairs are marked for operators elsewhere, and theirs are respected."""

from __future__ import annotations

import itertools
from pathlib import Path

import anyio
import pytest

from rollout.app import marks, runs
from rollout.ecs.transport import AiohttpTransport, Lost, SignedCall
from rollout.ecs.wire import HttpReply
from rollout.emulator.cloud.users import Statement, User
from rollout.errors import Exit, StorageError
from rollout.journal.directory import DirectoryStore
from rollout.model.fence import LIFE_MS, Fence
from rollout.model.time import MINUTE
from tests.app import service as stage
from tests.app.marking import (
    Heard,
    Watched,
    all_marked,
    applied,
    began,
    clouded,
    mark,
    marks_on,
    planned,
)
from tests.app.test_preflight import RUNS


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project directory, which is the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(marks, "RETRY_S", 0.05)
    monkeypatch.setattr(marks, "REPLACED_S", 0.05)
    return tmp_path


@pytest.mark.asyncio
async def test_a_run_marks_its_key_pairs_and_removes_the_marks(project: Path) -> None:
    """Each region's key pair is marked once, and nothing is left when the run is closed."""
    cloud, heard = clouded(), Heard()
    saved = await planned(cloud, project)

    assert await applied(cloud, saved, heard) is Exit.DONE
    assert sorted(Watched.tagging) == ["TagResources 200"] * 2 + ["UntagResources 200"] * 2
    assert marks_on(cloud) == [None, None]
    assert heard.codes == []


@pytest.mark.asyncio
async def test_a_mark_names_run_and_process_while_the_run_is_driven(project: Path) -> None:
    """An operator elsewhere reads which run, whose process, and until when."""
    cloud, heard = clouded(), Heard()
    found: list[Fence | None] = []

    async with stage.connected(cloud) as service:
        service.allow_key_changes()
        pairs = marks.key_pairs((await planned(cloud, project)).plan)
        mine = marks.Marks(service, RUNS, began("r-aaaa"), 3, pairs)

        async def drive() -> None:
            await all_marked(cloud)
            found.extend(marks_on(cloud))

        await marks.while_driving(drive, mine, heard)

    assert all(one is not None and (one.run, one.epoch) == ("r-aaaa", 3) for one in found)
    assert all(one is not None and "@" in one.by for one in found)
    assert marks_on(cloud) == [None, None]


@pytest.mark.asyncio
async def test_the_marks_of_others_are_not_removed(project: Path) -> None:
    """A process that overwrote the mark has its own."""
    cloud = clouded()
    async with stage.connected(cloud) as service:
        service.allow_key_changes()
        pairs = marks.key_pairs((await planned(cloud, project)).plan)
        mine = marks.Marks(service, RUNS, began("r-aaaa"), 1, pairs)

        async def drive() -> None:
            await all_marked(cloud)
            mark(cloud, "r-other", LIFE_MS)

        await marks.while_driving(drive, mine, Heard())

    first, second = marks_on(cloud)
    assert first is None
    assert second is not None and second.run == "r-other"


@pytest.mark.asyncio
async def test_an_error_of_the_run_passes_and_the_marks_are_removed(project: Path) -> None:
    """It is not wrapped in a group, and the key pairs are free again."""
    cloud = clouded()
    async with stage.connected(cloud) as service:
        service.allow_key_changes()
        pairs = marks.key_pairs((await planned(cloud, project)).plan)

        async def drive() -> None:
            await all_marked(cloud)
            raise LookupError("of the run")

        with pytest.raises(LookupError, match="of the run"):
            await marks.while_driving(
                drive, marks.Marks(service, RUNS, began("r-aaaa"), 1, pairs), Heard()
            )
    assert marks_on(cloud) == [None, None]


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
    assert marks_on(cloud) == [None, None] and heard.codes == []


@pytest.mark.asyncio
async def test_a_mark_that_appears_during_a_wave_halts_the_run_before_the_next(
    project: Path,
) -> None:
    """The marks are read before each wave: no instance of the second wave is changed, exit 6."""
    cloud, heard = clouded(), Heard()
    waves = "[ { name: canary, size: 1 }, { name: bulk, size: rest } ]"
    saved = await planned(
        cloud, project, stage.SPEC.replace("[ { name: all, size: rest } ]", waves)
    )

    class Overtaken(Watched):
        async def send(self, call: SignedCall) -> HttpReply:
            reply = await super().send(call)
            if len(cloud.ledger) >= 2:  # the canary has the key, and it restarts
                mark(cloud, "r-other", LIFE_MS)
            return reply

    assert await applied(cloud, saved, heard, transport=Overtaken) is Exit.CONFLICT
    changed = {row.instance for row in cloud.ledger if row.instance}
    canary = {one.instance for one in itertools.islice(saved.plan.targets(), 1)}
    assert changed == canary
    (run,) = RUNS.runs()
    halted = runs.fold(run).run.halted
    assert halted is not None and (halted.reason, halted.code) == ("mark", "R0620")
    assert "r-other of zhou.min@ops-2" in halted.detail and "cn-shanghai" in halted.detail
    left = [one.run for one in marks_on(cloud) if one is not None]
    assert left == ["r-other"], "its own mark in the other region is removed"


class AtOnce(AiohttpTransport):
    """Lets two processes read the marks, then write them, then read them again, each at once."""

    ready: list[anyio.Event] = []  # noqa: RUF012 - shared by the transports of both processes
    waiting = 0

    async def send(self, call: SignedCall) -> HttpReply:
        if call.action != "TagResources":
            return await super().send(call)
        await self.barrier(0)
        reply = await super().send(call)
        await self.barrier(1)
        return reply

    async def barrier(self, number: int) -> None:
        AtOnce.waiting += 1
        if AtOnce.waiting % 2 == 0:
            self.ready[number].set()
        await self.ready[number].wait()


@pytest.mark.asyncio
async def test_of_two_runs_that_start_at_once_the_one_whose_mark_was_replaced_ends(
    project: Path,
) -> None:
    """Both find no mark and write their own; one reads the other's mark and sends nothing."""
    cloud = clouded()
    pair = marks.key_pairs((await planned(cloud, project)).plan)[:1]
    AtOnce.ready = [anyio.Event(), anyio.Event()]
    async with (
        stage.connected(cloud, AtOnce) as first,
        stage.connected(cloud, AtOnce) as second,
        anyio.create_task_group() as tasks,
    ):
        both = [marks.Marks(first, RUNS, began("r-aaaa"), 1, pair)]
        both.append(marks.Marks(second, RUNS, began("r-bbbb"), 1, pair))
        for one in both:
            one.service.allow_key_changes()
            tasks.start_soon(one.read_before, 0)

    here = marks_on(cloud)[0]
    assert here is not None
    lost = [one.started.run for one in both if one.lost()]
    assert lost == [run for run in ("r-aaaa", "r-bbbb") if run != here.run]


@pytest.mark.asyncio
async def test_a_mark_that_was_replaced_after_it_was_read_back_is_found_soon(
    project: Path,
) -> None:
    """The marks are read again two seconds after they were written, not only before a wave."""
    cloud = clouded()
    pairs = marks.key_pairs((await planned(cloud, project)).plan)
    async with stage.connected(cloud) as service:
        service.allow_key_changes()
        mine = marks.Marks(service, RUNS, began("r-aaaa"), 1, pairs)

        async def drive() -> None:
            await mine.read_before(0)
            assert mine.lost() == ""
            mark(cloud, "r-other", LIFE_MS)
            await mine.found()

        with anyio.fail_after(10):
            await marks.while_driving(drive, mine, Heard())
    assert "r-other" in mine.lost()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "run, at, left_ms, lost",
    [
        ("r-aaaa", 0, LIFE_MS + MINUTE, False),  # a former process, whose clock was ahead
        ("r-aaaa", 5, LIFE_MS - MINUTE, True),  # the same plan in another runs directory
        ("r-other", 0, -MINUTE, False),
        ("r-other", 0, LIFE_MS, True),
    ],
)
async def test_whose_mark_ends_a_run(
    project: Path, run: str, at: int, left_ms: int, *, lost: bool
) -> None:
    """Marks of its own former process and old ones are replaced; others are left and end it."""
    cloud = clouded()
    pairs = marks.key_pairs((await planned(cloud, project)).plan)
    mark(cloud, run, left_ms, started=began(run, at))
    async with stage.connected(cloud) as service:
        service.allow_key_changes()
        mine = marks.Marks(service, RUNS, began("r-aaaa"), 2, pairs)
        await mine.read_before(0)

    first, second = marks_on(cloud)
    assert bool(mine.lost()) is lost
    assert first is not None and second is not None
    assert (first.run, first.epoch) == ("r-aaaa", 2)
    assert ("zhou.min" in second.by) is lost


@pytest.mark.asyncio
async def test_a_runs_directory_that_cannot_be_read_knows_no_run(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mark that was read is not passed over because of an error of the disk."""
    cloud = clouded()
    pairs = marks.key_pairs((await planned(cloud, project)).plan)
    mark(cloud, "r-other", LIFE_MS)

    def broken(_: object) -> None:
        raise StorageError.of("R0802", "the runs directory cannot be read")

    monkeypatch.setattr(DirectoryStore, "runs", broken)
    async with stage.connected(cloud) as service:
        mine = marks.Marks(service, RUNS, began("r-aaaa"), 1, pairs)
        await mine.read_before(0)
    assert "r-other" in mine.lost()


class Silent(Watched):
    """One region does not answer calls about key pairs."""

    async def send(self, call: SignedCall) -> HttpReply:
        if "cn-shanghai" in call.query and "Pairs" in call.action:
            await anyio.sleep(60)
        return await super().send(call)


@pytest.mark.asyncio
async def test_a_region_that_does_not_answer_delays_no_call_for_long(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The calls of a wave wait five seconds for a reading, and then leave without it; the other
    region's key pair is marked.
    """
    monkeypatch.setattr(marks, "VISIT_S", 0.3)
    cloud = clouded()
    pairs = marks.key_pairs((await planned(cloud, project)).plan)
    async with stage.connected(cloud, Silent) as service:
        service.allow_key_changes()
        mine = marks.Marks(service, RUNS, began("r-aaaa"), 1, pairs)
        with anyio.fail_after(20):
            await mine.read_before(0)

    first, second = marks_on(cloud)
    assert first is not None and second is None and mine.lost() == ""


class Unanswered(Watched):
    """The answers to TagResources are lost."""

    async def send(self, call: SignedCall) -> HttpReply:
        reply = await super().send(call)
        if call.action == "TagResources":
            raise Lost("reset")
        return reply


@pytest.mark.asyncio
async def test_a_mark_whose_answer_was_lost_is_removed(project: Path) -> None:
    """It may have been written, so it is read at the end."""
    cloud = clouded()
    async with stage.connected(cloud, Unanswered) as service:
        service.allow_key_changes()
        pairs = marks.key_pairs((await planned(cloud, project)).plan)
        mine = marks.Marks(service, RUNS, began("r-aaaa"), 1, pairs)

        async def drive() -> None:
            await mine.read_before(0)
            assert None not in marks_on(cloud)

        await marks.while_driving(drive, mine, Heard())
    assert marks_on(cloud) == [None, None]


@pytest.mark.asyncio
async def test_a_run_that_halted_or_was_drained_leaves_no_mark(project: Path) -> None:
    """Its calls are refused unsent, but for those that free the key pairs for others."""
    cloud = clouded()
    pairs = marks.key_pairs((await planned(cloud, project)).plan)
    async with stage.connected(cloud) as service:
        service.allow_key_changes()
        mine = marks.Marks(service, RUNS, began("r-aaaa"), 1, pairs)

        async def drive() -> None:
            await mine.read_before(0)
            assert None not in marks_on(cloud)
            service.stop()

        await marks.while_driving(drive, mine, Heard())
    assert marks_on(cloud) == [None, None]
