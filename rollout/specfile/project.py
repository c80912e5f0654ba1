"""The project directory: which files a spec may name, and the public key that it names.

Made by `specfile.load`, and used by the validation of fields. Apart from `load`, no other module
of the package reads files.
"""

from __future__ import annotations

import re
import stat
from dataclasses import dataclass
from pathlib import Path

from rollout.model import secrecy
from rollout.model.phrase import Wording, say

KEY_BYTES_MAX = 16 * 1024
"""Maximum size of a public key file. An RSA key of 16,384 bits takes 2.8 KB."""


class KeyFileError(ValueError):
    """The public key file is refused, with code, message and fix."""

    def __init__(self, code: str, message: Wording, hint: Wording) -> None:
        super().__init__(code, message, hint)


@dataclass(frozen=True, slots=True)
class Project:
    """The directory at which relative paths start. All files of a spec must be in it.

    `stored_key` is the public key of a spec that a plan stores; its file is not read again.
    """

    root: Path
    stored_key: str = ""

    def path(self, text: str) -> Path:
        """Return the path of a file named in a spec."""
        return self.root / text

    def refuses(self, text: str) -> Wording:
        """Return why a spec may not name this path, or an empty text. Links are followed."""
        if "\0" in text:
            return say("a path may not contain NUL")
        try:
            target = self.path(text).resolve()
            inside = target.is_relative_to(self.root.resolve())
        except (OSError, RuntimeError):  # a loop of links: RuntimeError before Python 3.13
            return say("the path is a loop of links")
        return "" if inside else say("the path leaves the project")

    def public_key(self, text: str) -> str:
        """Return the OpenSSH public key in a file, without surrounding white space.

        Errors: KeyFileError if the file does not exist or contains something else. The message
        repeats nothing of the content, which may be a private key.
        """
        return self.stored_key or _checked(self._content(text))

    def line(self, text: str) -> str:
        """Return the text of a small file, without surrounding white space. Errors: as above."""
        return self._content(text).decode("utf-8", "replace").strip()

    def _content(self, text: str) -> bytes:
        path = self.path(text)
        try:
            if not stat.S_ISREG(path.stat().st_mode):
                raise KeyFileError(
                    "R0113",
                    say("the key file is not a regular file"),
                    say("name the file of a public key"),
                )
            with path.open("rb") as file:
                return file.read(KEY_BYTES_MAX + 1)
        except OSError as error:
            why = error.strerror or type(error).__name__
            hint = say("put the public key there: {path}", path=path)
            raise KeyFileError(
                "R0113", say("the public key cannot be read: {why}", why=why), hint
            ) from None


def _checked(raw: bytes) -> str:
    """Return the one OpenSSH public key line. Errors: KeyFileError."""
    if secrecy.find_in_bytes(raw) is not None:
        message = say("this is a private key or contains a secret")
        hint = say("name the public key, the `.pub` file; a private key is never needed here")
        raise KeyFileError("R0112", message, hint)
    lines = re.split("\r\n|\r|\n", raw.decode("utf-8", "replace").strip())
    form = say("use the one line that `ssh-keygen` writes to the `.pub` file")
    if len(raw) > KEY_BYTES_MAX or len(lines) != 1:
        raise KeyFileError("R0113", say("not one OpenSSH public key"), form)
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_ssh_public_key

    try:
        load_ssh_public_key(lines[0].encode())
    except (ValueError, UnsupportedAlgorithm):
        raise KeyFileError("R0113", say("not an OpenSSH public key"), form) from None
    return lines[0]
