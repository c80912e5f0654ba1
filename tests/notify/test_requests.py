"""Requests are signed as each receiver verifies them, and contain no secret."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from urllib.parse import parse_qs, urlsplit

import pytest

from rollout.model.notify import Notice, NoticeFormat, NoticeKind, NoticeLang, NoticePosition
from rollout.notify import requests
from rollout.notify.requests import Endpoint

NOW = 1_614_265_330_500
DATA: dict[NoticeKind, dict[str, str | int | dict[str, int]]] = {
    NoticeKind.STARTED: {"user": "li", "machine": "ops", "targets": 9_939, "waves": 3},
    NoticeKind.WAVE: {
        "wave": "canary",
        "number": 1,
        "waves": 3,
        "counts": {"done": 23, "failed": 1},
        "left": 9_915,
    },
    NoticeKind.GATE: {
        "wave": "canary",
        "plan_digest": "sha256:9f",
        "command": "rollout promote r-1",
    },
    NoticeKind.HALTED: {"code": "R0501", "detail": "<3> failed & more\n", "command": "rollout …"},
    NoticeKind.CLOSED: {"exit": 3, "counts": {"done": 9_938, "failed": 1}},
}


def notice(kind: NoticeKind = NoticeKind.WAVE, *, emulated: bool = False) -> Notice:
    """A message of this kind."""
    return Notice(kind, "r-1", "prod", emulated, NoticePosition(812, 1), NOW, DATA[kind])


def built(form: NoticeFormat, url: str, secret: str = "", lang: NoticeLang = NoticeLang.EN) -> (
    requests.NoticeRequest
):  # fmt: skip
    """The request with one message."""
    return requests.build([notice()], Endpoint(url, secret, form, lang), NOW)


def test_the_published_signature_of_standard_webhooks() -> None:
    """The example in the specification of Standard Webhooks."""
    signed = requests.signature(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1_614_265_330,
        b'{"test": 2432232314}',
    )
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_webhook_gets_a_signed_cloud_event() -> None:
    """The signature is over exactly the bytes that are sent."""
    made = built(NoticeFormat.CLOUDEVENTS, "https://hooks.internal/x", "plain secret")

    event = json.loads(made.body)
    assert event["specversion"] == "1.0" and event["id"] == "812-1"
    assert (event["source"], event["type"]) == ("/rollout/r-1", "rollout.wave.closed")
    assert event["data"]["counts"] == {"done": 23, "failed": 1}
    assert made.headers["webhook-id"] == "r-1-812-1"
    content = f"r-1-812-1.{made.headers['webhook-timestamp']}.".encode() + made.body
    mac = hmac.new(b"plain secret", content, hashlib.sha256).digest()
    assert made.headers["webhook-signature"] == f"v1,{base64.b64encode(mac).decode()}"


def test_dingtalk_gets_timestamp_and_signature_in_the_url() -> None:
    """HMAC-SHA256 of timestamp and secret, in base64, next to the token."""
    url = "https://oapi.dingtalk.com/robot/send?access_token=TOKEN"
    made = built(NoticeFormat.DINGTALK, url, "SECret")

    query = parse_qs(urlsplit(made.url).query)
    mac = hmac.new(b"SECret", f"{NOW}\nSECret".encode(), hashlib.sha256).digest()
    assert query == {
        "access_token": ["TOKEN"],
        "timestamp": [str(NOW)],
        "sign": [base64.b64encode(mac).decode()],
    }
    assert json.loads(made.body)["msgtype"] == "text"
    assert "TOKEN" not in f"{made!r}{Endpoint(url, 's', NoticeFormat.DINGTALK, NoticeLang.EN)!r}"


def test_feishu_gets_timestamp_and_signature_in_the_body() -> None:
    """The key of the HMAC is timestamp and secret, the message is empty."""
    made = built(NoticeFormat.FEISHU, "https://open.feishu.cn/open-apis/bot/v2/hook/x", "SECret")

    body = json.loads(made.body)
    mac = hmac.new(f"{NOW // 1000}\nSECret".encode(), b"", hashlib.sha256).digest()
    assert body["sign"] == base64.b64encode(mac).decode()
    assert body["timestamp"] == str(NOW // 1000)
    assert body["msg_type"] == "text" and "canary" in body["content"]["text"]


def test_slack_gets_escaped_text() -> None:
    """Text of the service cannot add links or mentions."""
    to = Endpoint("https://hooks.slack.com/x", "", NoticeFormat.SLACK, NoticeLang.EN)
    made = requests.build([notice(NoticeKind.HALTED), notice()], to, NOW)

    text = json.loads(made.body)["text"]
    assert "&lt;3&gt; failed &amp; more" in text and "canary" in text


@pytest.mark.parametrize("lang", list(NoticeLang))
@pytest.mark.parametrize("kind", list(NoticeKind))
def test_every_kind_has_a_text_in_every_language(kind: NoticeKind, lang: NoticeLang) -> None:
    """Every figure is in it, and an emulated run says so."""
    to = Endpoint("https://open.feishu.cn/x", "", NoticeFormat.FEISHU, lang)
    body = json.loads(requests.build([notice(kind, emulated=True)], to, NOW).body)
    text = body["content"]["text"]

    assert text.startswith("EMULATOR rollout prod · r-1 · 2021-02-25T15:02:10Z\n")
    for value in DATA[kind].values():
        shown = f"{value:,}" if isinstance(value, int) else value
        assert isinstance(shown, dict) or str(shown).strip() in text
    assert any("\u4e00" <= one <= "\u9fff" for one in text) == (lang is NoticeLang.ZH)


@pytest.mark.parametrize(
    "form,status,body,why",
    [
        (NoticeFormat.CLOUDEVENTS, 204, b"", ""),
        (NoticeFormat.CLOUDEVENTS, 302, b"", "status 302"),
        (NoticeFormat.SLACK, 500, b"", "status 500"),
        (NoticeFormat.DINGTALK, 200, b'{"errcode":0,"errmsg":"ok"}', ""),
        (NoticeFormat.DINGTALK, 200, b'{"errcode":310000,"errmsg":"TOKEN"}', "code 310000"),
        (NoticeFormat.FEISHU, 200, b'{"StatusCode":0}', ""),
        (NoticeFormat.FEISHU, 200, b'{"code":19021}', "code 19021"),
        (NoticeFormat.FEISHU, 200, b"<html>", "not that of a robot"),
        (NoticeFormat.FEISHU, 200, b"[]", "not that of a robot"),
    ],
)
def test_only_a_confirmation_confirms(
    form: NoticeFormat, status: int, body: bytes, why: str
) -> None:
    """The cause repeats no text of the reply."""
    found = requests.refused(form, status, body)

    assert why in found and bool(why) == bool(found) and "TOKEN" not in found


@pytest.mark.parametrize(
    "url", ["https://hooks.internal/rollout", "http://127.0.0.1:8080/x", "http://[::1]:8080/x"]
)
def test_encrypted_urls_and_this_machine_are_used(url: str) -> None:
    """A plain connection leaves this machine never."""
    assert requests.unusable(url) == ""


@pytest.mark.parametrize(
    "url", ["http://hooks.internal/x", "ftp://hooks.internal", "https://:1/", "https://h:port/", ""]
)
def test_other_urls_are_not_used(url: str) -> None:
    """The reason does not repeat the URL."""
    why = requests.unusable(url)

    assert why and (not url or url not in why)


def test_the_host_decides_the_format() -> None:
    """Hosts that only resemble a robot's get CloudEvents."""
    assert requests.format_of("https://oapi.dingtalk.com/robot") is NoticeFormat.DINGTALK
    assert requests.format_of("https://open.larksuite.com/x") is NoticeFormat.FEISHU
    assert requests.format_of("https://hooks.slack.com/x") is NoticeFormat.SLACK
    assert requests.format_of("https://hooks.slack.com.evil.org/") is NoticeFormat.CLOUDEVENTS
