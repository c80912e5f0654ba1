"""How warnings and waiting calls of a use case are printed."""

from __future__ import annotations

import dataclasses

import pytest

from rollout import logs
from rollout.app.notices import WaitingCall
from rollout.cli import notices
from rollout.cli.notices import TerminalNotices
from rollout.cli.options import Common
from rollout.cli.terminal import Terminal
from rollout.model.time import MINUTE, SECOND
from tests.ecs.scripted import NOW

CALL = WaitingCall(
    "DescribeInstances", ("cn-hangzhou",), "Throttling.User", 3, NOW, NOW + 5 * MINUTE
)


def display(*, live: bool) -> TerminalNotices:
    """Notices on a terminal that can redraw lines, or on a stream that cannot."""
    return TerminalNotices(dataclasses.replace(Terminal.of(Common()), live=live, width=100))


def test_without_a_terminal_a_line_is_logged_every_ten_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However often the call is reported, a log gets one line in ten seconds."""
    logged: list[dict[str, object]] = []
    monkeypatch.setattr(logs, "say", lambda _, **fields: logged.append(fields))
    shown, at = display(live=False), []
    for half_seconds in range(4, 60):
        before = len(logged)
        shown.waiting(CALL, NOW + half_seconds * SECOND // 2)
        at += [half_seconds / 2] * (len(logged) - before)

    assert at == [2, 12, 22]
    assert logged[0] == {
        "level": "info",
        "action": "DescribeInstances",
        "region": "cn-hangzhou",
        "cause": "Throttling.User",
        "tries": 3,
        "since": "2026-01-02T03:04:05Z",
        "until": "2026-01-02T03:09:05Z",
    }


def test_on_a_terminal_one_line_is_redrawn_and_erased(capsys: pytest.CaptureFixture[str]) -> None:
    """It fits the width, and other output starts on an empty line."""
    shown = display(live=True)
    for call in (CALL, CALL, None, None):
        shown.waiting(call, NOW + 2 * SECOND)

    text = capsys.readouterr().err
    assert text.count("\r\x1b[K") == 3 and text.endswith("\r\x1b[K")
    line = text.split("\r\x1b[K")[1]
    assert line == notices.line(CALL)[:99]
    assert "DescribeInstances in cn-hangzhou since 03:04:05, until 03:09:05 UTC" in line


def test_many_regions_are_named_and_counted() -> None:
    """Three regions are named, the others are counted."""
    call = CALL._replace(regions=("cn-a", "cn-b", "cn-c", "cn-d", "cn-e"))

    assert notices.fields(call)["region"] == "cn-a, cn-b, cn-c and 2 more"
    assert notices.line(CALL._replace(regions=())).startswith("waiting for DescribeInstances since")
