"""Convert cyclopts' errors about a command line into errors of this program."""

from __future__ import annotations

import re

import cyclopts
from cyclopts import CycloptsError

from rollout.errors import ConfigError, RolloutError, UsageError
from rollout.model.phrase import Phrase, Wording, say

_SUGGESTION = re.compile(r" Did you mean (.+?)\?")
_AVAILABLE = re.compile(r" Available commands: .*")
_MISSING = re.compile(r"command `(?P<command>[^`]+)` parameter (?P<name>\S+) requires an argument")
_UNCONVERTED = re.compile(
    r"invalid value for (?P<option>\S+): unable to convert `(?P<value>.*)` into (?P<kind>\w+)"
)
_NO_CHOICE = re.compile(r"invalid value `(?P<value>.*)` for (?P<option>\S+)")
_CHOICES = re.compile(r" Choose from: (.+?)\.$")

_ELSEWHERE = (
    (
        ("--dry-run", "--check"),
        say("`rollout plan` changes nothing, and `rollout rehearse PLAN` simulates a plan"),
    ),
    (
        ("--yes", "-y", "--auto-approve"),
        say("apply a plan file that was reviewed, or name the spec with --confirm"),
    ),
    (
        ("--watch", "-w"),
        say("`rollout status --watch` waits while a process drives the run"),
    ),
    (
        ("--limit", "--exclude", "--target"),
        say("create a narrowed plan with `rollout plan SPEC --limit PATTERN --out FILE`"),
    ),
    (
        ("--port", "--host", "--address"),
        say("`rollout emulator --listen 127.0.0.1:8473` sets the address and the port"),
    ),
    (("--instances", "--count"), say("`rollout emulator --size N` sets the size of the fleet")),
    (("--region",), say("name the regions in the spec, under `inventory`")),
)
"""Options of other tools, and the equivalents of this program."""


def explain(error: CycloptsError) -> RolloutError:
    """Return a UsageError (exit 64), or a ConfigError (78) if the value is from the environment."""
    error.verbose = False
    said = str(error).replace('"', "`")
    bare = said
    for pattern in (_AVAILABLE, _SUGGESTION, _CHOICES):
        bare = pattern.sub("", bare)
    message = _message(error, bare)
    help_text = _help(error, said)
    token = _token(error)
    match "cli" if token is None else token.source:
        case "cli":
            return UsageError.of("R0001", message, help=help_text)
        case "env":
            return ConfigError.of("R0014", message, help=help_text)
        case path:
            return _of_file(error, path, "" if token is None else str(token.keyword), message)


def _message(error: CycloptsError, said: str) -> Wording:
    match error:
        case cyclopts.UnknownOptionError():
            return say("unknown option `{option}`", option=_option(error))
        case cyclopts.UnknownCommandError() if error.unused_tokens:
            return say("unknown command `{command}`", command=error.unused_tokens[0])
        case cyclopts.UnusedCliTokensError():
            extra = " ".join(error.unused_tokens or ())
            return say("unexpected argument `{argument}`", argument=extra)
        case _:
            return _of_parser(said[:1].lower() + said[1:].rstrip("."))


def _of_parser(said: str) -> Wording:
    """Return a text of the parser as a phrase if it has one of the usual forms."""
    if found := _MISSING.fullmatch(said):
        return say("command `{command}` parameter {name} requires an argument", **found.groupdict())
    if found := _UNCONVERTED.fullmatch(said):
        return say(
            "invalid value for {option}: unable to convert `{value}` into {kind}",
            **found.groupdict(),
        )
    if found := _NO_CHOICE.fullmatch(said):
        return say("invalid value `{value}` for {option}", **found.groupdict())
    return said


def _option(error: cyclopts.UnknownOptionError) -> str:
    return error.token.keyword or error.token.value


def _help(error: CycloptsError, said: str) -> Phrase:
    if isinstance(error, cyclopts.UnknownOptionError):
        for options, cure in _ELSEWHERE:
            if _option(error) in options:
                return cure
    if suggestion := _SUGGESTION.search(said):
        return say("did you mean {suggestion}?", suggestion=_quoted(suggestion[1]))
    if choices := _CHOICES.search(said):
        return say("choose from {names}", names=choices[1])
    command = " ".join(("rollout", *(error.command_chain or ())))
    return say("see `{command} --help`", command=command)


def _of_file(error: CycloptsError, path: str, keyword: str, message: Wording) -> ConfigError:
    """Return the error about a value in a settings file, or about a setting of another command."""
    from rollout.cli import settings

    name = keyword.strip("[]").lstrip("-")
    place = settings.place(path, tuple(error.command_chain or ()), name)
    if isinstance(error, cyclopts.UnknownOptionError):
        command = " ".join(error.command_chain or ())
        text = say("`{name}` is no option of `rollout {command}`", name=name, command=command)
        return ConfigError.of("R0020", text, place=place, help=say("remove it from this table"))
    return ConfigError.of("R0021", message, place=place, help=_help(error, str(error)))


def _token(error: CycloptsError) -> cyclopts.Token | None:
    if isinstance(error, cyclopts.CoercionError | cyclopts.UnknownOptionError):
        return error.token
    tokens = error.argument.tokens if error.argument is not None else []
    return next((token for token in tokens if token.source), None)


def _quoted(word: str) -> str:
    return word if "`" in word else f"`{word}`"
