"""Query processes that are not children of the test process."""

from __future__ import annotations

import time
from pathlib import Path


def is_running(pid: int) -> bool:
    """Return whether a process runs. A zombie does not run."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def ends(pid: int, within_s: float = 5) -> bool:
    """Return whether a process ends within this time."""
    patience = time.monotonic() + within_s
    while is_running(pid) and time.monotonic() < patience:
        time.sleep(0.02)
    return not is_running(pid)
