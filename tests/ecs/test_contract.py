"""The contract table: complete in itself, and true to what the API reference prints."""

from pathlib import Path

import pytest

from rollout.ecs import contract
from rollout.ecs.contract import Edition, Ids, Kind, RetryClass


def test_ids_of_an_action_agree_with_its_parameters() -> None:
    """The id encoding and limit of an action are those of its id parameter."""
    names = {
        Ids.ONE: ("InstanceId", Kind.TEXT),
        Ids.NUMBERED: ("InstanceId", Kind.NUMBERED),
        Ids.JSON_ARRAY: ("InstanceIds", Kind.JSON_ARRAY),
    }
    for action in contract.ACTIONS.values():
        if action.ids is Ids.NONE:
            continue
        name, kind = names[action.ids]
        param = next(p for p in action.params if p.name == name)
        assert param.kind is kind
        assert action.ids_max == (param.items_max or 1)


def test_every_documented_code_has_a_retry_class() -> None:
    """No documented error is left to chance: each code has a class of its own."""
    for action in contract.ACTIONS.values():
        for row in action.errors:
            assert contract.retry_class(row.code) is not RetryClass.UNKNOWN_CODE, row.code


@pytest.mark.parametrize(
    "code, known",
    [
        ("Throttling", RetryClass.THROTTLED),
        ("Throttling.User", RetryClass.THROTTLED),
        ("Rejected.Throttling", RetryClass.THROTTLED),
        ("ThrottlingOdd", RetryClass.UNKNOWN_CODE),
        ("InternalError", RetryClass.TRANSIENT),
        ("UnknownError", RetryClass.TRANSIENT),
        ("ServiceUnavailable.RegionMaintaining", RetryClass.TRANSIENT),
        ("IncorrectInstanceStatus", RetryClass.STATE_RACE),
        ("InvalidOperation.Conflict", RetryClass.STATE_RACE),
        ("Forbidden.RAM", RetryClass.AUTH),
        ("InvalidSecurityToken.Expired", RetryClass.AUTH),
        ("SignatureDoesNotMatch", RetryClass.SIGNATURE),
        ("InvalidTimeStamp.Expired", RetryClass.CLOCK),
        ("SignatureNonceUsed", RetryClass.NONCE),
        ("InvalidKeyPairName.NotFound", RetryClass.NOT_FOUND),
        ("InvalidRegionId.NotFound", RetryClass.NOT_FOUND),
        ("InvalidInstanceId.NotFound", RetryClass.INSTANCE_NOT_FOUND),
        ("MissingParameter", RetryClass.INPUT),
        ("MissingRegionId", RetryClass.INPUT),
        ("InvalidParameter.MaxResults", RetryClass.INPUT),
        ("DependencyViolation.WindowsInstance", RetryClass.FACT),
        ("OperationDenied.NoStock", RetryClass.FACT),
        ("DryRunOperation", RetryClass.DRY_RUN_PASSED),
        ("SomethingNew", RetryClass.UNKNOWN_CODE),
    ],
)
def test_retry_class_of_code(code: str, known: RetryClass) -> None:
    """The class is read from the code alone, by row first and by family second."""
    assert contract.retry_class(code) is known


def test_an_unknown_key_pair_has_another_status_per_edition() -> None:
    """404 on the old page, 400 today: a caller must match on the code."""
    code = "InvalidKeyPairName.NotFound"
    assert contract.error("AttachKeyPair", code, Edition.SEED).status == 404
    assert contract.error("AttachKeyPair", code, Edition.CURRENT).status == 400


def test_an_undocumented_error_is_refused() -> None:
    """Asking for an error that is documented nowhere is a defect of the asker."""
    with pytest.raises(KeyError):
        contract.error("AttachKeyPair", "NoSuchCode")


PRINTED = (Path(__file__).parents[1] / "data" / "printed_errors.tsv").read_text(encoding="utf-8")


@pytest.mark.parametrize("line", PRINTED.splitlines())
def test_rows_are_as_printed(line: str) -> None:
    """Statuses and texts typed from the pages of the reference, not from our table."""
    action, status, code, message = line.split("\t")
    row = contract.error(action, code)
    assert (row.status, row.message) == (int(status), message)


@pytest.mark.parametrize(
    "code, known",
    [
        ("IllegalTimestamp", RetryClass.CLOCK),
        ("InvalidOperation.KMSKeyIdNotFound", RetryClass.FACT),
        ("InvalidParameter.KMSKeyId.CMKNotEnabled", RetryClass.FACT),
        ("LimitedOperation.ServiceUnavailable", RetryClass.TRANSIENT),
        ("InternalError.Dispatch", RetryClass.TRANSIENT),
        ("Operation.Conflict", RetryClass.STATE_RACE),
        ("OperationConflict", RetryClass.STATE_RACE),
        ("LastTokenProcessing", RetryClass.STATE_RACE),
        ("IdempotentProcessing", RetryClass.STATE_RACE),
        ("InstanceNotReady", RetryClass.STATE_RACE),
        ("IncorrectInstanceStatus.Initializing", RetryClass.STATE_RACE),
        ("IncorrectDiskStatus.Initializing", RetryClass.STATE_RACE),
        ("InvalidInstanceStatus.NotRunning", RetryClass.STATE_RACE),
        ("OperationConflict.Snapshot", RetryClass.STATE_RACE),
        ("Forbidden.AccessKeyDisabled", RetryClass.AUTH),
        ("Forbidden.RiskControl", RetryClass.AUTH),
        ("Unauthorized.EmptyRegion", RetryClass.AUTH),
        ("InsufficientBalance", RetryClass.FACT),
        ("ChargeTypeViolation", RetryClass.FACT),
        ("Invalid.PrivatePoolOptions.NoStock", RetryClass.FACT),
        ("InvalidInstance.NotFound", RetryClass.INSTANCE_NOT_FOUND),
        ("Parameter.NotMatched", RetryClass.INPUT),
        ("UnsupportedHTTPMethod", RetryClass.INPUT),
    ],
)
def test_codes_that_stand_in_no_table_of_an_action(code: str, known: RetryClass) -> None:
    """The codes of the common table and of conflicts, by the spelling of each page."""
    assert contract.retry_class(code) is known
