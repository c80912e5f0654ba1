"""Measure the performance claims: `python -m benchmarks [NAME ...] [--full | --tiny] [--strict]`.

Each script prints a table. Missed bounds are listed again at the end. A busy machine also misses
bounds, so only `--strict` turns them into exit code 1.
"""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import sys
import time

from benchmarks.report import Row, Size, table

NAMES = {
    "engine": "local engine, a whole rotation in virtual time",
    "groups": "many small groups against one, a whole rotation",
    "client": "the client over TLS, 50 ids a call",
    "emulator": "the emulator on HTTP",
    "fleets": "the emulator's fleets in memory",
    "quota": "a hidden quota, found and shared",
    "planning": "offline plans from JSONL",
    "journal": "resume and verify of a finished run",
    "rehearsal": "plans in the simulator, one seed",
    "start": "start of the program",
}


def main(arguments: list[str]) -> int:
    """Run the named scripts, or all of them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES))
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--full", action="store_true", help="the sizes of the claims")
    size.add_argument("--tiny", action="store_true", help="only see that everything runs")
    parser.add_argument("--strict", action="store_true", help="exit 1 where a bound was missed")
    options = parser.parse_args(arguments)
    if strangers := [name for name in options.names if name not in NAMES]:
        parser.error(f"no such benchmark: {', '.join(strangers)}")
    chosen = Size.FULL if options.full else Size.TINY if options.tiny else Size.DEFAULT
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.machine()}")
    missed = [row for name in options.names or NAMES for row in _one(name, chosen)]
    for row in missed:
        print(f"MISSED: {row.what}: {row.value:.3g} {row.unit}, bound {row.bound}")
    return 1 if missed and options.strict else 0


def _one(name: str, size: Size) -> list[Row]:
    began = time.perf_counter()
    rows: list[Row] = importlib.import_module(f"benchmarks.{name}").run(size)
    print(f"\n{table(f'{name}: {NAMES[name]}', rows)}")
    print(f"  ({time.perf_counter() - began:.0f} s)", flush=True)
    return [row for row in rows if row.verdict == "MISSED"]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
