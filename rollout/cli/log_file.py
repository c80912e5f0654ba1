"""Open and close the file of `--log-file`."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TextIO

from rollout import logs
from rollout.errors import Place, StorageError
from rollout.model.phrase import Wording, say

_OPEN: list[TextIO] = []


def start(path: Path | None) -> None:
    """Append all log lines to this file as well; its mode becomes 0600. Errors: R0022."""
    if path is None:
        return
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(path, flags, 0o600)
        file = os.fdopen(descriptor, "a", encoding="utf-8", errors="backslashreplace")
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            file.close()
            raise _refused(path, say("it is not a regular file"))
        os.fchmod(descriptor, 0o600)
    except OSError as error:
        raise _refused(path, error.strerror or type(error).__name__) from None
    _OPEN.append(file)
    logs.copy_to(file)


def stop() -> None:
    """Close the file."""
    logs.copy_to(None)
    while _OPEN:
        _OPEN.pop().close()


def _refused(path: Path, why: Wording) -> StorageError:
    message = say("the log file cannot be written: {why}", why=why)
    return StorageError.of("R0022", message, place=Place(str(path)))
