"""The repository has no leftovers, no unused modules and no machine-specific paths."""

import ast
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from rollout.cli import main
from tests import tree

# Split into pieces, so that this file does not match its own patterns.
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


def test_no_leftovers() -> None:
    """No tracked file contains a marker of unfinished work."""
    assert not list(places(LEFTOVERS))


def test_no_file_names_a_registry_or_a_path_of_one_machine() -> None:
    """No tracked file contains a registry address or a path of one machine."""
    assert not list(places(REGISTRIES))
    assert not list(places(MACHINE_PATHS))


def test_no_hidden_characters() -> None:
    """Texts contain no control or formatting characters except tabs and line ends."""
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


def test_engines_do_not_use_phases() -> None:
    """Engines do not know phases: the core decides what a phase means."""
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
    """Remove what spreadsheets add to CSV files: a byte order mark and CR LF."""
    return text.removeprefix("\ufeff").replace("\r\n", "\n") if name.endswith(".csv") else text


def places(pattern: re.Pattern[str]) -> Iterator[str]:
    """Yield file, line and text of each match in the tracked files."""
    for name, text in tree.tracked_texts():
        for number, line in enumerate(text.splitlines(), start=1):
            if found := pattern.search(line):
                yield f"{name}:{number}: {found.group()}"


def python_files() -> list[Path]:
    """Return the tracked Python files."""
    return [path for path in tree.tracked_files() if path.suffix == ".py"]


def of(path: Path) -> str:
    """Return the module name of a file."""
    return tree.module_name(path.relative_to(tree.ROOT))


def references(path: Path) -> Iterator[str]:
    """Yield each dotted name that a file imports, also names in strings for lazy imports."""
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
    """Yield the names that a node imports or reads."""
    match node:
        case ast.ImportFrom(names=names):
            return {alias.name for alias in names}
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return {name}
    return set()
