"""The scheduler pauses after a run that halted again, and ends where `--once` says so."""

from __future__ import annotations

import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import pytest

from rollout import logs
from rollout.app import approvals, scheduler, schedules
from rollout.app.schedule_book import Book
from rollout.app.session import Session
from rollout.emulator.cloud.switches import Switches
from rollout.emulator.dispatch import Cloud as EmulatedCloud
from rollout.emulator.fault_plan import FaultPlan
from rollout.emulator.faults import INJECTIONS, NO_INJECTION, Fault, Injection
from rollout.emulator.fleet import synthetic
from rollout.emulator.messages import Request
from rollout.errors import Exit
from rollout.journal import store
from rollout.journal.directory import DirectoryStore
from rollout.model.event import Resumed
from rollout.model.schedule_event import (
    ScheduleEvent,
    SchedulePaused,
    ScheduleResumed,
    TickClaimed,
    TicksRequested,
)
from rollout.model.time import HOUR, MINUTE
from rollout.sim.time import loop
from tests.app import service as stage
from tests.app.virtual import VirtualService

SPEC = stage.SPEC + ('  schedule: { cron: "0 0 1 1 *", timeZone: UTC, onDue: planAndApply }\n')


class LostReboots(FaultPlan):
    """No reboot arrives, and no reply says so: instances stay in doubt, and the run halts (R0501).
    Dry runs do arrive.
    """

    def injection(self, request: Request) -> Injection:
        """See FaultPlan."""
        lost = request.action == "RebootInstance" and "DryRun" not in request.params
        return INJECTIONS["lost_before"] if lost else NO_INJECTION


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> VirtualService:
    """A project whose schedule was triggered, and a cloud that loses reboots."""
    monkeypatch.chdir(tmp_path)
    stage.write_spec(tmp_path, text=SPEC)
    fleet = synthetic.build(size=20, seed=1, now=loop.START_MS, regions=("cn-hangzhou",))
    cloud = EmulatedCloud(fleet, Switches(boot_time_ms=1_000))
    cloud.arm(LostReboots((Fault("lost_before"),)))
    return VirtualService(cloud, loop.START_MS)


def run(
    service: VirtualService,
    patch: pytest.MonkeyPatch,
    work: Callable[[], Awaitable[None]],
) -> None:
    """Trigger the schedule and do some work, in virtual time."""

    async def main() -> None:
        service.install(patch)
        schedules.add(Path("fleet.yaml"), service.session, lambda _: None)
        schedules.trigger("fleet", service.session)
        await work()

    loop.run(main)


def resumes(service: VirtualService) -> int:
    """Return how often the run was resumed."""
    lines = store.find(service.session.store, None).read()
    return sum(isinstance(event, Resumed) for line in lines for event in line.body)


def test_once_ends_although_its_run_stays_open(
    service: VirtualService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that halts is not continued again and again: exit 5, and the tick stays open."""

    async def work() -> None:
        with anyio.fail_after(10 * MINUTE / 1000):
            assert await scheduler.serve(lambda: service.session, once=True) is Exit.HALTED
        assert resumes(service) == 0

    run(service, monkeypatch, work)


def test_a_run_that_halts_again_is_continued_less_often(
    service: VirtualService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pauses double up to an hour, so that a night has few messages about one halt."""

    async def work() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(scheduler.serve, lambda: service.session)
            await anyio.sleep(8 * HOUR / 1000)
            assert 8 <= resumes(service) <= 16
            tasks.cancel_scope.cancel()

    run(service, monkeypatch, work)


def test_once_tells_that_a_plan_waits_for_approvals(
    service: VirtualService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit 7: a scheduler that starts it every minute sees that the rotation did not happen, and
    the list of schedules has the command that approves the plan.
    """
    approvals.new_key("li.wei", Path("li.wei"))
    spec = Path("fleet.yaml")
    spec.write_text(spec.read_text() + "  approvals: { required: 1, keys: [li.wei.vkey] }\n")

    async def work() -> None:
        assert await scheduler.serve(lambda: service.session, once=True) is Exit.CONFIRM
        (listed,) = schedules.listed(service.session)
        assert listed.approvals_missing == 1
        assert listed.command.startswith("rollout approve runs/plans/fleet-")

    run(service, monkeypatch, work)


def test_what_the_scheduler_waits_for_is_logged_once(
    service: VirtualService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While another process drives a run, a scheduler says which run and which process it is."""
    logged: list[str] = []
    monkeypatch.setattr(logs, "say", lambda event, *_, **fields: logged.append(event))

    async def work() -> None:
        await scheduler.serve(lambda: service.session, once=True)  # its run stays open
        schedules.trigger("fleet", service.session)
        waits = scheduler.Scheduler(lambda: service.session, Book.of(service.session.store))
        async with service.session.store.lock(service.now(), lambda _: None):
            for _ in range(2):
                await anyio.sleep(HOUR / 1000)
                assert not await waits.turn()

    run(service, monkeypatch, work)
    assert logged.count("scheduler.waits") == 1


@pytest.mark.parametrize("first", Exit)
def test_every_exit_code_of_a_tick_can_be_followed_by_another(first: Exit, tmp_path: Path) -> None:
    """A tick may fail for a reason that has no rank among the ends of runs, such as exit 78."""
    made = scheduler.Scheduler(Session, Book.of(DirectoryStore(tmp_path)))

    for code in (first, Exit.DONE):
        made._note(code)
    assert made.exit is first
    made._note(Exit.INTEGRITY)
    assert made.exit is Exit.INTEGRITY


def test_a_journal_is_read_once(tmp_path: Path) -> None:
    """A scheduler polls every few seconds, so it reads only new entries. A journal that replaced
    the former one is read from its start.
    """
    store = DirectoryStore(tmp_path)
    mine, other = Book.of(store), Book.of(store)

    def put(book: Book, *events: ScheduleEvent) -> None:
        for event in events:
            assert book.append(book.state("s"), event, loop.START_MS)

    put(other, SchedulePaused("freeze"), TicksRequested((1,), "trigger"))
    assert mine.state("s") == other.state("s") and mine.state("s").length == 2
    put(other, ScheduleResumed(), TickClaimed(1))
    (tmp_path / "schedules" / "s" / "00000001.json").unlink()  # not read again
    mine.state("s").fired.clear()  # a copy
    assert mine.state("s").fired == {1} and not mine.state("s").paused

    shutil.rmtree(tmp_path / "schedules" / "s")
    put(Book.of(store), *[SchedulePaused("new")] * 5)
    assert mine.state("s") == Book.of(store).state("s")
