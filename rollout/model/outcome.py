"""How a call ended: `Done`, `Refused` (a proof of absence) or `Unknown` (it may have happened).

Created by `ecs.verdict` from a reply, journaled in `Settled`, judged by `core`.
"""

from __future__ import annotations

import enum

import msgspec

from rollout.model.time import SECOND, Duration, Instant


class RetryClass(enum.StrEnum):
    """What a refusal means for a retry. `ecs.contract` has the class of each error code."""

    THROTTLED = "throttled"
    """Retry later; never a failure, does not count as an attempt."""
    UNSENT = "unsent"
    """Nothing left this machine: connection refused, `not_after` passed, run halted."""
    STATE = "state"
    """The instance's state does not allow it now: observe it again."""
    FACT = "fact"
    """A fact about this instance that will not change by itself (Windows, locked, no stock)."""
    GONE = "gone"
    """Instance not found: suspect until two observations agree."""
    DENIED = "denied"
    """Not authenticated or not authorized."""
    CLOCK = "clock"
    """Our clock is off by more than the service allows."""
    KEY_PAIR = "key_pair"
    """The key pair or the region does not exist."""
    INPUT = "input"
    """An invalid parameter: a defect of this program or of the spec."""
    ODD = "odd"
    """An unknown code."""


class Unsent(enum.StrEnum):
    """Why a call did not leave this machine. The value is the code of the refusal."""

    STOPPED = "not_sent_stopped"
    """The run stopped before the call was started."""
    HALTED = "not_sent_halted"
    """Changes were no longer allowed right before the call was sent."""
    EXPIRED = "not_sent_expired"
    """The call could only be sent after its `not_after`."""
    DISK = "not_sent_disk"
    """The intent is not durable."""
    BREAKER = "breaker_open"
    """The circuit breaker of its lane is open."""
    DNS = "dns"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    CONNECT_TIMEOUT = "connect_timeout"
    TLS = "tls"
    CERTIFICATE = "certificate"
    PROXY_LOGIN = "proxy_login"
    PROXY_REFUSED = "proxy_refused"
    PROXY_UNREACHABLE = "proxy_unreachable"
    CLOSED = "closed"
    """The server closed the connection before it was used."""
    UNASKED_BYTES = "unasked_bytes"
    """Bytes arrived on the connection before the request: they would be read as its reply."""

    def refusal(self, message: str = "", retry_after_ms: Duration = 0) -> Refused:
        """Return the outcome of a call that was not sent for this reason."""
        code, unsent = self.value, RetryClass.UNSENT
        return Refused(code, unsent, message, retry_after_ms=retry_after_ms)


class Done(msgspec.Struct, frozen=True, gc=False, tag=True, omit_defaults=True):
    """The service reports success. For AttachKeyPair of the record, never of the guest."""

    request_id: str = ""
    api_time: Instant = 0


class Refused(msgspec.Struct, frozen=True, gc=False, tag=True, omit_defaults=True):
    """A parsed API error, or a call that was never sent: nothing happened."""

    code: str
    retry: RetryClass
    message: str = ""
    request_id: str = ""
    api_time: Instant = 0
    retry_after_ms: Duration = 0


class Unknown(msgspec.Struct, frozen=True, gc=False, tag=True, omit_defaults=True):
    """It may have happened, now or later: only an observation shows it."""

    why: str
    request_id: str = ""
    api_time: Instant = 0
    message: str = ""


Outcome = Done | Refused | Unknown


def shortened(outcome: Outcome, at: Instant) -> Outcome:
    """Return the outcome as the journal holds it: a `Done` in the same second as `at` does not
    repeat it as `api_time`. `at` is when the reply came, by our clock.
    """
    if isinstance(outcome, Done) and outcome.api_time == _second(at):
        return Done(outcome.request_id)
    return outcome


def api_time_of(outcome: Outcome, at: Instant) -> Instant:
    """Return when the service replied, by its own clock, to the second; 0 if unknown. The inverse
    of `shortened`.
    """
    return outcome.api_time or (_second(at) if isinstance(outcome, Done) else 0)


def _second(at: Instant) -> Instant:
    return at // SECOND * SECOND


class Answer(msgspec.Struct, frozen=True):
    """The result of one mutating call.

    `outcome` holds for every instance of the call that `items` does not name. `items` are the
    exceptions, by instance id. `anomalies` are oddities of the reply that the journal records.
    """

    outcome: Outcome
    items: dict[str, Outcome] = {}
    anomalies: tuple[str, ...] = ()
