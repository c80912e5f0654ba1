"""The corpus of replies to changes: each row goes through the real client over a real socket.

The rows follow docs/safety.md, "What a reply proves".
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import pytest

from rollout.ecs import contract, verdict
from rollout.model.outcome import Answer, Done, Refused, RetryClass
from rollout.model.plan import RestartKind
from tests.ecs.replies import HTML, JSON, REGION, error, short, xml
from tests.ecs.scripted import FAR, NOW, REQUEST_ID, After, Scripted, reply, talking_to

IDS = ("i-1", "i-2", "i-3")


@dataclass(frozen=True)
class Expected:
    """An outcome in short: `done`, `refused CODE CLASS` or `unknown WHY`, and the exceptions."""

    outcome: str
    items: dict[str, str] = field(default_factory=dict)
    anomalies: tuple[str, ...] = ()


def _expected(answer: Answer) -> Expected:
    items = {id_: short(outcome) for id_, outcome in answer.items.items()}
    return Expected(short(answer.outcome), items, answer.anomalies)


def row(id_: str, code: object = "200", success: object = "true") -> dict[str, object]:
    """One row of AttachKeyPair's results; None leaves a field out."""
    fields = {"InstanceId": id_, "Code": code, "Success": success, "Message": "successful"}
    return {name: value for name, value in fields.items() if value is not None}


def results(*rows: object, status: int = 200, **extra: object) -> Scripted:
    """A reply of AttachKeyPair with results."""
    body = {"RequestId": REQUEST_ID, "Results": {"Result": list(rows)}, **extra}
    return reply(status, json.dumps(body), headers=JSON)


GOOD = [row(id_, success=True) for id_ in IDS]
WINDOWS = "DependencyViolation.WindowsInstance"
PROXY = Expected("unknown proxy_or_gateway")

ATTACH: dict[str, tuple[Scripted, Expected]] = {
    # lost on the way
    "reset after the request": (Scripted(b"", After.RESET), Expected("unknown reset")),
    "closed without a byte": (Scripted(b"", After.CLOSE), Expected("unknown reset")),
    "cut in the head": (
        Scripted(b"HTTP/1.1 200 OK\r\nContent-Le", After.CLOSE),
        Expected("unknown reset"),
    ),
    "cut in the body": (
        reply(200, '{"RequestId":', missing_bytes=50, after=After.CLOSE),
        Expected("unknown cut_off"),
    ),
    "reset in the body": (
        reply(200, '{"RequestId":', missing_bytes=50, after=After.RESET),
        Expected("unknown cut_off"),
    ),
    "no HTTP at all": (
        Scripted(b"\x00\x01garbage\r\n\r\n", After.CLOSE),
        Expected("unknown malformed_http"),
    ),
    "endless body": (
        Scripted(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n", After.FLOOD),
        Expected("unknown too_large"),
    ),
    "ten megabytes": (reply(200, b" " * 10_000_000), Expected("unknown too_large")),
    # 2xx that no API wrote
    "200 empty": (reply(200), PROXY),
    "204": (reply(204), PROXY),
    "200 HTML": (reply(200, HTML, headers={"Content-Type": "text/html"}), PROXY),
    "200 plain text": (reply(200, "OK"), PROXY),
    "200 cut JSON": (reply(200, '{"RequestId": "A", "Resu'), PROXY),
    "200 JSON list": (reply(200, "[1, 2]"), PROXY),
    "200 JSON null": (reply(200, "null"), PROXY),
    "200 empty object": (reply(200, "{}"), PROXY),
    "200 wrong types": (reply(200, '{"RequestId": "A", "Results": "none"}'), PROXY),
    "200 row of a wrong type": (results("i-1"), PROXY),
    "200 row without an id": (results({"Code": "200"}), PROXY),
    "200 with an error inside": (
        reply(200, json.dumps({"RequestId": REQUEST_ID, "Code": "Throttling", "Message": "m"})),
        PROXY,
    ),
    "200 gzip nobody asked for": (
        reply(200, b"\x1f\x8b\x08\x00" + b"\x00" * 50, headers={"Content-Encoding": "gzip"}),
        PROXY,
    ),
    "200 in another charset": (reply(200, '{"RequestId": "é"'.encode("utf-16")), PROXY),
    "200 deep nesting": (reply(200, '{"a":' * 5000 + "1" + "}" * 5000), PROXY),
    # rows, and their absence
    "all attached": (results(*GOOD, FailCount=0), Expected("done")),
    "201": (results(*GOOD, status=201), Expected("done")),
    "rows outrank FailCount": (results(*GOOD, FailCount=3), Expected("done")),
    "one of three refused": (
        results(*GOOD[:2], row("i-3", "IncorrectInstanceStatus", success=False), FailCount=1),
        Expected("done", {"i-3": "refused IncorrectInstanceStatus state"}),
    ),
    "all refused": (
        results(*[row(id_, WINDOWS, success=False) for id_ in IDS]),
        Expected("done", dict.fromkeys(IDS, f"refused {WINDOWS} fact")),
    ),
    "a row whose fate the service does not know": (
        results(*GOOD[:2], row("i-3", "InternalError", success=False)),
        Expected("done", {"i-3": "unknown InternalError"}),
    ),
    "a row not found": (
        results(*GOOD[:2], row("i-3", "InvalidInstanceId.NotFound", success=False)),
        Expected("done", {"i-3": "refused InvalidInstanceId.NotFound gone"}),
    ),
    "request id only, the old edition": (
        reply(200, json.dumps({"RequestId": REQUEST_ID}), headers=JSON),
        Expected("unknown accepted_unproven"),
    ),
    "results null": (
        reply(200, json.dumps({"RequestId": REQUEST_ID, "Results": None})),
        Expected("unknown accepted_unproven"),
    ),
    # missing, extra, doubled
    "a row missing": (results(*GOOD[:2]), Expected("done", {"i-3": "unknown missing_in_results"})),
    "no rows": (results(), Expected("done", dict.fromkeys(IDS, "unknown missing_in_results"))),
    "a row too many": (
        results(*GOOD, row("i-9")),
        Expected("done", {}, ("extra_item: i-9",)),
    ),
    "a row twice": (results(*GOOD, GOOD[0]), Expected("done", {}, ("doubled_item: i-1",))),
    "a row twice, not alike": (
        results(*GOOD, row("i-1", WINDOWS, success=False)),
        Expected("done", {"i-1": "unknown contradictory_results"}, ("doubled_item: i-1",)),
    ),
    "code and success contradict": (
        results(*GOOD[:2], row("i-3", "200", success=False)),
        Expected("done", {"i-3": "unknown contradictory_results"}, ("contradictory_item: i-3",)),
    ),
    "a row that says nothing": (
        results(*GOOD[:2], row("i-3", None, None)),
        Expected("done", {"i-3": "unknown contradictory_results"}, ("contradictory_item: i-3",)),
    ),
    # drift of the schema
    "code as a number": (results(*[row(id_, 200) for id_ in IDS]), Expected("done")),
    "success as a text": (results(*[row(id_, "200", "true") for id_ in IDS]), Expected("done")),
    "success as a capital text": (
        results(*[row(id_, 200, "True") for id_ in IDS]),
        Expected("done"),
    ),
    "success left out": (results(*[row(id_, "200", None) for id_ in IDS]), Expected("done")),
    "code left out": (results(*[row(id_, None) for id_ in IDS]), Expected("done")),
    "counts as texts and extra fields": (
        results(*GOOD, TotalCount="3", FailCount="0", New={"a": [None]}),
        Expected("done"),
    ),
    "names in another case": (
        reply(
            200,
            json.dumps(
                {
                    "requestId": REQUEST_ID,
                    "results": {"result": [{"instanceId": i, "code": 200} for i in IDS]},
                }
            ),
        ),
        Expected("done"),
    ),
    "request id null": (
        reply(200, json.dumps({"RequestId": None, "Results": {"Result": GOOD}})),
        Expected("done"),
    ),
    "byte order mark": (
        reply(
            200,
            b"\xef\xbb\xbf" + json.dumps({"RequestId": "A", "Results": {"Result": GOOD}}).encode(),
        ),
        Expected("done"),
    ),
    # XML
    "XML where JSON was asked": (
        xml(
            f"<AttachKeyPairResponse><RequestId>{REQUEST_ID}</RequestId><Results>"
            "<Result><InstanceId>i-1</InstanceId><Code>200</Code><Success>true</Success></Result>"
            "<Result><InstanceId>i-2</InstanceId><Code>200</Code><Success>true</Success></Result>"
            f"<Result><InstanceId>i-3</InstanceId><Code>{WINDOWS}</Code><Success>false</Success>"
            "</Result></Results></AttachKeyPairResponse>"
        ),
        Expected("done", {"i-3": f"refused {WINDOWS} fact"}),
    ),
    "XML of the old edition": (
        reply(
            200,
            "<AttachKeyPairResponse>\n"
            "    <RequestId>473469C7-AA6F-4DC5-B3DB-A3DC0DE3C83E</RequestId>\n"
            "</AttachKeyPairResponse>",
        ),
        Expected("unknown accepted_unproven"),
    ),
    "XML error": (
        xml(
            f"<Error><RequestId>{REQUEST_ID}</RequestId><HostId>h</HostId>"
            f"<Code>{WINDOWS}</Code><Message>m</Message></Error>",
            403,
        ),
        Expected(f"refused {WINDOWS} fact"),
    ),
    "XML with entities": (
        reply(200, '<!DOCTYPE a [<!ENTITY x "y">]><a><RequestId>&x;</RequestId></a>'),
        PROXY,
    ),
    "XML error with a DTD": (
        reply(403, f"<!DOCTYPE Error><Error><RequestId>{REQUEST_ID}</RequestId></Error>"),
        PROXY,
    ),
    # redirects are never followed
    "301": (reply(301, headers={"Location": "http://127.0.0.1:1/"}), Expected("unknown redirect")),
    "307": (reply(307, headers={"Location": "/again"}), Expected("unknown redirect")),
    # throttles
    "throttled 400": (error(400, "Throttling"), Expected("refused Throttling throttled")),
    "throttled 429": (error(429, "Throttling.User"), Expected("refused Throttling.User throttled")),
    "throttled 503": (error(503, "Throttling.Api"), Expected("refused Throttling.Api throttled")),
    "rejected": (
        error(400, "Rejected.Throttling"),
        Expected("refused Rejected.Throttling throttled"),
    ),
    # refusals by code, never by status
    "missing parameter": (
        error(400, "MissingParameter"),
        Expected("refused MissingParameter input"),
    ),
    "invalid parameter": (
        error(400, "InvalidParameter.KeyPairName"),
        Expected("refused InvalidParameter.KeyPairName input"),
    ),
    "an id that cannot be attached to now": (
        error(400, "InvalidInstanceIds.ValueNotSupported"),
        Expected("refused InvalidInstanceIds.ValueNotSupported state"),
    ),
    "too many ids": (
        error(403, "InstanceKeyPairLimitExceeded"),
        Expected("refused InstanceKeyPairLimitExceeded input"),
    ),
    "windows, whole call": (error(403, WINDOWS), Expected(f"refused {WINDOWS} fact")),
    "forbidden": (error(403, "Forbidden.RAM"), Expected("refused Forbidden.RAM denied")),
    "token expired": (
        error(400, "InvalidSecurityToken.Expired"),
        Expected("refused InvalidSecurityToken.Expired denied"),
    ),
    "wrong state": (
        error(403, "IncorrectInstanceStatus"),
        Expected("refused IncorrectInstanceStatus state"),
    ),
    "conflict": (
        error(409, "InvalidOperation.Conflict"),
        Expected("refused InvalidOperation.Conflict state"),
    ),
    "locked": (
        error(403, "InstanceLockedForSecurity"),
        Expected("refused InstanceLockedForSecurity fact"),
    ),
    "key pair not found, 404": (
        error(404, "InvalidKeyPairName.NotFound"),
        Expected("refused InvalidKeyPairName.NotFound key_pair"),
    ),
    "key pair not found, 400": (
        error(400, "InvalidKeyPairName.NotFound"),
        Expected("refused InvalidKeyPairName.NotFound key_pair"),
    ),
    "instance not found": (
        error(404, "InvalidInstanceId.NotFound"),
        Expected("refused InvalidInstanceId.NotFound gone"),
    ),
    # what the service does not know itself
    "500": (error(500, "InternalError"), Expected("unknown InternalError")),
    "UnknownError is a 400": (error(400, "UnknownError"), Expected("unknown UnknownError")),
    "503": (error(503, "ServiceUnavailable"), Expected("unknown ServiceUnavailable")),
    "503, limited": (
        error(503, "LimitedOperation.ServiceUnavailable"),
        Expected("unknown LimitedOperation.ServiceUnavailable"),
    ),
    "503, maintenance": (
        error(503, "ServiceUnavailable.RegionMaintaining"),
        Expected("unknown ServiceUnavailable.RegionMaintaining"),
    ),
    "5xx without a body": (reply(502), Expected("unknown http_502")),
    "5xx HTML": (reply(504, HTML), Expected("unknown http_504")),
    "5xx with a code of refusal": (error(500, WINDOWS), Expected(f"unknown {WINDOWS}")),
    "unknown code 4xx": (error(418, "Teapot"), Expected("refused Teapot odd")),
    "unknown code 5xx": (error(599, "Teapot"), Expected("unknown Teapot")),
    # a refusal needs a whole API error
    "4xx HTML": (reply(403, HTML), PROXY),
    "4xx empty": (reply(404), PROXY),
    "4xx without a request id": (
        reply(403, json.dumps({"Code": "Forbidden.RAM", "Message": "m"})),
        PROXY,
    ),
    "4xx without a code": (reply(400, json.dumps({"RequestId": REQUEST_ID})), PROXY),
    "4xx of another gateway": (reply(404, '{"message":"no Route matched"}'), PROXY),
    "nonce used": (
        error(400, "SignatureNonceUsed"),
        Expected("unknown SignatureNonceUsed", {}, ("nonce_used",)),
    ),
    "clock refused twice": (
        error(400, "InvalidTimeStamp.Expired"),
        Expected("refused InvalidTimeStamp.Expired clock"),
    ),
}


@pytest.mark.asyncio
@pytest.mark.parametrize("name", ATTACH)
async def test_attach(name: str) -> None:
    """Each reply to AttachKeyPair has exactly the documented meaning, per call and instance."""
    script, expected = ATTACH[name]
    async with talking_to(script) as (client, server):
        answer = await client.attach_key_pair(REGION, "ops", IDS, not_after=FAR)
        assert _expected(answer) == expected
        resigned = "InvalidTimeStamp.Expired" in expected.outcome
        assert len(server.requests) == 1 + resigned, "a mutation is sent once"


REBOOT_ONE = {
    "request id": (reply(200, json.dumps({"RequestId": REQUEST_ID})), Expected("done")),
    "empty object": (reply(200, "{}"), PROXY),
    "request id in the header only": (
        reply(200, "{}", headers={"x-acs-request-id": REQUEST_ID}),
        Expected("done"),
    ),
    "dry run that was not asked for": (
        error(400, "DryRunOperation"),
        Expected("refused DryRunOperation odd"),
    ),
}


@pytest.mark.asyncio
@pytest.mark.parametrize("name", REBOOT_ONE)
async def test_restart_of_one(name: str) -> None:
    """For one id the reply has a request id only."""
    script, expected = REBOOT_ONE[name]
    async with talking_to(script) as (client, _):
        answer = await client.restart(RestartKind.REBOOT, REGION, IDS[:1], not_after=FAR)
        assert _expected(answer) == expected


@pytest.mark.asyncio
async def test_restart_of_many_reads_its_own_list() -> None:
    """RebootInstances lists `InstanceResponses`, without `Success`, codes as text or number."""
    rows = [
        {"InstanceId": "i-1", "Code": "200", "Message": "success", "CurrentStatus": "Stopping"},
        {"InstanceId": "i-2", "Code": 200, "Message": "Success"},
        {"InstanceId": "i-3", "Code": "InvalidInstanceId.NotFound", "PreviousStatus": ""},
    ]
    body = {"RequestId": REQUEST_ID, "InstanceResponses": {"InstanceResponse": rows}}
    async with talking_to(reply(200, json.dumps(body))) as (client, _):
        answer = await client.restart(RestartKind.REBOOT, REGION, IDS, not_after=FAR)
        assert _expected(answer) == Expected(
            "done", {"i-3": "refused InvalidInstanceId.NotFound gone"}
        )


@pytest.mark.asyncio
async def test_restart_of_many_without_a_list_is_unproven() -> None:
    """A request id alone does not say which of many were restarted."""
    async with talking_to(reply(200, json.dumps({"RequestId": REQUEST_ID}))) as (client, _):
        answer = await client.restart(RestartKind.START, REGION, IDS, not_after=FAR)
        assert _expected(answer) == Expected("unknown accepted_unproven")


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "header, wait_ms",
    [
        ("1500", 1500),
        ("0", 0),
        ("-5", 0),
        ("86400000", 60_000),
        ("9" * 40, 60_000),
        ("1.5", 0),
        ("Fri, 02 Jan 2026 03:04:05 GMT", 0),
        ("soon", 0),
        ("٣", 0),
    ],
)
async def test_retry_after_is_milliseconds_clamped(header: str, wait_ms: int) -> None:
    """Whatever stands in `x-acs-retry-after`, the wait is between 0 and 60 s."""
    script = error(400, "Throttling", x_acs_retry_after=header)
    async with talking_to(script) as (client, _):
        answer = await client.attach_key_pair(REGION, "ops", IDS, not_after=FAR)
        assert isinstance(answer.outcome, Refused)
        assert answer.outcome.retry_after_ms == wait_ms


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "date, api_time",
    [
        ("Fri, 02 Jan 2026 03:04:05 GMT", NOW),
        ("Fri, 02 Jan 2026 05:00:00 GMT", NOW + 6_955_000),
        ("Sun, 02 Jan 2095 03:04:05 GMT", 0),
        ("yesterday", 0),
        ("", 0),
    ],
)
async def test_api_time_is_believed_within_reason(date: str, api_time: int) -> None:
    """A `Date` that is unreadable or in the far future is no evidence."""
    body = json.dumps({"RequestId": REQUEST_ID})
    async with talking_to(reply(200, body, date=date)) as (client, _):
        answer = await client.restart(RestartKind.REBOOT, REGION, IDS[:1], not_after=FAR)
        assert answer.outcome == Done(REQUEST_ID, api_time)


@pytest.mark.asyncio
async def test_texts_of_the_service_are_bounded_and_on_one_line() -> None:
    """A message is written to journal and terminal: it is short and has no line breaks."""
    script = error(400, "Teapot", "a\nb\t" + "x" * 5000)
    async with talking_to(script) as (client, _):
        answer = await client.attach_key_pair(REGION, "ops", IDS, not_after=FAR)
        assert isinstance(answer.outcome, Refused)
        assert answer.outcome.message.startswith("a b xxx")
        assert len(answer.outcome.message) <= 200


def test_every_class_of_refusal_is_mapped() -> None:
    """A new class in the contract cannot be forgotten here: two kinds of code refuse nothing."""
    kinds = contract.ErrorClass
    assert set(kinds) - set(verdict._CLASSES) == {kinds.TRANSIENT, kinds.NONCE}


def test_every_class_of_the_model_comes_from_a_code() -> None:
    """But `unsent`, which no service can say."""
    from_codes = set(verdict._CLASSES.values())
    assert set(RetryClass) - from_codes == {RetryClass.UNSENT}
