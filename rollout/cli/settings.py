"""The chain of settings: options, variables, the project's file, the user's file, defaults.

Given to the parser by `main`. Settings say how the program works; what is rotated comes from the
spec alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cyclopts import App, Argument, ArgumentCollection

from rollout.cli import origins
from rollout.cli.options import CloudOptions, Common
from rollout.errors import ConfigError, Exit, Place, Problem
from rollout.model import secrecy
from rollout.model.phrase import say

if TYPE_CHECKING:
    from rollout.cli.settings_file import SettingsFile

_OPTION_ONLY = ("verbose", "allow_clock_skew")
SETTINGS: Final = {
    field.name.replace("_", "-"): str(field.type)
    for options in (Common, CloudOptions)
    for field in fields(options)
    if field.name not in _OPTION_ONLY
}
"""Each setting with its type. A file writes it at its top, or in the table of one command."""
OF_COMMANDS: Final = ("max-age", "output", "query")
"""Options that a file can set in the table of a command, in addition to all settings."""
WITHOUT_FILES: Final = ("completion", "explain", "config path", "schema", "version")
"""Commands that read no file: they work with a damaged settings file and without a working
directory."""


def project_file() -> SettingsFile | None:
    """Return `./rollout.toml`, else `[tool.rollout]` of `./pyproject.toml`. Errors: R0019."""
    from rollout.cli import settings_file

    return settings_file.read(Path("rollout.toml")) or settings_file.read(
        Path("pyproject.toml"), ("tool", "rollout")
    )


def user_path() -> Path:
    """Return the path of the user's file, as `~/.config/rollout/config.toml`."""
    import platformdirs

    return platformdirs.user_config_path("rollout", appauthor=False) / "config.toml"


def files() -> Iterator[SettingsFile]:
    """Yield the files that exist, the strongest first."""
    from rollout.cli import settings_file

    for found in (project_file(), settings_file.read(user_path())):
        if found is not None:
            yield found


def place(path: str, commands: tuple[str, ...], name: str) -> Place:
    """Return the position of a setting in a file: in the table of the command, or at the top."""
    for file in files():
        if str(file.path) == path:
            within = [file.place(*commands[:n], name) for n in range(len(commands), -1, -1)]
            return next((one for one in within if one.line), within[0])
    return Place(path)


class Settings:
    """The files as a source of values for the parser, weaker than options and variables."""

    def __init__(self, commands: dict[str, tuple[str, ...]]) -> None:
        """Take the names of the commands: those at the top, each with its subcommands."""
        self._commands = commands

    def __call__(self, app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
        """Give each option without a value the value of the strongest file, and note the origin.

        Errors: ConfigError R0019, R0020, R0021, R0112.
        """
        origins.clear()
        if not commands or " ".join(commands) in WITHOUT_FILES:
            return
        from cyclopts.config import Dict

        for file in files():
            self._check(file)
            own: Any = file.values
            for command in commands:
                own = own.get(command, {})
            shared = {key: value for key, value in file.values.items() if key in SETTINGS}
            own = {key: value for key, value in own.items() if not isinstance(value, dict)}
            for values, allow_unknown in ((own, False), (shared, True)):
                Dict(
                    values,
                    source=str(file.path),
                    use_commands_as_keys=False,
                    allow_unknown=allow_unknown,
                )(app, commands, arguments)
        _record(arguments)

    def _check(self, file: SettingsFile) -> None:
        """Raise all problems of a file at once."""
        problems: list[Problem] = []
        for key, value in file.values.items():
            if key not in self._commands or not isinstance(value, dict):
                problems += _problems(file, (key,), value, tuple(SETTINGS), tuple(self._commands))
                continue
            for inner, one in value.items():
                parent: tuple[str, ...] = (key,)
                table = {inner: one}
                if inner in self._commands[key] and isinstance(one, dict):
                    parent, table = (key, inner), one
                for name, each in table.items():
                    problems += _problems(file, (*parent, name), each, (*SETTINGS, *OF_COMMANDS))
        if problems:
            raise ConfigError(tuple(problems), Exit.CONFIG)


def _problems(
    file: SettingsFile,
    keys: tuple[str, ...],
    value: object,
    known: tuple[str, ...],
    tables: tuple[str, ...] = (),
) -> Iterator[Problem]:
    """Yield what is wrong with one key. A secret is reported without its value."""
    name, place = keys[-1], file.place(*keys)
    text = value if isinstance(value, str) else ""
    if secrecy.find(text) is not None or secrecy.is_named(name, text):
        hint = say("credentials come from a profile of the aliyun CLI or from variables")
        yield Problem("R0112", say("`{name}` contains a secret", name=name), _bare(place), hint)
    elif name not in known:
        message = say("unknown setting `{name}`", name=name)
        if isinstance(value, dict):
            message = say("unknown command `{name}`", name=name)
        names = tables if isinstance(value, dict) else known
        yield Problem(
            "R0020",
            message,
            place,
            _suggestion(name, names),
        )
    elif "bool" in SETTINGS.get(name, "") and not isinstance(value, bool):
        yield Problem(
            "R0021",
            say("`{name}` is not true or false", name=name),
            place,
            say("write `{name} = true`", name=name),
        )
    elif "bool" not in SETTINGS.get(name, "") and not isinstance(value, str):
        yield Problem(
            "R0021",
            say("`{name}` is not text", name=name),
            place,
            say('write `{name} = "VALUE"`', name=name),
        )


def _bare(place: Place) -> Place:
    """Return the place without its line, which may repeat a secret."""
    return Place(place.file, place.line, place.column)


def _suggestion(name: str, known: tuple[str, ...]) -> str:
    wanted = name.replace("_", "-").lower()
    if wanted in known:
        return f"write `{wanted}`"
    close = get_close_matches(wanted, known, n=1, cutoff=0.6)
    return f"did you mean `{close[0]}`?" if close else f"known here: {', '.join(sorted(known))}"


def _record(arguments: ArgumentCollection) -> None:
    for argument in arguments:
        for token in argument.tokens[:1]:
            origin = {
                "cli": origins.COMMAND_LINE,
                "env": f"{origins.ENVIRONMENT} {token.keyword}",
            }.get(token.source, token.source)
            origins.record(argument.name.lstrip("-"), origin, _typed(argument))


def _typed(argument: Argument) -> tuple[str, ...]:
    """Return the words of an option on the command line, none for a positional argument."""
    if not argument.name.startswith("--"):
        return ()
    words: list[str] = []
    for token in argument.tokens:
        if token.source != "cli":
            continue
        if token.implicit_value is True:
            words.append(argument.name)
        elif argument.hint is bool or token.value.startswith("-"):
            words.append(f"{argument.name}={token.value}")
        else:
            words += [argument.name, token.value]
    return tuple(words)
