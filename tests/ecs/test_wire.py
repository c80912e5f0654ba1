"""The wire formats: round trips, and refusal of hostile documents."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.ecs import wire

names = st.from_regex(r"[A-Z][A-Za-z0-9]{0,8}", fullmatch=True)
xml_texts = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), max_size=12
)
scalars = st.one_of(xml_texts, st.booleans(), st.integers(-(10**9), 10**9))


@pytest.mark.parametrize(
    "text, pairs",
    [
        ("", {}),
        ("A=1&B=2", {"A": "1", "B": "2"}),
        ("SignatureType=&A=1", {"SignatureType": "", "A": "1"}),
        ("A", {"A": ""}),
        ("A=a+b%2Bc%20d", {"A": "a b+c d"}),
        ("A=1&A=2", {"A": "2"}),
        ("A=%E4%B8%AD&B=%zz", {"A": "中", "B": "%zz"}),
        ("A=x=y", {"A": "x=y"}),
    ],
)
def test_pairs_follow_the_rules_of_forms(text: str, pairs: dict[str, str]) -> None:
    """Plus is a space and blank values stay: the classic SDKs sign an empty SignatureType."""
    assert wire.parse_pairs(text) == pairs


def test_numbered_parameters_come_in_numeric_order() -> None:
    """`InstanceId.10` follows `InstanceId.9`; nested and other names are ignored."""
    params = {
        "InstanceId.10": "j",
        "InstanceId.2": "b",
        "InstanceId.1": "a",
        "InstanceId": "x",
        "InstanceId.one": "x",
        "InstanceId.1.Key": "x",
        "OtherId.1": "x",
        "InstanceId.²": "x",
    }
    assert wire.numbered(params, "InstanceId") == ["a", "b", "j"]


@pytest.mark.parametrize(
    "text, ids",
    [
        ('["i-1","i-2"]', ["i-1", "i-2"]),
        ('[ "i-1" , "i-2" ]\n', ["i-1", "i-2"]),
        ("[]", []),
        ("", None),
        ("i-1", None),
        ('"i-1"', None),
        ("[1]", None),
        ('["i-1"', None),
        ('["i-1"] x', None),
        ('{"0":"i-1"}', None),
        ('["\ud800"]', None),
    ],
)
def test_json_array_reads_arrays_of_texts_only(text: str, ids: list[str] | None) -> None:
    """White space is fine, everything that is no array of texts is not."""
    assert wire.json_array(text) == ids


@pytest.mark.parametrize(
    "text, value",
    [("True", True), ("true", True), ("FALSE", False), ("", None), ("1", None), ("yes", None)],
)
def test_booleans_are_read_in_any_case(text: str, value: object) -> None:
    """The Python SDKs send `True`, the others `true`."""
    assert wire.parse_bool(text) is value


def test_json_is_compact_and_keeps_its_order() -> None:
    """Bodies have the form of the gateway: no spaces, fields in the given order."""
    body = {"RequestId": "A", "FailCount": 0, "Ok": True, "List": {"Item": []}}
    assert wire.encode_json(body) == b'{"RequestId":"A","FailCount":0,"Ok":true,"List":{"Item":[]}}'


def test_xml_has_declaration_root_and_repeated_singulars() -> None:
    """The form of every documented XML reply, typed by hand."""
    body: dict[str, object] = {
        "RequestId": "R",
        "Results": {"Result": [{"InstanceId": "i-1", "Success": True}, {"InstanceId": "i-2"}]},
        "Locks": {"LockReason": []},
        "Note": "a < b & c",
        "Nothing": None,
    }
    assert wire.encode_xml("AttachKeyPairResponse", body).decode() == (
        '<?xml version="1.0" encoding="UTF-8"?>'
        "<AttachKeyPairResponse><RequestId>R</RequestId>"
        "<Results><Result><InstanceId>i-1</InstanceId><Success>true</Success></Result>"
        "<Result><InstanceId>i-2</InstanceId></Result></Results>"
        "<Locks></Locks><Note>a &lt; b &amp; c</Note><Nothing></Nothing></AttachKeyPairResponse>"
    )


@given(
    st.recursive(
        st.dictionaries(names, scalars, min_size=1, max_size=4),
        lambda inner: st.dictionaries(
            names, st.one_of(scalars, inner, st.lists(inner, min_size=2)), min_size=1, max_size=3
        ),
        max_leaves=8,
    )
)
def test_xml_comes_back_as_it_went(body: dict[str, Any]) -> None:
    """Decoding inverts encoding, with scalars as text."""
    root, back = wire.decode_xml(wire.encode_xml("XResponse", body))
    assert (root, back) == ("XResponse", _as_text(body))


def test_characters_that_xml_cannot_carry_are_replaced() -> None:
    """A control character in a name must not make the whole reply unreadable."""
    _, back = wire.decode_xml(wire.encode_xml("R", {"Name": "a\x00b\x1bc\ud800"}))
    assert back == {"Name": "a\ufffdb\ufffdc\ufffd"}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not xml",
        b"<a><b></a>",
        b"<a/>trailing",
        b'<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>',
        b'<!DOCTYPE a SYSTEM "http://example.invalid/a.dtd"><a/>',
        b"<a>&undefined;</a>",
        b'<?xml version="1.0" encoding="no-such-encoding"?><a/>',
        b"<a>\xff\xfe</a>",
        b"<a>" * 80 + b"</a>" * 80,
        b"<a>" * 100_000,
    ],
)
def test_hostile_or_broken_xml_is_malformed(data: bytes) -> None:
    """DTD, entities, depth and rubbish end in one error that quotes nothing."""
    with pytest.raises(wire.MalformedError) as raised:
        wire.decode_xml(data)
    assert raised.value.__cause__ is None


@pytest.mark.parametrize(
    "parent, found",
    [
        ({"Result": [{"A": 1}, {"A": 2}]}, [{"A": 1}, {"A": 2}]),
        ({"Result": {"A": "1"}}, [{"A": "1"}]),
        ({"Result": []}, []),
        ({"Result": None}, []),
        ({}, []),
        ("", []),
        (None, []),
    ],
)
def test_lists_are_equal_from_json_and_xml(parent: object, found: list[object]) -> None:
    """In XML a list of one is the same as a child, and an empty list is an empty text."""
    assert wire.items(parent, "Result") == found


@pytest.mark.parametrize("parent", ["text", 5, [1]])
def test_what_is_no_list_is_malformed(parent: object) -> None:
    """A wrong type is not taken for an empty list."""
    with pytest.raises(wire.MalformedError):
        wire.items(parent, "Result")


@pytest.mark.parametrize(
    "text, ms",
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2026-01-02T03:04:05Z", 1_767_323_045_000),
        ("2026-01-02T03:04Z", 1_767_323_040_000),
        ("2026-01-02T03:04:05.1234567Z", 1_767_323_045_123),
        ("2016-12-31T23:59:60Z", 1_483_228_800_000),
        ("2026-02-30T00:00:00Z", None),
        ("2026-01-02T03:04:61Z", None),
        ("2026-01-02 03:04:05", None),
        ("2026-01-02T03:04:05+08:00", None),
        ("٢٠٢٦-01-02T03:04Z", None),
        ("", None),
    ],
)
def test_instants_are_read_in_both_precisions(text: str, ms: int | None) -> None:
    """Seconds and minutes in UTC are instants, everything else is unreadable."""
    assert wire.parse_iso(text) == ms


@given(st.integers(0, 4_102_444_800_000))
def test_instants_come_back(ms: int) -> None:
    """Written in seconds or minutes, an instant comes back rounded down to that unit."""
    assert wire.parse_iso(wire.iso_seconds(ms)) == ms // 1000 * 1000
    assert wire.parse_iso(wire.iso_minutes(ms)) == ms // 60_000 * 60_000


@pytest.mark.parametrize(
    "text, ms",
    [
        ("Fri, 02 Jan 2026 03:04:05 GMT", 1_767_323_045_000),
        (" Fri, 02 Jan 2026 03:04:05 GMT ", 1_767_323_045_000),
        ("Fri, 02 Foo 2026 03:04:05 GMT", None),
        ("Fri, 02 Jan 2026 03:04:05 CST", None),
        ("2026-01-02T03:04:05Z", None),
        ("", None),
    ],
)
def test_http_dates_are_read_or_not_used(text: str, ms: int | None) -> None:
    """An unreadable `Date` is no evidence of anything."""
    assert wire.parse_http_date(text) == ms


def test_http_dates_are_spelt_as_the_gateway_does() -> None:
    """IMF-fixdate, rounded down to the second."""
    assert wire.http_date(1_767_323_045_999) == "Fri, 02 Jan 2026 03:04:05 GMT"


@given(st.integers(0, 4_102_444_800_000))
def test_http_dates_come_back(ms: int) -> None:
    """A `Date` is read back to the second."""
    assert wire.parse_http_date(wire.http_date(ms)) == ms // 1000 * 1000


def test_encoded_json_is_json() -> None:
    """The standard library reads what msgspec writes, non-ASCII included."""
    assert json.loads(wire.encode_json({"名": ["é", None, 1]})) == {"名": ["é", None, 1]}


def _as_text(value: object) -> object:
    """A value after XML: scalars as text."""
    if isinstance(value, dict):
        return {key: _as_text(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_as_text(inner) for inner in value]
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
