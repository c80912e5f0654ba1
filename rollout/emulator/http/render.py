"""Replies as bytes: JSON or XML, and for edition `seed` exactly the bytes of its page. Pure.

Called by the HTTP server and by in-process transports, after the cloud has answered.
"""

import enum
from collections.abc import Mapping
from typing import Final

import msgspec

from rollout.ecs import contract, wire
from rollout.emulator.messages import Reply


class Format(enum.Enum):
    """The two formats of a reply."""

    JSON = "json"
    XML = "xml"


class Rendered(msgspec.Struct, frozen=True):
    """Status, headers and body, ready for the wire."""

    status: int
    headers: Mapping[str, str]
    body: bytes


CONTENT_TYPES: Final = {
    Format.JSON: "application/json;charset=utf-8",
    Format.XML: "text/xml;charset=utf-8",
}


_NO_ROWS: Final = b'"Instance":[]'


def render(reply: Reply, action: str, form: Format) -> Rendered:
    """Return a reply as bytes; headers as observed on the real service."""
    headers = {"Content-Type": CONTENT_TYPES[form], "x-acs-request-id": reply.request_id}
    if reply.retry_after_ms is not None:
        headers[contract.RETRY_AFTER_HEADER] = str(reply.retry_after_ms)
    return Rendered(reply.status, headers, body_bytes(reply, action, form))


def body_bytes(reply: Reply, action: str, form: Format) -> bytes:
    """Return the body alone."""
    if reply.printed:
        return _as_printed(reply, action, form)
    if form is Format.JSON:
        return _as_json(reply.body)
    root = "Error" if reply.code is not None else f"{action}Response"
    return wire.encode_xml(root, {name: without_raw(value) for name, value in reply.body.items()})


def _as_json(body: Mapping[str, object]) -> bytes:
    """Join rows that are JSON already with the rest at once.

    The encoder's own buffer grows by half at a time and would copy a page of a hundred rows several
    times.
    """
    page = body.get("Instances")
    if page is None:
        return wire.encode_json(body)
    rows = page.get("Instance") if isinstance(page, Mapping) else None
    if not isinstance(rows, list) or not rows or not isinstance(rows[0], msgspec.Raw):
        return wire.encode_json(body)
    before, after = wire.encode_json({**body, "Instances": {"Instance": []}}).split(_NO_ROWS, 1)
    parts = list(rows)
    parts[0] = b"".join((before, b'"Instance":[', parts[0]))
    parts[-1] = b"".join((parts[-1], b"]", after))
    return b",".join(parts)


def _as_printed(reply: Reply, action: str, form: Format) -> bytes:
    """Return bytes as on the seed page: indent of four, no XML declaration, no last newline."""
    if form is Format.JSON:
        return f'{{\n    "RequestId": "{reply.request_id}"\n}}'.encode()
    root = f"{action}Response"
    return f"<{root}>\n    <RequestId>{reply.request_id}</RequestId>\n</{root}>".encode()


def without_raw(value: object) -> object:
    """Return values without Raw: rows that are JSON already are decoded again."""
    if isinstance(value, msgspec.Raw):
        return msgspec.json.decode(value)
    if isinstance(value, Mapping):
        return {name: without_raw(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [without_raw(item) for item in value]
    return value
