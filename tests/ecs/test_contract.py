"""The contract table: complete, and equal to the API reference."""

from pathlib import Path

import pytest

from rollout.ecs import contract
from rollout.ecs.contract import Edition, ErrorClass, Ids, Kind


def test_ids_of_an_action_agree_with_its_parameters() -> None:
    """The id encoding of an action is that of its id parameter, and it names at least one id."""
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
        assert action.ids_max >= 1


def test_every_documented_code_has_a_error_class() -> None:
    """Each documented error code has a class."""
    for action in contract.ACTIONS.values():
        for row in action.errors:
            assert contract.error_class(row.code) is not ErrorClass.UNKNOWN_CODE, row.code


@pytest.mark.parametrize(
    "code, known",
    [
        ("Throttling", ErrorClass.THROTTLED),
        ("Throttling.User", ErrorClass.THROTTLED),
        ("Rejected.Throttling", ErrorClass.THROTTLED),
        ("ThrottlingOdd", ErrorClass.UNKNOWN_CODE),
        ("InternalError", ErrorClass.TRANSIENT),
        ("RequestTimeout", ErrorClass.TRANSIENT),
        ("InvalidInstanceIds.ValueNotSupported", ErrorClass.STATE_RACE),
        ("AccessDenied", ErrorClass.AUTH),
        ("NoPermission.RAM", ErrorClass.AUTH),
        ("UnknownError", ErrorClass.TRANSIENT),
        ("ServiceUnavailable.RegionMaintaining", ErrorClass.TRANSIENT),
        ("IncorrectInstanceStatus", ErrorClass.STATE_RACE),
        ("InvalidOperation.Conflict", ErrorClass.STATE_RACE),
        ("Forbidden.RAM", ErrorClass.AUTH),
        ("InvalidSecurityToken.Expired", ErrorClass.AUTH),
        ("SignatureDoesNotMatch", ErrorClass.SIGNATURE),
        ("InvalidTimeStamp.Expired", ErrorClass.CLOCK),
        ("SignatureNonceUsed", ErrorClass.NONCE),
        ("InvalidKeyPairName.NotFound", ErrorClass.NOT_FOUND),
        ("InvalidRegionId.NotFound", ErrorClass.NOT_FOUND),
        ("InvalidInstanceId.NotFound", ErrorClass.INSTANCE_NOT_FOUND),
        ("MissingParameter", ErrorClass.INPUT),
        ("MissingRegionId", ErrorClass.INPUT),
        ("InvalidParameter.MaxResults", ErrorClass.INPUT),
        ("DependencyViolation.WindowsInstance", ErrorClass.FACT),
        ("OperationDenied.NoStock", ErrorClass.FACT),
        ("DryRunOperation", ErrorClass.DRY_RUN_PASSED),
        ("SomethingNew", ErrorClass.UNKNOWN_CODE),
    ],
)
def test_error_class_of_code(code: str, known: ErrorClass) -> None:
    """The class is read from the code alone, by row first and by family second."""
    assert contract.error_class(code) is known


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
        ("IllegalTimestamp", ErrorClass.CLOCK),
        ("InvalidOperation.KMSKeyIdNotFound", ErrorClass.FACT),
        ("InvalidParameter.KMSKeyId.CMKNotEnabled", ErrorClass.FACT),
        ("LimitedOperation.ServiceUnavailable", ErrorClass.TRANSIENT),
        ("InternalError.Dispatch", ErrorClass.TRANSIENT),
        ("Operation.Conflict", ErrorClass.STATE_RACE),
        ("OperationConflict", ErrorClass.STATE_RACE),
        ("LastTokenProcessing", ErrorClass.STATE_RACE),
        ("IdempotentProcessing", ErrorClass.STATE_RACE),
        ("InstanceNotReady", ErrorClass.STATE_RACE),
        ("IncorrectInstanceStatus.Initializing", ErrorClass.STATE_RACE),
        ("IncorrectDiskStatus.Initializing", ErrorClass.STATE_RACE),
        ("InvalidInstanceStatus.NotRunning", ErrorClass.STATE_RACE),
        ("OperationConflict.Snapshot", ErrorClass.STATE_RACE),
        ("Forbidden.AccessKeyDisabled", ErrorClass.AUTH),
        ("Forbidden.RiskControl", ErrorClass.AUTH),
        ("Unauthorized.EmptyRegion", ErrorClass.AUTH),
        ("InsufficientBalance", ErrorClass.FACT),
        ("ChargeTypeViolation", ErrorClass.FACT),
        ("Invalid.PrivatePoolOptions.NoStock", ErrorClass.FACT),
        ("InvalidInstance.NotFound", ErrorClass.INSTANCE_NOT_FOUND),
        ("Parameter.NotMatched", ErrorClass.INPUT),
        ("UnsupportedHTTPMethod", ErrorClass.INPUT),
    ],
)
def test_codes_that_stand_in_no_table_of_an_action(code: str, known: ErrorClass) -> None:
    """The codes of the common table and of conflicts, by the spelling of each page."""
    assert contract.error_class(code) is known
