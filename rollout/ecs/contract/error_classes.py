"""The meaning of each error code for its caller. Use it through `ecs.contract`.

Called by the verdict and the emulator. Depends on the code only: the HTTP status and the message of
a code differ between editions.
"""

import enum
from collections.abc import Mapping
from typing import Final


class ErrorClass(enum.Enum):
    """The meaning of an error code for the caller. It depends on the code, not the HTTP status."""

    THROTTLED = "throttled"  # refused, nothing happened; the same call may pass a minute later
    TRANSIENT = "transient"  # the service failed; whether a mutation happened is unknown
    STATE_RACE = "state_race"  # the instance is in another state or busy: observe it first
    AUTH = "auth"  # this caller may not, or its key or token is not valid
    SIGNATURE = "signature"  # the signature does not match: wrong secret, or a proxy rewrote
    CLOCK = "clock"  # the timestamp is outside the window: measure the skew, sign again once
    NONCE = "nonce"  # a copy of this request was received before: its outcome is unknown
    NOT_FOUND = "not_found"  # key pair, region or another named thing
    INSTANCE_NOT_FOUND = "instance_not_found"  # suspect until a second list agrees
    INPUT = "input"  # a parameter is missing or wrong: our defect or the operator's input
    FACT = "fact"  # true of this instance or account, and a repeat will not change it
    DRY_RUN_PASSED = "dry_run_passed"  # success of a dry run comes as an error
    UNKNOWN_CODE = "unknown_code"  # not in this table


def error_class(code: str) -> ErrorClass:
    """Return the class of an API error code; `UNKNOWN_CODE` if no row and no rule has it."""
    if known := _CLASS_OF_CODE.get(code):
        return known
    # Terraform's rule is "contains Throttling"; the dot keeps it to the documented family.
    if code.startswith("Throttling."):
        return ErrorClass.THROTTLED
    for beginning, known in _CLASS_OF_BEGINNING:
        if code.startswith(beginning):
            return known
    return ErrorClass.NOT_FOUND if code.endswith(".NotFound") else _input_or_unknown(code)


def _input_or_unknown(code: str) -> ErrorClass:
    known = code.startswith(("Missing", "Invalid", "Parameter."))
    return ErrorClass.INPUT if known else ErrorClass.UNKNOWN_CODE


PROVES_PERMISSION: Final = frozenset(
    {
        "DiskError",
        "DiskInArrears",
        "IncorrectInstanceStatus",
        "InstanceExpired",
        "InstanceExpiredOrInArrears",
        "InstanceLockedForSecurity",
        "InstanceNotReady",
        "InvalidInstance.NotFoundSystemDisk",
        "LackResource",
        "OperationDenied.HostRepairing",
        "OperationDenied.NoStock",
        "OperationDenied.SpotPriceLowerThanPublicPrice",
    }
)
"""Codes that come only after the service checked the caller's permission: each discloses the state
of the named instance. The order of the checks is not documented, so a code that could also come
from the gateway (conflict, not found, balance) is left out.
"""

_CODES_OF_CLASS: Final[Mapping[ErrorClass, tuple[str, ...]]] = {
    ErrorClass.THROTTLED: ("Throttling", "Rejected.Throttling"),
    ErrorClass.TRANSIENT: (
        "InternalError",
        "UnknownError",  # documented with HTTP 400
        "RequestTimeout",  # this and the next two: of gateways, not documented for ECS
        "ServiceTimeout",
        "SystemError",
        "ServiceUnavailable",
        "LimitedOperation.ServiceUnavailable",
    ),
    ErrorClass.STATE_RACE: (
        "IncorrectInstanceStatus",
        "IdempotentProcessing",
        "InstanceNotReady",
        "InvalidInstanceIds.ValueNotSupported",  # nothing can be attached to this id now
        "InvalidOperation.Conflict",
        "LastTokenProcessing",
        "Operation.Conflict",
        "OperationConflict",
    ),
    ErrorClass.AUTH: (
        "Forbidden",
        "InvalidAccessKeyId",
        "InvalidAccessKeyId.Inactive",
        "InvalidAccessKeyId.NotFound",
        "MissingSecurityToken",
        "NoPermission",
        "NoPermission.Tag",
        "Unauthorized",
    ),
    ErrorClass.SIGNATURE: ("IncompleteSignature", "InvalidSignature", "SignatureDoesNotMatch"),
    ErrorClass.CLOCK: ("IllegalTimestamp", "InvalidTimeStamp.Expired", "InvalidTimeStamp.Format"),
    ErrorClass.NONCE: ("SignatureNonceUsed",),
    ErrorClass.INSTANCE_NOT_FOUND: (
        "InvalidInstance.NotFound",
        "InvalidInstanceId.NotFound",
        "InvalidInstanceIds.NotFound",
    ),
    ErrorClass.INPUT: (
        "Abs.InvalidInstanceIds.MalFormed",
        "CmdContent.ExceedLimit",
        "CmdDesc.ExceedLimit",
        "CmdName.ExceedLimit",
        "Duplicate.TagKey",
        "IdempotentParameterMismatch",
        "InstanceIds.ExceedLimit",
        "InstanceKeyPairLimitExceeded",
        "InvalidAction.NotFound",
        "InvalidCmdType.NotFound",
        "InvalidRepeatMode.NotFound",
        "InvalidTerminationMode.NotFound",
        "NumberExceed.ResourceIds",
        "NumberExceed.ResourceTags",
        "NumberExceed.Tags",
        "ParameterCount.ExceedLimit",
        "ParameterKey.ExceedLimit",
        "RegionId.ApiNotSupported",
        "UnsupportedHTTPMethod",
        "UnsupportedParameter",
        "Username.ExceedLimit",
    ),
    ErrorClass.FACT: (
        "ChargeTypeViolation",
        "DependencyViolation.IoOptimize",
        "DependencyViolation.WindowsInstance",
        "DiskError",
        "DiskInArrears",
        "InstanceExpired",
        "InstanceExpiredOrInArrears",
        "InstanceLockedForSecurity",
        "InsufficientBalance",
        "Invalid.PrivatePoolOptions.NoStock",
        "InvalidCapacityReservationId.NotFound",
        "InvalidDedicatedHost.NotEnoughResource",
        "InvalidInstance.NotFoundSystemDisk",
        "InvalidInstance.NotMatch",
        "InvalidInstanceId.NotSupport",
        "InvalidParameter.KeypairAlreadyAttachedInstance",
        "Invocation.ExceedQuota",
        "KeyPair.AlreadyExist",
        "LackResource",
        "Operation.Forbidden",
    ),
    ErrorClass.DRY_RUN_PASSED: ("DRYRUN.SUCCESS", "DryRunOperation"),
}
_CLASS_OF_CODE: Final = {code: kind for kind, codes in _CODES_OF_CLASS.items() for code in codes}

_CLASS_OF_BEGINNING: Final = (
    ("ServiceUnavailable.", ErrorClass.TRANSIENT),
    ("InternalError.", ErrorClass.TRANSIENT),
    ("AccessDenied", ErrorClass.AUTH),
    ("Forbidden.", ErrorClass.AUTH),
    ("NoPermission.", ErrorClass.AUTH),
    ("Unauthorized.", ErrorClass.AUTH),
    ("InvalidSecurityToken.", ErrorClass.AUTH),
    ("InvalidOperation.KMS", ErrorClass.FACT),
    ("InvalidParameter.KMSKeyId.", ErrorClass.FACT),
    ("IncorrectInstanceStatus.", ErrorClass.STATE_RACE),
    ("IncorrectDiskStatus", ErrorClass.STATE_RACE),
    ("InvalidInstanceStatus", ErrorClass.STATE_RACE),
    ("InvalidOperation.Conflict.", ErrorClass.STATE_RACE),
    ("Operation.Conflict.", ErrorClass.STATE_RACE),
    ("OperationConflict.", ErrorClass.STATE_RACE),
    ("OperationDenied.", ErrorClass.FACT),
    ("QuotaExceed.", ErrorClass.FACT),
)
