"""How a call ended: `Done`, `Refused` (a proof of absence) or `Unknown` (it may have happened).

Made by `ecs.verdict` from what came back, journaled in `Settled`, judged by `core`.
"""

from __future__ import annotations

import enum

import msgspec

from rollout.model.time import SECOND, Duration, Instant


class RetryClass(enum.StrEnum):
    """What a refusal means for a second try. The code's class comes from `ecs.contract`."""

    THROTTLED = "throttled"
    """Come back later; never a failure, counts as no attempt."""
    UNSENT = "unsent"
    """Nothing left this machine: connection refused, `not_after` passed, run halted."""
    STATE = "state"
    """The instance's state does not allow it now: read it again."""
    FACT = "fact"
    """A fact about this instance that will not change by itself (Windows, locked, no stock)."""
    GONE = "gone"
    """Instance not found: suspect until two reads agree."""
    DENIED = "denied"
    """Not authenticated or not authorized."""
    CLOCK = "clock"
    """Our clock is off by more than the service allows."""
    KEY_PAIR = "key_pair"
    """The key pair or the region is not there."""
    INPUT = "input"
    """We sent something wrong: our defect or the spec's."""
    ODD = "odd"
    """An unknown code."""


class Unsent(enum.StrEnum):
    """Why a call did not leave this machine. The value is the code of the refusal."""

    STOPPED = "not_sent_stopped"
    """The run stopped before the turn of the call came."""
    HALTED = "not_sent_halted"
    """Changes were no longer allowed when the call was about to leave."""
    EXPIRED = "not_sent_expired"
    """The call could only leave after its `not_after`."""
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
    """The service says it did it. For AttachKeyPair the record, never the guest."""

    request_id: str = ""
    api_time: Instant = 0


class Refused(msgspec.Struct, frozen=True, gc=False, tag=True, omit_defaults=True):
    """A parsed API error, or a call that never left: it did not happen."""

    code: str
    retry: RetryClass
    message: str = ""
    request_id: str = ""
    api_time: Instant = 0
    retry_after_ms: Duration = 0


class Unknown(msgspec.Struct, frozen=True, gc=False, tag=True, omit_defaults=True):
    """It may have happened, now or later: only a look can tell."""

    why: str
    request_id: str = ""
    api_time: Instant = 0
    message: str = ""


Outcome = Done | Refused | Unknown


def shortened(outcome: Outcome, at: Instant) -> Outcome:
    """Return the outcome as the journal holds it: a `Done` of the very second of `at` does not
    repeat it as `api_time`. `at` is when the reply came, by our clock.
    """
    if isinstance(outcome, Done) and outcome.api_time == _second(at):
        return Done(outcome.request_id)
    return outcome


def api_time_of(outcome: Outcome, at: Instant) -> Instant:
    """Return when the service replied, by its own clock, to the second: undoes `shortened`. 0 where
    the service did not say.
    """
    return outcome.api_time or (_second(at) if isinstance(outcome, Done) else 0)


def _second(at: Instant) -> Instant:
    return at // SECOND * SECOND


class Answer(msgspec.Struct, frozen=True):
    """What came of one mutating call.

    `outcome` holds for every instance of the call that `items` does not name. `items` are the
    exceptions, by instance id. `anomalies` are oddities of the reply worth a line in the journal.
    """

    outcome: Outcome
    items: dict[str, Outcome] = {}
    anomalies: tuple[str, ...] = ()
