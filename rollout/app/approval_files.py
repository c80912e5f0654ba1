"""Read and write the files of approvals: signed notes next to a plan, and key files.

Called by `plan_file` and `approvals`. Checks sizes and permissions, never signatures.
"""

from __future__ import annotations

import os
import re
import shlex
import stat
from pathlib import Path

from rollout.app import out_file
from rollout.errors import ConfirmationError, Place, StorageError, UsageError
from rollout.model.phrase import Wording, say
from rollout.model.signed_note import (
    KEY_TEXT_MAX,
    NOTE_BYTES_MAX,
    NoteError,
    SignerKey,
    VerifierKey,
    parse_signer,
)

NOTES_MAX = 1_000
"""Maximum number of approvals that are read."""
_SUFFIX = ".note"


def directory(plan: Path) -> Path:
    """Return where the approvals of a plan file are: `NAME.plan.approvals` for `NAME.plan.json`."""
    return plan.with_name(f"{plan.name.removesuffix('.json')}.approvals")


def read_notes(plan: Path) -> tuple[str, ...]:
    """Return the notes next to a plan file, in the order of their names; none without a directory.

    Errors: StorageError R0708.
    """
    where = directory(plan)
    try:
        paths = sorted(one for one in where.iterdir() if one.name.endswith(_SUFFIX))
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise _unreadable(where, error.strerror or str(error)) from None
    return tuple(_text(path, NOTE_BYTES_MAX) for path in paths[:NOTES_MAX])


def write_note(plan: Path, key: VerifierKey, note: str) -> Path:
    """Save a note next to the plan, and return its path. An earlier one of the key is replaced.

    Errors: StorageError R0803.
    """
    where = directory(plan)
    path = where / f"{re.sub(r'[^A-Za-z0-9._@-]', '_', key.name)}-{key.hash}{_SUFFIX}"
    try:
        where.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        text = say("the approval cannot be saved: {cause}", cause=error.strerror)
        raise StorageError.of("R0803", text, place=Place(str(where))) from None
    out_file.write(path, note.encode(), say("approval"))
    return path


def read_signer(path: Path) -> SignerKey:
    """Return the private key in a file that only its owner can read.

    Errors: ConfirmationError R0706. No message repeats the content.
    """
    place, make = Place(str(path)), say("create a key: rollout approve --new-key NAME --out FILE")
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            if stat.S_ISREG(found.st_mode) and found.st_mode & 0o077:
                text = say(
                    "other users may read the private key (mode {mode:04o})",
                    mode=found.st_mode & 0o777,
                )
                fix = say("run chmod 600 {path}", path=shlex.quote(str(path)))
                raise ConfirmationError.of("R0706", text, place=place, help=fix)
            raw = file.read(KEY_TEXT_MAX + 1)
        return parse_signer(raw.decode().strip())
    except OSError as error:
        why = error.strerror or type(error).__name__
    except UnicodeDecodeError:
        why = "it is not text"
    except NoteError as error:
        why = str(error)
    raise ConfirmationError.of(
        "R0706", say("the private key cannot be used: {why}", why=why), place=place, help=make
    )


def write_keys(path: Path, signer: SignerKey) -> Path:
    """Write a new private key to `path` with mode 0600, and the verifier key to `path`.vkey, whose
    path is returned. Errors: UsageError R0001 if a file exists; StorageError R0803.
    """
    public = path.with_name(f"{path.name}.vkey")
    for one in (path, public):
        if one.exists() or one.is_symlink():
            text = say("{file} exists: a key is never replaced", file=one)
            raise UsageError.of("R0001", text, help=say("name another file with --out"))
    out_file.write(path, f"{signer.secret_text()}\n".encode(), say("private key"))
    out_file.write(public, f"{signer.verifier}\n".encode(), say("verifier key"))
    public.chmod(0o644)
    return public


def _text(path: Path, size_max: int) -> str:
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a FIFO would wait for a writer
            raise _unreadable(path, say("not a regular file"))
        with path.open("rb") as file:
            raw = file.read(size_max + 1)
        return raw.decode()
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from None
    except UnicodeDecodeError:
        raise _unreadable(path, say("it is not UTF-8 text")) from None


def _unreadable(path: Path, why: Wording) -> StorageError:
    text = say("an approval cannot be read: {why}", why=why)
    return StorageError.of("R0708", text, place=Place(str(path)), help=say("remove or repair it"))
