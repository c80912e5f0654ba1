"""Signatures of the RPC gateway: V1 (HMAC-SHA1, a parameter), V3 (ACS3-HMAC-SHA256, a header).

Called by the client to sign and by the emulator to verify, always on decoded values, never on the
text of the request. Pure: time and nonce are arguments.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Final

import msgspec

V3_ALGORITHM: Final = "ACS3-HMAC-SHA256"
EMPTY_SHA256: Final = hashlib.sha256(b"").hexdigest()

_REMEMBERED_CHARS_MAX: Final = 128
_UNRESERVED = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~"
_UNRESERVED_TEXT = re.compile(r"[A-Za-z0-9\-_.~]*")
_V3_HEADER = re.compile(
    r"ACS3-HMAC-SHA256 Credential=([^,\s]+),\s*SignedHeaders=([^,\s]+),\s*Signature=([0-9a-f]{64})"
)


class V3Authorization(msgspec.Struct, frozen=True):
    """The three parts of an `Authorization` header of V3, spelled as they arrived."""

    access_key_id: str
    signed_headers: tuple[str, ...]
    signature: str


def percent_encode(text: str) -> str:
    """Encode every UTF-8 byte except the unreserved of RFC 3986, hex digits in upper case.

    Short texts are cached, because the same names are signed repeatedly; a list of ids is rarely
    sent twice.
    """
    return _remembered(text) if len(text) <= _REMEMBERED_CHARS_MAX else _encoded(text)


def _encoded(text: str) -> str:
    """Replace one reserved byte after another. A list of ids has four different ones, so this is
    much faster than a table lookup for each of its 1,600 bytes.
    """
    encoded = text.encode("utf-8", "surrogatepass")
    left = encoded.translate(None, _UNRESERVED)
    if b"%" in left:  # first, since the others bring more of it
        encoded = encoded.replace(b"%", b"%25")
        left = left.translate(None, b"%")
    while left:
        byte = left[:1]
        encoded = encoded.replace(byte, b"%%%02X" % byte[0])
        left = left.translate(None, byte)
    return encoded.decode("ascii")


_remembered = lru_cache(maxsize=1024)(_encoded)


def v1_string_to_sign(method: str, params: Mapping[str, str]) -> str:
    """Return the text that V1 signs: all parameters but `Signature`, blank ones included.

    Source: ECS documentation, "Call methods / Signature"; both official SDKs.
    """
    canonical = "&".join(
        f"{percent_encode(name)}={percent_encode(params[name])}"
        for name in sorted(params)
        if name != "Signature"
    )
    return f"{method}&%2F&{_encoded(canonical)}"


def v1_signature(method: str, params: Mapping[str, str], secret: str) -> str:
    """Return the base64 text for the parameter `Signature` (not yet percent-encoded)."""
    string_to_sign = v1_string_to_sign(method, params)
    digest = hmac.digest(f"{secret}&".encode(), _bytes(string_to_sign), "sha1")
    return base64.b64encode(digest).decode("ascii")


def parse_v3_authorization(header: str) -> V3Authorization | None:
    """Parse an `Authorization` header of V3; None for everything else.

    Nothing is folded or trimmed: a name in the wrong case must make the signature invalid.
    """
    match = _V3_HEADER.fullmatch(header)
    if match is None:
        return None
    access_key_id, names, signature = match.groups()
    return V3Authorization(access_key_id, tuple(names.split(";")), signature)


def v3_authorization(access_key_id: str, signed_headers: Iterable[str], signature: str) -> str:
    """Return the value of the `Authorization` header; the inverse of `parse_v3_authorization`."""
    names = ";".join(sorted(signed_headers))
    return f"{V3_ALGORITHM} Credential={access_key_id},SignedHeaders={names},Signature={signature}"


def canonical_query(params: Mapping[str, str]) -> str:
    """Return the parameters sorted by raw name, values encoded; it is a valid query string too.

    Names are not encoded (as in `Utils.get_authorization` of alibabacloud-tea-openapi): the names
    of the API need none. Ids, regions and numbers need none either, so one regular expression over
    all values of a poll with fifty numbered ids shows that nothing needs encoding.
    """
    if _UNRESERVED_TEXT.fullmatch("".join(params.values())):
        return "&".join([f"{name}={params[name]}" for name in sorted(params)])
    return "&".join([f"{name}={percent_encode(params[name])}" for name in sorted(params)])


def v3_canonical_request(
    method: str,
    path: str,
    params: Mapping[str, str],
    headers: Mapping[str, str],
    signed_headers: Sequence[str],
    body_sha256: str,
) -> str:
    """Return the text whose hash V3 signs.

    `headers` has lower-case names and may hold more than is signed; a signed name that is
    missing counts as blank, so a request that lost a header does not verify.
    Source: "V3 request structure and signature"; alibabacloud-tea-openapi 0.4.6.
    """
    return v3_canonical_text(
        method, path, canonical_query(params), headers, signed_headers, body_sha256
    )


def v3_canonical_text(
    method: str,
    path: str,
    query: str,
    headers: Mapping[str, str],
    signed_headers: Sequence[str],
    body_sha256: str,
) -> str:
    """Do the same for a query that is canonical already, as the client sends it."""
    names = sorted(signed_headers)
    lines = "".join([f"{name}:{headers.get(name, '').strip()}\n" for name in names])
    return f"{method}\n{path}\n{query}\n{lines}\n{';'.join(names)}\n{body_sha256}"


def v3_string_to_sign(canonical_request: str) -> str:
    """Return algorithm and hash of the canonical request, on two lines."""
    return f"{V3_ALGORITHM}\n{hashlib.sha256(_bytes(canonical_request)).hexdigest()}"


def v3_signature(canonical_request: str, secret: str) -> str:
    """Return the signature in lower-case hex. The key is the bare secret, without V1's `&`."""
    keyed = _keyed(secret).copy()
    keyed.update(v3_string_to_sign(canonical_request).encode("ascii"))
    return keyed.hexdigest()


@lru_cache(maxsize=16)
def _keyed(secret: str) -> hmac.HMAC:
    """Return a key prepared for V3, cached: this takes longer than signing two lines with it."""
    return hmac.new(secret.encode(), digestmod="sha256")


def _bytes(text: str) -> bytes:
    """Return UTF-8 bytes; never fails, because a verifier must reply to any request."""
    return text.encode("utf-8", "surrogatepass")
