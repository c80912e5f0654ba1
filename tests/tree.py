"""The repository as the guard tests see it: tracked files, parsed modules, the declared layers."""

import ast
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def config() -> dict[str, Any]:
    """Read pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def tracked_files() -> list[Path]:
    """List what git tracks or would add and is on disk; never what it ignores."""
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
    """Yield name and text of each tracked file that is UTF-8; others are binary."""
    for path in tracked_files():
        try:
            yield path.relative_to(ROOT).as_posix(), path.read_bytes().decode("utf-8")
        except UnicodeDecodeError:
            continue


def package_modules() -> dict[str, Path]:
    """Map the dotted name of each module of the package to its file, in order of names."""
    return {
        module_name(path.relative_to(ROOT)): path
        for path in sorted((ROOT / "rollout").rglob("*.py"))
    }


def module_name(path: Path) -> str:
    """Spell the dotted name of a file; a package is named by its folder."""
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def parse(path: Path) -> ast.Module:
    """Parse one source file."""
    return ast.parse(path.read_text("utf-8"), filename=str(path))


def layers() -> list[list[str]]:
    """Give the modules of each declared layer, the highest layer first."""
    rows: list[str] = contract("layers")["layers"]
    return [[name.strip("() \n") for name in row.split(":")] for row in rows]


def contract(contract_id: str) -> dict[str, Any]:
    """Give one import-linter contract as declared."""
    contracts: list[dict[str, Any]] = config()["tool"]["importlinter"]["contracts"]
    return next(one for one in contracts if one["id"] == contract_id)


def is_within(module: str, package: str) -> bool:
    """Tell whether a module is the package or lies in it."""
    return module == package or module.startswith(package + ".")
