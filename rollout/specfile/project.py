"""The project folder: which files a spec may name, and the public key it names.

Made by `specfile.load`; the fields of the models ask it. The only part of the package besides
`load` that touches the disk.
"""

from __future__ import annotations

import re
import stat
from dataclasses import dataclass
from pathlib import Path

from rollout.model import secrecy

KEY_BYTES_MAX = 16 * 1024
"""An RSA key of 16,384 bits takes 2.8 KB on its line."""


class KeyFileError(ValueError):
    """The public key file is refused: code, message, help."""

    def __init__(self, code: str, message: str, hint: str) -> None:
        super().__init__(code, message, hint)


@dataclass(frozen=True, slots=True)
class Project:
    """The folder that relative paths start at and that no file of a spec may lie outside of."""

    root: Path

    def path(self, text: str) -> Path:
        """The file that `text` means."""
        return self.root / text

    def refuses(self, text: str) -> str:
        """Why the path may not stand in a spec; empty where it may. Links are followed."""
        if "\0" in text:
            return "a path has no NUL"
        try:
            target = self.path(text).resolve()
            inside = target.is_relative_to(self.root.resolve())
        except (OSError, RuntimeError):  # a loop of links: RuntimeError before Python 3.13
            return "the path is a loop of links"
        return "" if inside else "the path leaves the project"

    def public_key(self, text: str) -> str:
        """The OpenSSH one-line public key of a file, white space trimmed.

        Errors: KeyFileError where there is no such file or it holds something else. Nothing of
        its content is repeated: it may be a private key.
        """
        path = self.path(text)
        try:
            if not stat.S_ISREG(path.stat().st_mode):
                raise KeyFileError(
                    "R0113", "the public key file is not a regular file", "name a `.pub` file"
                )
            with path.open("rb") as file:
                raw = file.read(KEY_BYTES_MAX + 1)
        except OSError as error:
            why = error.strerror or type(error).__name__
            hint = f"put the public key there: {path}"
            raise KeyFileError("R0113", f"the public key cannot be read: {why}", hint) from None
        return _checked(raw)


def _checked(raw: bytes) -> str:
    """One OpenSSH public key line, or KeyFileError."""
    if secrecy.find_in_bytes(raw) is not None:
        message = "this is a private key or holds a secret"
        hint = "name the public half, the `.pub` file; a private key is never needed here"
        raise KeyFileError("R0112", message, hint)
    lines = re.split("\r\n|\r|\n", raw.decode("utf-8", "replace").strip())
    form = "one line as `ssh-keygen` writes into the `.pub` file"
    if len(raw) > KEY_BYTES_MAX or len(lines) != 1:
        raise KeyFileError("R0113", "not one OpenSSH public key", form)
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_ssh_public_key

    try:
        load_ssh_public_key(lines[0].encode())
    except (ValueError, UnsupportedAlgorithm):
        raise KeyFileError("R0113", "not an OpenSSH public key", form) from None
    return lines[0]
