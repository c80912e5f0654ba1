"""The gateway against the reference vectors, and against whatever the official SDKs sign."""

import json
from pathlib import Path
from typing import Any

import pytest
from aliyunsdkcore.auth.composer.rpc_signature_composer import get_signed_url
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict
from yarl import URL

from rollout.ecs import wire
from rollout.emulator.cloud.users import Access, User
from rollout.emulator.http.gateway import Gateway, Message
from rollout.emulator.messages import Refusal
from tests.emulator.fixtures import NOW

VECTORS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parent.parent / "data" / "ecs-vectors.json").read_text()
)["vectors"]

names = st.from_regex(r"[A-Z][A-Za-z0-9]{0,12}(\.[1-9])?", fullmatch=True)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def gateway(key_id: str, secret: str) -> Gateway:
    """A gateway that knows one key."""
    return Gateway(Access([User(key_id=key_id, secret=secret)]))


def message(vector: dict[str, Any]) -> Message:
    """The request of a vector, as a server would have it."""
    given_, expected = vector["inputs"], vector["expected"]
    params, headers = dict(given_["params"]), CIMultiDict(given_["headers"])
    if vector["scheme"] == "V1":
        params["Signature"] = expected["signature"]
    else:
        headers["Authorization"] = expected["authorization"]
    return Message(given_["method"], given_["path"], params, headers, b"")


def time_of(vector: dict[str, Any]) -> int:
    """The instant at which a vector was signed."""
    given_ = vector["inputs"]
    text = given_["params"].get("Timestamp") or given_["headers"]["x-acs-date"]
    return wire.parse_iso(text) or 0


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["id"])
def test_every_reference_vector_is_admitted(vector: dict[str, Any]) -> None:
    """Both schemes, in their minute, with their key."""
    given_ = vector["inputs"]
    door = gateway(given_["access_key_id"], given_["access_key_secret"])
    opened = door.open(message(vector))
    request = door.admit(message(vector), opened, time_of(vector))
    assert request.caller == given_["access_key_id"]
    assert request.action in {"AttachKeyPair", "DescribeRegions", "RunInstances"}


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["id"])
def test_no_reference_vector_is_admitted_with_another_secret(vector: dict[str, Any]) -> None:
    """The signature is checked."""
    door = gateway(vector["inputs"]["access_key_id"], "another")
    with pytest.raises(Refusal, match="SignatureDoesNotMatch"):
        door.admit(message(vector), door.open(message(vector)), time_of(vector))


@given(st.dictionaries(names, texts, max_size=8), st.data())
def test_what_the_classic_sdk_signs_is_admitted_until_a_bit_flips(
    params: dict[str, str], data: st.DataObject
) -> None:
    """Any parameters, decoded by the HTTP library from the SDK's own URL; then one bit less."""
    sent = {
        "Action": "DescribeRegions",
        "Version": "2014-05-26",
        "Timestamp": wire.iso_seconds(NOW),
        **{n: t for n, t in params.items() if n not in {"Signature", "Timestamp", "Action"}},
    }
    url, _ = get_signed_url(sent, "testid", "testsecret", "JSON", "POST", {})
    arrived = dict(URL(url, encoded=True).query)
    arrived["Timestamp"] = arrived.get("Timestamp", "")
    door = gateway("testid", "testsecret")
    opened = door.open(Message("POST", "/", arrived, CIMultiDict(), b""))
    stamp = wire.parse_iso(arrived["Timestamp"]) or 0
    door.admit(Message("POST", "/", arrived, CIMultiDict(), b""), opened, stamp)
    name = data.draw(st.sampled_from(sorted(n for n, text in arrived.items() if text)))
    text = arrived[name]
    at = data.draw(st.integers(0, len(text) - 1))
    changed = {**arrived, name: text[:at] + chr(ord(text[at]) ^ 1) + text[at + 1 :]}
    flipped = Message("POST", "/", changed, CIMultiDict(), b"")
    door = gateway("testid", "testsecret")
    with pytest.raises(Refusal):
        door.admit(flipped, door.open(flipped), stamp)
