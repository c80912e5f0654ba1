"""Name and version of the program."""

from __future__ import annotations

import functools
import platform

__version__: str
DISTRIBUTION = "ecs-rollout"


@functools.cache
def version() -> str:
    """Return the installed version; `0` for a clone that is not installed."""
    from importlib import metadata  # a tenth of the start of `--help`

    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return "0"


def __getattr__(name: str) -> str:
    """Return `__version__`. Errors: AttributeError."""
    if name == "__version__":
        return version()
    raise AttributeError(name)


def tool() -> str:
    """Return name and version, as plans and journals record them."""
    return f"rollout {version()}"


def python() -> str:
    """Return the version of the interpreter."""
    return platform.python_version()
