"""Run one measurement in its own process: CPU time, wall time and peak memory.

Called by the other scripts. `python -m benchmarks.measure MODULE:FUNCTION JSON` is the child
process. It is a new process, so that memory and warm caches of one measurement do not affect the
next.
"""

from __future__ import annotations

import importlib
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

_ROOT = Path(__file__).resolve().parent.parent
_STATUS = Path("/proc/self/status")


class Measured(msgspec.Struct, frozen=True):
    """The return value of a function, its duration in seconds, and its process' peak memory."""

    value: Any
    cpu_s: float
    wall_s: float
    peak_mib: float


class ChildError(Exception):
    """A measurement failed. The message contains its error output."""


def in_child(function: str, **arguments: object) -> Measured:
    """Call `module:function` with JSON arguments in a new interpreter."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.measure", function, json.dumps(arguments)],
        cwd=_ROOT,
        capture_output=True,
        check=False,
    )
    if done.returncode != 0:
        raise ChildError(f"{function}: {done.stderr.decode(errors='replace')[-4000:]}")
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=Measured)


def peak_mib() -> float:
    """Return the peak memory of this process. Reads /proc, because the value of getrusage includes
    the program that ran before `exec`.
    """
    try:
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _child(function: str, arguments: str) -> None:
    module, _, name = function.partition(":")
    call = getattr(importlib.import_module(module), name)
    wall, cpu = time.perf_counter(), time.process_time()
    value = call(**json.loads(arguments))
    took = Measured(value, time.process_time() - cpu, time.perf_counter() - wall, peak_mib())
    sys.stdout.buffer.write(b"\n" + msgspec.json.encode(took) + b"\n")


if __name__ == "__main__":
    _child(sys.argv[1], sys.argv[2])
