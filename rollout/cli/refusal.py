"""What the service said no with, while nothing has begun yet, as an error for people.

Called by `wiring` and the planning commands; inside a run such answers are the core's business.
"""

from __future__ import annotations

from rollout.errors import CODES, AccessError, RolloutError
from rollout.model.outcome import Refused, RetryClass, Unknown

_BAD_KEYS = ("InvalidAccessKey", "SignatureDoesNotMatch", "InvalidSecurityToken", "IncompleteSign")
_CURES = {
    "R0401": "set ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET, or --profile",
    "R0402": "renew the credentials, or name others with --profile",
    "R0403": "grant the action to the identity, or use another one with --profile",
    "R0404": "check what changes the `Date` of replies (a proxy): the signing time follows it",
    "R0410": "check name resolution, proxy and --endpoint",
    "R0411": "try again later, or with a longer --api-timeout where the service was busy",
    "R0412": "something between here and the service answered in its place: check the proxy",
}


def explain(outcome: Refused | Unknown, action: str, where: str) -> RolloutError:
    """An error with the action, the address it went to, the service's code and the request id."""
    if isinstance(outcome, Unknown):
        code = "R0412" if outcome.request_id else "R0410"
        said = f"{outcome.why} {outcome.message}".rstrip()
        if outcome.why.startswith(("proxy", "redirect", "malformed")):
            code = "R0412"
    else:
        code, said = _code(outcome), _said(outcome)
    return AccessError.of(
        code,
        f"{action} at {where}: {said}",
        help=_CURES.get(code),
        request_id=outcome.request_id or None,
    )


def _said(refused: Refused) -> str:
    """The service's code and sentence; our own codes and repetitions are not said twice."""
    if refused.message and (refused.code in CODES or refused.message.startswith(refused.code)):
        return refused.message
    return f"{refused.code} {refused.message}".strip()


def _code(refused: Refused) -> str:
    if refused.code in CODES:
        return refused.code
    match refused.retry:
        case RetryClass.UNSENT:
            return "R0410"
        case RetryClass.CLOCK:
            return "R0404"
        case RetryClass.DENIED:
            return "R0402" if refused.code.startswith(_BAD_KEYS) else "R0403"
        case _:
            return "R0411"
