"""Which call is reported while the service does not answer, when, and with which cause."""

from __future__ import annotations

import dataclasses

import pytest

from rollout.app import waiting
from rollout.app.notices import Notices, WaitingCall
from rollout.ecs.patience import Patience, UnansweredCall
from rollout.model.outcome import Refused, RetryClass, Unknown
from rollout.model.site import Lane, Site
from rollout.model.time import MINUTE, SECOND, Instant
from tests.ecs.scripted import NOW, JumpClock

THROTTLED = Refused("Throttling.User", RetryClass.THROTTLED)


def call(region: str, last: Refused | Unknown | None = THROTTLED) -> UnansweredCall:
    """A listing that waits since NOW."""
    return UnansweredCall(
        Lane(Site("1", region), "DescribeInstances"), NOW, NOW + 5 * MINUTE, tries=3, last=last
    )


class Recorded(Notices):
    """Notices that a test reads."""

    def __init__(self) -> None:
        self.calls: list[WaitingCall | None] = []

    def waiting(self, call: WaitingCall | None, now: Instant) -> None:
        self.calls.append(call)


def test_a_call_is_reported_after_two_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that is answered within two seconds is not reported."""
    clock, notices = JumpClock(), Recorded()
    monkeypatch.setattr(Patience, "waiting", property(lambda _: (call("cn-hangzhou"),)))
    for half_seconds in range(6):
        clock.at = NOW + half_seconds * SECOND // 2
        waiting.tick(Patience(clock), notices)

    reported = WaitingCall(
        "DescribeInstances", ("cn-hangzhou",), "Throttling.User", 3, NOW, NOW + 5 * MINUTE
    )
    assert notices.calls == [None, None, None, None, reported, reported]


@pytest.mark.asyncio
async def test_the_end_of_waiting_is_reported_at_once() -> None:
    """Other output starts on an empty line: the end is reported before the block is left."""
    patience, notices = Patience(JumpClock()), Recorded()
    async with waiting.reported(patience, notices):
        patience.on_calm()
        assert notices.calls == [None]
    assert notices.calls == [None, None]


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
def test_the_cause_is_plain_text(last: Refused | Unknown | None, text: str) -> None:
    """Codes of the service are unchanged; our own reasons are sentences."""
    assert waiting.oldest([call("cn-hangzhou", last)]).cause == text


def test_regions_that_wait_for_the_same_action_are_listed_once() -> None:
    """The oldest call leads; other actions are left out."""
    keys = dataclasses.replace(call("cn-z"), lane=Lane(Site("1", "cn-z"), "DescribeKeyPairs"))
    found = waiting.oldest([call("cn-a"), call("cn-b"), call("cn-a"), keys, call("cn-c")])

    assert (found.action, found.regions) == ("DescribeInstances", ("cn-a", "cn-b", "cn-c"))


def test_a_call_without_a_region_names_none() -> None:
    """GetCallerIdentity belongs to no region."""
    one = dataclasses.replace(call(""), lane=Lane(Site("", ""), "GetCallerIdentity"))

    assert waiting.oldest([one]).regions == ()
