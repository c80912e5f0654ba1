"""Packaging: exact versions without a registry, a typed package, one command."""

import itertools
import re
from importlib import metadata

from tests import tree

PINNED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9][A-Za-z0-9.!+_-]*")
CONSTRAINTS = (tree.ROOT / "constraints.txt").read_text("utf-8")


def test_constraints_are_exact_versions_and_nothing_else() -> None:
    """Each line is name==version, so no address of any kind can hide in the file."""
    odd = [line for line in CONSTRAINTS.splitlines() if not PINNED.fullmatch(line)]

    assert not odd
    assert "://" not in CONSTRAINTS


def test_constraints_name_each_package_once() -> None:
    """No package has two versions, whichever way its name is spelled."""
    names = pinned_names()

    assert len(names) == len(set(names))


def test_every_direct_dependency_is_pinned() -> None:
    """A dependency added to pyproject.toml without `make constraints` is noticed."""
    assert not set(direct_dependencies()) - set(pinned_names())


def test_every_pin_is_needed_by_something() -> None:
    """A pin whose package nothing requires any more is noticed."""
    assert not set(pinned_names()) - required_closure(direct_dependencies())


def test_the_package_is_typed_and_has_one_command() -> None:
    """Type checkers read the annotations; the command is called like the package."""
    project = tree.config()["project"]

    assert (tree.ROOT / "rollout" / "py.typed").is_file()
    assert project["scripts"] == {"rollout": "rollout.__main__:run"}
    assert project["requires-python"] == ">=3.11,<3.15"


def pinned_names() -> list[str]:
    """List the packages of constraints.txt, names normalised."""
    return [normalised(line.partition("==")[0]) for line in CONSTRAINTS.splitlines()]


def direct_dependencies() -> list[str]:
    """List what pyproject.toml asks for, extras included, without the package itself."""
    project = tree.config()["project"]
    asked = itertools.chain(project["dependencies"], *project["optional-dependencies"].values())
    names = [requirement_name(line) for line in asked]
    return [name for name in names if name != project["name"]]


def required_closure(names: list[str]) -> set[str]:
    """Follow the requirements of installed packages, with the extras they ask for, to the end."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        asked = waiting.pop()
        if asked in found:
            continue
        found.add(asked)
        name, _, extra = asked.partition("[")
        try:
            requirements = metadata.requires(name) or []
        except metadata.PackageNotFoundError:  # required on another system only
            continue
        for line in requirements:
            condition = re.search(r"extra == ['\"]([^'\"]+)", line)
            if condition is None or normalised(condition[1]) == extra:
                waiting += [requirement_name(line), *requirement_extras(line)]
    return {one for one in found if "[" not in one}


def requirement_extras(line: str) -> list[str]:
    """The extras of a requirement: `name[extra` for each, as `required_closure` keeps them."""
    matched = re.match(r"[A-Za-z0-9._-]+\s*\[([^]]+)\]", line)
    extras = matched[1].split(",") if matched else []
    return [f"{requirement_name(line)}[{normalised(extra.strip())}" for extra in extras]


def requirement_name(line: str) -> str:
    """Take the name off the front of a requirement."""
    matched = re.match(r"[A-Za-z0-9._-]+", line)
    assert matched, line
    return normalised(matched.group())


def normalised(name: str) -> str:
    """Spell a package name the one way that compares equal."""
    return re.sub(r"[-_.]+", "-", name).lower()
