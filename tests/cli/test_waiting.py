"""What is shown of calls that the service has not answered: who, since when, until when, why."""

from __future__ import annotations

import dataclasses

import pytest

from rollout import logs
from rollout.cli import waiting
from rollout.cli.options import Common
from rollout.cli.terminal import Terminal
from rollout.ecs.patience import Patience, Waiting
from rollout.model.outcome import Refused, RetryClass, Unknown
from rollout.model.site import Lane, Site
from rollout.model.time import MINUTE, SECOND
from tests.ecs.pretend import NOW, JumpClock

THROTTLED = Refused("Throttling.User", RetryClass.THROTTLED)


def call(region: str, last: Refused | Unknown | None = THROTTLED, tries: int = 3) -> Waiting:
    """A listing that waits since NOW."""
    lane = Lane(Site("1", region), "DescribeInstances")
    return Waiting(lane, NOW, NOW + 5 * MINUTE, tries, last)


def waits(
    monkeypatch: pytest.MonkeyPatch, *calls: Waiting, live: bool = False
) -> tuple[waiting.Waits, JumpClock]:
    """The display of these calls, and the clock it reads."""
    clock = JumpClock()
    patience = Patience(clock)
    monkeypatch.setattr(Patience, "waiting", property(lambda _: calls))
    terminal = dataclasses.replace(Terminal.of(Common()), live=live, width=100)
    return waiting.Waits(patience, terminal), clock


def test_elsewhere_than_on_a_terminal_a_line_comes_after_two_seconds_and_every_ten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A call that is answered within two seconds is not worth a line."""
    said: list[dict[str, object]] = []
    monkeypatch.setattr(logs, "say", lambda _, **fields: said.append(fields))
    shown, clock = waits(monkeypatch, call("cn-hangzhou"))
    at = []
    for half_seconds in range(60):
        clock.at = NOW + half_seconds * SECOND // 2
        before = len(said)
        shown.tick()
        at += [half_seconds / 2] * (len(said) - before)
    assert at == [2, 12, 22]
    assert said[0] == {
        "level": "info",
        "action": "DescribeInstances",
        "region": "cn-hangzhou",
        "cause": "Throttling.User",
        "tries": 3,
        "since": "2026-01-02T03:04:05Z",
        "until": "2026-01-02T03:09:05Z",
    }


def test_on_a_terminal_one_line_is_redrawn_and_removed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It fits the width, and whatever is printed next finds an empty line."""
    shown, clock = waits(monkeypatch, call("cn-hangzhou"), live=True)
    clock.at += 2 * SECOND
    shown.tick()
    shown.tick()
    shown.clear()
    shown.clear()
    text = capsys.readouterr().err
    assert text.count("\r\x1b[K") == 3 and text.endswith("\r\x1b[K")
    line = text.split("\r\x1b[K")[1]
    assert line == waiting.line([call("cn-hangzhou")])[:99]
    assert "DescribeInstances in cn-hangzhou since 03:04:05, until 03:09:05 UTC" in line


@pytest.mark.parametrize(
    "last, text",
    [
        (None, "no reply yet"),
        (THROTTLED, "Throttling.User"),
        (Unknown("http_502"), "HTTP 502 Bad Gateway without an error of the API"),
        (
            Unknown("proxy_or_gateway"),
            "the reply is not from the API: a proxy or gateway answered instead",
        ),
        (Refused("refused", RetryClass.UNSENT), "the connection was refused"),
        (Unknown("timeout"), "no reply in time"),
    ],
)
def test_the_cause_is_told_in_words(last: Refused | Unknown | None, text: str) -> None:
    """Codes of the service stand unchanged; our own words are spelled out."""
    assert waiting.fields([call("cn-hangzhou", last)])["cause"] == text


def test_many_regions_are_named_and_counted() -> None:
    """The oldest call leads; other actions do not mix in."""
    others = [call(region) for region in ("cn-a", "cn-b", "cn-a", "cn-c", "cn-d", "cn-e")]
    keys = dataclasses.replace(call("cn-z"), lane=Lane(Site("1", "cn-z"), "DescribeKeyPairs"))
    known = waiting.fields([*others, keys])
    assert (known["action"], known["region"]) == (
        "DescribeInstances",
        "cn-a, cn-b, cn-c and 2 more",
    )


def test_a_call_without_a_region_names_none() -> None:
    """GetCallerIdentity belongs to no region."""
    one = dataclasses.replace(call(""), lane=Lane(Site("", ""), "GetCallerIdentity"))
    assert waiting.line([one]).startswith("waiting for GetCallerIdentity since ")
