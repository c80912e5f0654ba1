"""Name and version of the program."""

from __future__ import annotations

import importlib.metadata
import platform

DISTRIBUTION = "ecs-rollout"


def version() -> str:
    """Return the installed version; `0` for a clone that is not installed."""
    try:
        return importlib.metadata.version(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        return "0"


__version__ = version()


def tool() -> str:
    """Return name and version, as plans and journals record them."""
    return f"rollout {version()}"


def python() -> str:
    """Return the version of the interpreter."""
    return platform.python_version()
