"""What earlier runs teach: boot times and quotas close to the truth, and nothing from strangers."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from rollout.journal import estimates
from rollout.journal.directory import DirectoryStore
from rollout.journal.estimates import Estimates
from rollout.model.command import RestartCall
from rollout.model.event import Issued, Moved, Settled, Trigger
from rollout.model.outcome import Done
from rollout.model.plan import Plan, RestartKind
from rollout.model.time import SECOND
from rollout.sim.rehearse import rehearsal
from tests.core import samples
from tests.sim import rotated
from tests.sim.rotated import REFERENCES


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, Path]:
    """A folder with the run of the third reference: boots of 15 s, 40 calls a minute."""
    folder = tmp_path_factory.mktemp("taught")
    plan = rotated.plan_of(REFERENCES[2])
    rotated.rotate(REFERENCES[2], plan, rehearsal.begin(plan, 1), folder)
    return plan, folder


def test_a_run_teaches_how_long_boots_take(taught: tuple[Plan, Path]) -> None:
    """The median lies within a tick of the cloud's own boot time, and its run is named."""
    plan, folder = taught

    boots = estimates.learn(DirectoryStore(folder), plan).boots

    assert boots is not None and boots.run == _run(folder).name
    assert boots.median_ms == pytest.approx(REFERENCES[2].boot_ms, abs=2 * SECOND)
    assert boots.count > 300
    assert 0 <= boots.spread_percent <= 20


def test_a_run_teaches_the_quota_it_met(taught: tuple[Plan, Path]) -> None:
    """What was let through in a throttled minute is the quota; other lanes teach none."""
    plan, folder = taught

    quotas = estimates.learn(DirectoryStore(folder), plan).quotas

    assert {one.action for one in quotas} == {"RebootInstance"}
    assert all(36 <= one.calls_per_minute <= 40 for one in quotas)


def test_strangers_teach_nothing(taught: tuple[Plan, Path]) -> None:
    """Not the emulator to a real account, no other account, no damaged run, no empty folder."""
    plan, folder = taught
    identity = tuple(msgspec.structs.replace(one, emulator=False) for one in plan.identity)
    real = msgspec.structs.replace(plan, identity=identity)
    elsewhere = msgspec.structs.replace(plan, waves=())

    assert estimates.learn(DirectoryStore(folder), real) == Estimates()
    assert estimates.learn(DirectoryStore(folder), elsewhere) == Estimates()
    assert estimates.learn(DirectoryStore(folder / "none"), plan) == Estimates()


def test_a_damaged_run_teaches_nothing(taught: tuple[Plan, Path], tmp_path: Path) -> None:
    """Neither what stands before the damage nor what stands behind it is believed."""
    plan, folder = taught
    copy = tmp_path / _run(folder).name
    copy.mkdir()
    for path in _run(folder).iterdir():
        if path.is_file():
            copy.joinpath(path.name).write_bytes(path.read_bytes())
    journal = copy / "journal-000001.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    lines[len(lines) // 2] = lines[len(lines) // 2].replace(b'"type"', b'"kind"', 1)
    journal.write_bytes(b"".join(lines))

    assert estimates.learn(DirectoryStore(tmp_path), plan) == Estimates()


@pytest.mark.parametrize("count", [estimates.BOOTS_MIN - 1, estimates.BOOTS_MIN])
def test_five_boots_are_enough_to_learn_from(count: int) -> None:
    """Fewer boots than the least number teach nothing, and that number teaches."""
    rows = samples.fleet(count)
    seen = estimates._Measured(samples.make_plan(rows))
    begun = samples.NOW
    for ordinal, row in enumerate(rows):
        command = RestartCall(RestartKind.REBOOT, (ordinal,), (row.id,))
        seen.take(Issued(ordinal + 1, command, begun))
        seen.take(Settled(ordinal + 1, begun, Done("473469C7", begun)))
        seen.take(Moved(Trigger.OBSERVED_RUNNING, (ordinal,), "status", begun + 15 * SECOND))

    boots = seen.boots("r-1")

    assert (boots.count if boots else 0) == (count if count >= estimates.BOOTS_MIN else 0)


def _run(folder: Path) -> Path:
    return next(folder.glob("r-*"))
