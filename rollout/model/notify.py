"""Receivers of notifications, as spec and plan name them, and the messages for them.

Contains references to URLs and secrets, never their values.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

import msgspec

from rollout.model.time import Instant


class NoticeKind(enum.StrEnum):
    """What a message reports. Each kind is sent once for each start, wave, gate, halt and end."""

    STARTED = "started"
    WAVE = "wave"
    GATE = "gate"
    HALTED = "halted"
    CLOSED = "closed"


class NoticeFormat(enum.StrEnum):
    """The form of the request. `auto` is guessed from the host."""

    AUTO = "auto"
    CLOUDEVENTS = "cloudevents"
    DINGTALK = "dingtalk"
    FEISHU = "feishu"
    SLACK = "slack"


class NoticeLang(enum.StrEnum):
    """The language of texts for chats."""

    EN = "en"
    ZH = "zh"


class NoticeReceiver(msgspec.Struct, frozen=True, omit_defaults=True):
    """One receiver. `to` and `secret` are `env:NAME` or `file:PATH`; `to` may also be the URL of a
    webhook that is no secret. `on` are the kinds that it gets.
    """

    to: str
    on: tuple[NoticeKind, ...]
    format: NoticeFormat = NoticeFormat.AUTO
    secret: str = ""
    lang: NoticeLang = NoticeLang.EN


class NoticePosition(NamedTuple):
    """The place of a message in a journal: line, event in the line, message about the event.

    Messages are delivered in this order, so that one position says which were.
    """

    seq: int = 0
    number: int = 0
    part: int = 0

    def __str__(self) -> str:
        return f"{self.seq}-{self.number}" + (f".{self.part}" if self.part else "")


class Notice(msgspec.Struct, frozen=True):
    """One message. `data` is plain data, the same in each language."""

    kind: NoticeKind
    run: str
    plan: str
    emulated: bool
    position: NoticePosition
    at: Instant
    data: dict[str, str | int | dict[str, int]]

    @property
    def id(self) -> str:
        """Identifies the message, also if it is sent again."""
        return f"{self.run}-{self.position}"


class ReceiverState(msgspec.Struct, frozen=True):
    """What one receiver got. `to` is the reference as written. `waiting` messages are undelivered;
    `tries` of the next one failed, the last one at `failed_at` because of `cause`.
    """

    to: str
    delivered: int
    waiting: int
    tries: int = 0
    failed_at: Instant = 0
    cause: str = ""
