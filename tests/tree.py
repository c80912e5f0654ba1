"""The repository for tests that check its files: tracked files, parsed modules, declared layers."""

import ast
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def config() -> dict[str, Any]:
    """Return the contents of pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def tracked_files() -> list[Path]:
    """Return the existing files that git tracks or would add, without ignored files."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    paths = (ROOT / name for name in sorted(set(listing.split("\0"))) if name)
    return [path for path in paths if path.is_file()]


def tracked_texts() -> Iterator[tuple[str, str]]:
    """Yield name and text of each tracked file that is UTF-8; other files are binary."""
    for path in tracked_files():
        try:
            yield path.relative_to(ROOT).as_posix(), path.read_bytes().decode("utf-8")
        except UnicodeDecodeError:
            continue


def package_modules() -> dict[str, Path]:
    """Return the file of each module of the package by its dotted name, in order of names."""
    return {
        module_name(path.relative_to(ROOT)): path
        for path in sorted((ROOT / "rollout").rglob("*.py"))
    }


def module_name(path: Path) -> str:
    """Return the dotted name of a file; a package has the name of its folder."""
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def parse(path: Path) -> ast.Module:
    """Parse one source file."""
    return ast.parse(path.read_text("utf-8"), filename=str(path))


def layers() -> list[list[str]]:
    """Return the modules of each declared layer, from the highest layer to the lowest."""
    rows: list[str] = contract("layers")["layers"]
    return [[name.strip("() \n") for name in row.split(":")] for row in rows]


def contract(contract_id: str) -> dict[str, Any]:
    """Return one contract of import-linter as declared."""
    contracts: list[dict[str, Any]] = config()["tool"]["importlinter"]["contracts"]
    return next(one for one in contracts if one["id"] == contract_id)


def is_within(module: str, package: str) -> bool:
    """Return whether a module is the package or in it."""
    return module == package or module.startswith(package + ".")
