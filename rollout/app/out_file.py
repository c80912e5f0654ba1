"""Write `--out` files atomically with mode 0600."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from rollout.errors import Place, StorageError
from rollout.model.phrase import Phrase, Wording, say


def check(
    path: Path,
    what: Phrase,
    may_replace: Callable[[Path], bool] = lambda _: True,
    why: Phrase = say("the file exists"),  # noqa: B008 - immutable
) -> None:
    """Raise StorageError R0803 if the directory is missing, if the path is not a regular file, or
    with `why` if it is a file that is not empty and that `may_replace` refuses: the input of a
    command, for example.

    Without this check, root would replace a device by a file. `what` names the content in the
    message.
    """
    if path.exists() and not path.is_file():
        raise unsaved(path, what, say("the path exists and is not a regular file"))
    if not path.parent.is_dir():
        raise unsaved(path, what, os.strerror(errno.ENOENT))
    try:
        kept = path.is_file() and path.stat().st_size and not may_replace(path)
    except OSError as error:
        raise unsaved(path, what, str(error.strerror)) from error
    if kept:
        raise unsaved(path, what, why)


def write(path: Path, content: bytes, what: Phrase) -> None:
    """Replace the file's content atomically. Errors: StorageError R0803; the file is unchanged."""
    check(path, what)
    try:
        _replace(path, content)
    except OSError as error:
        raise unsaved(path, what, str(error.strerror)) from error


def unsaved(path: Path, what: Phrase, why: Wording) -> StorageError:
    """Return the error R0803 for a file that cannot be saved."""
    return StorageError.of(
        "R0803",
        say("the {what} cannot be saved: {why}", what=what, why=why),
        place=Place(str(path)),
        help=say("name another file with --out"),
    )


def _replace(path: Path, content: bytes) -> None:
    """Write to a temporary file, sync, rename, sync the directory, so that the write is atomic."""
    handle, draft = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(draft).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(draft).unlink()
        raise
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
