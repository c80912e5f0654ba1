"""Two processes on one run, after its locks were removed or replaced by a copy."""

from __future__ import annotations

import shutil
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.e2e.stage import Stage, stage

DOWN = 2
CASES = ("live", "stopped", "copied")
FLEET = "- {{ count: 5, tags: {{ case: {name} }} }}\n"
TRACEBACK = "Traceback (most recent call last)"


def test_no_instance_is_restarted_twice_by_two_writers(tmp_path: Path) -> None:
    """The first process runs or is stopped with SIGSTOP while its lock files are removed, or is
    stopped while a copy replaces its runs directory. The second is refused if it uses the same
    journal. The first changes nothing more and ends with exit 9. A resume finishes the run, and the
    hidden ledger has one restart of each instance.
    """
    fleet = tmp_path / "fleet.yaml"
    fleet.write_text("".join(FLEET.format(name=name) for name in CASES))
    options = ("--fleet", str(fleet), "--boot-time", "2s")
    with stage(tmp_path, size=None, options=options) as shared, ThreadPoolExecutor(3) as pool:
        for result in pool.map(lambda name: _two_writers(shared, name), CASES):
            assert result == ""


def _two_writers(shared: Stage, name: str) -> str:
    made = shared.beside(shared.folder / name)
    made.write_spec(name, case=name, max_down=str(DOWN))
    assert made.run("plan", f"{name}.yaml", "--out", "case.plan.json").returncode == 0
    first = made.begin("apply", "case.plan.json", "--no-input")
    made.await_restarts(DOWN, first, "case.plan.json")
    if name != "live":
        first.send_signal(signal.SIGSTOP)
    _meddle(made.folder / "runs", copies=name == "copied")
    second = made.run("resume", "--last")
    first.send_signal(signal.SIGCONT)
    out, err = first.communicate(timeout=60)
    assert (first.returncode, TRACEBACK in err) == (9, False), out + err
    assert "error[R0906]" in err and "rollout resume r-" in err
    if name == "stopped":
        assert second.returncode == 6 and "error[R0603]" in second.stderr, second
    if name == "copied":
        assert second.returncode == 0, second
    resumed = made.run("resume", "--last")
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    verified = made.run("audit", "verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    return made.wrong("case.plan.json", down_max=DOWN)


def _meddle(runs: Path, *, copies: bool) -> None:
    if copies:
        shutil.copytree(runs, runs.with_name("copy"))
        runs.rename(runs.with_name("former"))
        runs.with_name("copy").rename(runs)
        return
    for path in (runs / ".lock", *runs.glob("r-*/lock")):
        path.unlink()
