"""Killed at a named point, resumed: every target attached and restarted once, nothing forgotten."""

from __future__ import annotations

import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.stage import Stage, stage

SIZE = 8
"""Targets of one case; all of one image, so that the canary shows that StartTime moves."""
DOWN = 4
"""One more than the canary has: even where its three are in doubt, another can be restarted."""
DEADLY = Path(__file__).with_name("deadly.py")


@dataclass(frozen=True)
class Case:
    """Where the first process dies, and where the one that resumes does, if it does."""

    point: str
    then: str = ""

    @property
    def name(self) -> str:
        """A word for tags, keys and folders."""
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
ON_THE_WIRE = (Case("during send:AttachKeyPair 1"), Case("during send:RebootInstance 4"))


def test_killed_at_a_point_of_the_program(tmp_path: Path) -> None:
    """SIGKILL around every write, sync, call and rename that matters, also twice in one run."""
    assert _all(tmp_path, CALM) == []


def test_killed_while_a_call_is_on_the_wire(tmp_path: Path) -> None:
    """SIGKILL after the bytes left: the call took effect already, or does when nobody waits."""
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(lambda fault: _on_the_wire(tmp_path, fault), SLOW)) == [[], []]


SLOW = ("slow", "slow_arrival")
"""A reply that takes its time, and a request that does."""


def _on_the_wire(folder: Path, fault: str) -> list[str]:
    faults = folder / f"{fault}.yaml"
    faults.write_text(
        f"- {{ fault: {fault}, actions: [AttachKeyPair, RebootInstance], delay_ms: 1200 }}\n"
    )
    (folder / fault).mkdir()
    return _all(folder / fault, ON_THE_WIRE, "--faults", str(faults))


def _all(folder: Path, cases: tuple[Case, ...], *options: str) -> list[str]:
    """All cases at once against one emulator; each has its own instances, key pair and folder."""
    fleet = folder / "fleet.yaml"
    rows = [f"- {{ count: {SIZE}, tags: {{ case: {case.name} }} }}\n" for case in cases]
    fleet.write_text("".join(rows))
    words = ("--fleet", str(fleet), "--boot-time", "1s", *options)
    with stage(folder, size=None, options=words) as made, ThreadPoolExecutor(len(cases)) as pool:
        stories = list(pool.map(lambda case: _story(made, case), cases))
    return [f"{case.name}: {story}" for case, story in zip(cases, stories, strict=True) if story]


def _story(shared: Stage, case: Case) -> str:
    """Kill, perhaps kill again, resume, judge; what was wrong."""
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
    return _go_on(made) or made.wrong("case.plan.json", down_max=DOWN)


APPLY = ("apply", "case.plan.json", "--no-input")
RESUME = ("resume", "--last")


def _go_on(made: Stage) -> str:
    """Resume; a run that never started is started by its plan, one that ended is not. A canary that
    is in doubt halts the run: the operator accepts that, since the next wave resolves the doubt.
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
