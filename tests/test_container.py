"""The container: its build steps work in a clean directory, where the program runs."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rollout.cli import options
from tests import tree

CONTAINER = tree.ROOT / "deploy" / "container"


def instructions() -> list[tuple[str, str]]:
    """Return all instructions of the Dockerfile with their arguments; continued lines joined."""
    text = (CONTAINER / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines)]


def arguments(word: str) -> list[str]:
    """Return the arguments of all instructions with this name."""
    return [rest.strip() for name, rest in instructions() if name == word]


def copied() -> dict[str, str]:
    """Return the destination of each source that is copied from the repository."""
    found: dict[str, str] = {}
    for rest in arguments("COPY"):
        *sources, destination = shlex.split(rest)
        if not sources[0].startswith("--from"):
            many = len(sources) > 1
            found |= {one: f"{destination}{one}" if many else destination for one in sources}
    return found


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with the program, installed from only the files that the build copies."""
    source, site = tmp_path_factory.mktemp("src"), tmp_path_factory.mktemp("site")
    for name, destination in copied().items():
        target = source / destination
        target.parent.mkdir(parents=True, exist_ok=True)
        if (tree.ROOT / name).is_dir():
            shutil.copytree(tree.ROOT / name, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(tree.ROOT / name, target)
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel"], cwd=source, check=True
    )
    [wheel] = (source / "dist").glob("*.whl")
    pip = ("-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", str(site))
    subprocess.run([sys.executable, *pip, str(wheel)], check=True)
    return site


def run(installed: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the installed program in a directory, and not the one of this checkout."""
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, "-P", "-m", "rollout", *words]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_the_copied_files_suffice_for_the_program(installed: Path, tmp_path: Path) -> None:
    """The files that the image copies contain everything that the commands read."""
    where = "import rollout; print(rollout.__file__)"
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    found = subprocess.check_output([sys.executable, "-Pc", where], env=environment, text=True)

    explained = run(installed, tmp_path, "explain", "R0412")
    version = run(installed, tmp_path, "version")

    assert found.startswith(str(installed))
    assert explained.returncode == 0, explained.stderr
    assert "R0412" in explained.stdout
    assert tree.config()["project"]["version"] in version.stdout


def test_the_wheel_contains_the_files_of_the_demo(installed: Path) -> None:
    """`rollout demo` and `rollout explain` read files outside the package's own directory."""
    forced = tree.config()["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]

    assert forced
    assert all((installed / name).is_file() for name in forced.values())


def test_the_ignore_file_lets_exactly_the_copied_files_through() -> None:
    """Neither runs nor credentials of a checkout reach the image or the builder."""
    lines = (CONTAINER / "Dockerfile.dockerignore").read_text("utf-8").split()

    assert lines[0] == "*"
    assert {line[1:] for line in lines if line.startswith("!")} == set(copied())


def test_the_program_runs_without_root_and_writes_only_to_its_volume() -> None:
    """The image has a numeric user (Kubernetes checks it), and its runs are on a volume."""
    [user], [volume] = arguments("USER"), arguments("VOLUME")
    environment = dict(re.findall(r"(\w+)=(\S+)", " ".join(arguments("ENV"))))

    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)
    assert f"-o {user.split(':')[0]}" in arguments("RUN")[-1]
    assert environment["ROLLOUT_RUNS_DIR"].startswith(f"{volume}/")
    ours = {name for name in environment if name.startswith("ROLLOUT_")}
    assert ours <= set(options.ENVIRONMENT)


def test_the_image_runs_the_python_that_the_whole_suite_runs_on() -> None:
    """Both stages use the same Python, because the virtual environment is copied."""
    bases = {rest.split()[0] for rest in arguments("FROM")}

    assert bases == {"python:3.11-slim-bookworm"}
