"""Where each option of the command line got its value: the command line, a variable or a file.

Filled by `settings` while a command line is parsed; read by `config show` and by the options.
"""

from __future__ import annotations

COMMAND_LINE, ENVIRONMENT, DEFAULT = "option", "environment", "default"

_FOUND: dict[str, str] = {}


def clear() -> None:
    """Forget the origins of the last command line."""
    _FOUND.clear()


def record(option: str, origin: str) -> None:
    """Store the origin of an option, named without its dashes."""
    _FOUND[option] = origin


def of(option: str) -> str:
    """Return `option`, `environment NAME`, the path of a settings file, or `default`."""
    return _FOUND.get(option, DEFAULT)


def is_from_file(option: str) -> bool:
    """Return whether a settings file gave the value."""
    return of(option).partition(" ")[0] not in (COMMAND_LINE, ENVIRONMENT, DEFAULT)
