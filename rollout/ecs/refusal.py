"""Convert a refused or lost call into an error for people.

Called by planning and preflight, before a run starts. During a run the core judges such outcomes.
"""

from __future__ import annotations

from rollout.ecs import causes
from rollout.errors import CODES, AccessError, RolloutError
from rollout.model.outcome import Refused, RetryClass, Unknown
from rollout.model.phrase import say

_BAD_KEYS = ("InvalidAccessKey", "SignatureDoesNotMatch", "InvalidSecurityToken", "IncompleteSign")
_CURES = {
    "R0401": "set ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET, or --profile",
    "R0402": "renew the credentials, or select others with --profile",
    "R0404": "check for a proxy that changes the `Date` header of replies",
    "R0411": "try again later, or with a longer --api-timeout where the service was busy",
}


def explain(outcome: Refused | Unknown, action: str, where: str) -> RolloutError:
    """Return an error with the action, the address, the service's code and the request id."""
    reason = outcome.why if isinstance(outcome, Unknown) else outcome.code
    cause = causes.explain(reason)
    if cause is not None:
        code, check = cause.code, cause.check
        detail = outcome.message.removeprefix(reason).lstrip(": ")
        text = f"{cause.text}{' ' if detail[:1] in ('', '(') else ': '}{detail}".rstrip()
    else:
        code = _code(outcome)
        text = _text(reason, outcome.message)
        check = _grant(action) if code == "R0403" else _CURES.get(code, "")
    return AccessError.of(
        code,
        say("{action} at {place}: {cause}", action=action, place=where, cause=text),
        help=check or None,
        request_id=outcome.request_id or None,
    )


def _grant(action: str) -> str:
    product = "sts" if action == "GetCallerIdentity" else "ecs"
    return f"grant {product}:{action} to the identity, or select another identity with --profile"


def _text(code: str, message: str) -> str:
    """Return the service's code and message, without our own codes and repetitions."""
    if message and (code in CODES or message.startswith(code)):
        return message
    return f"{code} {message}".strip()


def _code(outcome: Refused | Unknown) -> str:
    if isinstance(outcome, Unknown):
        return "R0411"
    if outcome.code in CODES:
        return outcome.code
    match outcome.retry:
        case RetryClass.UNSENT:
            return "R0410"
        case RetryClass.CLOCK:
            return "R0404"
        case RetryClass.DENIED:
            return "R0402" if outcome.code.startswith(_BAD_KEYS) else "R0403"
        case _:
            return "R0411"
