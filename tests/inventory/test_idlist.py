"""Lists of ids, one per line, from a file or from the standard input."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rollout.errors import Exit, InventoryError
from rollout.inventory import files
from rollout.inventory.gathered import Gathered
from rollout.model.spec import FileSource
from tests.inventory.samples import ids, read

A, B = "i-bp1aaaa0001", "i-bp1aaaa0002"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_list_of_ids_is_read(tmp_path: Path, end: str) -> None:
    """Empty lines, comments and blanks around an id are ignored."""
    content = end.join(["\ufeff# of today", A, "", f"  {B}\t", A])

    found = read(tmp_path, "fleet.ids", content, region="cn-hangzhou")

    assert (ids(found), found.problems, found.merged) == ([A, B], [], 1)


@pytest.mark.parametrize(
    "line, code",
    [(f"{A} {B}", "R0203"), ("web-01", "R0203"), ("LTAI5tSecretSecretSecret", "R0112")],
)
def test_a_line_that_is_not_an_id_is_reported_with_its_value(
    tmp_path: Path, line: str, code: str
) -> None:
    """An invalid id is reported with its line and text; a secret is never repeated."""
    found = read(tmp_path, "fleet.ids", f"{A}\n{line}\n", region="cn-hangzhou")

    (problem,) = found.problems
    assert (problem.code, str(problem.place)) == (code, "fleet.ids:2")
    assert (line in problem.message) is (code == "R0203")


@contextlib.contextmanager
def stdin(content: bytes) -> Iterator[None]:
    """Replace the standard input by this content."""
    out, into = os.pipe()
    os.write(into, content)
    os.close(into)
    kept = os.dup(0)
    os.dup2(out, 0)
    os.close(out)
    try:
        yield
    finally:
        os.dup2(kept, 0)
        os.close(kept)


@pytest.mark.parametrize(
    "kind, content",
    [
        ("ids", f"{A}\n"),
        ("jsonl", f'"{A}"\n'),
        ("json", f'["{A}"]'),
        ("csv", f"InstanceId\n{A}\n"),
    ],
)
def test_a_dash_means_the_standard_input(tmp_path: Path, kind: str, content: str) -> None:
    """Every kind of list can be piped into the command."""
    gathered = Gathered()
    with stdin(content.encode()):
        source = FileSource(kind, "-", region="cn-hangzhou")
        files.read(source, gathered, account="1", project=tmp_path)

    assert ids(gathered) == [A]


def test_a_closed_input_is_no_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A closed standard input is not read, because its number may belong to another file."""
    monkeypatch.setattr(sys, "stdin", None)

    with pytest.raises(InventoryError, match="closed"):
        files.read(FileSource("ids", "-"), Gathered(), account="1", project=tmp_path)


def test_a_terminal_is_no_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal as standard input is refused, because the command would wait without a message."""
    monkeypatch.setattr(os, "isatty", lambda _: True)

    with pytest.raises(InventoryError) as caught:
        files.read(FileSource("ids", "-"), Gathered(), account="1", project=tmp_path)

    assert (caught.value.problems[0].code, caught.value.exit) == ("R0200", Exit.IO)
