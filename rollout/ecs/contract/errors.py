"""The documented error rows of every action: part of the contract, read through `ecs.contract`.

`edition` None means every edition. Of two rows with one code, the first that fits it counts.
Sources: the API reference pages of 2021 (repository AlibabaCloudDocs/ecs) and 2025, and for edition
`seed` the AttachKeyPair page that the product started from, misprints and no-break space included.
Rows made by `_e` have their text from there. Where the reference prints a code without a text, or
`%s` for all of it, the row is made by `_ours`: code and status are documented, the text is ours.
"""

import enum
from typing import Final

import msgspec


class Edition(enum.Enum):
    """The version of the API: the current one, or the earliest supported reference page."""

    CURRENT = "current"
    SEED = "seed"


class ApiError(msgspec.Struct, frozen=True):
    """A possible error of the service. `%s` in a message stands for the name of a parameter."""

    code: str
    status: int
    message: str
    edition: Edition | None = None


def _e(status: int, code: str, message: str, edition: Edition | None = None) -> ApiError:
    return ApiError(code, status, message, edition)


def _ours(status: int, code: str, message: str) -> ApiError:
    """A row whose text is not documented."""
    return ApiError(code, status, message)


_SEED: Final = Edition.SEED
_CURRENT: Final = Edition.CURRENT

_BAD_IDS: Final = "The specified parameter InstanceIds is not valid."
_BAD_STATE: Final = "The current status of the resource does not support this operation."
_LOCKED: Final = (
    "The specified operation is denied as your instance is locked for security reasons."
)
_ARREARS: Final = (
    "The specified operation is denied as your prepay instance is expired (prepay mode) or in"
    " arrears (afterpay mode)."
)
_INTERNAL: Final = (
    "The request processing has failed due to some unknown error, exception or failure."
)
_NO_INSTANCE: Final = "The specified InstanceId does not exist."
_NOT_READY: Final = "The specified instance is not ready for use."
_NO_BALANCE: Final = "Your account does not have enough balance."

# Before any action is reached. Observed texts of the RPC gateway, and the observed status of the
# key-not-found row (an older table says 400).
GATEWAY: Final = (
    _e(400, "SignatureNonceUsed", "Specified signature nonce was used already."),
    _e(400, "InvalidTimeStamp.Expired", "Specified time stamp or date value is expired."),
    _ours(
        400, "InvalidTimeStamp.Format", "Specified time stamp or date value is not well formatted."
    ),
    _ours(
        400, "IncompleteSignature", "The request signature does not conform to Aliyun standards."
    ),
    # V1: the string to sign follows the colon; the classic SDK compares it with its own.
    _e(
        400,
        "SignatureDoesNotMatch",
        "Specified signature is not matched with our calculation. server string to sign is:%s",
    ),
    _e(404, "InvalidAccessKeyId.NotFound", "Specified access key is not found."),
    _ours(400, "InvalidAccessKeyId.Inactive", "Specified access key is disabled."),
    _e(400, "MissingSecurityToken", "SecurityToken is mandatory for this action."),
    _ours(400, "InvalidSecurityToken.Expired", "Specified SecurityToken is expired."),
    _ours(400, "InvalidSecurityToken.Malformed", "Specified SecurityToken is malformed."),
    _e(
        404,
        "InvalidAction.NotFound",
        "Specified api is not found, please check your url and method.",
    ),
    _e(403, "UnsupportedHTTPMethod", "This http method is not supported."),
    _e(400, "InvalidVersion", "Specified parameter Version is not valid."),
    _e(400, "Throttling", "Request was denied due to request throttling."),
    _e(400, "Throttling.User", "Request was denied due to user flow control."),
    _ours(400, "Throttling.Api", "Request was denied due to api flow control."),
    _ours(400, "Rejected.Throttling", "Request was denied due to request throttling."),
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
    _ours(400, "InvalidParameter", "The specified parameter %s is not valid."),
    _e(404, "InvalidRegionId.NotFound", "The specified RegionId does not exist."),
    _e(404, "InvalidInstanceId.NotFound", _NO_INSTANCE),
    _e(
        403,
        "Forbidden.RAM",
        "User not authorized to operate on the specified resource, or this API doesn't support"
        " RAM.",
    ),
    _e(409, "OperationConflict", "Request was denied due to conflict with a previous request."),
    _e(500, "InternalError", _INTERNAL),
    _ours(400, "UnknownError", _INTERNAL),
    _e(
        503,
        "ServiceUnavailable",
        "The request has failed due to a temporary failure of the server.",
    ),
    _e(
        503,
        "ServiceUnavailable.RegionMaintaining",
        "System maintenance is in progress on the selected region, please wait a few minutes before"
        " trying again.",
    ),
    # Printed for the dry runs of other actions of the service, not for those of this table.
    _e(400, "DryRunOperation", "Request validation has been passed with DryRun flag set."),
    _e(400, "DRYRUN.SUCCESS", "This request is a dryrun request with successful result."),
)

# Tags as filters (printed for DescribeInstances) and tags that are given to something new.
_TAG_FILTERS: Final = (
    _e(400, "InvalidTag.Mismatch", "The specified Tag.n.Key and Tag.n.Value are not match."),
    _e(400, "InvalidTagCount", "The specified tags are beyond the permitted range."),
)
_NEW_TAGS: Final = (
    _e(400, "Duplicate.TagKey", "The Tag.N.Key contain duplicate key."),
    _e(400, "InvalidTagKey.Malformed", "The specified Tag.n.Key is not valid."),
    _e(400, "InvalidTagValue.Malformed", "The specified Tag.n.Value is not valid."),
    _ours(403, "QuotaExceed.Tags", "The number of tags exceeds the quota."),
)
_NO_GROUP: Final = _e(
    404,
    "InvalidResourceGroup.NotFound",
    "The ResourceGroup provided does not exist in our records.",
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

_MISSING: Final = _e(
    400,
    "MissingParameter",
    'The input parameter "%s" that is mandatory for processing this request is not supplied.',
)
_NEW_KEY: Final = (
    _e(400, "InvalidKeyPairName.Malformed", "Specified Key Pair name is not valid."),
    _e(403, "QuotaExceed.KeyPair", "The key pair quota exceeds."),
    _e(400, "KeyPair.AlreadyExist", "The key pair already exist."),
    _NO_GROUP,
    *_NEW_TAGS,
)

IMPORT: Final = (
    _MISSING,
    *_NEW_KEY,
    _e(400, "InvalidPublicKeyBody.Malformed", "The PublicKeyBody format is not supported."),
)
CREATE: Final = _NEW_KEY
TAG: Final = (
    _e(
        400,
        "NumberExceed.ResourceIds",
        "The ResourceIds parameter's number is exceed , Valid : 50",
    ),
    _e(400, "NumberExceed.Tags", "The Tags parameter's number is exceed , Valid : 20"),
    _e(400, "Duplicate.TagKey", "The Tag.N.Key contain duplicate key."),
    _e(
        404, "InvalidResourceId.NotFound", "The specified ResourceIds are not found in our records."
    ),
    _e(
        404,
        "InvalidResourceType.NotFound",
        "The ResourceType provided does not exist in our records.",
    ),
    _e(400, "InvalidTagKey.Malformed", "The specified Tag.n.Key is not valid."),
    _e(400, "InvalidTagValue.Malformed", "The specified Tag.n.Value is not valid."),
    _e(
        400,
        "OperationDenied.QuotaExceed",
        "The quota of tags on resource is beyond permitted range.",
    ),
    _e(
        403,
        "InvalidResourceId.NotSupported",
        "The specified ResourceId does not support tagging.",
    ),
    _e(
        400,
        "InvalidTag.Mismatch",
        "The specified Tag.n.Key and Tag.n.Value are not match.",
    ),
    _e(400, "InvalidTagCount", "The specified tags are beyond the permitted range."),
    _e(404, "InvalidRegionId.NotFound", "The specified RegionId does not exist."),
    _e(403, "NoPermission.Tag", "The operator is not permission for the tag."),
)
"""Of TagResources and UntagResources."""
DELETE: Final = (
    _MISSING,
    _e(
        400,
        "InvalidKeyPairNames.ValueNotSupported",
        'The specified parameter "KeyPairNames" is not valid.',
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
DESCRIBE_KEY_PAIRS: Final = _TAG_FILTERS

# Printed for the actions of Cloud Assistant; by analogy with those of DescribeInstances.
_PAGE_TOKENS: Final = (
    _e(400, "InvalidParameter.NextToken", "The specified parameter NextToken is not valid."),
    _e(400, "InvalidParameter.MaxResults", "The specified parameter MaxResults is not valid."),
)
_MALFORMED: Final = _e(
    403, "Abs.InvalidInstanceIds.MalFormed", "The specified instanceIds is not valid."
)
_TOO_MANY_IDS: Final = _e(
    403, "InvalidParameter.TooManyInstanceIds", "Instance ids cannot be more than 100."
)

DESCRIBE_INSTANCES: Final = (
    _e(400, "InvalidInstanceIds.ValueNotSupported", _BAD_IDS),
    _TOO_MANY_IDS,
    _e(
        404,
        "InvalidInstanceChargeType.NotFound",
        "The InstanceChargeType does not exist in our records",
    ),
    _e(
        404,
        "InvalidInternetChargeType.ValueNotSupported",
        "The specified InternetChargeType is not valid",
    ),
    _e(404, "InvalidLockReason.NotFound", "The specified LockReason is not found"),
    _ours(404, "InvalidFilterKey.NotFound", "The specified filter key is not valid."),
    _e(404, "InvalidNetworkType.NotFound", "The specified InstanceNetworkType is not found"),
    _e(404, "InvalidStatus.NotFound", "The specified Status is not found"),
    *_TAG_FILTERS,
    _e(400, "InvalidHpcClusterId.NotFound", "The specified HpcClusterId is not found."),
    _e(400, "InvalidHpcClusterId.Creating", "The specified HpcClusterId is creating."),
    *_PAGE_TOKENS,
)
DESCRIBE_STATUS: Final = (
    _TOO_MANY_IDS,
    _MALFORMED,
    _e(404, "InvalidZoneId.NotFound", "The ZoneId provided does not exist in our records."),
)
DESCRIBE_ATTRIBUTE: Final = (_e(404, "InvalidInstanceId.NotFound", _NO_INSTANCE),)
DESCRIBE_FULL_STATUS: Final = (_TOO_MANY_IDS, _MALFORMED)

_LIMITED: Final = _e(
    503,
    "LimitedOperation.ServiceUnavailable",
    "The service is currently unavailable. Please try again later.",
)
_POWER: Final = (
    _e(403, "IncorrectInstanceStatus", _BAD_STATE),
    _e(403, "InstanceLockedForSecurity", _LOCKED),
    _e(404, "InvalidInstanceId.NotFound", _NO_INSTANCE),
    _e(403, "DiskError", "IncorrectDiskStatus."),
)
_CMK_UNTAGGED: Final = "The CMK needs to be added ECS tag."
_CMK_DISABLED: Final = "The CMK needs to be enabled."
_NO_KMS: Final = "ECS service have no right to access your KMS."
_NO_KMS_KEY: Final = "The specified KMSKeyId does not exist."
_KMS: Final = (
    _e(403, "InvalidParameter.KMSKeyId.CMKUnauthorized", _CMK_UNTAGGED),
    _e(403, "InvalidParameter.KMSKeyId.CMKNotEnabled", _CMK_DISABLED),
    _e(403, "InvalidParameter.KMSKeyId.KMSUnauthorized", _NO_KMS),
)
_MANY: Final = (
    _TOO_MANY_IDS,
    _MALFORMED,
    _e(403, "InsufficientBalance", _NO_BALANCE),
    _e(403, "InstanceNotReady", _NOT_READY),
    _ours(
        403,
        "InvalidInstance.NotFoundSystemDisk",
        "The specified instance does not have system disk.",
    ),
    _e(404, "InvalidInstanceIds.NotFound", "The specified InstanceIds does not exist."),
    _e(
        409,
        "InvalidOperation.Conflict",
        "Request was denied due to conflict with a previous request, please try again later.",
    ),
    _e(400, "InvalidParameter.KMSKeyId.CMKNotEnabled", _CMK_DISABLED),
    _e(
        400,
        "InvalidParameter.KMSKeyId.KMSUnauthorized",
        "ECS service account have no right to access your KMS.",
    ),
)
_EXPIRED_OR_ARREARS: Final = _e(403, "InstanceExpiredOrInArrears", _ARREARS)
_START_FACTS: Final = (
    _e(
        403,
        "InstanceExpired",
        "The postPaid instance has been expired. Please ensure your account have enough balance.",
    ),
    _e(403, "InstanceExpired", "The prePaid instance has been expired."),
    _e(403, "InsufficientBalance", _NO_BALANCE),
    _e(403, "InstanceNotReady", _NOT_READY),
    _e(403, "DiskInArrears", "The specified operation is denied as your disk has expired."),
    _e(
        403,
        "OperationDenied.NoStock",
        "The requested resource is sold out in the specified zone; try other types of resources or"
        " other regions and zones.",
    ),
    _e(
        403,
        "OperationDenied.SpotPriceLowerThanPublicPrice",
        "The spot instance price is lower than public price.",
    ),
    _e(
        403,
        "OperationDenied.HostRepairing",
        "The specified operation is denied as the host of ECS instance is being repaired.",
    ),
    _e(400, "LackResource", "There's no enough resource on the specified capacity reservation."),
    _e(400, "Invalid.PrivatePoolOptions.NoStock", "The PrivatePool has been used up."),
)

REBOOT: Final = (
    *_POWER,
    _EXPIRED_OR_ARREARS,
    *_KMS,
    _e(404, "InvalidParameter.KMSKeyId.NotFound", _NO_KMS_KEY),
    _LIMITED,
)
REBOOT_MANY: Final = (
    # A null id gets 403, an unknown one 404.
    *_POWER,
    *_MANY,
    _EXPIRED_OR_ARREARS,
    _LIMITED,
)
START: Final = (
    *_POWER,
    *_START_FACTS,
    *_KMS,
    _e(403, "InvalidParameter.KMSKeyId.NotFound", _NO_KMS_KEY),
    _e(
        400,
        "InvalidDedicatedHost.NotEnoughResource",
        "There's no available dedicated host to perform the operation.",
    ),
    _e(
        400,
        "InvalidInstance.NotFoundSystemDisk",
        "The specified instance does not have system disk.",
    ),
    _e(
        403,
        "QuotaExceed.ElasticQuota",
        "No additional quota is available for the specified ECS instance type.",
    ),
    _e(
        404,
        "InvalidCapacityReservationId.NotFound",
        "The specified capacity reservation does not exist.",
    ),
)
START_MANY: Final = (*_POWER, *_MANY, *_START_FACTS, _EXPIRED_OR_ARREARS, _LIMITED)
_STOP_FACTS: Final = (
    _ours(403, "InvalidInstanceId.NotSupport", "The instance does not support this operation."),
    _ours(
        403,
        "OperationDenied.SystemInstanceNotSupport",
        "The instance is managed by the system and does not support this operation.",
    ),
    _ours(403, "InvalidOperation.KMSKeyIdNotFound", "The specified KMSKeyId not found."),
    _e(403, "InvalidOperation.KMSServiceNotOpen", "KMS service is currently not open."),
)
STOP: Final = (*REBOOT, *_STOP_FACTS)
STOP_MANY: Final = (*REBOOT_MANY, *_STOP_FACTS)

DESCRIBE_REGIONS: Final = (
    _e(
        403,
        "Unauthorized.EmptyRegion",
        "The specified account has no access authority to any region.",
    ),
    _e(
        404,
        "InvalidAcceptLanguage.NotFound",
        "Only Chinese (zh-CN), English (en-US), and Japanese (ja) are allowed.",
    ),
    _e(
        404,
        "InvalidResourceType.NotFound",
        "The ResourceType provided does not exist in our records.",
    ),
)

_ASSISTANT: Final = (
    _e(400, "RegionId.ApiNotSupported", "The api is not supported in this region."),
    _e(400, "MissingParam.InstanceId", "The parameter instanceId is missing or empty."),
    _e(403, "InstanceIds.ExceedLimit", "The number of instance IDs exceeds the upper limit."),
    _e(403, "Operation.Forbidden", "The operation is not permitted."),
    _e(404, "InvalidInstance.NotFound", "The specified instance does not exist."),
    _e(500, "InternalError.Dispatch", "An error occurred when you dispatched the request."),
)
_ASSISTANT_PAGES: Final = (
    *_PAGE_TOKENS,
    _e(400, "InvalidParam.PageNumber", "The specified parameter is invalid."),
    _e(400, "InvalidParam.PageSize", "The specified parameter is invalid."),
)
RUN_COMMAND: Final = (
    *_ASSISTANT,
    *_NEW_TAGS,
    _NO_GROUP,
    _e(400, "InvalidInstance.NotMatch", "The specified instance type does not match the command."),
    _e(403, "InvalidCmdType.NotFound", "The specified command type does not exist."),
    _e(404, "InvalidRepeatMode.NotFound", "The specified repeat mode does not exist."),
    _e(
        400,
        "MissingParam.Frequency",
        "The frequency must be specified when you create a timed task.",
    ),
    _e(
        404,
        "InvalidTerminationMode.NotFound",
        "The specified parameter TerminationMode does not exist.",
    ),
    _e(403, "CmdContent.ExceedLimit", "The maximum length of a command is exceeded."),
    _e(403, "CmdName.ExceedLimit", "The length of the command name exceeds the upper limit."),
    _e(
        403, "CmdDesc.ExceedLimit", "The length of the command description exceeds the upper limit."
    ),
    _e(403, "Username.ExceedLimit", "The length of the username exceeds the upper limit."),
    _e(
        403,
        "InvalidLauncher.LengthLimitExceeded",
        "The length of the parameter Launcher exceeds the limit of 1 KB characters.",
    ),
    _e(
        403,
        "Invocation.ExceedQuota",
        "The invocation quota in the current region has been reached for today.",
    ),
    _e(
        403,
        "IdempotentParameterMismatch",
        "The specified parameter has changed while using an already used clientToken.",
    ),
    _e(403, "IdempotentProcessing", "The previous idempotent request(s) is still processing."),
    _e(400, "InvalidClientToken.Malformed", "The specified parameter clientToken is not valid."),
    _ours(400, "InvalidParameter.CommandContent", "The specified CommandContent is invalid."),
    _e(400, "InvalidParameter.Parameters", "The specified parameter Parameters is not valid."),
    _e(
        400,
        "Parameter.Disabled",
        "Parameters cannot be passed in when the command customization function is disabled.",
    ),
    _e(
        403,
        "Parameter.NotMatched",
        "The passed-in parameters do not match the parameters defined when you created the"
        " command.",
    ),
    _e(403, "ParameterCount.ExceedLimit", "The maximum number of parameters is exceeded."),
    _e(403, "ParameterKey.ExceedLimit", "The maximum length of a parameter name is exceeded."),
    _e(400, "NumberExceed.ResourceTags", "The maximum number of ResourceTags is exceeded."),
    _e(400, "MissingParameter.ResourceTagKey", "You must specify ResourceTag.N.Key."),
    _e(
        400,
        "InvalidResourceTag.InstanceNotFound",
        "InstanceIds are not found by the specified ResourceTag.",
    ),
    _e(
        400,
        "InvalidResourceTag.ConflictWithInstanceIds",
        "The specified param ResourceTag conflicts with InstanceId.",
    ),
)
INVOCATION_RESULTS: Final = (*_ASSISTANT_PAGES, *_TAG_FILTERS, _ASSISTANT[-1])
ASSISTANT_STATUS: Final = (*_ASSISTANT, *_ASSISTANT_PAGES)
