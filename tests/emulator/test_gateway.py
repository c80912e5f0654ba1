"""The gateway: V1 and V3 from decoded parameters, clock window, nonces, keys, tokens, texts."""

import hashlib
from collections.abc import Mapping
from urllib.parse import quote, urlencode

import pytest
from multidict import CIMultiDict

from rollout.ecs import sign, wire
from rollout.emulator.cloud.users import Access, User
from rollout.emulator.http.gateway import Gateway, Message
from rollout.emulator.http.render import Format
from rollout.emulator.messages import Refusal, Request
from tests.emulator.fixtures import NOW

MINUTE = 60_000
ACTION = {"RegionId": "cn-hangzhou", "KeyPairName": "team key~1*", "Blank": ""}
FORM = {"content-type": "application/x-www-form-urlencoded"}


def v1_params(at: int = NOW, nonce: str = "n1", **more: str) -> dict[str, str]:
    """Signed V1 parameters of a POST."""
    params = {
        **ACTION,
        "Action": "AttachKeyPair",
        "Version": "2014-05-26",
        "AccessKeyId": "emulator",
        "SignatureMethod": "HMAC-SHA1",
        "SignatureVersion": "1.0",
        "SignatureType": "",
        "SignatureNonce": nonce,
        "Timestamp": wire.iso_seconds(at),
        **more,
    }
    return {**params, "Signature": sign.v1_signature("POST", params, "emulator-secret")}


def v1(params: Mapping[str, str], method: str = "POST") -> Message:
    """A V1 request with everything in the query."""
    return Message(method, "/", params, CIMultiDict({"Host": "a:1"}), b"")


def v3(
    at: int = NOW,
    nonce: str = "n1",
    secret: str = "emulator-secret",
    query: Mapping[str, str] = ACTION,
    body: bytes = b"",
    **more: str,
) -> Message:
    """A V3 request as the SDKs send it: every header signed."""
    headers = {
        "accept": "application/json",
        "host": "127.0.0.1:8473",
        "x-acs-action": "AttachKeyPair",
        "x-acs-content-sha256": hashlib.sha256(body).hexdigest(),
        "x-acs-date": wire.iso_seconds(at),
        "x-acs-signature-nonce": nonce,
        "x-acs-version": "2014-05-26",
        **{name.replace("_", "-"): value for name, value in more.items()},
    }
    canonical = sign.v3_canonical_request(
        "POST", "/", query, headers, list(headers), headers["x-acs-content-sha256"]
    )
    signature = sign.v3_signature(canonical, secret)
    authorization = sign.v3_authorization("emulator", headers, signature)
    sent = CIMultiDict({**headers, "Authorization": authorization})
    return Message("POST", "/", query, sent, body)


def admit(message: Message, *, now: int = NOW, gateway: Gateway | None = None) -> Request:
    """Pass one message through a gateway."""
    gateway = gateway or Gateway(Access())
    return gateway.admit(message, gateway.open(message), now)


def refusal(message: Message, *, now: int = NOW, gateway: Gateway | None = None) -> str:
    """The code by which a message is turned away."""
    with pytest.raises(Refusal) as caught:
        admit(message, now=now, gateway=gateway)
    return caught.value.code


def test_v1_and_v3_give_the_same_request() -> None:
    """The cloud sees business parameters only, however they were signed."""
    first, second = admit(v1(v1_params())), admit(v3())
    assert first.params == second.params == ACTION
    assert (first.action, first.version, first.caller) == (
        "AttachKeyPair",
        "2014-05-26",
        "emulator",
    )


def test_v1_parameters_may_stand_in_query_and_form() -> None:
    """Terraform puts the business parameters into the body and signs both together."""
    params = v1_params()
    query = {name: value for name, value in params.items() if name not in ACTION}
    body = urlencode({name: params[name] for name in ACTION}).encode()
    assert admit(Message("POST", "/", query, CIMultiDict(FORM), body)).params == ACTION


def test_the_text_on_the_wire_does_not_matter() -> None:
    """`+`, `%20`, `*` and `%2A` are the same values: both SDKs write them differently."""
    params = v1_params()
    spelled = "&".join(f"{name}={quote(value, safe='*')}" for name, value in params.items())
    assert (
        admit(Message("POST", "/", wire.parse_pairs(spelled), CIMultiDict(), b"")).params == ACTION
    )


def test_a_blank_parameter_is_signed_too() -> None:
    """A verifier that drops blanks refuses the classic SDK."""
    params = v1_params()
    del params["SignatureType"]
    assert refusal(v1(params)) == "SignatureDoesNotMatch"


def test_formats() -> None:
    """XML for V1 unless JSON is asked for in any case; JSON for V3 unless only XML is accepted."""
    gateway = Gateway(Access())
    assert gateway.open(v1(v1_params())).form is Format.XML
    assert gateway.open(v1(v1_params(Format="JSON"))).form is Format.JSON
    assert gateway.open(v3()).form is Format.JSON
    assert gateway.open(v3(accept="application/xml")).form is Format.XML


@pytest.mark.parametrize("skew, passes", [(-14, True), (-16, False), (14, True), (16, False)])
def test_the_clock_window_is_fifteen_minutes(skew: int, passes: bool) -> None:  # noqa: FBT001
    """Older or newer than that is expired, in both schemes."""
    for message in (v1(v1_params(NOW + skew * MINUTE)), v3(NOW + skew * MINUTE)):
        if passes:
            assert admit(message).action
        else:
            assert refusal(message) == "InvalidTimeStamp.Expired"


def test_a_clock_that_is_ahead_can_be_refused() -> None:
    """The page words the window as the minutes before: a switch."""
    strict = Gateway(Access(), clock_ahead_ms=0)
    assert refusal(v3(NOW + MINUTE), gateway=strict) == "InvalidTimeStamp.Expired"


@pytest.mark.parametrize("name", ["SignatureMethod", "SignatureVersion"])
def test_v1_says_how_it_was_signed(name: str) -> None:
    """Both parameters are required: the error names the missing one."""
    params = v1_params()
    del params[name]
    assert refusal(v1(params)) == f"Missing{name}"


def test_the_digest_of_the_body_must_be_correct() -> None:
    """A signature over the right body does not excuse a header with another digest."""
    headers = dict(v3().headers)
    headers["x-acs-content-sha256"] = "0" * 64
    signed = [name for name in headers if name != "Authorization"]
    canonical = sign.v3_canonical_request("POST", "/", ACTION, headers, signed, sign.EMPTY_SHA256)
    signature = sign.v3_signature(canonical, "emulator-secret")
    headers["Authorization"] = sign.v3_authorization("emulator", signed, signature)
    message = Message("POST", "/", ACTION, CIMultiDict(headers), b"")
    assert refusal(message) == "SignatureDoesNotMatch"


def test_a_nonce_is_good_once() -> None:
    """Also after a refusal of the action; and it is forgotten when its timestamp has expired."""
    gateway = Gateway(Access())
    admit(v3(), gateway=gateway)
    assert refusal(v3(), gateway=gateway) == "SignatureNonceUsed"
    later = NOW + 31 * MINUTE
    admit(v3(later, "n2"), now=later, gateway=gateway)
    admit(v3(later), now=later, gateway=gateway)


def test_a_wrong_signature_does_not_use_up_the_nonce() -> None:
    """Nobody can block a caller's nonces without his secret."""
    gateway = Gateway(Access())
    assert refusal(v3(secret="wrong"), gateway=gateway) == "SignatureDoesNotMatch"
    admit(v3(), gateway=gateway)


def test_v1_mismatch_returns_the_string_to_sign() -> None:
    """The classic SDK compares it with its own and says "wrong secret" where they are equal."""
    params = {**v1_params(), "Signature": "AAAA"}
    with pytest.raises(Refusal) as caught:
        admit(v1(params))
    assert caught.value.subject == sign.v1_string_to_sign("POST", params)


@pytest.mark.parametrize(
    "name", ["Action", "AccessKeyId", "Signature", "SignatureNonce", "Timestamp"]
)
def test_v1_names_what_is_missing(name: str) -> None:
    """The gateway puts the parameter's name into the code."""
    params = v1_params()
    del params[name]
    assert refusal(v1(params)) == f"Missing{name}"


def test_v3_must_sign_what_makes_the_call() -> None:
    """A signature that leaves out the action, or no signature at all, is incomplete."""
    message = v3()
    loose = message.headers["Authorization"].replace("x-acs-action;", "")
    headers = CIMultiDict(message.headers)
    headers["Authorization"] = loose
    assert refusal(Message("POST", "/", message.query, headers, b"")) == "IncompleteSignature"
    headers["Authorization"] = "ACS3-HMAC-SHA256 nonsense"
    assert refusal(Message("POST", "/", message.query, headers, b"")) == "IncompleteSignature"


def test_other_algorithms_of_v3_are_not_v1() -> None:
    """SM3 and RSA cannot be checked here; they are answered as V3, not as a V1 without Action."""
    message = v3()
    headers = CIMultiDict(message.headers)
    headers["Authorization"] = headers["Authorization"].replace("HMAC-SHA256", "HMAC-SM3")
    other = Message("POST", "/", message.query, headers, b"")
    assert refusal(other) == "IncompleteSignature"
    assert Gateway(Access()).open(other).form is Format.JSON


def test_a_body_is_signed_by_its_digest() -> None:
    """Another body than the signed one does not verify; the signed one is read as a form."""
    message = v3(query={}, body=b"RegionId=cn-hangzhou", content_type=FORM["content-type"])
    assert admit(message).params == {"RegionId": "cn-hangzhou"}
    other = Message("POST", "/", {}, message.headers, b"RegionId=cn-shanghai")
    assert refusal(other) == "SignatureDoesNotMatch"


def test_keys_and_tokens() -> None:
    """Unknown and disabled keys, a token that is missing, wrong or expired."""
    unknown = Gateway(Access([User(key_id="other")]))
    assert refusal(v3(), gateway=unknown) == "InvalidAccessKeyId.NotFound"
    disabled = Gateway(Access([User(enabled=False)]))
    assert refusal(v3(), gateway=disabled) == "InvalidAccessKeyId.Inactive"
    temporary = Gateway(Access([User(token="t", token_until=NOW + MINUTE)]))
    assert refusal(v3(), gateway=temporary) == "MissingSecurityToken"
    wrong = v3(x_acs_security_token="x")
    assert refusal(wrong, gateway=temporary) == "InvalidSecurityToken.Malformed"
    right = v3(x_acs_security_token="t")
    late = v3(NOW + MINUTE, x_acs_security_token="t")
    assert refusal(late, now=NOW + MINUTE, gateway=temporary) == "InvalidSecurityToken.Expired"
    assert admit(right, gateway=temporary).caller == "emulator"
    assert refusal(v1(v1_params(SecurityToken="x")), gateway=temporary) == (
        "InvalidSecurityToken.Malformed"
    )
