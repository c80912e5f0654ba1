"""Suggested commands that use the same runs directory and service as this command line.

Called by everything in `cli` that prints a command. Options from variables and settings files are
not repeated: they hold for the next command too.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Final

from rollout.cli import origins

WITH_SERVICE: Final = frozenset(
    {
        "abort",
        "apply",
        "config show",
        "diff",
        "doctor",
        "drift",
        "keys ensure",
        "keys list",
        "keys retire",
        "keys usage",
        "plan",
        "resume",
        "retry",
        "serve",
        "undo",
    }
)
"""Commands with options of the service."""
WITH_RUNS: Final = WITH_SERVICE | {
    "audit show",
    "audit verify",
    "events",
    "history",
    "notify",
    "pause",
    "promote",
    "rehearse",
    "resolve",
    "schedule add",
    "schedule backfill",
    "schedule list",
    "schedule next",
    "schedule pause",
    "schedule remove",
    "schedule resume",
    "schedule trigger",
    "show",
    "status",
}
"""Commands that read the runs directory."""
_SERVICE = ("profile", "endpoint", "sts-endpoint", "emulator")
_RUNS = ("runs-dir",)
_OUTPUT = frozenset(
    {
        "api-timeout",
        "color",
        "detailed-exitcode",
        "lang",
        "log-file",
        "log-format",
        "no-input",
        "out",
        "output",
        "query",
        "verbose",
    }
)
"""Options that do not change the plan that a command creates."""
_WHOLE = ("history", "keys list", "status")
_COMMAND = re.compile(
    rf"\brollout ({'|'.join(sorted(WITH_RUNS, key=len, reverse=True))})(?![A-Za-z0-9_-])"
)


def with_options(text: str) -> str:
    """Return a text with the options of this command line in each command that takes them.

    A command between backticks without its arguments, such as `rollout plan`, is only a name.
    """
    return _COMMAND.sub(_extended, text)


def command(*words: str | Path) -> str:
    """Return a command of these words, quoted for a shell, with the options that it needs."""
    return with_options(shlex.join(["rollout", *map(str, words)]))


def again(name: str, *positional: str | Path) -> str:
    """Return this command with these arguments and its options, except its output options."""
    typed = origins.typed(one for one in origins.all_typed() if one not in _OUTPUT)
    return shlex.join(["rollout", name, *map(str, positional), *typed])


def _extended(found: re.Match[str]) -> str:
    name, rest = found[1], found.string[found.end() :]
    wanted = (*_RUNS, *(_SERVICE if name in WITH_SERVICE else ()))
    options = shlex.join(origins.typed(wanted))
    is_name = rest.startswith("`") and name not in _WHOLE
    if not options or is_name or rest.startswith(f" {options}"):
        return found[0]
    return f"{found[0]} {options}"
