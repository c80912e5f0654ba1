"""Waiting for a service that is busy or not reachable, with the real command line."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.stage import Stage, free_port, stage

READS = ["GetCallerIdentity", "DescribeInstances", "DescribeKeyPairs"]
DRY_RUNS = ["RebootInstance", "StartInstance"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Yield one emulator and a reviewed plan for all tests, which must not change any instance."""
    folder = tmp_path_factory.mktemp("patience")
    with stage(folder, size=12, options=("--boot-time", "200ms")) as started:
        started.write_spec("wait")
        planned = started.run("plan", "wait.yaml", "--out", "wait.plan.json")
        assert planned.returncode == 0, planned.stderr
        yield started


def after_a_line(command: subprocess.Popen[str], what: Callable[[], Any]) -> tuple[float, str]:
    """Call a function once the command shows that it waits. Return the seconds until then, and
    stderr.
    """
    began, said_after, lines = time.monotonic(), 0.0, []
    assert command.stderr is not None
    for line in command.stderr:
        lines.append(line)
        if "api.waiting" in line and not said_after:
            said_after = time.monotonic() - began
            what()
    return said_after, "".join(lines)


def test_planning_waits_while_a_proxy_answers(made: Stage) -> None:
    """The command shows within seconds that it waits, and succeeds once the service is back."""
    made.arm({"fault": "html_502", "actions": READS})
    planning = made.begin("plan", "wait.yaml", "-o", "json")
    said_after, said = after_a_line(planning, made.disarm)
    out, _ = planning.communicate(timeout=60)
    assert planning.returncode == 0, said
    assert '"digest"' in out
    assert 1.5 < said_after < 8
    assert re.search(r"api.waiting +action=GetCallerIdentity .*tries=\d.* since=.* until=", said)


def test_planning_waits_for_a_throttled_lane(made: Stage) -> None:
    """A throttled lane pauses for the time that the service states, not until the next minute."""
    made.arm({"fault": "throttle_user", "actions": READS, "delay_ms": 3_000})
    planning = made.begin("plan", "wait.yaml", "-o", "json")
    _, said = after_a_line(planning, made.disarm)
    out, _ = planning.communicate(timeout=60)
    assert planning.returncode == 0, said
    assert '"digest"' in out
    assert "cause=Throttling.User" in said


def test_planning_starts_before_the_service_listens(tmp_path: Path) -> None:
    """A refused connection is retried."""
    port = free_port()
    before = Stage(tmp_path, f"http://127.0.0.1:{port}")
    before.write_spec("early")
    planning = before.begin("plan", "early.yaml", "-o", "ids")
    emulators: list[subprocess.Popen[str]] = []

    def start() -> None:
        emulators.append(before.begin("emulator", "--listen", f"127.0.0.1:{port}", "--size", "9"))

    try:
        _, said = after_a_line(planning, start)
        out, _ = planning.communicate(timeout=60)
    finally:
        for emulator in emulators:
            emulator.terminate()
            emulator.communicate(timeout=20)
    assert planning.returncode == 0, said
    assert out.startswith("i-")
    assert 'cause="the connection was refused"' in said


@pytest.mark.parametrize(
    "number, code, words, actions",
    [
        (signal.SIGINT, 130, ("plan", "wait.yaml"), ["DescribeInstances"]),
        (signal.SIGTERM, 143, ("apply", "wait.plan.json", "--no-input"), DRY_RUNS),
    ],
)
def test_a_signal_ends_the_waiting_at_once(
    made: Stage, number: signal.Signals, code: int, words: tuple[str, ...], actions: list[str]
) -> None:
    """A signal ends the waiting during planning and during the checks before a run, which has not
    started yet.
    """
    made.arm({"fault": "html_502", "actions": actions})
    command = made.begin(*words)
    sent: list[float] = []

    def stop() -> None:
        sent.append(time.monotonic())
        command.send_signal(number)

    after_a_line(command, stop)
    command.communicate(timeout=20)
    assert time.monotonic() - sent[0] < 10  # instead of minutes; 0.3 s on an idle machine
    assert command.returncode == code
    assert made.admin("ledger") == []


def test_dry_runs_that_never_pass_refuse_the_run(made: Stage) -> None:
    """The command ends with exit 1 and the number and duration of attempts; no instance has the new
    key.
    """
    made.arm({"fault": "unavailable", "actions": DRY_RUNS})
    ended = made.run("apply", "wait.plan.json", "--no-input", "--api-timeout", "2s")
    assert ended.returncode == 1, ended.stderr
    assert re.search(
        r"Instance at cn-\w+: ServiceUnavailable .*\(tried \d times in 2 s\)", ended.stderr
    )
    assert made.admin("ledger") == []


def test_dry_runs_that_pass_later_start_the_run(made: Stage) -> None:
    """A proxy answers the dry runs at first; then the run rotates each target once."""
    made.arm({"fault": "html_502", "actions": DRY_RUNS})
    applying = made.begin("apply", "wait.plan.json", "--no-input")
    before: list[int] = []

    def repair() -> None:
        before.append(len(made.admin("ledger")))
        made.disarm()

    _, said = after_a_line(applying, repair)
    applying.communicate(timeout=60)
    assert applying.returncode == 0, said
    assert before == [0]
    assert made.wrong("wait.plan.json", down_max=6) == ""


@pytest.fixture(scope="module")
def drained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stage, str]]:
    """Yield an emulator with a run that was throttled and drained, and its status before that."""
    folder = tmp_path_factory.mktemp("drained")
    with stage(folder, size=12, options=("--boot-time", "200ms")) as slow:
        slow.write_spec("slow")
        assert slow.run("plan", "slow.yaml", "--out", "slow.plan.json").returncode == 0
        applying = slow.begin("apply", "slow.plan.json", "--no-input")
        assert applying.stderr is not None
        for line in applying.stderr:
            if "wave.started" in line:
                slow.arm({"fault": "throttle_user", "actions": ["DescribeInstances"]})
            if "lane.slowed" in line:
                break
        time.sleep(1.5)
        status = slow.run("status").stdout
        applying.send_signal(signal.SIGTERM)
        applying.communicate(timeout=60)
        yield slow, status


def test_status_shows_lanes_that_are_throttled(drained: tuple[Stage, str]) -> None:
    """Another process reads them from the journal while the run waits."""
    _, status = drained
    assert re.search(r"cn-\w+ DescribeInstances [\d,]+/min .*throttled \d", status), status


def test_a_resumed_run_is_checked_too(drained: tuple[Stage, str]) -> None:
    """If no dry run passes, resume changes nothing. Later it finishes the run."""
    slow, _ = drained
    before = slow.admin("ledger")
    slow.arm({"fault": "unavailable", "actions": DRY_RUNS})
    refused = slow.run("resume", "--last", "--api-timeout", "1s")
    assert refused.returncode == 1, refused.stderr
    assert "Instance at cn-" in refused.stderr
    assert slow.admin("ledger") == before
    slow.disarm()
    assert slow.run("resume", "--last").returncode == 0
    assert slow.wrong("slow.plan.json", down_max=6) == ""
