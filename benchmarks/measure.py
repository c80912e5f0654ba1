"""One measurement in a process of its own: CPU time, wall time and the largest resident size.

Called by the scripts of this folder; `python -m benchmarks.measure MODULE:FUNCTION JSON` is the
child. A fresh process, so that neither memory nor warm caches of one figure colour the next.
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
    """What a function gave, the seconds it took, and the peak of its process."""

    value: Any
    cpu_s: float
    wall_s: float
    peak_mib: float


class ChildError(Exception):
    """A measurement failed; its own words are in the message."""


def in_child(function: str, **arguments: object) -> Measured:
    """Call `module:function` with JSON arguments in a fresh interpreter."""
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
    """Largest resident size of this process. Linux's own line, since rusage outlives an exec."""
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
