"""The real engine and client under virtual time: clean seeds, equal journals, found defects."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rollout.ecs import transport
from rollout.ecs.caller import Caller
from rollout.emulator.faults import Fault
from rollout.engines.local import LocalEngine
from rollout.engines.service import Service
from rollout.journal.writer import RunJournal
from rollout.model.time import SECOND
from rollout.sim import __main__ as command
from rollout.sim.check import checkers, trial
from rollout.sim.check.crashes import calm
from rollout.sim.world import scenario, shell
from rollout.sim.world.driver import End
from rollout.sim.world.scenario import Stop, Stopping
from rollout.sim.world.shell import ShellWorld

SEEDS = 50
ALIKE = range(7, 15)
BROKEN = (138, 93, *range(60))

Break = Callable[[pytest.MonkeyPatch], None]


def journal(seed: int) -> str:
    """Digest of every byte of the journal that a seed leaves behind."""
    world = ShellWorld(scenario.draw(seed))
    world.run()
    digest = hashlib.sha256()
    for path in sorted(world.disk.files):
        if Path(path).name.startswith("journal-"):
            digest.update(world.disk.files[path].data)
    return digest.hexdigest()


def test_no_checker_finds_anything() -> None:
    """No seed breaks an invariant; one that does is named with the command that replays it."""
    trials = list(trial.run_many(range(SEEDS), real=True))

    assert not [(one.replay, one.wrong[:3]) for one in trials if one.wrong]
    met = set().union(*(one.met for one in trials))
    assert {"closed", "crashed", "drained", "poisoned", "late effect", "doubled request"} <= met


def test_a_seed_gives_the_same_journal_again() -> None:
    """Journals are equal to the byte when seeds are simulated twice in one process."""
    first = [journal(seed) for seed in ALIKE]

    assert first == [journal(seed) for seed in ALIKE]
    assert len(set(first)) == len(first)


@pytest.mark.parametrize("hash_seed", ["1", "4711"])
def test_a_seed_gives_the_same_journal_under_any_hash_seed(hash_seed: str) -> None:
    """No order of a set, no address and no clock of a process finds its way into a journal."""
    code = (
        "from tests.sim.test_shell import ALIKE, journal\nprint(*[journal(seed) for seed in ALIKE])"
    )
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}

    told = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )

    assert told.stdout.split() == [journal(seed) for seed in ALIKE]


def never_sync(patch: pytest.MonkeyPatch) -> None:
    """Intents are written and not made durable."""

    async def not_now(self: RunJournal) -> None:
        """Only the close of the journal writes."""

    patch.setattr(RunJournal, "sync", not_now)


def leave_when_connected(patch: pytest.MonkeyPatch) -> None:
    """Nobody asks again after the connection is there."""
    patch.setattr(transport, "_check_again", lambda call: None)


def insist_on_changes(patch: pytest.MonkeyPatch) -> None:
    """A change whose connection failed is sent again, like observations."""
    patch.setattr(Caller, "_attempt", insisting(Caller._attempt))


def insisting(attempt: Callable[..., object]) -> Callable[..., object]:
    """An attempt that is made twice where the first was lost."""

    async def twice(self: Caller, lane: object, request: object) -> object:
        try:
            return await attempt(self, lane, request)  # type: ignore[misc]
        except transport.Lost:
            return await attempt(self, lane, request)  # type: ignore[misc]

    return twice


def forget_the_stop(patch: pytest.MonkeyPatch) -> None:
    """Calls that wait in the client do not learn that the run was stopped."""
    patch.setattr(Service, "stop", lambda self: None)


@pytest.mark.parametrize(
    "mutation, checker",
    [
        (never_sync, "DurableFirst"),
        (leave_when_connected, "HaltHolds"),
        (insist_on_changes, "SentAsIntended"),
        (forget_the_stop, "HaltHolds"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_a_broken_shell_is_caught(
    mutation: Break, checker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each mutation takes a promise away from engine or client; the checkers must notice."""
    mutation(monkeypatch)

    found = (trial.run(seed, real=True).wrong for seed in BROKEN)

    assert any(checker in text for wrong in found for text in wrong)


def test_a_server_that_fails_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception in the emulator is reported, not counted as another error 500."""
    monkeypatch.setattr(shell.Front, "deliver", lambda *_, **__: 1 // 0)

    (wrong, *_) = trial.run(0, real=True).wrong

    assert "ZeroDivisionError" in wrong


def test_what_fails_before_a_call_leaves_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the simulator does as a call leaves cannot be lost as one more lost connection."""
    monkeypatch.setattr(ShellWorld, "leaves", lambda *_: 1 // 0)

    (wrong, *_) = trial.run(0, real=True).wrong

    assert "ZeroDivisionError" in wrong


def test_a_run_that_nothing_wakes_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    """A deadlock is reported with the positions where the tasks wait."""

    async def unheard(*_: object) -> None:
        """Start a call whose reply is dropped."""

    monkeypatch.setattr(LocalEngine, "_call", unheard)
    monkeypatch.setattr(LocalEngine, "_observe", unheard)

    (wrong, *_) = trial.run(2, real=True).wrong

    assert "stuck: " in wrong
    assert "LocalEngine._wait" in wrong


@pytest.mark.parametrize("writes", range(1, 6))
def test_an_engine_whose_disk_broke_waits_quietly(writes: int) -> None:
    """While calls are in flight it neither turns in circles nor begins anything; then it ends."""
    broken = calm(
        canary=False,
        cap_percents=(100,),
        faults=(Fault("slow", 0.5, ("RebootInstance",), 8 * SECOND),),
        stops=(Stopping(Stop.DISK_BROKEN, writes, SECOND),),
    )

    record = ShellWorld(broken).run()

    assert not checkers.violations(record)
    assert record.processes[0].end is End.POISONED


def test_the_command_says_how_to_replay_a_shell_seed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A failing seed of the shell is replayed with the flag it was run with."""
    wrong = trial.Trial(41, ["I-01: too early"], {}, "", real=True)
    monkeypatch.setattr(trial, "run", lambda seed, *, real: wrong if real else None)

    assert command.main(["--start", "41", "--seeds", "1", "--shell"]) == 1

    assert "python -m rollout.sim --start 41 --seeds 1 --shell" in capsys.readouterr().out
