"""Encode and decode parameters, bodies and instants of the API.

Called by the client (through verdict) and by the emulator. Knows the formats of the API, not the
meaning of any action.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import formatdate
from functools import lru_cache
from typing import Final, TypeAlias
from urllib.parse import parse_qsl
from xml.etree.ElementTree import Element, ParseError
from xml.sax.saxutils import escape

import defusedxml.ElementTree
import msgspec
from defusedxml.common import DefusedXmlException

DEPTH_MAX: Final = 64
"""Deepest XML that is read; the deepest real reply (DescribeInstances) has seven levels."""

Node: TypeAlias = "str | dict[str, Node] | list[Node]"
"""The content of an XML element: a text, named children, or several with the same name."""

_TEXTS = msgspec.json.Decoder(list[str])
_BOM = b"\xef\xbb\xbf"
_XML_DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>'
_NOT_IN_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ISO = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?Z", re.ASCII)
_HTTP_DATE = re.compile(
    r"[A-Z][a-z]{2}, (\d\d) ([A-Z][a-z]{2}) (\d{4}) (\d\d):(\d\d):(\d\d) GMT", re.ASCII
)
_MONTHS = {
    name: number
    for number, name in enumerate(
        ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"), 1
    )
}


class MalformedError(ValueError):
    """The bytes are not a document of the expected kind. The message does not quote them."""


class HttpReply(msgspec.Struct, frozen=True):
    """An HTTP reply: a whole body, and headers by lower-case names."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def parse_pairs(text: str) -> dict[str, str]:
    """Decode a query string or a form body: `+` is a space, blanks are kept, the last one wins."""
    return dict(parse_qsl(text, keep_blank_values=True))


def numbered(params: Mapping[str, str], name: str) -> list[str]:
    """Collect `name.1`, `name.2`, … in numeric order; gaps are closed, other suffixes ignored."""
    return [params[key] for key in _numbered_keys(tuple(params), name)]


@lru_cache(maxsize=64)
def _numbered_keys(keys: tuple[str, ...], name: str) -> list[str]:
    """Return the keys `name.N` in numeric order. Cached: similar calls have the same names."""
    found = []
    for key in keys:
        before, _, number = key.rpartition(".")
        if before == name and number.isascii() and number.isdecimal():
            found.append((int(number), key))
    return [key for _, key in sorted(found)]


def json_array(text: str) -> list[str] | None:
    """Read a JSON array of texts, white space allowed; None for anything else."""
    try:
        return _TEXTS.decode(text)
    except (msgspec.MsgspecError, UnicodeError):
        return None


def parse_bool(text: str) -> bool | None:
    """Read `true` or `false` in any case (the Python SDKs send `True`); None for anything else."""
    return {"true": True, "false": False}.get(text.lower())


def encode_json(body: Mapping[str, object]) -> bytes:
    """Encode a reply as the gateway does: compact, in the order given."""
    return msgspec.json.encode(body)


def encode_xml(root: str, body: Mapping[str, object]) -> bytes:
    """Encode a reply as XML with declaration; lists are `{"Plural": {"Singular": [...]}}`.

    Booleans are `true` and `false`, None is an empty element, an empty list leaves an empty
    parent. Characters that XML cannot carry become U+FFFD.
    """
    parts = [_XML_DECLARATION]
    _write(parts, root, body)
    return "".join(parts).encode()


def decode_xml(data: bytes) -> tuple[str, Node]:
    """Return the name and content of the root; the inverse of `encode_xml`, values as text.

    A list of one is the same as a single child: read lists with `items`.
    Errors: MalformedError for anything that is not well-formed, and for DTD, entities and
    documents deeper than `DEPTH_MAX`.
    """
    try:
        root: Element = defusedxml.ElementTree.fromstring(data, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise MalformedError(f"not XML: {type(error).__name__}") from None
    return root.tag, _read(root, DEPTH_MAX)


def decode(body: bytes) -> dict[str, object]:
    """Read a reply in either format with all names in lower case: the tolerant way, for documents
    that the typed decoders refused.

    Errors: MalformedError for anything but a JSON object or XML with children.
    """
    text = body.removeprefix(_BOM).lstrip()
    if text.startswith(b"<"):
        root, node = decode_xml(text)
        document: object = node if isinstance(node, dict) else {}
        if not document:
            raise MalformedError(f"XML without content: {root[:40]}")
    else:
        try:
            document = msgspec.json.decode(_well_formed(text))
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            raise MalformedError("neither JSON nor XML") from None
    if not isinstance(document, dict):
        raise MalformedError("no object")
    return {name.lower(): _folded(value, DEPTH_MAX) for name, value in document.items()}


_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(?P<lone>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)


def _well_formed(text: bytes) -> bytes:
    """Return JSON with U+FFFD for halves of surrogate pairs and for bytes that are not UTF-8.

    A name that was cut inside a character must not make a whole reply unreadable.
    """
    if b"\\u" in text:
        text = _ESCAPE.sub(lambda found: b"\\ufffd" if found["lone"] else found[0], text)
    return text if text.isascii() else text.decode("utf-8", "replace").encode()


def items(parent: object, singular: str) -> list[object]:
    """Read `{"Singular": [...]}` from JSON or XML; an empty parent is an empty list.

    Errors: MalformedError when it is neither.
    """
    if parent is None or parent in ("", []):
        return []
    if not isinstance(parent, Mapping):
        raise MalformedError(f"no list of {singular}")
    inner = parent.get(singular, [])
    if isinstance(inner, list):
        return inner
    return [] if inner is None else [inner]


def iso_seconds(ms: int) -> str:
    """Format an instant (milliseconds since the epoch, UTC) as `2026-01-02T03:04:05Z`."""
    return _utc(ms).strftime("%Y-%m-%dT%H:%M:%SZ")


def iso_minutes(ms: int) -> str:
    """Format an instant as `2026-01-02T03:04Z`, the form of DescribeInstances (rounded down)."""
    return _utc(ms).strftime("%Y-%m-%dT%H:%MZ")


def parse_iso(text: str) -> int | None:
    """Parse either format to milliseconds since the epoch; None for anything else."""
    match = _ISO.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction = match.groups("0")
    whole = _epoch_ms(int(year), int(month), int(day), int(hour), int(minute), int(second))
    return None if whole is None else whole + int(f"{fraction:0<3.3}")


def http_date(ms: int) -> str:
    """Format an instant as in a `Date` header (IMF-fixdate, rounded down)."""
    return _http_date(ms // 1000)


def parse_http_date(text: str) -> int | None:
    """Parse a `Date` header (IMF-fixdate) to milliseconds since the epoch; None if unreadable."""
    match = _HTTP_DATE.fullmatch(text.strip())
    if match is None:
        return None
    day, name, year, hour, minute, second = match.groups()
    month = _MONTHS.get(name, 0)
    return _epoch_ms(int(year), month, int(day), int(hour), int(minute), int(second))


def _folded(value: object, depth_left: int) -> object:
    """Return the value with all names in lower case."""
    if depth_left == 0:
        raise MalformedError("nested too deeply")
    if isinstance(value, dict):
        return {name.lower(): _folded(inner, depth_left - 1) for name, inner in value.items()}
    if isinstance(value, list):
        return [_folded(inner, depth_left - 1) for inner in value]
    return value


def _write(parts: list[str], name: str, value: object) -> None:
    """Append one element, or one for each item of a list."""
    if isinstance(value, list | tuple):
        for item in value:
            _write(parts, name, item)
        return
    parts.append(f"<{name}>")
    if isinstance(value, Mapping):
        for child, inner in value.items():
            _write(parts, child, inner)
    else:
        parts.append(_text(value))
    parts.append(f"</{name}>")


def _text(value: object) -> str:
    """Return a scalar as text."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return escape(_NOT_IN_XML.sub("\ufffd", str(value)))


def _read(element: Element, depth_left: int) -> Node:
    """Turn an element into a text or a mapping; a repeated name becomes a list."""
    if depth_left == 0:
        raise MalformedError("nested too deeply")
    if len(element) == 0:
        return element.text or ""
    return dict(_children(element, depth_left))


def _children(element: Element, depth_left: int) -> Iterator[tuple[str, Node]]:
    """Yield each name once, in order of first appearance."""
    grouped: dict[str, list[Node]] = {}
    for child in element:
        grouped.setdefault(child.tag, []).append(_read(child, depth_left - 1))
    for name, nodes in grouped.items():
        yield name, nodes[0] if len(nodes) == 1 else nodes


@lru_cache(maxsize=64)
def _http_date(second: int) -> str:
    """Format a second; all replies of one second share the text."""
    return formatdate(second, usegmt=True)


def _utc(ms: int) -> datetime:
    """Return whole seconds, which a float holds exactly; milliseconds are dropped."""
    return datetime.fromtimestamp(ms // 1000, UTC)


def _epoch_ms(year: int, month: int, day: int, hour: int, minute: int, second: int) -> int | None:
    """Return the instant, or None if the calendar has no such moment."""
    try:
        moment = datetime(year, month, day, hour, minute, min(second, 59), tzinfo=UTC)
    except ValueError:
        return None
    extra = second - moment.second
    return None if extra > 1 else (int(moment.timestamp()) + extra) * 1000
