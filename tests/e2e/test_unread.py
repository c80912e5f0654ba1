"""Output without a reader does not affect decisions, signals or exit codes."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.stage import Stage, stage

CASES = ("drains", "both")
PATIENCE_S = 60
SIGNAL_S = 10
"""A stopping process has no open call that lasts longer than this."""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Yield one emulator with four instances for each test."""
    folder = tmp_path_factory.mktemp("unread")
    fleet = folder / "fleet.yaml"
    rows = [f"- {{ count: 4, tags: {{ case: {case} }} }}\n" for case in CASES]
    fleet.write_text("".join(rows))
    words = ("--fleet", str(fleet), "--boot-time", "1s")
    with stage(folder, size=None, options=words) as scene:
        yield scene


@pytest.fixture
def unread() -> Iterator[int]:
    """Yield the writing end of a pipe that is full and has no reader."""
    reader, writer = os.pipe()
    os.write(writer, b"." * fcntl.fcntl(reader, fcntl.F_GETPIPE_SZ))
    yield writer
    os.close(writer)
    os.close(reader)


def test_a_run_drains_with_an_unread_stderr(shared: Stage, unread: int) -> None:
    """After SIGTERM the run drains; a resume rotates the rest with the usual result and code."""
    made = _planned(shared, "drains")
    result = made.folder / "result.json"
    targets = made.targets("plan.json")
    with _running(made, subprocess.DEVNULL, unread, "apply", "plan.json", "-vv") as apply:
        patience = time.monotonic() + PATIENCE_S
        while time.monotonic() < patience and not targets & made.restarts().keys():
            time.sleep(0.05)
        apply.send_signal(signal.SIGTERM)
        assert apply.wait(SIGNAL_S) == 143

    words = ("resume", "--last", "-o", "json", "-vv")
    with result.open("wb") as out, _running(made, out.fileno(), unread, *words) as resume:
        assert resume.wait(PATIENCE_S) == 0

    assert json.loads(result.read_bytes())["state"] == "closed"
    assert made.wrong("plan.json", down_max=4) == ""


def test_a_run_closes_with_unread_output(shared: Stage, unread: int) -> None:
    """If stdout is the same pipe, the run closes and releases its locks; the result waits for a
    reader until a signal ends the process.
    """
    made = _planned(shared, "both")
    with _running(made, unread, unread, "apply", "plan.json") as apply:
        patience = time.monotonic() + PATIENCE_S
        while time.monotonic() < patience and not _is_closed(made):
            time.sleep(0.1)
        assert made.run("audit", "verify").returncode == 0
        assert made.wrong("plan.json", down_max=4) == ""

        apply.send_signal(signal.SIGTERM)
        assert apply.wait(SIGNAL_S) in (143, -signal.SIGTERM)


def test_sigterm_ends_a_command_with_an_unread_result(tmp_path: Path, unread: int) -> None:
    """One signal is enough, although the result is not written when the process ends."""
    here = Stage(tmp_path, "http://127.0.0.1:1")
    with _running(here, unread, subprocess.DEVNULL, "schema", "spec") as schema:
        time.sleep(1)
        assert schema.poll() is None, "the result fitted into a full pipe"

        schema.send_signal(signal.SIGTERM)

        assert schema.wait(SIGNAL_S) in (143, -signal.SIGTERM)


def _planned(shared: Stage, case: str) -> Stage:
    made = shared.beside(shared.folder / case)
    made.write_spec(case, case=case, max_down="4")
    planned = made.run("plan", f"{case}.yaml", "--out", "plan.json")
    assert planned.returncode == 0, planned.stderr
    return made


@contextlib.contextmanager
def _running(made: Stage, out: int, err: int, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """Yield a command with these two streams. Kill it at the end if it still runs."""
    process = subprocess.Popen(
        [sys.executable, "-m", "rollout", *words],
        cwd=made.folder,
        env=made.environment(),
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=err,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _is_closed(made: Stage) -> bool:
    shown = made.run("status", "-o", "json").stdout
    return bool(shown) and json.loads(shown)["state"] == "closed"
