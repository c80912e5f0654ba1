"""The verdict on a batch of fifty: each instance has its own, in any spelling and any order."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.ecs import verdict, wire
from rollout.model.outcome import Answer, Done, Refused, RetryClass, Unknown
from rollout.model.time import Instant

NOW: Instant = 1_767_323_045_000
DATE = {"date": "Fri, 02 Jan 2026 03:04:05 GMT"}
IDS = tuple(f"i-{n:02}" for n in range(50))
REFUSED, MISSING, DOUBLED, EXTRA = "i-10", "i-20", "i-30", "i-99"
WINDOWS = "DependencyViolation.WindowsInstance"
DONE = Done("R-1", NOW)

Fields = dict[str, object]


def good(id_: str) -> Fields:
    """A row of success as the service documents it."""
    return {"InstanceId": id_, "Code": "200", "Success": True, "Message": "successful"}


def fifty() -> list[Fields]:
    """Rows of which one is refused, one missing, one doubled and one too many."""
    rows = [good(id_) for id_ in IDS if id_ not in {REFUSED, MISSING}]
    bad = {"InstanceId": REFUSED, "Code": WINDOWS, "Success": False, "Message": " for\nWindows "}
    return [*rows, bad, good(DOUBLED), good(EXTRA)]


def body_of(rows: list[Fields]) -> Fields:
    """A body of AttachKeyPair."""
    return {"RequestId": "R-1", "TotalCount": 50, "Results": {"Result": rows}}


def judged(body: bytes, status: int = 200, **headers: str) -> Answer:
    """The verdict on an attach of all fifty."""
    reply = wire.HttpReply(status, DATE | headers, body)
    return verdict.answer("AttachKeyPair", IDS, verdict.received(reply, NOW))


EXPECTED = Answer(
    DONE,
    {
        REFUSED: Refused(WINDOWS, RetryClass.FACT, "for Windows", "R-1", NOW),
        MISSING: Unknown("missing_in_results", "R-1", NOW),
    },
    (f"doubled_item: {DOUBLED}", f"extra_item: {EXTRA}"),
)


def test_each_instance_has_its_own_outcome() -> None:
    """Of fifty: forty-six rows that went well, one refused, one missing, one doubled, one extra."""
    assert judged(wire.encode_json(body_of(fifty()))) == EXPECTED


def test_xml_where_json_was_asked_says_the_same() -> None:
    """The default format of the gateway is read too."""
    assert judged(wire.encode_xml("AttachKeyPairResponse", body_of(fifty()))) == EXPECTED


def _as_texts(row: Fields) -> Fields:
    return {name: str(value) for name, value in row.items()}


def _in_lower_case(row: Fields) -> Fields:
    return {name.lower(): value for name, value in row.items()}


def _with_numbers(row: Fields) -> Fields:
    return row | ({"Code": 200} if row["Code"] == "200" else {})


def _with_more(row: Fields) -> Fields:
    return row | {"New": [{"a": None}], "Success": row["Success"] or None}


@pytest.mark.parametrize("spell", [_as_texts, _in_lower_case, _with_numbers, _with_more])
def test_drift_of_the_schema_changes_no_verdict(spell: Callable[[Fields], Fields]) -> None:
    """Texts for booleans, numbers for texts, another case, unknown fields, nulls."""
    rows = [spell(row) for row in fifty()]
    assert judged(json.dumps(body_of(rows)).encode()) == EXPECTED


@given(st.permutations(fifty()))
def test_the_order_of_rows_changes_no_verdict(rows: list[Fields]) -> None:
    """Rows are identified by id, not by position."""
    answer = judged(wire.encode_json(body_of(rows)))
    assert (answer.outcome, answer.items) == (EXPECTED.outcome, EXPECTED.items)
    assert sorted(answer.anomalies) == sorted(EXPECTED.anomalies)


@given(st.lists(st.sampled_from(IDS[:3]), max_size=6), st.integers(0, 6), st.booleans())
def test_no_id_is_called_done_without_a_row_that_says_so(
    named: list[str], bad_at: int, success: object
) -> None:
    """Whatever rows come: done needs a good row of one's own and no other that contradicts it."""
    rows = [good(id_) for id_ in named]
    for row in rows[bad_at : bad_at + 1]:
        row |= {"Code": WINDOWS, "Success": success}
    answer = judged(wire.encode_json(body_of(rows)))
    for id_ in IDS:
        mine = [row for row in rows if row["InstanceId"] == id_]
        done = bool(mine) and all(row["Code"] == "200" for row in mine)
        assert (answer.items.get(id_, answer.outcome) == DONE) is done


@pytest.mark.parametrize(
    "body",
    [{"RequestId": "R-1"}, {"RequestId": "R-1", "Results": None}, {"requestid": "R-1", "X": {}}],
)
def test_success_without_results_is_accepted_and_unproven(body: Fields) -> None:
    """The old edition confirms the call only: every id must be observed."""
    answer = judged(wire.encode_json(body))
    assert answer == Answer(Unknown("accepted_unproven", "R-1", NOW))


def test_an_empty_list_is_no_success() -> None:
    """A list of results without ids leaves every instance unknown."""
    answer = judged(wire.encode_json(body_of([])))
    assert set(answer.items) == set(IDS)
    assert all(isinstance(outcome, Unknown) for outcome in answer.items.values())


@pytest.mark.parametrize(
    "text, wait_ms",
    [("0", 0), ("1", 1), (" 250 ", 250), ("60001", 60_000), ("9" * 400, 60_000)]
    + [(text, 0) for text in ("", "-1", "+1", "1.5", "1e3", "٣", "²", "10s", "\x00")],
)
def test_retry_after_is_clamped(text: str, wait_ms: int) -> None:
    """Milliseconds between nothing and a minute, whatever stands there."""
    reply = wire.HttpReply(429, {"x-acs-retry-after": text}, b"")
    assert verdict.retry_after_ms(reply) == wait_ms


@given(st.binary(max_size=400), st.sampled_from([200, 204, 302, 400, 403, 404, 429, 500, 503]))
def test_no_bytes_are_ever_taken_for_a_success_or_a_refusal(body: bytes, status: int) -> None:
    """Noise under any status is unknown, and nothing raises."""
    answer = judged(body, status)
    assert isinstance(answer.outcome, Unknown)
    assert not answer.items


@given(st.integers(0, 2000))
def test_a_reply_cut_anywhere_is_unknown(at: int) -> None:
    """No beginning of a good reply is a reply."""
    body = wire.encode_json(body_of(fifty()))
    answer = judged(body[: min(at, len(body) - 1)])
    assert isinstance(answer.outcome, Unknown)


def test_the_text_of_a_wrong_signature_is_not_kept() -> None:
    """It repeats the canonical request, token included."""
    error = {"RequestId": "R-1", "Code": "SignatureDoesNotMatch", "Message": "token-canary"}
    answer = judged(wire.encode_json(error), 400)
    assert isinstance(answer.outcome, Refused)
    assert "canary" not in repr(answer)


def test_a_reply_that_nobody_wrote_keeps_the_trace_of_the_gateway() -> None:
    """The request id of the header is kept for questions to the provider."""
    reply = wire.HttpReply(502, DATE | {"x-acs-request-id": "R-9"}, b"<html>")
    answer = verdict.answer("AttachKeyPair", IDS, verdict.received(reply, NOW))
    assert answer == Answer(Unknown("http_502", "R-9", NOW))


def test_a_header_of_any_bytes_can_be_shown_and_stored() -> None:
    """Bytes that are not ASCII arrive as lone surrogates, which the journal refuses."""
    reply = wire.HttpReply(502, DATE | {"x-acs-request-id": "\udcffR\x1b[2J" + "x" * 99}, b"")
    outcome = verdict.answer("AttachKeyPair", IDS, verdict.received(reply, NOW)).outcome
    assert isinstance(outcome, Unknown) and len(outcome.request_id) <= 64
    assert outcome.request_id.isprintable() and "R" in outcome.request_id
    assert outcome.request_id.encode()


def test_what_the_service_writes_can_be_shown_and_stored() -> None:
    """Codes, messages and foreign ids reach terminals and journals: short, and nothing acts."""
    rows = [good(id_) for id_ in IDS[1:]]
    wild = "\x1b[2J\u202e" + "x" * 5000
    rows += [{"InstanceId": IDS[0], "Code": wild, "Success": False, "Message": wild}, good(wild)]
    answer = judged(wire.encode_json(body_of(rows)))
    refused = answer.items[IDS[0]]
    assert isinstance(refused, Refused)
    for text in (refused.code, refused.message, *answer.anomalies):
        assert text.isprintable() and len(text) <= 200
    error = {"RequestId": wild, "Code": wild, "Message": wild}
    whole = judged(wire.encode_json(error), 400).outcome
    assert isinstance(whole, Refused)
    assert (whole.code + whole.message + whole.request_id).isprintable()
