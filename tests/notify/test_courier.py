"""A courier delivers each message once and in order, whatever its receiver does."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import aiohttp
import aioresponses
import aioresponses.core
import anyio
import msgspec
import pytest
import tenacity

from rollout.model.notify import Notice, NoticeFormat, NoticeKind, NoticePosition, NoticeReceiver
from rollout.notify.courier import Courier, Cursor, DeliveryFailed

URL = "https://hooks.internal/secret-path"
pytestmark = pytest.mark.asyncio


class Reply(aiohttp.ClientResponse):
    """Adds an argument that aiohttp 3.14 requires and aioresponses 0.7.9 does not know."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        named.setdefault("stream_writer", Mock(output_size=0))
        super().__init__(*arguments, **named)


class Around:
    """Secrets and durable cursors in memory."""

    def __init__(self) -> None:
        self.secrets = {"env:HOOK": URL}
        self.saved: list[Cursor] = []

    def read_secret(self, reference: str) -> str:
        """Return the value, or fail as for an unset variable."""
        if reference not in self.secrets:
            raise DeliveryFailed(f"{reference} is not set or empty")
        return self.secrets[reference]

    def save(self, _: int, cursor: Cursor) -> None:
        """Keep a copy."""
        self.saved.append(msgspec.json.decode(msgspec.json.encode(cursor), type=Cursor))

    def proxy(self, _: str) -> None:
        """There is none."""


@pytest.fixture
def mocked(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Replies of receivers, without a network."""
    monkeypatch.setattr(aioresponses.core, "ClientResponse", Reply)
    with aioresponses.aioresponses() as made:
        yield made


def notice(seq: int, kind: NoticeKind = NoticeKind.CLOSED) -> Notice:
    """A message about this line."""
    return Notice(kind, "r-1", "prod", False, NoticePosition(seq, 1), 0, {"exit": 0, "counts": {}})


def courier(around: Around, cursor: Cursor | None = None, **changes: Any) -> Courier:
    """A courier that repeats at once."""
    receiver = NoticeReceiver("env:HOOK", tuple(NoticeKind), **changes)
    wait = tenacity.wait_none()
    return Courier(0, receiver, cursor or Cursor(), around, wait, 0.0, now=lambda: 5_000)


def bodies(mocked: Any) -> list[Any]:
    """What was posted, in order."""
    return [json.loads(call.kwargs["data"]) for calls in mocked.requests.values() for call in calls]


async def work(made: Courier, *notices: Notice) -> None:
    """Deliver these messages, and nothing more."""
    for one in notices:
        made.put(one)
    made.finish()
    with anyio.fail_after(10):
        await made.work()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition."""
    with anyio.fail_after(10):
        while not condition():  # noqa: ASYNC110 - the condition has no event
            await anyio.sleep(0.001)


async def test_messages_are_delivered_once_and_in_order(mocked: Any) -> None:
    """The cursor is durable after each."""
    mocked.post(URL, status=204, repeat=True)
    around = Around()
    await work(courier(around), notice(1), notice(2), notice(3))

    assert [one["id"] for one in bodies(mocked)] == ["1-1", "2-1", "3-1"]
    assert [one.position for one in around.saved] == [(1, 1, 0), (2, 1, 0), (3, 1, 0)]
    assert around.saved[-1].delivered == 3


async def test_a_restart_neither_loses_nor_repeats(mocked: Any) -> None:
    """The next process gets all messages again and sends those after the cursor."""
    mocked.post(URL, status=204, repeat=True)
    around = Around()
    await work(courier(around), notice(1), notice(2))
    await work(courier(around, around.saved[-1]), notice(1), notice(2), notice(3))

    assert [one["id"] for one in bodies(mocked)] == ["1-1", "2-1", "3-1"]


async def test_failures_are_repeated_until_the_receiver_is_back(mocked: Any) -> None:
    """Statuses, broken connections and time-outs, each with its cause and without the URL."""
    mocked.post(URL, status=500)
    mocked.post(URL, exception=aiohttp.ServerDisconnectedError(f"closed {URL}"))
    mocked.post(URL, exception=TimeoutError())
    mocked.post(URL, status=200, repeat=True)
    around = Around()
    made = courier(around)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(made.work)
        made.put(notice(1))
        made.put(notice(2))
        await until(lambda: made.cursor.delivered == 2)
        made.finish()

    causes = [one.cause for one in around.saved]
    assert causes[0] == "status 500" and "broken" in causes[1] and "no reply" in causes[2]
    assert causes[3:] == ["", ""] and "secret-path" not in "".join(causes)
    assert around.saved[2].tries == 3 and around.saved[3].tries == 0


async def test_the_end_tries_once_more_and_keeps_the_rest(mocked: Any) -> None:
    """`finish` ends the pause of a courier whose receiver fails."""
    mocked.post(URL, status=503, repeat=True)
    around = Around()
    made = courier(around)
    made.wait = tenacity.wait_fixed(3_600)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(made.work)
        made.put(notice(1))
        await until(lambda: made.cursor.tries == 1)
        with anyio.fail_after(5):
            made.finish()
            await until(lambda: made.cursor.tries == 2)

    assert len(made.waiting) == 1 and made.cursor.position == (0, 0, 0)


async def test_a_missing_secret_is_a_failure_that_can_be_repaired(mocked: Any) -> None:
    """The message waits until the variable is set; no text contains a value."""
    mocked.post(URL, status=200, repeat=True)
    around = Around()
    del around.secrets["env:HOOK"]
    made = courier(around)
    await work(made, notice(1))
    assert made.cursor.cause == "env:HOOK is not set or empty" and not bodies(mocked)

    around.secrets["env:HOOK"] = URL
    await work(courier(around, made.cursor), notice(1))
    assert len(bodies(mocked)) == 1


async def test_a_chat_gets_waiting_messages_as_one_text(mocked: Any) -> None:
    """Robots accept few messages a minute; kinds that it did not order are left out."""
    mocked.post(URL, status=200, repeat=True)
    around = Around()
    made = courier(around, format=NoticeFormat.SLACK)
    made.receiver = msgspec.structs.replace(made.receiver, on=(NoticeKind.CLOSED,))
    started = Notice(NoticeKind.WAVE, "r-1", "prod", False, NoticePosition(1, 1), 0, {})
    await work(made, started, notice(2), notice(3))

    (body,) = bodies(mocked)
    assert body["text"].count("closed with exit code 0") == 2
    assert around.saved[-1].position == (3, 1, 0)


async def test_redirects_are_not_followed(mocked: Any) -> None:
    """A receiver cannot pass the message on to another host."""
    mocked.post(URL, status=307, headers={"location": "https://evil.example/"}, repeat=True)
    made = courier(Around())
    await work(made, notice(1))

    assert made.cursor.cause == "status 307" and len(mocked.requests) == 1
