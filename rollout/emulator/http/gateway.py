"""The gateway in front of the cloud: reads a request off HTTP and checks its signature. Pure.

Called by the HTTP server. V1 and V3, GET and POST, query and form body. Signatures are verified
over decoded values, not the text on the wire, because clients encode the same value differently.
"""

import hashlib
import hmac
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import msgspec

from rollout.ecs import contract, sign, wire
from rollout.emulator.cloud.users import Access, User
from rollout.emulator.http.render import Format
from rollout.emulator.messages import Refusal, Request

# Parameters of the protocol itself; everything else belongs to the action.
_PROTOCOL: Final = frozenset(
    {
        "AccessKeyId",
        "Action",
        "BearerToken",
        "Format",
        "SecurityToken",
        "Signature",
        "SignatureMethod",
        "SignatureNonce",
        "SignatureType",
        "SignatureVersion",
        "Timestamp",
        "Version",
    }
)

# Headers that a V3 signature must cover: without them it would be valid for another call.
_MUST_SIGN: Final = frozenset(
    {
        "host",
        "x-acs-action",
        "x-acs-content-sha256",
        "x-acs-date",
        "x-acs-signature-nonce",
        "x-acs-version",
    }
)

# Every V3 algorithm is read as V3; only HMAC-SHA256 can be checked.
_V3_FAMILY: Final = "ACS3-"
_V3_MISMATCH: Final = "Specified signature does not match our calculation. server StringToSign is:"


class Message(msgspec.Struct, frozen=True):
    """One HTTP request: decoded query, headers found by lower-case name, the whole body."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes


class Opened(msgspec.Struct, frozen=True):
    """A request whose signature is not checked yet."""

    request: Request
    form: Format
    v3: bool
    params: Mapping[str, str]


class Gateway:
    """Checks signatures, and stores nonces for as long as their timestamps would be accepted.

    `clock_ahead_ms`: how far a timestamp may lie in the future; may be changed at any time.
    """

    def __init__(self, access: Access, clock_ahead_ms: int = contract.TIMESTAMP_WINDOW_MS) -> None:
        self._access = access
        self.clock_ahead_ms = clock_ahead_ms
        self._nonces: dict[str, dict[str, int]] = {}
        """By user, with plain values that the garbage collector does not track."""

    def open(self, message: Message) -> Opened:
        """Read action and parameters without checking the signature."""
        params = message.query
        if message.body and "json" not in message.headers.get("content-type", ""):
            params = {**params, **wire.parse_pairs(message.body.decode("utf-8", "replace"))}
        address = message.headers.get("host", "")
        v3 = message.headers.get("authorization", "").startswith(_V3_FAMILY)
        if v3:
            accept = message.headers.get("accept", "")
            form = Format.XML if "xml" in accept and "json" not in accept else Format.JSON
            action = message.headers.get("x-acs-action", "")
            version = message.headers.get("x-acs-version", "")
        else:
            form = Format.JSON if params.get("Format", "").lower() == "json" else Format.XML
            action, version = params.get("Action", ""), params.get("Version", "")
        business = params
        if not params.keys().isdisjoint(_PROTOCOL):
            business = {name: value for name, value in params.items() if name not in _PROTOCOL}
        request = Request(action, business, "", version, address)
        return Opened(request, form, v3, params)

    def admit(self, message: Message, opened: Opened, now: int) -> Request:
        """Return the request with its caller, if key, clock, signature, nonce and token are right.

        Errors: Refusal with the gateway's code.
        """
        if message.method not in {"GET", "POST"}:
            raise Refusal("UnsupportedHTTPMethod")
        check = self._check_v3 if opened.v3 else self._check_v1
        caller = check(message, opened, now)
        read = opened.request
        return Request(read.action, read.params, caller, read.version, read.address)

    def _check_v1(self, message: Message, opened: Opened, now: int) -> str:
        params = opened.params
        for name in _V1_NEEDS:
            if not params.get(name):
                raise Refusal(f"Missing{name}", name)
        user = self._user(params["AccessKeyId"])
        self._check_time(params["Timestamp"], now)
        expected = sign.v1_signature(message.method, params, user.secret)
        if not _equal(expected, params["Signature"]):
            text = sign.v1_string_to_sign(message.method, params)
            raise Refusal("SignatureDoesNotMatch", text)
        self._check_token(user, params.get("SecurityToken", ""), now)
        self._use_nonce(user, params["SignatureNonce"], now)
        return user.key_id

    def _check_v3(self, message: Message, opened: Opened, now: int) -> str:
        parts = sign.parse_v3_authorization(message.headers.get("authorization", ""))
        if parts is None or not _MUST_SIGN.issubset(parts.signed_headers):
            raise Refusal("IncompleteSignature")
        headers = {name: message.headers.get(name, "") for name in parts.signed_headers}
        for name, field in _V3_NEEDS:
            if not headers[field]:
                raise Refusal(f"Missing{name}", name)
        user = self._user(parts.access_key_id)
        self._check_time(headers["x-acs-date"], now)
        digest = sign.EMPTY_SHA256 if not message.body else hashlib.sha256(message.body).hexdigest()
        canonical = sign.v3_canonical_request(
            message.method, message.path, message.query, headers, parts.signed_headers, digest
        )
        expected = sign.v3_signature(canonical, user.secret)
        if headers["x-acs-content-sha256"] != digest or not _equal(expected, parts.signature):
            text = f"{_V3_MISMATCH}{sign.v3_string_to_sign(canonical)}"
            raise Refusal("SignatureDoesNotMatch", message=text)
        self._check_token(user, headers.get("x-acs-security-token", ""), now)
        self._use_nonce(user, headers[_NONCE_FIELD], now)
        return user.key_id

    def _user(self, key_id: str) -> User:
        user = self._access.user(key_id)
        if user is None:
            raise Refusal("InvalidAccessKeyId.NotFound")
        if not user.enabled:
            raise Refusal("InvalidAccessKeyId.Inactive")
        return user

    def _check_time(self, text: str, now: int) -> None:
        instant = _parse_iso(text)
        if instant is None:
            raise Refusal("InvalidTimeStamp.Format")
        if not now - contract.TIMESTAMP_WINDOW_MS <= instant <= now + self.clock_ahead_ms:
            raise Refusal("InvalidTimeStamp.Expired")

    def _check_token(self, user: User, token: str, now: int) -> None:
        if user.token is None:
            return
        if not token:
            raise Refusal("MissingSecurityToken")
        if not _equal(user.token, token):
            raise Refusal("InvalidSecurityToken.Malformed")
        if user.token_until is not None and now >= user.token_until:
            raise Refusal("InvalidSecurityToken.Expired")

    def _use_nonce(self, user: User, nonce: str, now: int) -> None:
        """Refuse a used nonce; drop nonces whose timestamps would no longer be accepted."""
        nonces = self._nonces.setdefault(user.key_id, {})
        if nonce in nonces:
            raise Refusal("SignatureNonceUsed")
        nonces[nonce] = now + contract.TIMESTAMP_WINDOW_MS + self.clock_ahead_ms
        oldest = next(iter(nonces))
        if nonces[oldest] < now:
            del nonces[oldest]


_V1_NEEDS: Final = (
    "Action",
    "AccessKeyId",
    "Signature",
    "SignatureMethod",
    "SignatureVersion",
    "SignatureNonce",
    "Timestamp",
)
_NONCE_FIELD: Final = "x-acs-signature-nonce"
_V3_NEEDS: Final = (("Timestamp", "x-acs-date"), ("SignatureNonce", _NONCE_FIELD))

_parse_iso = lru_cache(maxsize=256)(wire.parse_iso)  # calls of one second share the text


def _equal(expected: str, given: str) -> bool:
    return hmac.compare_digest(expected.encode(), given.encode("utf-8", "surrogatepass"))
