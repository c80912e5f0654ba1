"""Events in the middle of a run: a second process, a disk that fills up, several signals."""

from __future__ import annotations

import json
import re
import resource
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.e2e.stage import Stage, stage

DOWN = 4
FLEET = "- {{ count: 8, tags: {{ case: {name} }} }}\n"
TRACEBACK = "Traceback (most recent call last)"


def test_one_process_drives_a_run(tmp_path: Path) -> None:
    """A second process is refused while the holder of the lock runs or is stopped. Of three that
    take over from a killed process at the same time, one succeeds and the others name it.
    """
    with _cloud(tmp_path, ("second",), "--boot-time", "3s") as shared:
        made = _planned(shared, "second")
        apply = _half_way(made, "reboot")
        _refused_by_lock(made.run("resume", "--last"), apply.pid)
        apply.send_signal(signal.SIGSTOP)
        _refused_by_lock(made.run("resume", "--last"), apply.pid)
        apply.kill()
        apply.communicate()
        processes = [made.begin("resume", "--last") for _ in range(3)]
        with ThreadPoolExecutor(3) as pool:
            ended = list(pool.map(_ended, processes))
        assert sorted(one.returncode for one in ended) == [0, 6, 6], ended
        winner = next(one.pid for one in processes if one.returncode == 0)
        for one in ended:
            if one.returncode:
                _refused_by_lock(one, winner)
        assert made.wrong("case.plan.json", down_max=DOWN) == ""


@pytest.mark.parametrize("rescued", [True, False])
def test_a_file_size_limit_during_a_run(tmp_path: Path, *, rescued: bool) -> None:
    """If the journal cannot grow, the run ends with exit 74 and sends no further restart. The halt
    is written to the reserve's space, or the lost events are printed; a resume finishes the run
    either way.
    """
    with _cloud(tmp_path, ("full",), "--boot-time", "1s") as shared:
        made = _planned(shared, "full")
        apply = _half_way(made, "reboot")
        journal = _journal(made)
        used = journal.stat().st_size if rescued else 0
        resource.prlimit(apply.pid, resource.RLIMIT_FSIZE, (used + 1, resource.RLIM_INFINITY))
        ended = _ended(apply)
        assert ended.returncode == 74, ended.stderr
        assert "error[R0801]" in ended.stderr
        assert "rollout resume r-" in ended.stderr
        assert TRACEBACK not in ended.stderr
        halted = any('"Halted"' in part.read_text() for part in journal.parent.glob("journal-*"))
        assert halted is rescued
        lost = re.findall(r"^not in the journal: (\{.*)$", ended.stderr, re.MULTILINE)
        assert bool(lost) is not rescued
        assert all(json.loads(event)["type"] for event in lost), "as the journal writes them"
        effects = len(made.admin("ledger"))
        time.sleep(1.5)
        assert len(made.admin("ledger")) == effects, "an effect began after the halt"
        _resumed(made)


def test_a_file_system_that_fills_up_during_a_run(tmp_path: Path) -> None:
    """A nearly full file system halts the run before any error (exit 74). The run can be resumed
    once there is space.
    """
    with _cloud(tmp_path, ("brim",), "--boot-time", "1s") as shared:
        made = _planned(shared, "brim")
        (made.folder / "runs").mkdir()
        inside = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-ec"]
        script = """
            mount -t tmpfs -o size=64m,mode=0700 tmpfs runs
            "$@" apply case.plan.json --no-input > applied 2>&1 & apply=$!
            until grep -qs '"type":"Settled"' runs/r-*/journal-*; do kill -0 $apply; sleep 0.1; done
            fallocate -l 52m runs/ballast
            code=0; wait $apply || code=$?
            rm runs/ballast
            "$@" resume --last
            "$@" audit verify
            exit $code
        """
        probe = subprocess.run([*inside, "mount -t tmpfs tmpfs /mnt"], check=False)
        if probe.returncode:
            pytest.skip("this machine lets nobody mount a file system")
        ended = made.run(program=(*inside, script, "sh", *made.command()))
        said = (made.folder / "applied").read_text()
        assert ended.returncode == 74, said + ended.stderr
        assert "free space is nearly used up" in said
        assert made.wrong("case.plan.json", down_max=DOWN) == ""


SIGNALS = {
    "once-attach": ("attach", (signal.SIGTERM,)),
    "once-reboot": ("reboot", (signal.SIGINT,)),
    "twice-attach": ("attach", (signal.SIGINT, signal.SIGINT)),
    "twice-reboot": ("reboot", (signal.SIGTERM, signal.SIGINT)),
    "thrice-attach": ("attach", (signal.SIGINT, signal.SIGTERM, signal.SIGINT)),
    "thrice-reboot": ("reboot", (signal.SIGTERM, signal.SIGINT, signal.SIGTERM)),
}
"""The call that is in flight when the signals arrive. Its effect has happened, its reply is slow.
"""

PATIENCE_S = 0.5
"""Time between two signals."""


def test_signals_while_a_call_is_in_flight(tmp_path: Path) -> None:
    """The first signal waits for the reply, the second records the outcome as unknown, and the
    third ends the process immediately: 130 or 143, no traceback, a complete journal, and a resume
    finishes.
    """
    faults = tmp_path / "faults.yaml"
    faults.write_text(
        "- { fault: slow, actions: [AttachKeyPair, RebootInstance], delay_ms: 3000 }\n"
    )
    options = ("--boot-time", "1s", "--faults", str(faults))
    with (
        _cloud(tmp_path, tuple(SIGNALS), *options) as shared,
        ThreadPoolExecutor(len(SIGNALS)) as pool,
    ):
        found = list(pool.map(lambda name: _signalled(shared, name), SIGNALS))
        for (made, ended), (_, numbers) in zip(found, SIGNALS.values(), strict=True):
            said = ended.stdout + ended.stderr
            assert ended.returncode in _codes(numbers), said
            assert TRACEBACK not in said
            if len(numbers) < 3:
                assert "rollout resume r-" in said
                given_up = '"interrupted"' in _journal(made).read_text()
                assert given_up is (len(numbers) == 2), said
        shared.disarm()
        list(pool.map(lambda one: _resumed(one[0]), found))


def _signalled(shared: Stage, name: str) -> tuple[Stage, subprocess.CompletedProcess[str]]:
    effect, numbers = SIGNALS[name]
    made = _planned(shared, name)
    apply = _half_way(made, effect)
    for number in numbers:
        apply.send_signal(number)
        time.sleep(PATIENCE_S if len(numbers) == 2 else 0.01)
    return made, _ended(apply)


def _codes(numbers: tuple[signal.Signals, ...]) -> set[int]:
    """Return the possible exit codes. The first signal determines the code; the last of three may
    reach a process that is already ending.
    """
    if len(numbers) < 3:
        return {128 + numbers[0]}
    return {code for number in numbers for code in (128 + number, -number)}


def _cloud(folder: Path, names: tuple[str, ...], *options: str) -> AbstractContextManager[Stage]:
    """Start an emulator with eight equal instances for each name."""
    fleet = folder / "fleet.yaml"
    fleet.write_text("".join(FLEET.format(name=name) for name in names))
    return stage(folder, size=None, options=("--fleet", str(fleet), *options))


def _planned(shared: Stage, name: str) -> Stage:
    """Create a project directory with the plan of the eight instances."""
    made = shared.beside(shared.folder / name)
    made.write_spec(name, case=name, max_down=str(DOWN))
    planned = made.run("plan", f"{name}.yaml", "--out", "case.plan.json")
    assert planned.returncode == 0, planned.stderr
    return made


def _half_way(made: Stage, effect: str) -> subprocess.Popen[str]:
    """Start an apply. Return when one of its instances shows this effect and the process still
    runs.
    """
    targets = made.targets("case.plan.json")
    apply = made.begin("apply", "case.plan.json", "--no-input")
    while apply.poll() is None:
        rows = made.admin("ledger")
        if any(row["effect"] == effect and row["instance"] in targets for row in rows):
            return apply
        time.sleep(0.05)
    raise AssertionError(apply.communicate())


def _ended(process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    out, err = process.communicate(timeout=60)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def _refused_by_lock(ended: subprocess.CompletedProcess[str], holder: int) -> None:
    """Check for exit 6 and the lock's holder in the message."""
    assert ended.returncode == 6, ended
    assert "error[R0603]" in ended.stderr
    assert f"by process {holder} on" in ended.stderr


def _resumed(made: Stage) -> None:
    """Resume the run, and check that it ends like an undisturbed run."""
    resumed = made.run("resume", "--last")
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    verified = made.run("audit", "verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert made.wrong("case.plan.json", down_max=DOWN) == ""


def _journal(made: Stage) -> Path:
    return next((made.folder / "runs").glob("r-*/journal-000001.jsonl"))
