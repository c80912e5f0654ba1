"""Read one settings file, with the position of each key.

The table is the whole file, or `[tool.rollout]` of a `pyproject.toml`. Knows no setting.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rollout.errors import ConfigError, Place
from rollout.model.phrase import Wording, say

BYTES_MAX: Final = 1024**2
_HEADER = re.compile(r"^\s*\[([^\[\]]+)\]\s*(?:#.*)?$")
_KEY = re.compile(
    r"""^\s*((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*="""
)
_PART = re.compile(r"""[\w-]+|"[^"]*"|'[^']*'""")
_AT = re.compile(r" \(at line (\d+), column (\d+)\)$")

Keys = tuple[str, ...]


@dataclass(frozen=True)
class SettingsFile:
    """The settings of one file: values, tables of commands, and the text for positions."""

    path: Path
    root: Keys
    values: Mapping[str, Any]
    text: str

    def place(self, *keys: str) -> Place:
        """Return the position of a key; only the file if the key cannot be found in its text."""
        wanted = (*self.root, *keys)
        table: Keys = ()
        for number, line in enumerate(self.text.splitlines(), 1):
            if header := _HEADER.match(line):
                table = _parts(header[1])
                if table == wanted:
                    return Place(str(self.path), number, header.start(1) + 1, line, len(header[1]))
            elif (key := _KEY.match(line)) and (*table, *_parts(key[1])) == wanted:
                return Place(str(self.path), number, key.start(1) + 1, line, len(key[1]))
        return Place(str(self.path))


def read(path: Path, root: Keys = ()) -> SettingsFile | None:
    """Return the settings of a file; None if the file or its table does not exist, or if it is in
    a directory that this user cannot enter, as the home of a service.

    Errors: ConfigError R0019 if the file cannot be read or is not TOML.
    """
    import tomllib

    try:
        with path.open("rb") as file:
            raw = file.read(BYTES_MAX + 1)
        text = raw.decode("utf-8-sig")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if not os.access(path, os.F_OK):
            return None
        raise _unreadable(path, error.strerror or type(error).__name__) from None
    except UnicodeDecodeError:
        raise _unreadable(path, say("it is not UTF-8")) from None
    if root and f"[{'.'.join(root)}" not in text:
        return None
    if len(raw) > BYTES_MAX:
        raise _unreadable(path, say("it is larger than 1 MiB"))
    try:
        values: Any = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _malformed(path, text, str(error)) from None
    for key in root:
        values = values.get(key, {}) if isinstance(values, dict) else {}
    return SettingsFile(path, root, values, text) if isinstance(values, dict) else None


def _parts(text: str) -> Keys:
    return tuple(part.strip("\"'") for part in _PART.findall(text))


def _unreadable(path: Path, why: Wording) -> ConfigError:
    message = say("the settings file cannot be read: {why}", why=why)
    return ConfigError.of("R0019", message, place=Place(str(path)))


def _malformed(path: Path, text: str, said: str) -> ConfigError:
    place = Place(str(path))
    lines = text.splitlines()
    if (found := _AT.search(said)) and int(found[1]) <= len(lines):
        place = Place(str(path), int(found[1]), int(found[2]), lines[int(found[1]) - 1])
    message = say("the settings file is not TOML: {cause}", cause=_AT.sub("", said))
    return ConfigError.of(
        "R0019", message, place=place, help=say('write `name = "value"` on each line')
    )
