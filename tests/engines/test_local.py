"""The local engine: durable before effect, drains, and the poison of the journal."""

from __future__ import annotations

import dataclasses
import os
import signal

import anyio
import anyio.lowlevel
import pytest

from rollout.core.invariant import Bug
from rollout.core.running.decide_run import exit_of
from rollout.engines.service import Gate
from rollout.errors import IntegrityError, StorageError
from rollout.model import event as ev
from rollout.model.outcome import Done, Refused, RetryClass, Unknown
from rollout.model.site import Site
from rollout.model.time import SECOND
from tests.core import samples
from tests.engines.fakes import Stage

SITE = Site(samples.ACCOUNT, samples.REGIONS[0])


def settled(events: list[ev.AnyEvent]) -> list[ev.Settled]:
    """How calls ended, in order."""
    return [event for event in events if isinstance(event, ev.Settled)]


@pytest.mark.asyncio
async def test_every_effect_follows_a_sync_and_the_close_is_durable() -> None:
    """An intent is durable before its call leaves, and the run's close before the exit."""
    stage = Stage()
    await stage.drive()

    assert exit_of(stage.decider.run) == 0
    assert stage.log[:2] == ["sync", "attach"]
    assert stage.log[stage.log.index("restart") - 1] == "sync"
    assert isinstance(stage.journal.durable[-1], ev.RunClosed) and not stage.journal.pending


@pytest.mark.asyncio
async def test_the_journal_on_disk_is_the_run() -> None:
    """Folding the durable events gives the classes of the finished run."""
    stage = Stage()
    await stage.drive()
    again = Stage().decider.__class__(stage.plan)
    for event in stage.journal.durable:
        again.fold(event)

    assert again.run.phase_counts == stage.decider.run.phase_counts


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "number, code", [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["SIGTERM", "SIGINT"]
)
async def test_a_signal_drains(number: signal.Signals, code: int) -> None:
    """Nothing new starts, open calls are awaited, and the exit code names the signal."""
    stage = Stage()
    stage.ecs.hangs = "attach"
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: stage.drive(signals=True))
        await stage.ecs.entered.wait()
        os.kill(os.getpid(), number)
        await stage.ecs.stopping.wait()
        stage.ecs.release.set()

    assert stage.decider.idle and stage.log.count("restart") == 0
    assert isinstance(settled(stage.journal.durable)[0].outcome, Done)
    assert exit_of(stage.decider.run) == code


@pytest.mark.asyncio
async def test_an_operator_aborts_a_run_that_is_driven() -> None:
    """It is durable before it is confirmed; no call is sent after it, and the run closes."""
    stage = Stage()
    stage.ecs.hangs = "attach"
    word = ev.OperatorVerb.ABORT
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stage.drive)
        await stage.ecs.entered.wait()
        stage.operators.sent.append(
            ev.OperatorCommand("1", word, samples.ACTOR, stage.clock.now(), "inbox")
        )
        await stage.ecs.stopping.wait()
        stage.ecs.release.set()

    assert stage.log.count("restart") == 0
    assert stage.log[stage.log.index("done abort") - 1] == "sync"
    assert isinstance(stage.journal.durable[-1], ev.RunClosed)
    assert exit_of(stage.decider.run) == 3


@pytest.mark.asyncio
async def test_a_second_signal_does_not_wait_for_an_answer() -> None:
    """The open call becomes unknown in the journal and the engine returns at once."""
    stage = Stage()
    stage.ecs.hangs = "attach"
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: stage.drive(signals=True))
        await stage.ecs.entered.wait()
        os.kill(os.getpid(), signal.SIGTERM)
        await stage.ecs.stopping.wait()
        os.kill(os.getpid(), signal.SIGTERM)

    assert [one.outcome for one in settled(stage.journal.durable)] == [Unknown("interrupted")]
    assert exit_of(stage.decider.run) == 143


@pytest.mark.asyncio
async def test_no_call_leaves_after_the_journal_broke() -> None:
    """The intents of the turn that could not be synced are refused unsent; the error is raised."""
    stage = Stage()
    stage.journal.fails_at = 1
    with pytest.raises(StorageError):
        await stage.drive()

    assert not stage.log and stage.ecs.stopping.is_set()
    words = stage.journal.words
    assert next(event for event in words if isinstance(event, ev.Halted)).code == "R0801"
    assert [one.outcome for one in settled(words)] == [Refused("not_sent_disk", RetryClass.UNSENT)]


@pytest.mark.asyncio
async def test_no_call_leaves_after_another_process_took_over() -> None:
    """The turn that finds the run lost sends nothing, and the run ends with exit 9."""
    stage = Stage()
    stage.journal.fails_at, stage.journal.hears_words = 1, False
    stage.journal.fails_with = IntegrityError.of("R0906", "the lock was removed")
    with pytest.raises(IntegrityError):
        await stage.drive()

    assert not stage.log and stage.ecs.stopping.is_set()
    halted = next(event for event in stage.engine.lost if isinstance(event, ev.Halted))
    assert (halted.reason, halted.code, exit_of(stage.decider.run)) == ("lost", "R0906", 9)


class _Leases:
    """Leases that are lost after some renewals or reads of their state."""

    def __init__(self, reads: int) -> None:
        self.reads = reads
        self.events: list[ev.Leased] = []

    def renew(self) -> None:
        return

    def left_ms(self) -> int:
        return 1_000

    def lost(self) -> str:
        self.reads -= 1
        return "taken over" if self.reads < 0 else ""


@pytest.mark.asyncio
@pytest.mark.parametrize("reads", [0, 2, 4, 8])
async def test_no_call_leaves_after_the_lease_was_lost(reads: int) -> None:
    """The run halts with R0619 and exit code 6, and no later call leaves (I-16, I-48)."""
    stage = Stage()
    ports = dataclasses.replace(stage.engine.ports, leases=_Leases(reads))
    stage.engine.ports = ports
    await stage.drive()

    halted = next(event for event in stage.journal.durable if isinstance(event, ev.Halted))
    assert (halted.reason, halted.code, exit_of(stage.decider.run)) == ("lease", "R0619", 6)
    assert stage.ecs.stopping.is_set()
    issued = [event for event in stage.journal.durable if isinstance(event, ev.Issued)]
    assert all(event.not_after <= stage.clock.now() + 1_000 for event in issued)
    assert (reads > 0) or not issued


class _OtherMark:
    """Marks of a run; another run's mark appears at a reading."""

    def __init__(self, readings: int) -> None:
        self.readings = readings
        self.waves: list[int] = []
        self.event = anyio.Event()

    async def read_before(self, wave: int) -> None:
        self.waves.append(wave)
        if len(self.waves) == self.readings:
            self.event.set()
        await anyio.lowlevel.checkpoint()

    def lost(self) -> str:
        return "marked by run r-other" if self.event.is_set() else ""

    async def found(self) -> None:
        await self.event.wait()


@pytest.mark.asyncio
async def test_the_marks_of_others_are_read_before_the_calls_of_a_wave() -> None:
    """Before each call that changes an instance, and a run without other marks is finished."""
    stage = Stage()
    marks = _OtherMark(0)
    stage.engine.ports = dataclasses.replace(stage.engine.ports, marks=marks)
    await stage.drive()

    calls = [event for event in stage.journal.durable if isinstance(event, ev.Issued)]
    assert len(marks.waves) == len(calls) > 1 and set(marks.waves) == {0}
    assert exit_of(stage.decider.run) == 0


@pytest.mark.asyncio
async def test_no_later_call_leaves_after_another_run_marked_a_key_pair() -> None:
    """The run halts with R0620 and exit code 6; what waits for the reading leaves no more."""
    stage = Stage()
    marks = _OtherMark(2)
    stage.engine.ports = dataclasses.replace(stage.engine.ports, marks=marks)
    await stage.drive()

    halted = next(event for event in stage.journal.durable if isinstance(event, ev.Halted))
    assert (halted.reason, halted.code, exit_of(stage.decider.run)) == ("mark", "R0620", 6)
    assert halted.detail == "marked by run r-other"
    assert stage.ecs.stopping.is_set() and stage.log.count("restart") == 0


def test_the_gate_shuts_where_the_run_is_lost() -> None:
    """The gate is checked right before a change is sent, also after a wait for the lane."""
    why = [""]
    gate = Gate(shut=False, lost=lambda: why[0])
    assert not gate.refuses()

    why[0] = "the lock was removed"

    assert gate.refuses()


@pytest.mark.asyncio
async def test_what_calls_in_flight_brought_is_never_dropped_silently() -> None:
    """If the disk accepts no last events, `lost` holds all that are not durable."""
    stage = Stage()
    stage.journal.fails_at, stage.journal.hears_words = 2, False
    with pytest.raises(StorageError):
        await stage.drive()

    assert stage.log == ["sync", "attach"]
    attached = settled(stage.engine.lost)[0]
    assert (attached.n, attached.outcome) == (1, Done("r-1"))
    durable = [event for event in stage.journal.durable if isinstance(event, ev.Issued)]
    assert [event.n for event in durable] == [1]


@pytest.mark.asyncio
async def test_a_nearly_full_disk_halts_while_it_still_can_say_so() -> None:
    """Low space is a durable halt with the exit code of storage."""
    stage = Stage()
    stage.journal.full = True
    await stage.drive()

    assert exit_of(stage.decider.run) == 74
    assert isinstance(stage.journal.durable[-1], ev.Halted)


@pytest.mark.asyncio
async def test_an_observation_is_dated_when_it_was_sent() -> None:
    """A crowded lane makes a run slow, not endless: an observation is dated when it was sent."""
    stage = Stage()
    stage.ecs.lane_wait_ms = 45 * SECOND
    with anyio.fail_after(10):
        await stage.drive()

    assert exit_of(stage.decider.run) == 0


@pytest.mark.asyncio
async def test_what_needs_no_effect_waits_for_the_next_line() -> None:
    """Replies of several steps share a line with the next intent; each is reported once."""
    stage = Stage()
    turns: list[list[ev.AnyEvent]] = []
    stage.engine._on_step = lambda run, events, now: turns.append(list(events))
    await stage.drive()

    lines = stage.journal.lines
    assert len(lines) < len(turns)
    assert [event for line in lines for event in line] == [e for turn in turns for e in turn]


@pytest.mark.asyncio
async def test_progress_receives_every_event_once() -> None:
    """`on_step` receives all events in order."""
    stage = Stage()
    heard: list[ev.AnyEvent] = []
    stage.engine._on_step = lambda run, events, now: heard.extend(events)
    await stage.drive()

    assert heard == stage.journal.durable


def test_a_run_in_progress_has_no_exit_code() -> None:
    """The exit code of a run that has not stopped is a defect of the caller."""
    with pytest.raises(Bug):
        exit_of(Stage().decider.run)
