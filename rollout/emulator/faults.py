"""The faults of network, gateway and guests by name, and what each injects into a call."""

import enum
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from rollout.ecs import contract


class Ending(enum.Enum):
    """How the caller's connection ends."""

    ANSWER = "answer"
    CLOSE = "close"  # closed without a reply
    HANG = "hang"  # kept open without a reply, until the caller's timeout
    CUT = "cut"  # closed in the middle of the body


class Damage(enum.Enum):
    """How a reply that arrives is damaged."""

    HTML = "html"  # a proxy's page instead of the reply
    GARBAGE = "garbage"  # bytes that are no document
    HUGE = "huge"  # larger than any reader accepts
    GZIP_GARBAGE = "gzip_garbage"  # says gzip, is not
    CHARSET = "charset"  # says UTF-16, is UTF-8
    EMPTY = "empty"
    REDIRECT = "redirect"
    XML = "xml"  # XML although JSON was requested
    STRINGS = "strings"  # numbers and booleans as strings
    FOREIGN = "foreign"  # the reply to another request
    RESULTS_MISSING = "results_missing"
    RESULTS_DOUBLED = "results_doubled"
    RESULTS_EXTRA = "results_extra"
    RESULTS_ABSENT = "results_absent"
    FAIL_COUNT = "fail_count"  # FailCount says one, no item says so
    TOKEN_LOOP = "token_loop"  # noqa: S105 - NextToken of this very page
    PAGES_SHIFT = "pages_shift"  # the next page begins with rows of this one
    NO_REQUEST_ID = "no_request_id"
    EMPTY_LIST = "empty_list"  # as for a caller without permission
    PARTIAL_LIST = "partial_list"  # half of the rows


class Injection(msgspec.Struct, frozen=True):
    """What is injected into one call.

    `arrivals_ms`: delays from sending to each arrival at the cloud; none = it never arrives. The
    first arrival produces the reply, the others only have their effect. `reply_ms`: delay from the
    first arrival to the reply, or from sending to an ending without one. `code`: an API error
    replaces the cloud's reply. `status` overrides the HTTP status. `drips`: the reply starts at
    once and arrives in small parts, the last one after `reply_ms`. `resets`: a connection that
    ends early is reset, not closed. `mixes`: the reply is that of the previous call of this action.
    """

    arrivals_ms: tuple[int, ...] = (0,)
    reply_ms: int = 0
    ending: Ending = Ending.ANSWER
    code: str | None = None
    status: int | None = None
    retry_after_ms: int | None = None
    damage: Damage | None = None
    lag_ms: int = 0
    drips: bool = False
    resets: bool = False
    mixes: bool = False

    @property
    def answer_after_ms(self) -> int:
        """Return the time from sending to the end of the connection.

        A call whose first arrival is later than its ending (a late effect) ends before it.
        """
        if self.ending is Ending.ANSWER and self.arrivals_ms:
            return self.arrivals_ms[0] + self.reply_ms
        return self.reply_ms


NO_INJECTION: Final = Injection()

_LATE_MS: Final = 20_000
_SLOW_MS: Final = 5_000
_STALE_MS: Final = 30_000

_NOT_SENT: Final = ()


def _refused(
    code: str, *, status: int | None = None, retry_after_ms: int | None = None
) -> Injection:
    return Injection(_NOT_SENT, code=code, status=status, retry_after_ms=retry_after_ms)


INJECTIONS: Final[Mapping[str, Injection]] = MappingProxyType(
    {
        # refused before any effect
        "throttle": _refused("Throttling", retry_after_ms=1_000),
        "throttle_no_header": _refused("Throttling"),
        "throttle_user": _refused("Throttling.User", retry_after_ms=1_000),
        "throttle_api": _refused("Throttling.Api"),
        "throttle_429": _refused("Throttling.User", status=429, retry_after_ms=1_000),
        "throttle_503": _refused("Throttling.User", status=503),
        "throttle_absurd": _refused("Throttling", retry_after_ms=86_400_000),
        "throttle_negative": _refused("Throttling", retry_after_ms=-5),
        "error_before": _refused("InternalError"),
        "unavailable": _refused("ServiceUnavailable"),
        "unknown_error": _refused("UnknownError"),
        "conflict": _refused("OperationConflict"),
        "timestamp_expired": _refused("InvalidTimeStamp.Expired"),
        "nonce_used": _refused("SignatureNonceUsed"),
        "signature_mismatch": _refused("SignatureDoesNotMatch"),
        "token_expired": _refused("InvalidSecurityToken.Expired"),
        "forbidden": _refused("Forbidden.RAM"),
        "key_pair_gone": _refused("InvalidKeyPairName.NotFound"),
        "region_gone": _refused("InvalidRegionId.NotFound"),
        "unknown_code": _refused("UnheardOf.Code"),
        "html_502": Injection(_NOT_SENT, damage=Damage.HTML, status=502),
        # never arrives, without an error
        "lost_before": Injection(_NOT_SENT, ending=Ending.CLOSE),
        "timeout_before": Injection(_NOT_SENT, ending=Ending.HANG),
        # arrives; the reply is an error, or there is none
        "error_after": Injection(code="InternalError"),
        "unavailable_after": Injection(code="ServiceUnavailable"),
        "lost_after": Injection(ending=Ending.CLOSE),
        "timeout_after": Injection(ending=Ending.HANG),
        "late_effect": Injection((_LATE_MS,), ending=Ending.CLOSE),
        "twice": Injection((0, 0)),
        "twice_late": Injection((0, _LATE_MS)),
        "slow": Injection(reply_ms=_SLOW_MS),
        "slow_arrival": Injection((_SLOW_MS,)),
        "cut_body": Injection(ending=Ending.CUT),
        "html_200": Injection(damage=Damage.HTML),
        "garbage": Injection(damage=Damage.GARBAGE),
        "huge_body": Injection(damage=Damage.HUGE),
        "gzip_garbage": Injection(damage=Damage.GZIP_GARBAGE),
        "wrong_charset": Injection(damage=Damage.CHARSET),
        "empty_body": Injection(damage=Damage.EMPTY),
        "redirect": Injection(_NOT_SENT, damage=Damage.REDIRECT, status=302),
        "xml_for_json": Injection(damage=Damage.XML),
        "numbers_as_strings": Injection(damage=Damage.STRINGS),
        "request_id_missing": Injection(damage=Damage.NO_REQUEST_ID),
        "foreign_reply": Injection(damage=Damage.FOREIGN),
        # results of attach, detach and the batch power actions
        "results_missing": Injection(damage=Damage.RESULTS_MISSING),
        "results_doubled": Injection(damage=Damage.RESULTS_DOUBLED),
        "results_extra": Injection(damage=Damage.RESULTS_EXTRA),
        "results_absent": Injection(damage=Damage.RESULTS_ABSENT),
        "fail_count_wrong": Injection(damage=Damage.FAIL_COUNT),
        # describes
        "stale_describe": Injection(lag_ms=_STALE_MS),
        "empty_describe": Injection(damage=Damage.EMPTY_LIST),
        "token_loop": Injection(damage=Damage.TOKEN_LOOP),
        "pages_shift": Injection(damage=Damage.PAGES_SHIFT),
        "partial_describe": Injection(damage=Damage.PARTIAL_LIST),
    }
)

REFUSED: Final = "refused"
"""The fault that refuses with a given code."""

CONNECTION_INJECTIONS: Final[Mapping[str, Injection]] = MappingProxyType(
    {
        REFUSED: _refused(""),
        "timeout_late": Injection((_LATE_MS,), ending=Ending.HANG),
        "drip_body": Injection(reply_ms=_SLOW_MS, drips=True),
        "reset_before": Injection(_NOT_SENT, ending=Ending.CLOSE, resets=True),
        "reset_after": Injection(ending=Ending.CLOSE, resets=True),
        "former_reply": Injection(mixes=True),
        "reset_body": Injection(ending=Ending.CUT, resets=True),
    }
)
"""Simulated seeds do not draw these: without a socket they equal `slow`, lost, late or cut calls,
or have no effect, and `refused` has no default code."""

INSTANCE_FAULTS: Final = (
    "boot_stuck_starting",
    "boot_stuck_stopping",
    "reboot_ends_stopped",
    "no_stock",
    "disk_error",
    "key_never_installed",
    "former_key_kept",
    "key_installed_late",
    "host_key_changed",
)
"""Faults of an instance, drawn once per instance."""

LATE_KEY_MS: Final = 20_000
"""How long after its boot a guest with `key_installed_late` keeps its former keys."""

_ONLY_FOR: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "stale_describe": ("DescribeInstances", "DescribeInstanceStatus"),
        "empty_describe": ("DescribeInstances",),
        "token_loop": ("DescribeInstances",),
        "pages_shift": ("DescribeInstances",),
        "partial_describe": ("DescribeInstances",),
        "key_pair_gone": ("AttachKeyPair", "DetachKeyPair"),
        "fail_count_wrong": ("AttachKeyPair", "DetachKeyPair"),
        **dict.fromkeys(
            ("results_missing", "results_doubled", "results_extra", "results_absent"),
            (
                "AttachKeyPair",
                "DetachKeyPair",
                "RebootInstances",
                "StartInstances",
                "StopInstances",
            ),
        ),
    }
)

CALL_INJECTIONS: Final = {**INJECTIONS, **CONNECTION_INJECTIONS}
FAULT_NAMES: Final = (*CALL_INJECTIONS, *INSTANCE_FAULTS)


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One armed fault. `actions` empty = every action it applies to.

    `delay_ms` replaces the fault's own delay (slow, slow_arrival, drip_body, late_effect,
    timeout_late, twice_late, stale_describe, key_installed_late) or of its retry-after. `code` is
    that of `refused`, which applies to the actions that document it.
    """

    fault: str
    probability: float = 1.0
    actions: tuple[str, ...] = ()
    delay_ms: int | None = None
    code: str = ""

    @property
    def name(self) -> str:
        """Return the name used for draws: two refusals with different codes are two faults."""
        return f"{self.fault} {self.code}" if self.code else self.fault

    def problem(self) -> str:
        """Return why this fault cannot be armed; empty if it can."""
        if self.fault not in FAULT_NAMES:
            return f"no fault {self.fault!r}; there are: {', '.join(FAULT_NAMES)}"
        if (self.fault == REFUSED) is not bool(self.code):
            return "refused needs a code, and no other fault has one"
        if self.code and not any(
            contract.documents(action, self.code) for action in contract.ACTIONS
        ):
            return f"no action documents {self.code}"
        if not 0 <= self.probability <= 1:
            return "a probability lies between 0 and 1"
        if self.delay_ms is not None and self.delay_ms < 0:
            return "a delay is not negative"
        if unknown := [action for action in self.actions if action not in contract.ACTIONS]:
            return f"no action {unknown[0]!r}"
        if self.actions and not any(self.applies_to(action) for action in self.actions):
            return f"{self.name} does not apply to {self.actions[0]}"
        return ""

    def applies_to(self, action: str) -> bool:
        """Return whether the fault can be injected into a call of `action`."""
        if self.actions and action not in self.actions:
            return False
        if self.code:
            return contract.documents(action, self.code)
        return action in _ONLY_FOR.get(self.fault, (action,))

    def injection(self) -> Injection:
        """Return what the fault injects into a call."""
        injection = CALL_INJECTIONS[self.fault]
        if self.code:
            injection = msgspec.structs.replace(injection, code=self.code)
        if self.delay_ms is None:
            return injection
        return msgspec.structs.replace(injection, **_with_delay(injection, self.delay_ms))


HOSTILE: Final = (
    Fault("throttle_user", 0.03),
    Fault("throttle_no_header", 0.01),
    Fault("unavailable", 0.01),
    Fault("error_after", 0.01),
    Fault("lost_before", 0.01),
    Fault("lost_after", 0.01),
    Fault("late_effect", 0.005),
    Fault("twice", 0.005),
    Fault("slow", 0.01),
    Fault("cut_body", 0.005),
    Fault("html_502", 0.005),
    Fault("results_missing", 0.01),
    Fault("results_doubled", 0.005),
    Fault("stale_describe", 0.02),
    Fault("numbers_as_strings", 0.02),
    Fault("reboot_ends_stopped", 0.002),
    Fault("boot_stuck_starting", 0.002),
    Fault("key_never_installed", 0.002),
)
"""A few of each fault that a caller must survive; none that ends every run at once."""


def _with_delay(injection: Injection, delay_ms: int) -> dict[str, object]:
    """Return the field of an injection that the delay of a fault replaces."""
    if injection.retry_after_ms is not None:
        return {"retry_after_ms": delay_ms}
    if injection.lag_ms:
        return {"lag_ms": delay_ms}
    if injection.arrivals_ms and injection.arrivals_ms[-1]:
        return {"arrivals_ms": (*injection.arrivals_ms[:-1], delay_ms)}
    return {"reply_ms": delay_ms}
