"""`rollout audit verify`: journals that were changed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from rollout.cli import main
from rollout.errors import Exit
from tests import golden_journals


def _byte(lines: list[bytes]) -> list[bytes]:
    return [lines[0], lines[1].replace(b"1", b"2", 1), *lines[2:]]


def _last(lines: list[bytes]) -> list[bytes]:
    return lines[:-1]


@pytest.mark.parametrize(
    "change,head,code",
    [
        (_byte, "", "R0903"),
        (_last, "", "R0903"),
        (list, "3:" + "0" * 64, "R0907"),
        (list, "99999:" + "0" * 64, "R0907"),
    ],
    ids=["changed", "cut", "another head", "a later head"],
)
def test_a_changed_journal_is_a_document(
    change: Callable[[list[bytes]], list[bytes]],
    head: str,
    code: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A failed verification is one JSON document with its problems, and exit 9."""
    folder = tmp_path / "runs"
    shutil.copytree(golden_journals.FOLDER / "closed", folder)
    folder.chmod(0o700)
    (journal,) = folder.glob("*/journal-*.jsonl")
    journal.write_bytes(b"".join(change(journal.read_bytes().splitlines(keepends=True))))
    option = ["--head", head] if head else []

    words = ["audit", "verify", *option, "-o", "json", "--runs-dir", str(folder)]
    assert main.main(words) == Exit.INTEGRITY

    found = json.loads(capsys.readouterr().out)
    assert found["valid"] is False and found["problems_found"] >= 1
    assert found["problems"][0]["code"] == code and found["problems"][0]["message"]
    assert found["problems"][0]["file"].endswith(".jsonl")
