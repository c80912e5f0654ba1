"""A run that is killed at a given point and resumed attaches and restarts every target once."""

from __future__ import annotations

import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.stage import Stage, stage

SIZE = 8
"""Targets of one case. All have one image, so that the canary shows that StartTime moves."""
DOWN = 4
"""One more than the canary has: another instance can be restarted even if its three are in doubt.
"""
DEADLY = Path(__file__).with_name("deadly.py")


@dataclass(frozen=True)
class Case:
    """Where the first process is killed, and where the resuming process is killed, if it is."""

    point: str
    then: str = ""

    @property
    def name(self) -> str:
        """Name for tags, keys and directories."""
        words = f"{self.point} {self.then}".strip().lower()
        return "".join(letter if letter.isalnum() else "-" for letter in words)


CALM = (
    # before the first record
    Case("before replace 1"),
    Case("half write:RunStarted 1"),
    # around an intent
    Case("half write:Restart 1"),
    Case("before sync:Restart 1"),
    Case("after sync:AttachKeyPair 1"),
    Case("before send:RebootInstance 1"),
    Case("before send:RebootInstance 5"),
    # between a reply and its record
    Case("after send:ImportKeyPair 1"),
    Case("after send:RebootInstance 2"),
    Case("half write:Settled 2"),
    # in a new segment, at the close
    Case("after open:journal-000002.jsonl 1"),
    Case("half write:RunClosed 1"),
    Case("before save:journal.seal.new 1"),
    # while resuming
    Case("half write:Settled 3", then="before sync 1"),
    Case("after send:RebootInstance 4", then="half write:Resumed 1"),
    Case("after send:AttachKeyPair 1", then="after sync:Resumed 1"),
    Case("before send:RebootInstance 4", then="before send:RebootInstance 1"),
)
IN_FLIGHT = (Case("during send:AttachKeyPair 1"), Case("during send:RebootInstance 4"))


def test_killed_at_given_points(tmp_path: Path) -> None:
    """SIGKILL before, in and after each write, sync, call and rename, also twice in one run."""
    assert _all(tmp_path, CALM) == []


def test_killed_while_a_call_is_in_flight(tmp_path: Path) -> None:
    """SIGKILL after the bytes were sent: the call has already taken effect, or will later."""
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(lambda fault: _in_flight(tmp_path, fault), SLOW)) == [[], []]


SLOW = ("slow", "slow_arrival")
"""The reply is slow, or the request is."""


def _in_flight(folder: Path, fault: str) -> list[str]:
    faults = folder / f"{fault}.yaml"
    faults.write_text(
        f"- {{ fault: {fault}, actions: [AttachKeyPair, RebootInstance], delay_ms: 1200 }}\n"
    )
    (folder / fault).mkdir()
    return _all(folder / fault, IN_FLIGHT, "--faults", str(faults))


def _all(folder: Path, cases: tuple[Case, ...], *options: str) -> list[str]:
    """Run all cases concurrently against one emulator; each has its own instances, key pair and
    directory.
    """
    fleet = folder / "fleet.yaml"
    rows = [f"- {{ count: {SIZE}, tags: {{ case: {case.name} }} }}\n" for case in cases]
    fleet.write_text("".join(rows))
    words = ("--fleet", str(fleet), "--boot-time", "1s", *options)
    with stage(folder, size=None, options=words) as made, ThreadPoolExecutor(len(cases)) as pool:
        errors = list(pool.map(lambda case: _run_case(made, case), cases))
    return [f"{case.name}: {error}" for case, error in zip(cases, errors, strict=True) if error]


def _run_case(shared: Stage, case: Case) -> str:
    """Kill once or twice, resume and verify. Return the errors."""
    made = shared.beside(shared.folder / case.name)
    made.write_spec(case.name, max_down=str(DOWN), case=case.name)
    plan = made.run("plan", f"{case.name}.yaml", "--out", "case.plan.json")
    if plan.returncode:
        return plan.stderr
    for point, words in ((case.point, APPLY), (case.then, RESUME)):
        if point:
            killed = made.run(*words, program=(sys.executable, str(DEADLY), point))
            if killed.returncode != -signal.SIGKILL:
                return f"{point} never came: {killed.returncode} {killed.stdout}{killed.stderr}"
    return _resume(made) or made.wrong("case.plan.json", down_max=DOWN)


APPLY = ("apply", "case.plan.json", "--no-input")
RESUME = ("resume", "--last")


def _resume(made: Stage) -> str:
    """Resume the run. A run that never started is started from its plan. A canary in doubt halts
    the run; the operator accepts that, because the next wave resolves the doubt.
    """
    ended = made.run(*RESUME)
    if "no run is open" in ended.stderr:
        ended = made.run(*APPLY)
    if ended.returncode == 5 and "R0504" in ended.stdout + ended.stderr:
        ended = made.run("resume", made.run("history", "-o", "ids").stdout.strip())
    if ended.returncode and "already applied" not in ended.stderr:
        return f"exit {ended.returncode}\n{ended.stdout}{ended.stderr}"
    verified = made.run("audit", "verify")
    return "" if verified.returncode == 0 else verified.stdout + verified.stderr
