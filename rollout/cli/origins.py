"""Where each option of the command line got its value: the command line, a variable or a file.

Filled by `settings` while a command line is parsed; read by `config show`, by the options
and by `suggested`.
"""

from __future__ import annotations

from collections.abc import Iterable

COMMAND_LINE, ENVIRONMENT, DEFAULT = "option", "environment", "default"

_FOUND: dict[str, str] = {}
_TYPED: dict[str, tuple[str, ...]] = {}


def clear() -> None:
    """Forget the origins of the last command line."""
    _FOUND.clear()
    _TYPED.clear()


def record(option: str, origin: str, typed: tuple[str, ...] = ()) -> None:
    """Store the origin of an option, named without its dashes; `typed` are its words on the command
    line.
    """
    _FOUND[option] = origin
    if typed:
        _TYPED[option] = typed


def of(option: str) -> str:
    """Return `option`, `environment NAME`, the path of a settings file, or `default`."""
    return _FOUND.get(option, DEFAULT)


def is_from_file(option: str) -> bool:
    """Return whether a settings file gave the value."""
    return of(option).partition(" ")[0] not in (COMMAND_LINE, ENVIRONMENT, DEFAULT)


def all_typed() -> tuple[str, ...]:
    """Return the options that are on the command line."""
    return tuple(_TYPED)


def typed(options: Iterable[str]) -> list[str]:
    """Return the words of those of these options that are on the command line."""
    return [word for option in options for word in _TYPED.get(option, ())]
