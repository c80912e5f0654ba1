"""The one table of the ECS actions: parameters, limits, errors, time-outs, classes of errors.

Used by the client, the emulator and the docs, so that they cannot differ. Pure facts. Golden tests
typed from the API reference detect a mistake that client and emulator would share.

`errors` has the error rows, `error_classes` the meaning of each code for the caller.

Sources: the models and comments of `alibabacloud-ecs20140526` 7.11.8 (parameters, limits), the API
reference pages of 2021 to 2025 (errors), `aliyun-python-sdk-core` 2.16.1 (read time-outs).
"""

import enum
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final

import msgspec

from rollout.ecs.contract import errors
from rollout.ecs.contract.error_classes import PROVES_PERMISSION, ErrorClass, error_class
from rollout.ecs.contract.errors import ApiError, Edition

__all__ = [
    "ACTIONS",
    "ATTACH_IDS_MAX",
    "DESCRIBE_IDS_MAX",
    "ECS_VERSION",
    "POWER_IDS_MAX",
    "PROVES_PERMISSION",
    "STS_VERSION",
    "Action",
    "ApiError",
    "Edition",
    "ErrorClass",
    "Ids",
    "Kind",
    "Param",
    "documents",
    "error",
    "error_class",
]

ECS_VERSION: Final = "2014-05-26"
STS_VERSION: Final = "2015-04-01"

# Ids in one call. Attach and Detach: AttachKeyPair reference; the others: SDK comments.
ATTACH_IDS_MAX: Final = 50
DESCRIBE_IDS_MAX: Final = 100
POWER_IDS_MAX: Final = 100
STATUS_IDS_MAX: Final = 100
KEY_PAIRS_DELETE_MAX: Final = 100

# Paging. MaxResults is clamped into its range by the service, never refused.
MAX_RESULTS_MIN: Final = 10
MAX_RESULTS_MAX: Final = 100
PAGE_SIZE_DEFAULT: Final = 10
INSTANCES_PAGE_SIZE_MAX: Final = 100
STATUS_PAGE_SIZE_MAX: Final = 50  # below the 100 ids it accepts: 100 ids need two pages
KEY_PAIRS_PAGE_SIZE_MAX: Final = 50
INVOCATION_RESULTS_MAX: Final = 50

KEY_PAIRS_PER_REGION_MAX: Final = 500
TAGS_MAX: Final = 20
TAGGED_IDS_MAX: Final = 50
TAG_CHARS_MAX: Final = 128  # of a key and of a value
TAG_KEYS_RESERVED: Final = ("aliyun", "acs:")  # prefixes that a customer's keys must not have

# RunCommand. The bytes are those of the Base64 text; names and the like are counted in characters.
COMMAND_BYTES_MAX: Final = 24 * 1024
COMMAND_PARAMETERS_MAX: Final = 10
COMMAND_PARAMETER_CHARS_MAX: Final = 64
COMMAND_TYPES: Final = ("RunShellScript", "RunBatScript", "RunPowerShellScript")
COMMAND_REPEATS: Final = ("Once", "Period", "NextRebootOnly", "EveryReboot", "DryRun")
COMMAND_TERMINATIONS: Final = ("Process", "ProcessTree")
COMMAND_CHARS_MAX: Final = MappingProxyType(
    {
        "Name": (128, "CmdName.ExceedLimit"),
        "Description": (512, "CmdDesc.ExceedLimit"),
        "Username": (255, "Username.ExceedLimit"),
        "Launcher": (1024, "InvalidLauncher.LengthLimitExceeded"),
    }
)
"""Most characters of a value, and the code for more."""
CLIENT_TOKEN_CHARS_MAX: Final = 64

TIMESTAMP_WINDOW_MS: Final = 15 * 60 * 1000  # a request older than this is refused by the gateway
TIMEOUT_CONNECT_MS: Final = 5_000
RETRY_AFTER_HEADER: Final = "x-acs-retry-after"  # milliseconds, not seconds
THROTTLE_BUCKET_MS: Final = 60_000  # throttled in minute T, allowed again in minute T+1


class Kind(enum.Enum):
    """How a parameter is written on the wire."""

    TEXT = "text"
    FLAG = "flag"  # True, true, False or false: the Python SDKs send capitals
    NUMBER = "number"
    JSON_ARRAY = "json_array"  # one text: ["i-1","i-2"]
    NUMBERED = "numbered"  # Name.1, Name.2
    PAIRS = "pairs"  # Name.1.Key, Name.1.Value


class Ids(enum.Enum):
    """How an action takes instance ids. The API has two encodings for many ids."""

    NONE = "none"
    ONE = "one"
    JSON_ARRAY = "json_array"
    NUMBERED = "numbered"


class Param(msgspec.Struct, frozen=True):
    """One request parameter. `items_max` bounds arrays and numbered parameters; 0 = not bounded."""

    name: str
    kind: Kind = Kind.TEXT
    required: bool = False
    items_max: int = 0


class Action(msgspec.Struct, frozen=True):
    """One API action.

    `mutating`: changes something. `timeout_read_ms`: the least read time-out a client may use.
    """

    name: str
    params: tuple[Param, ...]
    errors: tuple[ApiError, ...] = ()
    ids: Ids = Ids.NONE
    mutating: bool = False
    timeout_read_ms: int = 15_000
    version: str = ECS_VERSION

    @property
    def ids_max(self) -> int:
        """How many instance ids a call may name; 0 for an action that names none."""
        if self.ids is Ids.NONE:
            return 0
        named = (p for p in self.params if p.name in ("InstanceId", "InstanceIds"))
        return next(named).items_max or 1

    @property
    def product(self) -> str:
        """The product of this version, as in the `Recommend` link of error bodies."""
        return "Sts" if self.version == STS_VERSION else "Ecs"


@lru_cache(maxsize=512)
def error(
    action: str, code: str, edition: Edition = Edition.CURRENT, subject: str = ""
) -> ApiError:
    """The documented error of `action` with `code` in `edition`, its message about `subject`.

    Searches the action's own table, then those that all actions share. A row whose message is about
    another parameter is skipped, unless there is no other.
    Errors: KeyError if nothing is documented.
    """
    own = ACTIONS[action].errors if action in ACTIONS else ()
    rows = [
        row
        for row in (*own, *errors.GATEWAY, *errors.COMMON)
        if row.code == code and row.edition in {None, edition}
    ]
    if rows:
        row = next((row for row in rows if _about(row, subject)), rows[0])
        return msgspec.structs.replace(row, message=row.message.replace("%s", subject))
    if code == f"Missing{subject}":  # the gateway names the parameter in the code
        return ApiError(code, 400, f"{subject} is mandatory for this action.")
    raise KeyError(code)


@lru_cache(maxsize=256)
def documents(action: str, code: str) -> bool:
    """Return whether that code is documented for that action, or for all."""
    try:
        error(action, code)
    except KeyError:
        return False
    return True


def _about(row: ApiError, subject: str) -> bool:
    return not subject or "%s" in row.message or subject in row.message


_REGION: Final = Param("RegionId", required=True)
_TAGGED: Final = (
    Param("ResourceType", required=True),
    Param("ResourceId", Kind.NUMBERED, required=True, items_max=TAGGED_IDS_MAX),
)
_DRY_RUN: Final = Param("DryRun", Kind.FLAG)
_TAGS: Final = Param("Tag", Kind.PAIRS, items_max=TAGS_MAX)
_GROUP: Final = Param("ResourceGroupId")
_PAGES: Final = (Param("PageNumber", Kind.NUMBER), Param("PageSize", Kind.NUMBER))
_TOKENS: Final = (Param("MaxResults", Kind.NUMBER), Param("NextToken"))
_KEY_PAIR: Final = Param("KeyPairName", required=True)
_ATTACH_IDS: Final = Param("InstanceIds", Kind.JSON_ARRAY, required=True, items_max=ATTACH_IDS_MAX)
_INSTANCE: Final = Param("InstanceId", required=True)
_POWER_IDS: Final = Param("InstanceId", Kind.NUMBERED, required=True, items_max=POWER_IDS_MAX)
_BATCH: Final = Param("BatchOptimization")
_ADDRESSES: Final = tuple(
    Param(name, Kind.JSON_ARRAY, items_max=100)
    for name in (
        "PrivateIpAddresses",
        "PublicIpAddresses",
        "InnerIpAddresses",
        "EipAddresses",
        "RdmaIpAddresses",
    )
)

# Read time-outs: no shorter than the classic SDK's per-action figures (attach 16 s, reboot and stop
# 27 s, start 46 s, status 26 s, attribute 36 s), the best public hint of the latency tails.
_ATTACH_READ_MS: Final = 20_000
_REBOOT_READ_MS: Final = 30_000
_START_READ_MS: Final = 50_000


ACTIONS: Final[Mapping[str, Action]] = MappingProxyType(
    {
        action.name: action
        for action in (
            Action(
                "AttachKeyPair",
                (_REGION, _KEY_PAIR, _ATTACH_IDS),
                errors.ATTACH,
                Ids.JSON_ARRAY,
                mutating=True,
                timeout_read_ms=_ATTACH_READ_MS,
            ),
            Action(
                "DetachKeyPair",
                (_REGION, _KEY_PAIR, _ATTACH_IDS),
                errors.DETACH,
                Ids.JSON_ARRAY,
                mutating=True,
                timeout_read_ms=_ATTACH_READ_MS,
            ),
            Action(
                "ImportKeyPair",
                (_REGION, _KEY_PAIR, Param("PublicKeyBody", required=True), _GROUP, _TAGS),
                errors.IMPORT,
                mutating=True,
            ),
            Action(
                "CreateKeyPair", (_REGION, _KEY_PAIR, _GROUP, _TAGS), errors.CREATE, mutating=True
            ),
            Action(
                "DeleteKeyPairs",
                (
                    _REGION,
                    Param(
                        "KeyPairNames",
                        Kind.JSON_ARRAY,
                        required=True,
                        items_max=KEY_PAIRS_DELETE_MAX,
                    ),
                ),
                errors.DELETE,
                mutating=True,
            ),
            Action(
                "TagResources",
                (
                    _REGION,
                    *_TAGGED,
                    Param("Tag", Kind.PAIRS, required=True, items_max=TAGS_MAX),
                ),
                errors.TAG,
                mutating=True,
            ),
            Action(
                "UntagResources",
                (
                    _REGION,
                    *_TAGGED,
                    Param("TagKey", Kind.NUMBERED, items_max=TAGS_MAX),
                    Param("All", Kind.FLAG),
                ),
                errors.TAG,
                mutating=True,
            ),
            Action(
                "DescribeKeyPairs",
                (
                    _REGION,
                    Param("KeyPairName"),
                    Param("KeyPairFingerPrint"),
                    Param("IncludePublicKey", Kind.FLAG),
                    *_PAGES,
                    _GROUP,
                    _TAGS,
                ),
                errors.DESCRIBE_KEY_PAIRS,
            ),
            Action(
                "DescribeInstances",
                (
                    _REGION,
                    Param("InstanceIds", Kind.JSON_ARRAY, items_max=DESCRIBE_IDS_MAX),
                    *(
                        Param(name)
                        for name in (
                            "Status",
                            "KeyPairName",
                            "VpcId",
                            "VSwitchId",
                            "ZoneId",
                            "InstanceNetworkType",
                            "SecurityGroupId",
                            "InstanceName",
                            "InstanceType",
                            "InstanceTypeFamily",
                            "ImageId",
                            "InstanceChargeType",
                            "InternetChargeType",
                            "LockReason",
                            "HpcClusterId",
                            "HttpEndpoint",
                            "HttpTokens",
                        )
                    ),
                    *_ADDRESSES,
                    Param("IoOptimized", Kind.FLAG),
                    Param("Ipv6Address", Kind.NUMBERED),
                    Param("Filter", Kind.PAIRS, items_max=4),
                    Param("AdditionalAttributes", Kind.NUMBERED, items_max=20),
                    Param("DeviceAvailable", Kind.FLAG),
                    Param("NeedSaleCycle", Kind.FLAG),
                    _GROUP,
                    _TAGS,
                    *_TOKENS,
                    *_PAGES,
                    _DRY_RUN,
                ),
                errors.DESCRIBE_INSTANCES,
                Ids.JSON_ARRAY,
            ),
            Action(
                "DescribeInstanceStatus",
                (
                    _REGION,
                    Param("InstanceId", Kind.NUMBERED, items_max=STATUS_IDS_MAX),
                    Param("ZoneId"),
                    Param("ClusterId"),
                    *_PAGES,
                ),
                errors.DESCRIBE_STATUS,
                Ids.NUMBERED,
                timeout_read_ms=30_000,
            ),
            Action(
                "DescribeInstanceAttribute",
                (_INSTANCE,),
                errors.DESCRIBE_ATTRIBUTE,
                Ids.ONE,
                timeout_read_ms=40_000,
            ),
            Action(
                "DescribeInstancesFullStatus",
                (
                    _REGION,
                    Param("InstanceId", Kind.NUMBERED, items_max=DESCRIBE_IDS_MAX),
                    Param("Status"),
                    Param("HealthStatus"),
                    Param("EventType"),
                    Param("EventId", Kind.NUMBERED, items_max=100),
                    Param("InstanceEventType", Kind.NUMBERED, items_max=30),
                    *(
                        Param(f"{name}.{end}")
                        for name in ("NotBefore", "EventPublishTime")
                        for end in ("Start", "End")
                    ),
                    *_PAGES,
                ),
                errors.DESCRIBE_FULL_STATUS,
                Ids.NUMBERED,
            ),
            Action(
                "RebootInstance",
                (_INSTANCE, Param("ForceStop", Kind.FLAG), _DRY_RUN),
                errors.REBOOT,
                Ids.ONE,
                mutating=True,
                timeout_read_ms=_REBOOT_READ_MS,
            ),
            Action(
                "RebootInstances",
                (_REGION, _POWER_IDS, Param("ForceReboot", Kind.FLAG), _BATCH, _DRY_RUN),
                errors.REBOOT_MANY,
                Ids.NUMBERED,
                mutating=True,
                timeout_read_ms=_REBOOT_READ_MS,
            ),
            Action(
                "StartInstance",
                (_INSTANCE, Param("InitLocalDisk", Kind.FLAG), _DRY_RUN),
                errors.START,
                Ids.ONE,
                mutating=True,
                timeout_read_ms=_START_READ_MS,
            ),
            Action(
                "StartInstances",
                (_REGION, _POWER_IDS, _BATCH, _DRY_RUN),
                errors.START_MANY,
                Ids.NUMBERED,
                mutating=True,
                timeout_read_ms=_START_READ_MS,
            ),
            Action(
                "StopInstance",
                (
                    _INSTANCE,
                    Param("ForceStop", Kind.FLAG),
                    Param("StoppedMode"),
                    Param("ConfirmStop", Kind.FLAG),
                    Param("Hibernate", Kind.FLAG),
                    _DRY_RUN,
                ),
                errors.STOP,
                Ids.ONE,
                mutating=True,
                timeout_read_ms=_REBOOT_READ_MS,
            ),
            Action(
                "StopInstances",
                (
                    _REGION,
                    _POWER_IDS,
                    Param("ForceStop", Kind.FLAG),
                    Param("StoppedMode"),
                    _BATCH,
                    _DRY_RUN,
                ),
                errors.STOP_MANY,
                Ids.NUMBERED,
                mutating=True,
                timeout_read_ms=_REBOOT_READ_MS,
            ),
            Action(
                "DescribeRegions",
                (Param("InstanceChargeType"), Param("ResourceType"), Param("AcceptLanguage")),
                errors.DESCRIBE_REGIONS,
                timeout_read_ms=20_000,
            ),
            Action(
                "RunCommand",
                (
                    _REGION,
                    Param("Type", required=True),
                    Param("CommandContent", required=True),
                    Param("InstanceId", Kind.NUMBERED, items_max=POWER_IDS_MAX),
                    Param("ContentEncoding"),
                    Param("Timeout", Kind.NUMBER),
                    Param("Username"),
                    Param("WorkingDir"),
                    Param("RepeatMode"),
                    Param("KeepCommand", Kind.FLAG),
                    Param("EnableParameter", Kind.FLAG),
                    Param("Parameters"),
                    Param("Name"),
                    Param("Description"),
                    Param("Frequency"),
                    Param("TerminationMode"),
                    Param("Launcher"),
                    Param("ContainerId"),
                    Param("ContainerName"),
                    Param("ClientToken"),
                    Param("ResourceTag", Kind.PAIRS, items_max=TAGS_MAX),
                    _GROUP,
                    _TAGS,
                ),
                errors.RUN_COMMAND,
                Ids.NUMBERED,
                mutating=True,
                timeout_read_ms=20_000,
            ),
            Action(
                "DescribeInvocationResults",
                (
                    _REGION,
                    Param("InvokeId"),
                    Param("InstanceId"),
                    Param("CommandId"),
                    Param("InvokeRecordStatus"),
                    Param("IncludeHistory", Kind.FLAG),
                    Param("ContentEncoding"),
                    _GROUP,
                    _TAGS,
                    *_TOKENS,
                    *_PAGES,
                ),
                errors.INVOCATION_RESULTS,
                timeout_read_ms=20_000,
            ),
            Action(
                "DescribeCloudAssistantStatus",
                (
                    _REGION,
                    Param("InstanceId", Kind.NUMBERED, items_max=POWER_IDS_MAX),
                    Param("OSType"),
                    *_TOKENS,
                    *_PAGES,
                ),
                errors.ASSISTANT_STATUS,
                Ids.NUMBERED,
                timeout_read_ms=20_000,
            ),
            Action("GetCallerIdentity", (), version=STS_VERSION),
        )
    }
)
