"""Convert a reply to outcomes: of the call and of each of its instances.

Called by the client and by the simulator, so that both judge in the same way. Pure: it sends
nothing and knows no run. `Refused` proves that nothing happened and needs a whole API error (code
and request id); a reply that proves nothing is `Unknown`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final, Literal, assert_never

import msgspec

from rollout.ecs import contract, wire
from rollout.model.outcome import Answer, Done, Outcome, Refused, RetryClass, Unknown
from rollout.model.time import HOUR, Instant

PROXY: Final = "proxy_or_gateway"
"""`why` of a reply that is not from the API: an HTML page, a truncated or empty body."""
REDIRECT: Final = "redirect"
UNPROVEN: Final = "accepted_unproven"
"""`why` of an accepted call whose reply names no instance (old edition): observe each id."""
MISSING: Final = "missing_in_results"
CONTRADICTORY: Final = "contradictory_results"
NONCE_USED: Final = "SignatureNonceUsed"

ANOMALY_EXTRA: Final = "extra_item"
ANOMALY_DOUBLED: Final = "doubled_item"
ANOMALY_NONCE: Final = "nonce_used"
ANOMALY_CONTRADICTORY: Final = "contradictory_item"

RETRY_AFTER_MS_MAX: Final = 60_000
"""Longer waits are ignored, because buckets are refilled each minute."""
API_TIME_AHEAD_MS_MAX: Final = 24 * HOUR
"""A `Date` further ahead of us than this is not used as evidence."""

_MESSAGE_CHARS_MAX = 200
_REQUEST_ID_CHARS_MAX = 64

_CLASSES: Final[Mapping[contract.ErrorClass, RetryClass]] = {
    contract.ErrorClass.THROTTLED: RetryClass.THROTTLED,
    contract.ErrorClass.STATE_RACE: RetryClass.STATE,
    contract.ErrorClass.AUTH: RetryClass.DENIED,
    contract.ErrorClass.SIGNATURE: RetryClass.DENIED,
    contract.ErrorClass.CLOCK: RetryClass.CLOCK,
    contract.ErrorClass.NOT_FOUND: RetryClass.KEY_PAIR,
    contract.ErrorClass.INSTANCE_NOT_FOUND: RetryClass.GONE,
    contract.ErrorClass.INPUT: RetryClass.INPUT,
    contract.ErrorClass.FACT: RetryClass.FACT,
    contract.ErrorClass.DRY_RUN_PASSED: RetryClass.ODD,
    contract.ErrorClass.UNKNOWN_CODE: RetryClass.ODD,
}
"""Without TRANSIENT and NONCE, which are not refusals."""


class Item(msgspec.Struct, frozen=True, gc=False):
    """One row of `Results` or `InstanceResponses`, typed as loosely as the service types it."""

    id: str = msgspec.field(name="InstanceId")
    code: str | int | None = msgspec.field(name="Code", default=None)
    success: bool | str | None = msgspec.field(name="Success", default=None)
    message: str | None = msgspec.field(name="Message", default=None)


class _Results(msgspec.Struct, frozen=True, gc=False):
    rows: list[Item] = msgspec.field(name="Result")


class _Responses(msgspec.Struct, frozen=True, gc=False):
    rows: list[Item] = msgspec.field(name="InstanceResponse")


class _Good(msgspec.Struct, frozen=True, gc=False):
    """One row of the usual reply: success, in the documented spelling."""

    id: str = msgspec.field(name="InstanceId")
    code: Literal["200"] = msgspec.field(name="Code")
    success: bool = msgspec.field(name="Success")


class _GoodResults(msgspec.Struct, frozen=True, gc=False):
    rows: list[_Good] = msgspec.field(name="Result")


class _GoodResponses(msgspec.Struct, frozen=True, gc=False):
    rows: list[_Good] = msgspec.field(name="InstanceResponse")


class _AllGood(msgspec.Struct, frozen=True, gc=False):
    """The usual body of a mutation of many: all rows succeeded. Only the ids are decoded, since
    nearly every reply is of this kind.
    """

    request_id: str = msgspec.field(name="RequestId")
    results: _GoodResults | None = msgspec.field(name="Results", default=None)
    responses: _GoodResponses | None = msgspec.field(name="InstanceResponses", default=None)


class _Accepted(msgspec.Struct, frozen=True, gc=False):
    """The body of a mutation that was processed, in the documented spelling."""

    request_id: str = msgspec.field(name="RequestId")
    results: _Results | None = msgspec.field(name="Results", default=None)
    responses: _Responses | None = msgspec.field(name="InstanceResponses", default=None)


_ACCEPTED = msgspec.json.Decoder(_Accepted)
_ALL_GOOD = msgspec.json.Decoder(_AllGood)


class JudgedReply(msgspec.Struct, frozen=True):
    """A reply, judged once: the caller, the verdict and the readers share it.

    `failure` is the meaning of a reply whose status is not 2xx, None for the others. `date` is the
    service's own time of the reply, believable or not, and `api_time` the same where it may be used
    as evidence, else 0. `trace` is the request id that the gateway puts in a header. `left_at` is
    when the request left, by our clock; 0 if unknown.
    """

    body: bytes
    failure: Refused | Unknown | None
    date: Instant | None
    api_time: Instant
    trace: str
    left_at: Instant = 0


def received(reply: wire.HttpReply, now: Instant, left_at: Instant = 0) -> JudgedReply:
    """Judge a reply that came at `now`, by our clock. The code decides, never the status
    alone.
    """
    date = _http_date(reply.headers.get("date", ""))
    at = date or 0
    if at > now + API_TIME_AHEAD_MS_MAX:
        at = 0
    trace = _printable(reply.headers.get("x-acs-request-id"))
    failure = None if 200 <= reply.status < 300 else _failure(reply, at, trace)
    return JudgedReply(reply.body, failure, date, at, trace, left_at)


def answer(action: str, ids: Sequence[str], reply: JudgedReply) -> Answer:
    """Judge the reply to a mutating action that named `ids` (none for ImportKeyPair).

    Source: docs/safety.md, "What a reply proves".
    """
    if reply.failure is not None:
        return _failed(reply.failure)
    at = reply.api_time
    request_id = _all_good(ids, reply.body)
    if request_id:
        return Answer(Done(request_id, at))
    try:
        request_id, rows = _accepted(reply.body)
    except wire.MalformedError:
        return Answer(Unknown(PROXY, reply.trace, at))
    request_id = request_id or reply.trace
    if rows is None:
        return Answer(_without_rows(action, request_id, at))
    return _per_instance(ids, rows, request_id, at)


def error_fields(body: bytes) -> tuple[str, str, str]:
    """Return code, message and request id of an API document; empty where it has none."""
    try:
        document = wire.decode(body)
    except wire.MalformedError:
        return "", "", ""
    code, message, request_id = (document.get(name) for name in ("code", "message", "requestid"))
    return _printable(code), _printable(message, _MESSAGE_CHARS_MAX), _printable(request_id)


def retry_after_ms(reply: wire.HttpReply) -> int:
    """`x-acs-retry-after` in milliseconds, clamped; 0 where it is absent or unreadable."""
    text = reply.headers.get(contract.RETRY_AFTER_HEADER, "").strip()
    if not (text.isascii() and text.isdecimal()):
        return 0
    return min(int(text[:12]), RETRY_AFTER_MS_MAX)


def _failure(reply: wire.HttpReply, at: Instant, trace: str) -> Refused | Unknown:
    """Judge a reply whose status is not 2xx."""
    if 300 <= reply.status < 400:
        return Unknown(REDIRECT, trace, at)
    code, message, request_id = error_fields(reply.body)
    if not code or not request_id:  # no whole API error
        why = PROXY if reply.status < 500 else f"http_{reply.status}"
        return Unknown(why, trace, at)
    return _judged(code, message, request_id, at, retry_after_ms(reply), status=reply.status)


def _judged(
    code: str, message: str, request_id: str, at: Instant, wait_ms: int, *, status: int
) -> Refused | Unknown:
    """Judge one parsed API error, of a call or of one row."""
    kind = contract.error_class(code)
    if kind is contract.ErrorClass.THROTTLED:
        return Refused(code, RetryClass.THROTTLED, message, request_id, at, wait_ms)
    if status >= 500 or kind in {contract.ErrorClass.TRANSIENT, contract.ErrorClass.NONCE}:
        return Unknown(code, request_id, at, message)
    if kind is contract.ErrorClass.SIGNATURE:
        message = "the signature does not match"  # the text repeats the request, token included
    return Refused(code, _CLASSES[kind], message, request_id, at)


def _failed(outcome: Refused | Unknown) -> Answer:
    """Return the answer for the whole call; a used nonce means that a copy was sent before."""
    hidden_resend = isinstance(outcome, Unknown) and outcome.why == NONCE_USED
    return Answer(outcome, anomalies=(ANOMALY_NONCE,) if hidden_resend else ())


def _all_good(ids: Sequence[str], body: bytes) -> str:
    """Return the request id of the usual reply to a call of many: each id once, in the order of
    the call, all succeeded. Empty for every other reply.
    """
    if len(ids) == 1:
        return ""
    try:
        usual = _ALL_GOOD.decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return ""
    parent = usual.results or usual.responses
    if parent is None or [row.id for row in parent.rows if row.success] != list(ids):
        return ""
    return _printable(usual.request_id) if len(parent.rows) == len(ids) else ""


def _accepted(body: bytes) -> tuple[str, list[Item] | None]:
    """Return request id and rows of a 2xx body; None for the rows if it has no list of them.

    Errors: MalformedError if it is not a reply of the API, or contains an error.
    """
    try:
        known = _ACCEPTED.decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return _tolerated(wire.decode(body))
    parent = known.results or known.responses
    return (
        _tolerated(wire.decode(body))
        if parent is None
        else (_printable(known.request_id), parent.rows)
    )


def _tolerated(document: Mapping[str, object]) -> tuple[str, list[Item] | None]:
    """Read the same from XML, other spelling, numbers as text, nulls."""
    request_id = _printable(document.get("requestid"))
    for plural, singular in (("results", "result"), ("instanceresponses", "instanceresponse")):
        if document.get(plural) is not None:
            rows = wire.items(document[plural], singular)
            return request_id, [_item(row) for row in rows]
    if document.get("code") is not None:
        raise wire.MalformedError("an error under a 2xx status")
    return request_id, None


def _item(row: object) -> Item:
    """Read one row; a row without an id makes the reply malformed."""
    if not isinstance(row, Mapping) or not isinstance(row.get("instanceid"), str):
        raise wire.MalformedError("a row without an id")
    code, success = row.get("code"), row.get("success")
    return Item(
        row["instanceid"],
        code if isinstance(code, str | int) else None,
        success if isinstance(success, str | bool) else None,
        _printable(row.get("message")),
    )


def _without_rows(action: str, request_id: str, at: Instant) -> Outcome:
    """Judge a reply with only a request id: complete for one id, not for many."""
    if not request_id:
        return Unknown(PROXY, "", at)
    many = contract.ACTIONS[action].ids in {contract.Ids.JSON_ARRAY, contract.Ids.NUMBERED}
    return Unknown(UNPROVEN, request_id, at) if many else Done(request_id, at)


def _per_instance(ids: Sequence[str], rows: Sequence[Item], request_id: str, at: Instant) -> Answer:
    """Give each id its own row's outcome; rows take precedence over status and `FailCount`."""
    done = Done(request_id, at)
    found: dict[str, Outcome] = {}
    anomalies: list[str] = []
    requested = set(ids)
    for row in rows:
        outcome = _of_row(row, done)
        if row.id not in requested:
            anomalies.append(f"{ANOMALY_EXTRA}: {_printable(row.id)}")
        elif row.id in found:
            anomalies.append(f"{ANOMALY_DOUBLED}: {row.id}")
            if found[row.id] != outcome:
                found[row.id] = Unknown(CONTRADICTORY, request_id, at)
        else:
            found[row.id] = outcome
            if isinstance(outcome, Unknown) and outcome.why == CONTRADICTORY:
                anomalies.append(f"{ANOMALY_CONTRADICTORY}: {row.id}")
    missing = Unknown(MISSING, request_id, at)
    items = {id_: outcome for id_ in ids if (outcome := found.get(id_, missing)) is not done}
    return Answer(done, items, tuple(anomalies))


def _of_row(row: Item, done: Done) -> Outcome:
    """Judge one row. Code and `Success` must agree; a row with neither proves nothing."""
    code = "200" if row.code in {"200", 200} else _printable(str(row.code or ""))
    success = wire.parse_bool(row.success) if isinstance(row.success, str) else row.success
    match success, code:
        case (True | None, "200") | (True, ""):
            return done
        case (False | None, _) if code not in {"", "200"}:
            return _row_refused(code, row.message, done)
        case True | False | None, _:
            return Unknown(CONTRADICTORY, done.request_id, done.api_time)
        case never:
            assert_never(never)


def _row_refused(code: str, message: object, done: Done) -> Outcome:
    """Judge the error of one row. A wrong parameter of the request would refuse the whole call, so
    such a code is about this instance.
    """
    text = _printable(message, _MESSAGE_CHARS_MAX)
    judged = _judged(code, text, done.request_id, done.api_time, 0, status=200)
    if isinstance(judged, Refused) and judged.retry is RetryClass.INPUT:
        return msgspec.structs.replace(judged, retry=RetryClass.ODD)
    return judged


def _printable(value: object, chars_max: int = _REQUEST_ID_CHARS_MAX) -> str:
    """Return a text as one bounded, printable line; empty for any other value."""
    if not isinstance(value, str):
        return ""
    text = value[:chars_max]
    if not text.isprintable():
        text = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(text.split())


@lru_cache(maxsize=256)
def _http_date(text: str) -> int | None:
    """Parse a `Date` header; all replies of one second share the text."""
    return wire.parse_http_date(text)
