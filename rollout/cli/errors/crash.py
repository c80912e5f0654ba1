"""Report a defect of the program: one line for the user, the traceback in a file."""

from __future__ import annotations

import os
import tempfile
import traceback
from pathlib import Path

from rollout import logs
from rollout.app import about
from rollout.model.phrase import Phrase, say


def report(bug: BaseException, runs_dir: Path) -> Phrase:
    """Save the traceback without secrets, readable by its owner; return the line to print."""
    text = "".join(traceback.format_exception(bug))
    summary = logs.redact(f"{type(bug).__name__}: {bug}".partition("\n")[0])
    try:
        path = _save(logs.redact(f"{about.tool()}\n{text}"), runs_dir)
    except OSError as error:
        return say(
            "error[bug]: {summary}\n  This is a defect of rollout, not of your input.\n"
            "  The traceback could not be saved: {cause}.",
            summary=summary,
            cause=error.strerror,
        )
    return say(
        "error[bug]: {summary}\n  This is a defect of rollout, not of your input.\n"
        "  help: please report it with {path}",
        summary=summary,
        path=path,
    )


def _save(text: str, runs_dir: Path) -> str:
    folder = runs_dir if runs_dir.is_dir() and os.access(runs_dir, os.W_OK) else None
    handle, path = tempfile.mkstemp(prefix="rollout-crash-", suffix=".txt", dir=folder, text=True)
    with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(text)
    return path
