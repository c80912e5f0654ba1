"""Failures, lost replies and restarts in any order: no message is lost, and none repeated for
another reason than a lost reply.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import anyio
import pytest
import tenacity
from hypothesis import given
from hypothesis import strategies as st

from rollout.model.notify import Notice, NoticeFormat, NoticeKind, NoticePosition, NoticeReceiver
from rollout.notify import courier
from rollout.notify.courier import Courier, Cursor, DeliveryFailed
from rollout.notify.requests import NoticeRequest
from tests.notify.test_courier import Around

OK, REFUSED, UNREACHABLE, REPLY_LOST, KILLED, KILLED_AFTER = range(6)
OUTCOMES = st.lists(st.integers(OK, KILLED_AFTER), max_size=30)


class ProcessKilled(Exception):
    """The process ends at once, before or after the receiver accepted the message."""


def notices(number: int) -> list[Notice]:
    """Messages about so many lines, two about every second line."""
    places = [(seq, 1, part) for seq in range(1, number + 1) for part in range(1 + seq % 2)]
    data: dict[str, str | int | dict[str, int]] = {"exit": 0, "counts": {}}
    return [
        Notice(NoticeKind.CLOSED, "r-1", "prod", False, NoticePosition(*place), 0, data)
        for place in places
    ]


@given(outcomes=OUTCOMES, number=st.integers(0, 6), chat=st.booleans())
def test_each_message_arrives_and_none_twice_without_a_lost_reply(
    outcomes: list[int], number: int, *, chat: bool
) -> None:
    """A new process starts with the durable cursor and all messages."""
    script, accepted, around = iter(outcomes), Counter[str](), Around()
    unconfirmed = 0

    async def post(request: NoticeRequest, _: str | None) -> tuple[int, bytes]:
        nonlocal unconfirmed
        outcome = next(script, OK)
        if outcome in (OK, REPLY_LOST, KILLED_AFTER):
            accepted.update(_accepted(request))
            unconfirmed += outcome != OK
        match outcome:
            case 1:
                return 500, b""
            case 2 | 3:
                raise DeliveryFailed("no connection")
            case 4 | 5:
                raise ProcessKilled
        return 200, b""

    async def process() -> bool:
        """Run one process. Return whether it ended in order."""
        at = around.saved[-1] if around.saved else Cursor()
        form = NoticeFormat.SLACK if chat else NoticeFormat.CLOUDEVENTS
        receiver = NoticeReceiver("env:HOOK", tuple(NoticeKind), form)
        made = Courier(0, receiver, at, around, tenacity.wait_none(), 0.0, now=lambda: 1)
        for notice in notices(number):
            made.put(notice)
        made.finish()
        try:
            await made.work()
        except ProcessKilled:
            return False
        return not made.waiting

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(courier, "_post", post)
        for _ in range(len(outcomes) + 1):
            if anyio.run(process):
                break

    wanted = len(notices(number))
    if chat:
        assert bool(accepted) == bool(wanted)
        assert sum(accepted.values()) <= wanted * (1 + unconfirmed)
        assert sum(accepted.values()) >= wanted
    else:
        assert list(accepted) == [str(one.position) for one in notices(number)]
        assert sum(accepted.values()) - wanted <= unconfirmed
    assert not wanted or around.saved[-1].delivered == wanted


def _accepted(request: NoticeRequest) -> dict[str, int]:
    """What a receiver gets with a request: an event, or texts of a chat."""
    body: dict[str, Any] = json.loads(request.body)
    return {body["id"]: 1} if "id" in body else {"text": body["text"].count("closed with")}
