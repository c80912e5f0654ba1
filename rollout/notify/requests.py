"""Build the requests for receivers, with their signatures, and judge the replies. Pure.

Sources: CloudEvents 1.0 with the headers of Standard Webhooks; the robots of DingTalk, Feishu and
Lark; incoming webhooks of Slack.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Sequence
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit, urlunsplit

from rollout.model.address import is_loopback
from rollout.model.notify import Notice, NoticeFormat, NoticeLang
from rollout.model.time import Instant, format_instant
from rollout.notify import texts

JOINED_MAX = 20
"""Messages that one text for a chat contains at most."""
_HOSTS = {
    "oapi.dingtalk.com": NoticeFormat.DINGTALK,
    "api.dingtalk.com": NoticeFormat.DINGTALK,
    "open.feishu.cn": NoticeFormat.FEISHU,
    "open.larksuite.com": NoticeFormat.FEISHU,
    "hooks.slack.com": NoticeFormat.SLACK,
}
_STANDARD_SECRET = "whsec_"  # noqa: S105 - a prefix


class Endpoint(NamedTuple):
    """Where messages go: URL and signing secret, both secret, and the form of requests."""

    url: str
    secret: str
    format: NoticeFormat
    lang: NoticeLang

    def __repr__(self) -> str:
        return f"Endpoint({self.format})"


class NoticeRequest(NamedTuple):
    """A POST request."""

    url: str
    headers: dict[str, str]
    body: bytes

    def __repr__(self) -> str:
        return f"NoticeRequest({len(self.body)} bytes)"


def format_of(url: str) -> NoticeFormat:
    """Return the form that the host of a URL expects."""
    return _HOSTS.get((urlsplit(url).hostname or "").lower(), NoticeFormat.CLOUDEVENTS)


def unusable(url: str) -> str:
    """Return why no message is sent to a URL, or an empty text. It does not repeat the URL."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "it is not a URL"
    if parts.scheme == "https" and host:
        return ""
    if parts.scheme == "http" and host and is_loopback(host):
        return ""
    return "the URL must begin with https://, or be on this machine"


def batch(waiting: Sequence[Notice], form: NoticeFormat) -> Sequence[Notice]:
    """Return the messages of the next request: one event, or several messages for a chat."""
    return waiting[: 1 if form is NoticeFormat.CLOUDEVENTS else JOINED_MAX]


def build(notices: Sequence[Notice], to: Endpoint, now: Instant) -> NoticeRequest:
    """Return the signed request that delivers these messages at `now`."""
    if to.format is NoticeFormat.CLOUDEVENTS:
        return _cloud_event(notices[0], to, now)
    text = "\n\n".join(texts.text(notice, to.lang) for notice in notices)
    headers = {"content-type": "application/json; charset=utf-8"}
    match to.format:
        case NoticeFormat.DINGTALK:
            body: dict[str, Any] = {"msgtype": "text", "text": {"content": text}}
            return NoticeRequest(_ding_url(to, now), headers, _json(body))
        case NoticeFormat.FEISHU:
            body = {"msg_type": "text", "content": {"text": text}}
            return NoticeRequest(to.url, headers, _json({**_feishu_sign(to, now), **body}))
        case _:
            plain = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
            return NoticeRequest(to.url, headers, _json({"text": plain}))


def refused(form: NoticeFormat, status: int, body: bytes) -> str:
    """Return why a reply does not confirm the delivery, or an empty text."""
    if not 200 <= status < 300:
        return f"status {status}"
    if form not in (NoticeFormat.DINGTALK, NoticeFormat.FEISHU):
        return ""
    try:
        reply = json.loads(body)
        code = next(reply[name] for name in ("errcode", "code", "StatusCode") if name in reply)
    except (ValueError, TypeError, StopIteration, RecursionError):
        return "the reply is not that of a robot"
    return "" if code == 0 else f"the robot answered with code {str(code)[:20]}"


def _cloud_event(notice: Notice, to: Endpoint, now: Instant) -> NoticeRequest:
    event = {
        "specversion": "1.0",
        "id": str(notice.position),
        "source": f"/rollout/{notice.run}",
        "type": f"rollout.{_TYPES[notice.kind.value]}",
        "time": format_instant(notice.at),
        "datacontenttype": "application/json",
        "data": {"plan": notice.plan, "emulator": notice.emulated, **notice.data},
    }
    body = _json(event)
    headers = {
        "content-type": "application/cloudevents+json; charset=utf-8",
        "webhook-id": notice.id,
        "webhook-timestamp": str(now // 1000),
    }
    if to.secret:
        headers["webhook-signature"] = signature(to.secret, notice.id, now // 1000, body)
    return NoticeRequest(to.url, headers, body)


_TYPES = {
    "started": "run.started",
    "wave": "wave.closed",
    "gate": "gate.shut",
    "halted": "run.halted",
    "closed": "run.closed",
}


def signature(secret: str, message: str, seconds: int, body: bytes) -> str:
    """Return the signature of Standard Webhooks. A secret `whsec_…` is decoded from base64."""
    key = secret.encode()
    if secret.startswith(_STANDARD_SECRET):
        try:
            key = base64.b64decode(secret.removeprefix(_STANDARD_SECRET), validate=True)
        except binascii.Error:
            key = secret.encode()
    return f"v1,{_mac(key, f'{message}.{seconds}.'.encode() + body)}"


def _ding_url(to: Endpoint, now: Instant) -> str:
    if not to.secret:
        return to.url
    sign = _mac(to.secret.encode(), f"{now}\n{to.secret}".encode())
    parts = urlsplit(to.url)
    added = urlencode({"timestamp": now, "sign": sign})
    return urlunsplit(parts._replace(query="&".join(filter(None, (parts.query, added)))))


def _feishu_sign(to: Endpoint, now: Instant) -> dict[str, str]:
    if not to.secret:
        return {}
    seconds = str(now // 1000)
    return {"timestamp": seconds, "sign": _mac(f"{seconds}\n{to.secret}".encode(), b"")}


def _mac(key: bytes, message: bytes) -> str:
    return base64.b64encode(hmac.new(key, message, hashlib.sha256).digest()).decode()


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
