"""Parse the command line, run a command, and convert exceptions to exit codes.

Commands are named by import string and loaded when called, so that `--help` stays quick.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cyclopts import App, CycloptsError

from rollout import logs
from rollout.app import about
from rollout.cli import language, log_file, origins, signals, stderr_queue, terminal
from rollout.cli.errors import crash, usage
from rollout.cli.help_page import HelpPages
from rollout.cli.options import (
    VALUED,
    CloudOptions,
    Common,
    check_directory,
    misspelled,
    refuse_misspelled,
)
from rollout.cli.settings import WITHOUT_FILES, Settings
from rollout.errors import Exit, RolloutError
from rollout.model.phrase import say

COMMANDS = {
    "init": ("[FOLDER]", "Write a first spec and the settings of a project."),
    "validate": ("FILE [FILE…]", "Check specs and inventory files offline; report all problems."),
    "plan": ("SPEC", "Create and show a rotation plan. Changes nothing."),
    "rehearse": ("PLAN", "Simulate a plan. Makes no API calls and changes nothing."),
    "approve": ("[PLAN]", "Sign a plan, if its spec requires approvals."),
    "apply": ("TARGET", "Execute a plan: attach, restart and wait within the budgets."),
    "resume": ("[RUN]", "Continue an open run after a crash, Ctrl-C, a halt or a pause."),
    "pause": ("[RUN]", "Start nothing new in a run until it is continued."),
    "promote": ("[RUN]", "Continue a paused run, or open the gate after a wave."),
    "abort": ("[RUN]", "Close an open run: start nothing new, settle open calls."),
    "resolve": ("[RUN]", "State the outcome of one instance that a run holds."),
    "retry": ("[RUN]", "Create a plan of the instances that a run did not rotate."),
    "undo": ("[RUN]", "Create a plan that attaches former key pairs again."),
    "notify": ("[RUN]", "Send the messages that receivers of a run lack."),
    "status": ("[RUN]", "Show a run's state and why each instance is waiting."),
    "show": ("TARGET", "Show a plan or a run, or why an instance waits."),
    "diff": ("BEFORE [AFTER]", "Compare two plans, or a plan with the fleet now."),
    "completion": ("SHELL", "Print the completion script of a shell."),
    "events": ("[RUN]", "Print a run's events as CloudEvents, one on each line."),
    "history": ("", "List the runs, one line each."),
    "drift": ("SPEC", "List the instances without the spec's key pair in force."),
    "serve": ("", "Fire the schedules of the runs directory until SIGTERM."),
    "emulator": ("", "Run the ECS emulator on this machine."),
    "demo": ("", "Rotate an emulated fleet, kill the run halfway, resume, verify."),
    "doctor": (
        "[SPEC]",
        "Check access, key pairs, clock and disk. Changes nothing.",
    ),
    "explain": ("CODE", "Explain an error code, or all exit codes."),
    "schema": ("KIND", "Print a JSON Schema."),
    "version": ("", "Print the versions of the program, Python and file formats."),
    "keys list": ("", "List the key pairs of each region."),
    "keys usage": ("NAME", "List the instances that have a key pair."),
    "keys ensure": ("NAME", "Import a public key into each region that lacks it."),
    "keys retire": ("NAME", "Delete a key pair that nothing uses."),
    "config show": ("", "List all settings with their values."),
    "config path": ("", "Print the paths of the settings files."),
    "schedule add": ("SPEC", "Add the schedule of a spec."),
    "schedule list": ("[NAME]", "List the schedules, or the decisions about one."),
    "schedule next": ("NAME", "Print the next ticks of a schedule."),
    "schedule pause": ("NAME", "Skip the ticks of a schedule until it is resumed."),
    "schedule resume": ("NAME", "Fire the ticks of a paused schedule again."),
    "schedule trigger": ("NAME", "Fire a schedule once now."),
    "schedule backfill": ("NAME", "Fire skipped ticks of a schedule."),
    "schedule remove": ("NAME", "Remove a schedule."),
    "terraform reconcile": ("TARGET STATE", "Show what the next terraform apply would reverse."),
    "audit show": ("[RUN]", "Show who changed which instance, when and why."),
    "audit verify": ("[RUN]", "Verify a run's hash chain, rules and caps from its journal alone."),
}
"""Positional arguments and help of each command."""

OTHER_NAMES = {
    "init": "new create start-project",
    "validate": "lint check",
    "plan": "preview",
    "rehearse": "simulate forecast dry-run",
    "approve": "sign accept authorize",
    "apply": "run start rotate",
    "resume": "continue",
    "pause": "hold suspend wait",
    "promote": "advance next",
    "abort": "cancel stop kill",
    "resolve": "accept unstick",
    "retry": "again redo",
    "undo": "rollback revert",
    "notify": "send message alert",
    "status": "get top",
    "show": "describe inspect",
    "diff": "compare changes",
    "completion": "completions autocomplete",
    "events": "watch stream tail log logs",
    "history": "list ls runs",
    "drift": "compare out-of-date",
    "serve": "daemon server scheduler",
    "emulator": "mock",
    "demo": "example tutorial",
    "doctor": "diagnose preflight",
    "explain": "errors why",
    "config": "settings configure",
    "config show": "list get ls",
    "config path": "where file",
    "audit show": "log list",
    "audit verify": "check",
    "audit": "log verify",
    "keys": "keypairs key-pairs",
    "schedule": "schedules cron",
    "schedule add": "create new",
    "schedule list": "ls show history",
    "schedule next": "upcoming",
    "schedule pause": "suspend disable",
    "schedule resume": "unpause enable",
    "schedule trigger": "run fire",
    "schedule remove": "delete rm",
    "terraform": "tf hcl tfstate",
    "terraform reconcile": "compare drift",
    "keys list": "ls show",
    "keys usage": "users who",
    "keys ensure": "import add",
    "keys retire": "delete remove rm",
}
"""Names of the commands in other tools; "did you mean" suggests the command for such a name."""

PARENTS = {
    "audit": "Show or verify the audit log.",
    "config": "Show the settings and their files.",
    "keys": "List, import and delete key pairs.",
    "schedule": "Add, list, change and remove schedules.",
    "terraform": "Compare a rotation with a state of Terraform.",
}
"""Help of the commands that only group others."""

CHANGING = ("apply", "resume", "serve", "keys ensure", "keys retire")
"""Commands that change instances or key pairs."""


def make_app() -> App:
    """Return the parser. Resolving a name imports only that command's module."""
    app = App(
        name="rollout",
        help="Rotates SSH key pairs over fleets of Alibaba Cloud ECS instances.",
        version=about.version,
        help_format="plaintext",
        help_formatter=HelpPages(language.translated),
        exit_on_error=False,
        print_error=False,
        config=Settings(_tables()),
    )
    synonyms = {command: tuple(names.split()) for command, names in OTHER_NAMES.items()}
    parents = {
        name: App(name=name, help=text, synonym=synonyms[name]) for name, text in PARENTS.items()
    }
    for command, (takes, text) in COMMANDS.items():
        usage = " ".join(filter(None, ("Usage: rollout", command, takes, "[OPTIONS]")))
        module, _, name = command.rpartition(" ")
        path = f"rollout.cli.commands.{module or name}:{name}"
        parent = parents[module] if module else app
        parent.command(path, name=name, usage=usage, help=text, synonym=synonyms.get(command, ()))
    for parent in parents.values():
        app.command(parent)
    return app


def _tables() -> dict[str, tuple[str, ...]]:
    """Return the tables of a settings file: the commands, each with its subcommands."""
    pairs = [command.partition(" ") for command in COMMANDS]
    return {
        first: tuple(name for parent, _, name in pairs if parent == first and name)
        for first, _, _ in pairs
    }


def main(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code. Raises nothing."""
    terminal.harden()
    common = _before_parsing(arguments, os.environ)
    try:
        language.use(language.before_parsing(arguments, os.environ))
        command, positional, options = _parse(arguments)
        common = _common(positional, options)
        if command.__module__.startswith("rollout."):
            _use_language(common, positional, options)
            stderr_queue.describe_as(common.log_format)
            logs.configure(sys.stderr, form=common.log_format, verbose=common.verbose)
            log_file.start(common.log_file)
            words = _words(command)
            _check_environment(words, common)
            if words not in WITHOUT_FILES:
                check_directory()
        return int(command(*positional, **options) or Exit.DONE)
    except BaseException as raised:  # noqa: BLE001 - the one place that may see anything
        return _end(_innermost(raised), common)
    finally:
        origins.clear()
        log_file.stop()


def _words(command: Callable[..., Any]) -> str:
    """Return the words of a command, such as `keys list`: the module of a command that has a parent
    is named after the parent.
    """
    module, name = command.__module__.rpartition(".")[2], command.__name__
    return name if module == name else f"{module} {name}"


def _check_environment(command: str, common: Common) -> None:
    """Warn about variables with names similar to a setting's. A command that changes something
    refuses those that were meant to choose the service.
    """
    if command in CHANGING:
        refuse_misspelled(os.environ)
    for name, meant in misspelled(os.environ).items():
        text = say(
            "unknown setting `{name}` in the environment; did you mean `{meant}`?",
            name=name,
            meant=meant,
        )
        warning = say("warning[{code}]: {problem}", code="R0118", problem=text)
        terminal.Terminal.of(common).say(warning)


def _end(raised: BaseException, common: Common) -> int:
    """Report how the command ended; return the exit code."""
    if common.log_format == "json":
        logs.configure(sys.stderr, form="json", verbose=common.verbose)
    match raised:
        case RolloutError():
            terminal.Terminal.of(common).error(raised)
            return int(raised.exit)
        case KeyboardInterrupt():
            return int(Exit.INTERRUPTED)
        case SystemExit():
            return int(raised.code or 0)
        case _:
            report = crash.report(raised, common.runs_dir)
            if common.log_format == "json":
                logs.say("error", "error", code="bug", message=str(report))
            else:
                terminal.Terminal.of(common).say(report)
            return int(Exit.FAILED)


def _innermost(raised: BaseException) -> BaseException:
    """Return the first error of a task group, our own errors before the errors they caused."""
    while isinstance(raised, BaseExceptionGroup):
        ours = raised.subgroup((RolloutError, KeyboardInterrupt, SystemExit))
        raised = (ours or raised).exceptions[0]
    cause = raised.__cause__  # Python wraps a signal that arrives while an import makes a class
    wrapped = isinstance(raised, RuntimeError) and isinstance(cause, KeyboardInterrupt)
    return cause if wrapped and cause is not None else raised


def run() -> None:
    """Run the command line of this process and exit."""
    signals.install()
    sys.stderr = stderr_queue.install(sys.stderr)
    try:
        code = main(sys.argv[1:])
    except KeyboardInterrupt:  # a second signal, while the first was reported
        code = int(Exit.INTERRUPTED)
    except SystemExit as ended:
        code = int(ended.code or 0)
    signals.uninstall()
    stderr_queue.drain(stderr_queue.EXIT_S)
    sys.exit(code)


def _parse(arguments: Sequence[str]) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
    try:
        command, bound, _ = make_app().parse_args(_options_last(arguments))
    except CycloptsError as error:
        raise usage.explain(error) from None
    return command, bound.args, bound.kwargs


def _options_last(arguments: Sequence[str]) -> Sequence[str]:
    """Move options before the command's name to behind it, where the parser expects them."""
    names: list[str] = []
    before: list[str] = []
    rest = list(arguments)
    while rest and (not names or (names[0] in PARENTS and len(names) == 1)):
        argument = rest.pop(0)
        if not argument.startswith("-"):
            names.append(argument)
            continue
        before.append(argument)
        if argument in VALUED and rest:
            before.append(rest.pop(0))
    return [*names, *before, *rest]


def _before_parsing(arguments: Sequence[str], environment: Mapping[str, str]) -> Common:
    """Return the options that decide the form of errors in a command line that cannot be parsed."""
    text = " ".join(arguments).replace("=", " ")
    json = environment.get("ROLLOUT_LOG_FORMAT") == "json" or "--log-format json" in text
    return Common(log_format="json" if json else "text")


def _common(positional: tuple[Any, ...], options: dict[str, Any]) -> Common:
    given = (*positional, *options.values())
    return next((value for value in given if isinstance(value, Common)), Common())


def _use_language(common: Common, positional: tuple[Any, ...], options: dict[str, Any]) -> None:
    """Print in the language of the settings, or in that of the profile that the command uses. With
    JSON lines on stderr, programs read everything: in English.
    """
    if common.log_format == "json":
        language.use("en")
        return
    given = (*positional, *options.values())
    cloud = next((value for value in given if isinstance(value, CloudOptions)), CloudOptions())
    language.use(common.lang or language.of_surroundings(cloud.profile, os.environ))
