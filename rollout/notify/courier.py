"""Deliver the messages for one receiver in their order, with retries.

Called by `app.notifications`, one courier for each receiver. It never raises for a receiver's
failure, and no text of it contains a URL or a secret.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import aiohttp
import anyio
import msgspec
import tenacity

from rollout.model.notify import Notice, NoticeFormat, NoticePosition, NoticeReceiver
from rollout.model.phrase import Wording
from rollout.model.time import Instant
from rollout.notify import requests
from rollout.notify.requests import Endpoint, NoticeRequest

REQUEST_S = 20
"""Time limit of one request."""
CHAT_PAUSE_S = 3.0
"""Pause after a message to a chat: robots of DingTalk accept 20 messages a minute."""
REPLY_BYTES_MAX = 64 * 1024


class DeliveryFailed(Exception):
    """A request was not confirmed. The text is the cause, without URL and secret."""

    def __init__(self, text: Wording) -> None:
        super().__init__(text)
        self.text = text


class Cursor(msgspec.Struct, omit_defaults=True):
    """What one receiver got: all messages up to `position`, which is durable after each delivery.

    `delivered` is their number. `tries` counts the failures since then, `cause` is the last one.
    """

    position: NoticePosition = NoticePosition()
    delivered: int = 0
    tries: int = 0
    failed_at: Instant = 0
    cause: str = ""


class Surroundings(Protocol):
    """What a courier needs: secrets, durable cursors, and proxies."""

    def read_secret(self, reference: str) -> str:
        """Return the value of a reference. Errors: DeliveryFailed."""

    def save(self, receiver: int, cursor: Cursor) -> None:
        """Make a cursor durable. Must not raise."""

    def proxy(self, url: str) -> str | None:
        """Return the proxy for a URL."""


@dataclass
class Courier:
    """Delivers the messages for one receiver. `number` is its place in the plan."""

    number: int
    receiver: NoticeReceiver
    cursor: Cursor
    around: Surroundings
    wait: tenacity.wait.wait_base = field(
        default_factory=lambda: tenacity.wait_random_exponential(multiplier=1, max=60)
    )
    chat_pause_s: float = CHAT_PAUSE_S
    now: Callable[[], Instant] = lambda: time.time_ns() // 1_000_000
    waiting: deque[Notice] = field(default_factory=deque)
    _changed: anyio.Event = field(default_factory=anyio.Event)
    _last: bool = False
    _gave_up: bool = False

    def put(self, notice: Notice) -> None:
        """Add a message, unless it was delivered or is of a kind that the receiver does not get."""
        if notice.kind in self.receiver.on and notice.position > self.cursor.position:
            self.waiting.append(notice)
            self._wake()

    def finish(self) -> None:
        """No other messages follow: `work` ends pauses, tries a last time, and returns."""
        self._last = True
        self._wake()

    async def work(self) -> None:
        """Deliver messages until `finish`, and then until the first failure."""
        while True:
            changed = self._changed
            if self.waiting:
                try:
                    await self._deliver_next()
                except DeliveryFailed:
                    return
            elif self._last:
                return
            else:
                await changed.wait()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    async def _deliver_next(self) -> None:
        """Deliver the next message, or several for a chat; repeat it until it is confirmed."""
        repeats = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(DeliveryFailed),
            wait=self.wait,
            stop=lambda _: self._gave_up,
            sleep=self._pause,
            reraise=True,
        )
        outcome: tuple[int, NoticeFormat] = await repeats(self._try)
        sent, form = outcome
        for _ in range(sent):
            self.cursor.position = self.waiting.popleft().position
        self.cursor.delivered += sent
        self.cursor.tries, self.cursor.failed_at, self.cursor.cause = 0, 0, ""
        await self._save()
        if form is not NoticeFormat.CLOUDEVENTS and not self._last:
            await self._pause(self.chat_pause_s)

    async def _try(self) -> tuple[int, NoticeFormat]:
        """Send one request, and return how many messages it delivered. Errors: DeliveryFailed."""
        is_last = self._last
        try:
            to = await anyio.to_thread.run_sync(self._endpoint)
            notices = requests.batch(list(self.waiting), to.format)
            request = requests.build(notices, to, self.now())
            status, body = await _post(request, self.around.proxy(to.url))
            if why := requests.refused(to.format, status, body):
                raise DeliveryFailed(why)
        except DeliveryFailed as error:
            self._gave_up = is_last
            self.cursor.tries += 1
            self.cursor.failed_at, self.cursor.cause = self.now(), str(error)
            await self._save()
            raise
        return len(notices), to.format

    def _endpoint(self) -> Endpoint:
        receiver = self.receiver
        is_reference = receiver.to.startswith(("env:", "file:"))
        url = self.around.read_secret(receiver.to) if is_reference else receiver.to
        if why := requests.unusable(url):
            raise DeliveryFailed(why)
        secret = self.around.read_secret(receiver.secret) if receiver.secret else ""
        form = receiver.format
        form = requests.format_of(url) if form is NoticeFormat.AUTO else form
        return Endpoint(url, secret, form, receiver.lang)

    async def _save(self) -> None:
        """Make the cursor durable, also while this task is canceled: the request was answered."""
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self.around.save, self.number, self.cursor)

    async def _pause(self, seconds: float) -> None:
        """Wait, or until no more messages follow."""
        with anyio.move_on_after(seconds):
            while not self._last:
                await self._changed.wait()


async def _post(request: NoticeRequest, proxy: str | None) -> tuple[int, bytes]:
    """Return status and body of the reply. Errors: DeliveryFailed."""
    try:
        with anyio.fail_after(REQUEST_S):
            async with (
                aiohttp.ClientSession(
                    cookie_jar=aiohttp.DummyCookieJar(), timeout=aiohttp.ClientTimeout()
                ) as session,
                session.post(
                    request.url,
                    data=request.body,
                    headers=request.headers,
                    allow_redirects=False,
                    proxy=proxy,
                ) as reply,
            ):
                return reply.status, await reply.content.read(REPLY_BYTES_MAX)
    except TimeoutError:
        raise DeliveryFailed(f"no reply within {REQUEST_S} s") from None
    except aiohttp.ClientConnectorError:
        raise DeliveryFailed("no connection") from None
    except (aiohttp.ClientError, OSError, ValueError):
        raise DeliveryFailed("the connection or the reply is broken") from None
