"""Secrets are read from the variable or file that a reference names, and hidden before use."""

from __future__ import annotations

from pathlib import Path

import pytest

from rollout.probes.references import BYTES_MAX, UnreadableSecret, read


def test_a_variable_and_a_file(tmp_path: Path) -> None:
    """White space around the value is removed; the value is passed on to be hidden."""
    hidden: list[str] = []
    file = tmp_path / "token"
    file.write_text("from-file\n")
    assert read("env:TOKEN", {"TOKEN": " from-env "}, hidden.append) == "from-env"
    assert read(f"file:{file}", {}, hidden.append) == "from-file"
    assert hidden == ["from-env", "from-file"]


@pytest.mark.parametrize(
    "content,cause",
    [
        (b"", "not set or empty"),
        (b"a\nb", "line breaks"),
        (b"\xff", "not UTF-8"),
        (b"x" * (BYTES_MAX + 1), "larger than"),
    ],
)
def test_an_unusable_file(tmp_path: Path, content: bytes, cause: str) -> None:
    """Each cause is named."""
    file = tmp_path / "token"
    file.write_bytes(content)
    with pytest.raises(UnreadableSecret, match=cause):
        read(f"file:{file}", {}, lambda _: None)


def test_missing_ones() -> None:
    """Neither variable nor file exists."""
    with pytest.raises(UnreadableSecret, match="env:TOKEN is not set or empty"):
        read("env:TOKEN", {}, lambda _: None)
    with pytest.raises(UnreadableSecret, match="No such file"):
        read("file:/nonexistent/token", {}, lambda _: None)
