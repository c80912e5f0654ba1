"""The short way through a reply whose rows all went well must never hide a row that did not."""

import json

import pytest

from rollout.ecs import verdict
from rollout.ecs.wire import HttpReply
from rollout.model.outcome import Answer, Done, Refused, RetryClass, Unknown

IDS = ("i-a", "i-b")
GOOD = [{"InstanceId": one, "Success": True, "Code": "200"} for one in IDS]
BAD = {"InstanceId": "i-b", "Success": False, "Code": "InvalidInstance.NotFound"}


def judged(rows: list[dict[str, object]]) -> Answer:
    """The verdict on an attach of two ids that was answered with these rows."""
    body = json.dumps({"RequestId": "R-1", "Results": {"Result": rows}}).encode()
    return verdict.answer("AttachKeyPair", IDS, verdict.received(HttpReply(200, {}, body), 0))


def test_all_rows_well_is_one_outcome_for_all() -> None:
    """Every id once, in order, each a success: no exceptions and no anomalies."""
    assert judged(list(GOOD)) == Answer(Done("R-1", 0))


@pytest.mark.parametrize(
    "rows",
    [[*GOOD, BAD], [GOOD[0], BAD, GOOD[1]], [BAD, *GOOD]],
    ids=["behind", "between", "before"],
)
def test_a_failed_row_among_good_ones_is_detected(rows: list[dict[str, object]]) -> None:
    """A second row that contradicts the good one leaves that instance in doubt, wherever it is."""
    found = judged(rows)
    assert isinstance(found.items["i-b"], Unknown)
    assert found.anomalies


def test_rows_out_of_order_and_missing_rows_take_the_long_way() -> None:
    """Another order changes nothing; a missing row is unknown; a failed row is refused."""
    assert judged(GOOD[::-1]) == Answer(Done("R-1", 0))
    assert isinstance(judged(GOOD[:1]).items["i-b"], Unknown)
    assert isinstance(judged([GOOD[0], BAD]).items["i-b"], Refused)


@pytest.mark.parametrize(
    "code, retry",
    [
        ("InvalidInstanceType.ValueNotSupported", RetryClass.ODD),
        ("InvalidInstanceIds.ValueNotSupported", RetryClass.STATE),
        ("DependencyViolation.WindowsInstance", RetryClass.FACT),
        ("Forbidden.RAM", RetryClass.DENIED),
    ],
)
def test_the_refusal_of_a_row_is_about_its_instance(code: str, retry: RetryClass) -> None:
    """A code of a wrong parameter in one row does not mean that the request is wrong, which would
    stop the run.
    """
    refused = judged([GOOD[0], {**BAD, "Code": code}]).items["i-b"]
    assert isinstance(refused, Refused) and refused.retry is retry
