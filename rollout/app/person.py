"""The operator of this process, by the name of the OS user."""

from __future__ import annotations

import getpass
import os


def user() -> str:
    """Return the OS user's name, or its number if it has no name, as in some containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
