"""Signatures: the reference vectors, both official SDKs as oracles, and any flipped bit."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from alibabacloud_tea_openapi.utils import Utils
from aliyunsdkcore.auth.composer.rpc_signature_composer import get_signed_url
from darabonba.request import DaraRequest
from hypothesis import assume, given
from hypothesis import strategies as st

from rollout.ecs import sign

VECTORS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parent.parent / "data" / "ecs-vectors.json").read_text()
)["vectors"]
V1 = [vector for vector in VECTORS if vector["scheme"] == "V1"]
V3 = [vector for vector in VECTORS if vector["scheme"] == "V3"]

names = st.from_regex(r"[A-Z][A-Za-z0-9]{0,12}(\.[1-9])?", fullmatch=True)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
params_of_a_call = st.dictionaries(names, texts, max_size=8)
secrets = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGH0123456789", min_size=1, max_size=30)
headers_of_a_call = st.dictionaries(
    st.from_regex(r"x-acs-[a-z]{1,8}", fullmatch=True),
    st.text("abcXYZ012 :;,-/", min_size=1, max_size=12).map(str.strip).filter(bool),
    min_size=1,
    max_size=5,
)


def test_the_vector_file_holds_both_schemes() -> None:
    """The tables below are not empty by accident."""
    assert (len(V1), len(V3)) == (2, 3)


@pytest.mark.parametrize("vector", V1, ids=lambda vector: vector["id"])
def test_v1_gives_the_documented_values(vector: dict[str, Any]) -> None:
    """String to sign, signature and its encoded form are those of the reference, byte by byte."""
    given_, expected = vector["inputs"], vector["expected"]
    method, params = given_["method"], given_["params"]
    signature = sign.v1_signature(method, params, given_["access_key_secret"])
    assert sign.v1_string_to_sign(method, params) == expected["string_to_sign"]
    assert signature == expected["signature"]
    assert sign.percent_encode(signature) == expected["signature_percent_encoded"]


@pytest.mark.parametrize("vector", V3, ids=lambda vector: vector["id"])
def test_v3_gives_the_documented_values(vector: dict[str, Any]) -> None:
    """Every intermediate value of V3 is that of the reference, byte by byte."""
    given_, expected = vector["inputs"], vector["expected"]
    headers, names_signed = given_["headers"], expected["signed_headers"].split(";")
    canonical = sign.v3_canonical_request(
        given_["method"],
        given_["path"],
        given_["params"],
        headers,
        names_signed,
        headers["x-acs-content-sha256"],
    )
    signature = sign.v3_signature(canonical, given_["access_key_secret"])
    assert sign.canonical_query(given_["params"]) == expected["canonical_query_string"]
    assert canonical == expected["canonical_request"]
    assert sign.v3_string_to_sign(canonical) == expected["string_to_sign"]
    assert signature == expected["signature"]
    written = sign.v3_authorization(given_["access_key_id"], names_signed, signature)
    assert written == expected["authorization"]
    assert sign.parse_v3_authorization(written) == sign.V3Authorization(
        given_["access_key_id"], tuple(names_signed), signature
    )


def test_hash_of_the_empty_body_is_the_one_every_request_carries() -> None:
    """The client sends empty bodies only; this is the hash that the documentation prints."""
    assert V3[0]["expected"]["hashed_payload"] == sign.EMPTY_SHA256


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Basic dGVzdA==",
        "acs3-hmac-sha256 Credential=a,SignedHeaders=host,Signature=" + "0" * 64,
        "ACS3-HMAC-SHA256 Credential=a,SignedHeaders=host,Signature=" + "0" * 63,
        "ACS3-HMAC-SHA256 Credential=a,SignedHeaders=host,Signature=" + "A" * 64,
        "ACS3-HMAC-SHA256 Credential=,SignedHeaders=host,Signature=" + "0" * 64,
        "ACS3-HMAC-SHA256 SignedHeaders=host,Credential=a,Signature=" + "0" * 64,
        "ACS3-HMAC-SHA256 Credential=a,SignedHeaders=host,Signature=" + "0" * 64 + " ",
    ],
)
def test_any_other_authorization_header_is_refused(header: str) -> None:
    """A header that is not exactly V3 has no parts, so it can never verify."""
    assert sign.parse_v3_authorization(header) is None


@given(texts, st.sampled_from([1, 40]))
def test_percent_encoding_is_that_of_the_sdk(text: str, times: int) -> None:
    """Space is %20, `*` is %2A, `~` stays, the rest is UTF-8: as the new SDK writes values.

    Long texts go past the memory of the short ones.
    """
    text *= times
    query = Utils.get_authorization.__globals__["get_canonical_query_string"]({"A": text})
    assert query == f"A={sign.percent_encode(text)}"


@given(st.dictionaries(st.sampled_from(["A", "B", "InstanceId.1"]), texts | st.just("i-plain_1.~")))
def test_a_canonical_query_encodes_every_value(params: dict[str, str]) -> None:
    """Queries of plain ids take a faster path, with the same result."""
    encoded = [f"{name}={sign.percent_encode(params[name])}" for name in sorted(params)]
    assert sign.canonical_query(params) == "&".join(encoded)


@given(params_of_a_call, secrets, st.sampled_from(["GET", "POST"]))
def test_v1_agrees_with_both_sdks(params: dict[str, str], secret: str, method: str) -> None:
    """Signatures of the classic SDK verify here from the decoded URL; the Tea signer agrees."""
    sent = {name: text for name, text in params.items() if name != "Signature"}
    url, string_to_sign = get_signed_url(dict(sent), "testid", secret, "JSON", method, {})
    arrived = dict(parse_qsl(url.removeprefix("/?"), keep_blank_values=True))
    assert sign.v1_string_to_sign(method, arrived) == string_to_sign
    assert sign.v1_signature(method, arrived, secret) == arrived["Signature"]
    unsigned = {name: text for name, text in arrived.items() if name != "Signature"}
    assert Utils.get_rpcsignature(unsigned, method, secret) == arrived["Signature"]


@given(params_of_a_call, headers_of_a_call, secrets)
def test_v3_agrees_with_the_sdk(
    params: dict[str, str], headers: dict[str, str], secret: str
) -> None:
    """Signatures of the new SDK verify here."""
    request = _request(params, headers)
    header = Utils.get_authorization(
        request, sign.V3_ALGORITHM, sign.EMPTY_SHA256, "testid", secret
    )
    assert _verifies(header, params, headers, secret)


@given(st.data(), params_of_a_call, headers_of_a_call, secrets)
def test_v3_does_not_survive_a_flipped_bit(
    data: st.DataObject, params: dict[str, str], headers: dict[str, str], secret: str
) -> None:
    """One flipped bit in a parameter, a signed header or the Authorization header is noticed."""
    request = _request(params, headers)
    header = Utils.get_authorization(
        request, sign.V3_ALGORITHM, sign.EMPTY_SHA256, "testid", secret
    )
    place = data.draw(st.sampled_from(["param", "header", "authorization"]))
    if place == "param":
        assume(any(params.values()))
        changed_params = _with_one_flip(data, params)
        assert not _verifies(header, changed_params, headers, secret)
    elif place == "header":
        changed_headers = _with_one_flip(data, headers)
        assume(_trimmed(changed_headers) != _trimmed(headers))
        assert not _verifies(header, params, changed_headers, secret)
    else:
        assert not _verifies(_flip(data, header), params, headers, secret)


@given(st.data(), params_of_a_call, secrets)
def test_v1_does_not_survive_a_flipped_bit(
    data: st.DataObject, params: dict[str, str], secret: str
) -> None:
    """One flipped bit in any parameter, the signature included, is noticed."""
    sent = {name: text for name, text in params.items() if name != "Signature"}
    url, _ = get_signed_url(dict(sent), "testid", secret, "JSON", "POST", {})
    arrived = dict(parse_qsl(url.removeprefix("/?"), keep_blank_values=True))
    changed = _with_one_flip(data, arrived)
    assert sign.v1_signature("POST", changed, secret) != changed["Signature"]


def test_a_signed_header_that_is_missing_spoils_the_signature() -> None:
    """A proxy that drops a signed header must not go unnoticed."""
    headers = {"host": "127.0.0.1:8001", "x-acs-action": "AttachKeyPair"}
    header = Utils.get_authorization(
        _request({}, headers), sign.V3_ALGORITHM, sign.EMPTY_SHA256, "testid", "s"
    )
    assert _verifies(header, {}, headers, "s")
    assert not _verifies(header, {}, {"host": "127.0.0.1:8001"}, "s")


def test_a_lone_surrogate_neither_fails_nor_verifies_as_something_else() -> None:
    """A verifier answers to any request that can be decoded, also to a malicious one."""
    texts_ = [sign.v3_signature(text, "s") for text in ("\ud800", "\udfff", "?")]
    assert len(set(texts_)) == len(texts_)


def _request(params: dict[str, str], headers: dict[str, str]) -> DaraRequest:
    """The SDK's own request object, as its `do_request` fills it."""
    request = DaraRequest()
    request.method, request.pathname = "POST", "/"
    request.query, request.headers = dict(params), dict(headers)
    return request


def _verifies(
    header: str, params: dict[str, str], headers: dict[str, str], secret: str, key: str = "testid"
) -> bool:
    """Verify as a server does, from decoded parts."""
    parsed = sign.parse_v3_authorization(header)
    if parsed is None or parsed.access_key_id != key:
        return False
    canonical = sign.v3_canonical_request(
        "POST", "/", params, headers, parsed.signed_headers, sign.EMPTY_SHA256
    )
    return sign.v3_signature(canonical, secret) == parsed.signature


def _with_one_flip(data: st.DataObject, values: dict[str, str]) -> dict[str, str]:
    """Flip one bit of one value."""
    name = data.draw(st.sampled_from(sorted(name for name, text in values.items() if text)))
    return values | {name: _flip(data, values[name])}


def _flip(data: st.DataObject, text: str) -> str:
    """Flip one of the low seven bits of one character."""
    index = data.draw(st.integers(0, len(text) - 1))
    bit = data.draw(st.integers(0, 6))
    flipped = chr(ord(text[index]) ^ (1 << bit))
    return text[:index] + flipped + text[index + 1 :]


def _trimmed(headers: dict[str, str]) -> dict[str, str]:
    """Blanks around a header's value are not part of it."""
    return {name: value.strip() for name, value in headers.items()}
