"""The documented error rows of every action: part of the contract, read through `ecs.contract`.

`edition` None means every edition. Of two rows with one code, the first that fits it counts.
Sources: the API reference pages of 2021 (repository AlibabaCloudDocs/ecs) and 2025, and for edition
`seed` the AttachKeyPair page that the product started from, misprints and no-break space included.
"""

import enum
from typing import Final

import msgspec


class Edition(enum.Enum):
    """Which age of the API is spoken: today's, or that of the page the product started from."""

    CURRENT = "current"
    SEED = "seed"


class ApiError(msgspec.Struct, frozen=True):
    """An error the service may answer. `%s` in a message stands for the name of a parameter."""

    code: str
    status: int
    message: str
    edition: Edition | None = None


def _e(status: int, code: str, message: str, edition: Edition | None = None) -> ApiError:
    return ApiError(code, status, message, edition)


_SEED: Final = Edition.SEED
_CURRENT: Final = Edition.CURRENT

_BAD_IDS: Final = "The specified parameter InstanceIds is not valid."
_BAD_STATE: Final = "The current status of the resource does not support this operation."
_LOCKED: Final = "The instance is locked due to security."
_ARREARS: Final = "The specified instance has expired or is in arrears."
_CONFLICT: Final = (
    "Request was denied due to conflict with a previous request, please try again later."
)
_INTERNAL: Final = (
    "The request processing has failed due to some unknown error, exception or failure."
)
_LIMITED: Final = "The service is temporarily unavailable for this operation. Try again later."
_NO_INSTANCE: Final = "The specified InstanceId does not exist."

# Before any action is reached. Texts seen from the RPC gateway; status of the key-not-found row as
# seen on the wire (an older table says 400).
GATEWAY: Final = (
    _e(400, "SignatureNonceUsed", "Specified signature nonce was used already."),
    _e(400, "InvalidTimeStamp.Expired", "Specified time stamp or date value is expired."),
    _e(400, "InvalidTimeStamp.Format", "Specified time stamp or date value is not well formatted."),
    _e(400, "IncompleteSignature", "The request signature does not conform to Aliyun standards."),
    # V1: the string to sign follows the colon; the classic SDK compares it with its own.
    _e(
        400,
        "SignatureDoesNotMatch",
        "Specified signature is not matched with our calculation. server string to sign is:%s",
    ),
    _e(404, "InvalidAccessKeyId.NotFound", "Specified access key is not found."),
    _e(400, "InvalidAccessKeyId.Inactive", "Specified access key is disabled."),
    _e(400, "MissingSecurityToken", "SecurityToken is mandatory for this action."),
    _e(400, "InvalidSecurityToken.Expired", "Specified SecurityToken is expired."),
    _e(400, "InvalidSecurityToken.Malformed", "Specified SecurityToken is malformed."),
    _e(
        404,
        "InvalidAction.NotFound",
        "Specified api is not found, please check your url and method.",
    ),
    _e(403, "UnsupportedHTTPMethod", "This http method is not supported."),
    _e(400, "InvalidVersion", "Specified parameter Version is not valid."),
    _e(400, "Throttling", "Request was denied due to request throttling."),
    _e(400, "Throttling.User", "Request was denied due to user flow control."),
    _e(400, "Throttling.Api", "Request was denied due to api flow control."),
)

# The table that all ECS actions share (API reference, "Response results").
COMMON: Final = (
    _e(
        400,
        "MissingParameter",
        "The input parameter “%s” that is mandatory for processing this request is not supplied",
        _SEED,
    ),
    _e(
        400,
        "MissingParameter",
        'The input parameter "%s" that is mandatory for processing this request is not supplied.',
    ),
    _e(400, "InvalidParameter", "The specified parameter %s is not valid."),
    _e(404, "InvalidRegionId.NotFound", "The specified RegionId does not exist."),
    _e(404, "InvalidInstanceId.NotFound", _NO_INSTANCE),
    _e(
        403,
        "Forbidden.RAM",
        "User not authorized to operate on the specified resource, or this API doesn't support"
        " RAM.",
    ),
    _e(409, "OperationConflict", _CONFLICT),
    _e(500, "InternalError", _INTERNAL),
    _e(400, "UnknownError", _INTERNAL),
    _e(
        503,
        "ServiceUnavailable",
        "The request has failed due to a temporary failure of the server.",
    ),
    # Status and text of a passing dry run are not documented for the single-instance actions.
    _e(
        400,
        "DryRunOperation",
        "Request validation has been passed with DryRun flag set.",
    ),
    _e(400, "DRYRUN.SUCCESS", "This request is a dryrun request with successful result."),
)

_NO_KEY_PAIR: Final = "The specified KeyPairName does not exist in our records."
_TOO_MANY: Final = "The specified instances are beyond the permitted range."

_KEY_RECORD: Final = (
    _e(400, "InvalidKeyPairName.NotFound", _NO_KEY_PAIR, _CURRENT),
    _e(400, "InvalidInstanceIds.ValueNotSupported", _BAD_IDS),
    _e(
        403,
        "DependencyViolation.WindowsInstance",
        "The instance creating is windows, cannot use ssh key pair to login",
        _CURRENT,
    ),
    _e(403, "InstanceKeyPairLimitExceeded", _TOO_MANY),
    # Which code a wrong state or a lock carries inside Results is not documented: expected ones.
    _e(403, "IncorrectInstanceStatus", _BAD_STATE),
    _e(403, "InstanceLockedForSecurity", _LOCKED),
)

ATTACH: Final = (
    # The page prints a no-break space between "this" and "request", and no ordinary one.
    _e(
        400,
        "MissingParameter",
        "The input parameter RegionId that is required for processing this\u00a0request"
        " is not supplied.",
        _SEED,
    ),
    _e(
        403,
        "DependencyViolation.WindowsInstance",
        "The instance creating this window, cannot use ssh key pair to login.",
        _SEED,
    ),
    _e(404, "InvalidKeyPairName.NotFound", _NO_KEY_PAIR, _SEED),
    *_KEY_RECORD,
    # The reference prints the InstanceIds text for this code too.
    _e(400, "DependencyViolation.IoOptimize", _BAD_IDS),
)
DETACH: Final = _KEY_RECORD

_KEY_QUOTA: Final = _e(
    403, "QuotaExceed.KeyPair", "The quota of the key pairs in this region is exceeded."
)
_KEY_EXISTS: Final = _e(400, "KeyPair.AlreadyExist", "The key pair already exist.")
_KEY_NAME: Final = _e(
    400, "InvalidKeyPairName.Malformed", "Specified Key Pair name does not match the standards."
)

_MISSING: Final = _e(
    400,
    "MissingParameter",
    'The input parameter "%s" that is mandatory for processing this request is not supplied.',
)

IMPORT: Final = (
    _MISSING,
    _KEY_NAME,
    _KEY_QUOTA,
    _e(400, "InvalidPublicKeyBody.Malformed", "Specified Key Pair public key is malformed."),
    _KEY_EXISTS,
    _e(404, "InvalidResourceGroup.NotFound", "The specified ResourceGroupId does not exist."),
)
CREATE: Final = (_KEY_NAME, _KEY_QUOTA, _KEY_EXISTS)
DELETE: Final = (
    _MISSING,
    _e(
        400,
        "InvalidKeyPairNames.ValueNotSupported",
        "Specified parameter KeyPairNames is not valid.",
    ),
    # Current edition only: the older one let a bound key be deleted.
    _e(
        400,
        "InvalidParameter.KeypairAlreadyAttachedInstance",
        'The specified parameter "KeyPairNames" attached to instances can not be deleted.',
        _CURRENT,
    ),
    _e(
        403,
        "InstanceKeyPairLimitExceeded",
        "Exceeding the allowed amount of instance which will be deleted.",
    ),
)

DESCRIBE_INSTANCES: Final = (
    _e(400, "InvalidInstanceIds.ValueNotSupported", _BAD_IDS),
    _e(403, "InvalidParameter.TooManyInstanceIds", "Instance ids cannot be more than 100."),
    _e(
        404,
        "InvalidInstanceChargeType.NotFound",
        "The InstanceChargeType does not exist in our records.",
    ),
    _e(
        404,
        "InvalidInternetChargeType.ValueNotSupported",
        "The specified InternetChargeType is not valid.",
    ),
    _e(404, "InvalidLockReason.NotFound", "The specified LockReason is not found."),
    _e(404, "InvalidFilterKey.NotFound", "The specified filter key is not valid."),
    _e(404, "InvalidNetworkType.NotFound", "The specified Network Type is not found."),
    _e(404, "InvalidStatus.NotFound", "The specified Status is not found."),
    _e(400, "InvalidTag.Mismatch", "The specified Tag.n.Key and Tag.n.Value are not match."),
    _e(400, "InvalidTagCount", "The specified tags are beyond the permitted range."),
    _e(400, "InvalidHpcClusterId.NotFound", "The specified HpcClusterId does not exist."),
    # By analogy with DescribeInvocationResults, where they are documented.
    _e(400, "InvalidParameter.NextToken", "The specified NextToken is invalid."),
    _e(400, "InvalidParameter.MaxResults", "The specified MaxResults is invalid."),
)
_MALFORMED: Final = _e(
    403, "Abs.InvalidInstanceIds.MalFormed", "The specified InstanceIds is malformed."
)
_TOO_MANY_IDS: Final = _e(
    403, "InvalidParameter.TooManyInstanceIds", "Instance ids cannot be more than 100."
)
DESCRIBE_STATUS: Final = (
    _TOO_MANY_IDS,
    _MALFORMED,
    _e(404, "InvalidZoneId.NotFound", "The specified ZoneId does not exist."),
)
DESCRIBE_ATTRIBUTE: Final = (_e(404, "InvalidInstanceId.NotFound", _NO_INSTANCE),)
DESCRIBE_FULL_STATUS: Final = (_TOO_MANY_IDS, _MALFORMED)

_POWER: Final = (
    _e(403, "IncorrectInstanceStatus", _BAD_STATE),
    _e(403, "InstanceLockedForSecurity", _LOCKED),
    _e(404, "InvalidInstanceId.NotFound", _NO_INSTANCE),
    _e(403, "DiskError", "IncorrectDiskStatus."),
    _e(503, "LimitedOperation.ServiceUnavailable", _LIMITED),
)
_MANY: Final = (
    _TOO_MANY_IDS,
    _MALFORMED,
    _e(403, "InsufficientBalance", "Your account does not have enough balance."),
    _e(403, "InstanceNotReady", "The specified instance is not ready for this operation."),
    _e(
        403,
        "InvalidInstance.NotFoundSystemDisk",
        "The specified instance has no system disk.",
    ),
    _e(404, "InvalidInstanceIds.NotFound", "The specified InstanceIds does not exist."),
    _e(409, "InvalidOperation.Conflict", _CONFLICT),
)
_EXPIRED_OR_ARREARS: Final = _e(403, "InstanceExpiredOrInArrears", _ARREARS)
_START_FACTS: Final = (
    _e(403, "InstanceExpired", _ARREARS),
    _e(403, "InsufficientBalance", "Your account does not have enough balance."),
    _e(403, "InstanceNotReady", "The specified instance is not ready for this operation."),
    _e(403, "DiskInArrears", "The specified disk is in arrears."),
    _e(
        403,
        "OperationDenied.NoStock",
        "The requested resource is sold out in the specified zone; try other types of resources or"
        " other regions and zones.",
    ),
    _e(
        403,
        "OperationDenied.SpotPriceLowerThanPublicPrice",
        "The price limit of the spot instance is lower than the public price.",
    ),
    _e(403, "OperationDenied.HostRepairing", "The host of the instance is being repaired."),
    _e(400, "LackResource", "There is no enough resource on the specified host."),
)

REBOOT: Final = (*_POWER, _EXPIRED_OR_ARREARS)
REBOOT_MANY: Final = (
    # A null id gets 403, an unknown one 404.
    *_POWER,
    *_MANY,
    _EXPIRED_OR_ARREARS,
)
START: Final = (*_POWER, *_START_FACTS)
START_MANY: Final = (*_POWER, *_MANY, *_START_FACTS, _EXPIRED_OR_ARREARS)
STOP: Final = REBOOT
STOP_MANY: Final = (
    *REBOOT_MANY,
    _e(403, "InvalidInstanceId.NotSupport", "The instance does not support this operation."),
    _e(
        403,
        "OperationDenied.SystemInstanceNotSupport",
        "The instance is managed by the system and does not support this operation.",
    ),
)

DESCRIBE_REGIONS: Final = (
    _e(403, "Unauthorized.EmptyRegion", "The list of regions this caller may see is empty."),
    _e(404, "InvalidAcceptLanguage.NotFound", "The specified AcceptLanguage does not exist."),
    _e(404, "InvalidResourceType.NotFound", "The ResourceType provided does not exist."),
)

_NO_ASSISTED: Final = _e(404, "InvalidInstance.NotFound", "The specified instances do not exist.")
RUN_COMMAND: Final = (
    _NO_ASSISTED,
    _e(400, "MissingParam.InstanceId", "The parameter instanceId is required."),
    _e(
        400,
        "InvalidInstance.NotMatch",
        "The specified instances do not support this command type.",
    ),
    _e(403, "IncorrectInstanceStatus", _BAD_STATE),
    _e(403, "InstanceIds.ExceedLimit", "The number of instance IDs exceeds the upper limit."),
    _e(403, "CmdContent.ExceedLimit", "The length of the command content exceeds the upper limit."),
    _e(403, "Invocation.ExceedQuota", "The invocation quota of the day is exceeded."),
    _e(403, "IdempotentParameterMismatch", "The specified ClientToken was used with other values."),
    _e(400, "InvalidParameter.CommandContent", "The specified CommandContent is invalid."),
)
INVOCATION_RESULTS: Final = (
    _e(400, "InvalidParameter.NextToken", "The specified NextToken is invalid."),
    _e(400, "InvalidParameter.MaxResults", "The specified MaxResults is invalid."),
)
ASSISTANT_STATUS: Final = (_NO_ASSISTED, INVOCATION_RESULTS[0])
