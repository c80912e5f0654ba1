"""Name and version of the program."""

from __future__ import annotations

import importlib.metadata
import platform

DISTRIBUTION = "ecs-rollout"


def version() -> str:
    """The version that is installed; a clone that is not installed has none."""
    try:
        return importlib.metadata.version(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        return "0"


def tool() -> str:
    """Name and version, as plans and journals carry it."""
    return f"rollout {version()}"


def python() -> str:
    """The interpreter's version."""
    return platform.python_version()
