"""Measure time and memory of folding and verifying the journal of a finished run.

First runs a rotation until it closes. Then `resume` folds its journal, as the command does before
its first API call, and `audit verify` checks the hash chain and the rules.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from benchmarks import measure
from benchmarks.report import Row, Size
from rollout.app import runs
from rollout.journal import verify as verifying
from rollout.journal.directory import DirectoryRun

_RUNS = {
    Size.TINY: ((200, "batch"),),
    Size.DEFAULT: ((10_000, "single"), (20_000, "batch")),
    Size.FULL: ((10_000, "single"), (100_000, "single"), (20_000, "batch"), (1_000_000, "batch")),
}
_SECONDS = 30
_PEAK_MIB = 1024


def run(size: Size) -> list[Row]:
    """Return both figures for each run."""
    return [row for instances, calls in _RUNS[size] for row in _after(instances, calls)]


def _after(instances: int, calls: str) -> list[Row]:
    what = f"{calls}, {instances:,}"
    with tempfile.TemporaryDirectory() as folder:
        made = measure.in_child(
            "benchmarks.rotation:rotate", size=instances, calls=calls, folder=folder
        )
        lines = made.value["lines"]
        rows = [
            Row(f"{what}: the run itself, CPU", made.cpu_s, "s", peak_mib=made.peak_mib),
            Row(f"{what}: journal an instance", made.value["journal_bytes"] / instances, "B"),
        ]
        for name in ("resume", "verify"):
            took = measure.in_child(f"benchmarks.journal:{name}", folder=folder)
            if took.value["lines"] != lines:
                raise ValueError(f"{took.value['lines']} lines of {lines} were read")
            seconds = took.value["cpu_s"]
            rows += [
                Row(f"{what}: {name}", seconds, "s", most=_SECONDS),
                Row(f"{what}: {name}, an instance", seconds / instances * 1e6, "µs"),
                Row(f"{what}: {name}, peak", took.peak_mib, "MiB", most=_PEAK_MIB),
            ]
    return rows


def resume(folder: str) -> dict[str, float]:
    """Fold the only run in a directory, as `resume` does."""
    run = _only_run(folder)
    began = time.process_time()
    folded = runs.fold(run)
    if folded.run.closed is None:
        raise ValueError("the run did not close")
    return {"cpu_s": time.process_time() - began, "lines": folded.reader.head.seq}


def verify(folder: str) -> dict[str, float]:
    """Verify the only run in a directory."""
    run = _only_run(folder)
    began = time.process_time()
    verdict = verifying.verify(run)
    if verdict.problems:
        raise ValueError(f"the journal violates a rule: {verdict.problems[0]}")
    return {"cpu_s": time.process_time() - began, "lines": verdict.lines}


def _only_run(folder: str) -> DirectoryRun:
    [path] = Path(folder).iterdir()
    return DirectoryRun(path)
