"""Packaging: exact versions without a registry address, a typed package, one command."""

import itertools
import re
from importlib import metadata

from tests import tree

PINNED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9][A-Za-z0-9.!+_-]*")
CONSTRAINTS = (tree.ROOT / "constraints.txt").read_text("utf-8")


def test_constraints_are_exact_versions_and_nothing_else() -> None:
    """Every line of constraints.txt is name==version, without an address."""
    odd = [line for line in CONSTRAINTS.splitlines() if not PINNED.fullmatch(line)]

    assert not odd
    assert "://" not in CONSTRAINTS


def test_constraints_name_each_package_once() -> None:
    """No package is listed twice under different spellings."""
    names = pinned_names()

    assert len(names) == len(set(names))


def test_every_direct_dependency_is_pinned() -> None:
    """Every dependency in pyproject.toml has a pin, so a missing `make constraints` is noticed."""
    assert not set(direct_dependencies()) - set(pinned_names())


def test_every_pin_is_needed_by_something() -> None:
    """Every pin is required by some package."""
    assert not set(pinned_names()) - required_closure(direct_dependencies())


def test_the_package_is_typed_and_has_one_command() -> None:
    """The package ships its type annotations, and its command is called `rollout`."""
    project = tree.config()["project"]

    assert (tree.ROOT / "rollout" / "py.typed").is_file()
    assert project["scripts"] == {"rollout": "rollout.__main__:run"}
    assert project["requires-python"] == ">=3.11,<3.15"


def test_the_wheel_installs_the_manual_page() -> None:
    """Hatch leaves a file out without a word if its path is wrong."""
    shared = tree.config()["tool"]["hatch"]["build"]["targets"]["wheel"]["shared-data"]

    assert {(tree.ROOT / source).is_file(): target for source, target in shared.items()} == {
        True: "share/man/man1/rollout.1"
    }


def pinned_names() -> list[str]:
    """Return the packages of constraints.txt, with normalized names."""
    return [normalised(line.partition("==")[0]) for line in CONSTRAINTS.splitlines()]


def direct_dependencies() -> list[str]:
    """Return the dependencies in pyproject.toml with all extras, without the package itself."""
    project = tree.config()["project"]
    asked = itertools.chain(project["dependencies"], *project["optional-dependencies"].values())
    names = [requirement_name(line) for line in asked]
    return [name for name in names if name != project["name"]]


def required_closure(names: list[str]) -> set[str]:
    """Return all direct and indirect requirements of installed packages, with their extras."""
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
    """Yield `name[extra` for each extra of a requirement, in the form that `required_closure`
    keeps.
    """
    matched = re.match(r"[A-Za-z0-9._-]+\s*\[([^]]+)\]", line)
    extras = matched[1].split(",") if matched else []
    return [f"{requirement_name(line)}[{normalised(extra.strip())}" for extra in extras]


def requirement_name(line: str) -> str:
    """Return the package name of a requirement."""
    matched = re.match(r"[A-Za-z0-9._-]+", line)
    assert matched, line
    return normalised(matched.group())


def normalised(name: str) -> str:
    """Return a package name in its normalized form."""
    return re.sub(r"[-_.]+", "-", name).lower()
