"""Tidiness no reviewer should have to ask for: nothing left over, nothing unused, nothing local."""

import ast
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from rollout.cli import main
from tests import tree

# Spelled in pieces, so that this file does not contain what it looks for.
LEFTOVERS = re.compile(
    r"\b(?:" + "|".join(["TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK"]) + r")\b"
    "|NotImplemented" + "Error|pragma: no " + "cover"
)
REGISTRIES = re.compile(
    "|".join(
        [
            "pypi" + r"\.org",
            "python" + r"hosted\.org",
            "registry" + r"\.npm",
            "proxy" + r"\.golang",
            "index" + "-url",
            r"mirrors?\.[a-z]+\.(?:com|edu)",
        ]
    )
)
MACHINE_PATHS = re.compile(r"(?<![\w.~$})-])/(?:work|root|home|tmp)/")


def test_nothing_is_left_over() -> None:
    """No marker of unfinished work is in any tracked file."""
    assert not list(places(LEFTOVERS))


def test_no_file_names_a_registry_or_a_path_of_one_machine() -> None:
    """A clone works anywhere: no download address, no folder of the machine it was written on."""
    assert not list(places(REGISTRIES))
    assert not list(places(MACHINE_PATHS))


def test_no_hidden_characters() -> None:
    """Texts hold no control or formatting characters but line ends and tabs: nothing hides."""
    hidden = [
        f"{name}: U+{ord(character):04X}"
        for name, text in tree.tracked_texts()
        for character in sorted(set(spreadsheet_free(name, text)))
        if unicodedata.category(character) in {"Cc", "Cf"} and character not in "\n\t"
    ]

    assert not hidden


def test_every_module_is_used() -> None:
    """Each module of the package is imported by another one, is a command, or starts a program."""
    modules = tree.package_modules()
    used = {name for path in python_files() for name in references(path) if name != of(path)}
    starts = {target.partition(":")[0] for target in tree.config()["project"]["scripts"].values()}
    starts |= {f"rollout.cli.commands.{words.split()[0]}" for words in main.COMMANDS}

    unused = [
        name
        for name, path in modules.items()
        if path.name not in {"__init__.py", "__main__.py"} and name not in used | starts
    ]

    assert not unused


def test_engines_know_no_phases() -> None:
    """An engine only carries: what an instance's phase means is decided in core."""
    engines = {
        name: path
        for name, path in tree.package_modules().items()
        if tree.is_within(name, "rollout.engines")
    }
    curious = [
        name
        for name, path in engines.items()
        for node in ast.walk(tree.parse(path))
        if "Phase" in mentioned_names(node)
    ]

    assert engines
    assert not curious


def spreadsheet_free(name: str, text: str) -> str:
    """Drop what spreadsheets put into the CSV files they save: a byte order mark, CR LF."""
    return text.removeprefix("\ufeff").replace("\r\n", "\n") if name.endswith(".csv") else text


def places(pattern: re.Pattern[str]) -> Iterator[str]:
    """Yield file, line and text of each match in the tracked files."""
    for name, text in tree.tracked_texts():
        for number, line in enumerate(text.splitlines(), start=1):
            if found := pattern.search(line):
                yield f"{name}:{number}: {found.group()}"


def python_files() -> list[Path]:
    """List the tracked Python sources."""
    return [path for path in tree.tracked_files() if path.suffix == ".py"]


def of(path: Path) -> str:
    """Name the module of a file."""
    return tree.module_name(path.relative_to(tree.ROOT))


def references(path: Path) -> Iterator[str]:
    """Yield each dotted name a file imports, or names in a text for a lazy import."""
    for node in ast.walk(tree.parse(path)):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=str(module), names=names):
                yield module
                yield from (f"{module}.{alias.name}" for alias in names)
            case ast.Constant(value=str(text)) if text.startswith("rollout."):
                yield text.partition(":")[0]


def mentioned_names(node: ast.AST) -> set[str]:
    """Collect the names a node imports or looks up."""
    match node:
        case ast.ImportFrom(names=names):
            return {alias.name for alias in names}
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return {name}
    return set()
