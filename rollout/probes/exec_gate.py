"""Ask a gate of kind `exec`: run a program without a shell; it opens the gate by exiting with 0.

Called by `probes.gates`. The program gets few variables and no input, and runs in a process group
of its own, which is killed when the question ends.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Mapping
from typing import Final

import anyio
from anyio.abc import ByteReceiveStream, Process

from rollout.model.gate import ExecGate, GateAnswer, GateReply
from rollout.probes.fetch import NoReply

PASSED: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "USER")
"""Variables that every program gets."""
OUTPUT_BYTES_MAX: Final = 4096
"""Bytes of the output that are kept; the rest is read and dropped."""


async def ask(gate: ExecGate, environment: Mapping[str, str]) -> GateReply:
    """Return the answer. Errors: NoReply if the program cannot be started or is killed."""
    names = (*PASSED, *gate.env)
    passed = {name: environment[name] for name in names if name in environment}
    try:
        process = await anyio.open_process(
            gate.argv,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
            env=passed,
            start_new_session=True,
        )
    except OSError as error:
        raise NoReply(f"cannot be started: {error.strerror or type(error).__name__}") from None
    async with _killed_at_end(process):
        try:
            with anyio.fail_after(gate.timeout_ms / 1000):
                line = await _first_line(process.stdout)
                code = await process.wait()
        except TimeoutError:
            raise NoReply(f"no exit within {gate.timeout_ms / 1000:g} s, killed") from None
    said = f": {line}" if line else ""
    if code < 0:
        raise NoReply(f"ended by {_signal(-code)}{said}")
    return GateReply(GateAnswer.SHUT if code else GateAnswer.OPEN, f"exit {code}{said}")


def is_program(argv0: str, environment: Mapping[str, str]) -> bool:
    """Return whether a program of this name can be started."""
    return shutil.which(argv0, path=environment.get("PATH")) is not None


async def _first_line(stream: ByteReceiveStream | None) -> str:
    """Read the output to its end and return its first line that is not empty."""
    kept = b""
    if stream is not None:
        async for chunk in stream:
            kept += chunk[: OUTPUT_BYTES_MAX - len(kept)]
    lines = (line.strip() for line in kept.decode(errors="replace").splitlines())
    return next((line for line in lines if line), "")


@contextlib.asynccontextmanager
async def _killed_at_end(process: Process) -> AsyncIterator[None]:
    """Kill what is left of the program's process group, also if the question is cancelled."""
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        with anyio.CancelScope(shield=True):
            await process.aclose()


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
