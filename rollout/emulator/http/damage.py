"""Apply an injection to the reply of a call: first to its values, then to its bytes.

Pure. Called by code that delivers calls: HTTP server, in-process transports, simulated network.
"""

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from rollout.emulator.cloud import tokens
from rollout.emulator.dispatch import Cloud
from rollout.emulator.faults import Damage, Injection
from rollout.emulator.http.render import Format, Rendered, render, without_raw
from rollout.emulator.messages import Refusal, Reply, Request

HUGE_BYTES: Final = 10 * 1024 * 1024
SHIFTED_ROWS: Final = 3
EXTRA_ID: Final = "i-0000000000000000extra"
"""The instance in a damaged reply that was not in the request."""

_HTML: Final = b"<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"

_LISTS: Final = (("Results", "Result"), ("InstanceResponses", "InstanceResponse"))

Body = dict[str, object]
Items = list[dict[str, object]]


def answer(cloud: Cloud, injection: Injection, request: Request, reply: Reply | None) -> Reply:
    """Return the reply to send; `reply` is the cloud's, None if the call never arrived."""
    if injection.code is not None or reply is None:
        refusal = Refusal(
            injection.code or "ServiceUnavailable",
            status=injection.status,
            retry_after_ms=injection.retry_after_ms,
        )
        return cloud.refuse(request, refusal)
    if injection.damage is None or reply.code is not None:
        return reply
    if injection.damage is Damage.FOREIGN:
        return msgspec.structs.replace(reply, body={"RequestId": reply.request_id, **_FOREIGN})
    change = _CHANGES.get(injection.damage)
    if change is None:
        return reply
    body = change(dict(reply.body), request)
    return msgspec.structs.replace(reply, body=body, printed=False)


def to_bytes(injection: Injection, reply: Reply, action: str, form: Format) -> Rendered:
    """Return the reply as bytes, with the damage of the injection."""
    if injection.damage is Damage.XML:
        return render(reply, action, Format.XML)
    rendered = render(reply, action, form)
    spoil = _SPOILS.get(injection.damage) if injection.damage else None
    if spoil is not None:
        headers, body = spoil(rendered)
        rendered = Rendered(rendered.status, {**rendered.headers, **headers}, body)
    if injection.status is not None:
        rendered = msgspec.structs.replace(rendered, status=injection.status)
    return rendered


_FOREIGN: Final[Mapping[str, object]] = {
    "Regions": {"Region": [{"RegionId": "cn-hangzhou", "RegionEndpoint": "", "LocalName": ""}]}
}


def _with_items(change: Callable[[Items], Items]) -> Callable[[Body, Request], Body]:
    """Return a change of the list of per-instance results, wherever it is."""

    def changed(body: Body, _: Request) -> Body:
        for plural, singular in _LISTS:
            inner = without_raw(body.get(plural))
            if isinstance(inner, Mapping):
                body[plural] = {singular: change([dict(item) for item in inner[singular]])}
        return body

    return changed


def _double(items: Items) -> Items:
    return [*items, *items[:1]]


def _extra(items: Items) -> Items:
    return [*items, {**items[0], "InstanceId": EXTRA_ID}] if items else items


def _absent(body: Body, _: Request) -> Body:
    return {"RequestId": body["RequestId"]}


def _wrong_count(body: Body, _: Request) -> Body:
    return {**body, "FailCount": 1}


def _no_rows(body: Body, _: Request) -> Body:
    return {**body, "Instances": {"Instance": []}, "NextToken": "", "TotalCount": 0}


def _half_of_rows(body: Body, _: Request) -> Body:
    inner = without_raw(body.get("Instances"))
    rows = inner["Instance"] if isinstance(inner, Mapping) else []
    return {**body, "Instances": {"Instance": rows[: (len(rows) + 1) // 2]}}


def _same_token(body: Body, request: Request) -> Body:
    if not body.get("NextToken"):
        return body
    return {**body, "NextToken": request.params.get("NextToken") or tokens.write(0)}


def _shifted(body: Body, _: Request) -> Body:
    token = str(body.get("NextToken", ""))
    if not token:
        return body
    return {**body, "NextToken": tokens.write(max(tokens.read(token) - SHIFTED_ROWS, 0))}


def _no_request_id(body: Body, _: Request) -> Body:
    return {name: value for name, value in body.items() if name != "RequestId"}


def _as_strings(body: Body, _: Request) -> Body:
    return {name: _string(value) for name, value in body.items()}


def _string(value: object) -> object:
    if isinstance(value, msgspec.Raw):
        value = msgspec.json.decode(value)
    if isinstance(value, Mapping):
        return {name: _string(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_string(item) for item in value]
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


_CHANGES: Final[Mapping[Damage, Callable[[Body, Request], Body]]] = {
    Damage.RESULTS_MISSING: _with_items(lambda items: items[1:]),
    Damage.RESULTS_DOUBLED: _with_items(_double),
    Damage.RESULTS_EXTRA: _with_items(_extra),
    Damage.RESULTS_ABSENT: _absent,
    Damage.FAIL_COUNT: _wrong_count,
    Damage.EMPTY_LIST: _no_rows,
    Damage.PARTIAL_LIST: _half_of_rows,
    Damage.TOKEN_LOOP: _same_token,
    Damage.PAGES_SHIFT: _shifted,
    Damage.NO_REQUEST_ID: _no_request_id,
    Damage.STRINGS: _as_strings,
}

_SPOILS: Final[Mapping[Damage, Callable[[Rendered], tuple[Mapping[str, str], bytes]]]] = {
    Damage.HTML: lambda _: ({"Content-Type": "text/html"}, _HTML),
    Damage.GARBAGE: lambda r: ({}, b"\x00\xff{" + r.body[::-1]),
    Damage.HUGE: lambda r: ({}, r.body[:-1] + b" " * HUGE_BYTES + r.body[-1:]),
    Damage.GZIP_GARBAGE: lambda r: ({"Content-Encoding": "gzip"}, b"not gzip " + r.body),
    Damage.CHARSET: lambda r: ({"Content-Type": "application/json;charset=utf-16"}, r.body),
    Damage.EMPTY: lambda _: ({}, b""),
    Damage.REDIRECT: lambda _: ({"Location": "http://127.0.0.1:1/elsewhere"}, b""),
}
