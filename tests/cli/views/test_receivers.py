"""Receivers in status: what each got, what it lacks, and the command that sends it."""

from __future__ import annotations

import pytest

from rollout.cli.views import receivers
from rollout.model.notify import ReceiverState

STATES = (
    ReceiverState("env:DINGTALK_OPS", 1, 0),
    ReceiverState("https://hooks.internal/rollout", 2, 3, 4, 1_795_400_000_000, "status 500"),
)


@pytest.mark.parametrize("width", [80, 200])
def test_lines_fit_and_name_the_next_command(width: int) -> None:
    """The cause, the time of the last try and the command are shown for failing receivers only."""
    lines = receivers.lines("r-1", STATES, width)
    text = " ".join(" ".join(lines).split())

    assert all(len(line) <= width for line in lines)
    assert "env:DINGTALK_OPS: 1 message delivered notify:" in text
    assert "2 messages delivered, 3 waiting; 4 tries failed, last at 2026-11-23T02:13:20Z" in text
    assert text.endswith("status 500; rollout notify r-1")
    assert len(lines) == (2 if width == 200 else 3)


def test_nobody_is_notified() -> None:
    """`rollout notify` says so; `status` shows nothing."""
    assert receivers.status("r-1", (), 80) == []
    assert "no `notify`" in receivers.lines("r-1", (), 80)[0]


def test_plain_data() -> None:
    """Times are formatted, and missing ones are null."""
    first, second = receivers.data("r-1", STATES)["receivers"]

    assert first["failed_at"] is None and first["waiting"] == 0
    assert second["failed_at"] == "2026-11-23T02:13:20Z" and second["cause"] == "status 500"
