"""What this program calls itself."""

from __future__ import annotations

import importlib.metadata
import platform

DISTRIBUTION = "ecs-rollout"


def version() -> str:
    """The version that is installed."""
    return importlib.metadata.version(DISTRIBUTION)


def tool() -> str:
    """Name and version, as plans and journals carry it."""
    return f"rollout {version()}"


def python() -> str:
    """The interpreter's version."""
    return platform.python_version()
