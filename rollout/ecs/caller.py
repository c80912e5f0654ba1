"""Execute one call: circuit breaker, pace, keys, signature, and one retry after renewing them.

Called by the client, which knows what the call means. Every attempt has a new signature, and no
call is sent after its time. A mutation is sent once; only a refusal that proves that it was not
processed (clock, keys) lets it be signed and sent a second time.
"""

from __future__ import annotations

import asyncio
import functools
import secrets
from collections.abc import Callable, Coroutine, Mapping
from functools import lru_cache
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
import tenacity

from rollout.ecs import breaker, contract, jitter, sign, verdict, wire
from rollout.ecs.credentials import Credentials, Keyring, KeysUnavailableError
from rollout.ecs.endpoints import Endpoints
from rollout.ecs.governor import Governor, Ticket
from rollout.ecs.transport import Lost, NotSent, SignedCall, Transport
from rollout.errors import AccessError
from rollout.model import limits
from rollout.model.known_secrets import KnownSecrets
from rollout.model.outcome import Done, Outcome, Refused, RetryClass, Unknown, Unsent
from rollout.model.site import Lane, Site
from rollout.model.time import MINUTE, SECOND, Clock, Duration, Instant

WAIT_MS_MAX: Final = 2 * MINUTE
"""Maximum wait of a call without a deadline for its lane."""
SKEW_MS_MIN: Final = 2 * SECOND
"""`Date` has whole seconds: a smaller difference is not a skew."""
USER_AGENT: Final = "rollout/1"

_HELD_BACK: Final = {
    Unsent.HALTED: "the run was stopped before it could leave",
    Unsent.EXPIRED: "its time passed before it could leave",
}
_ALWAYS_SENT = frozenset({"UntagResources"})
"""Sent while changes are not allowed, like dry runs, and retried: it removes the marks of a run
that has ended, and changes no instance."""
_KEYS_NAP_S = 0.25
"""Interval at which a call that waits for keys checks whether it may still be sent."""
_RETRY_BASE_S = 0.2
_RETRY_CAP_S = 2.0


def fresh_nonce() -> str:
    """Return a nonce that no other call has."""
    return secrets.token_hex(16)


class UnsignedCall(msgspec.Struct, frozen=True):
    """A request before it is signed. `region` is empty for GetCallerIdentity.

    `patient`: the client retries it, so it bypasses the circuit breaker.
    """

    action: contract.Action
    region: str
    query: str
    not_after: Instant
    patient: bool = False


class Caller:
    """Sends calls of one account, each lane at its own pace."""

    def __init__(
        self,
        transport: Transport,
        keyring: Keyring,
        clock: Clock,
        *,
        endpoints: Endpoints,
        governor: Governor,
        nonce: Callable[[], str] = fresh_nonce,
        stopped: Callable[[], bool] = lambda: False,
        known: KnownSecrets | None = None,
    ) -> None:
        self.governor = governor
        self.skew_ms: Duration = 0
        self.service_ahead_ms: Duration = 0
        """How far the latest reply's `Date` was ahead of our clock."""
        self._transport, self._keyring, self._clock = transport, keyring, clock
        self._endpoints = endpoints
        self._known = known or KnownSecrets()
        self._nonce, self._stopped = nonce, stopped
        self._breakers: dict[Lane, breaker.Breaker] = {}
        self._budgets: dict[Lane, breaker.RetryBudget] = {}

    async def call(
        self,
        account: str,
        action: str,
        region: str,
        params: Mapping[str, str],
        *,
        not_after: Instant | None = None,
        patient: bool = False,
    ) -> verdict.JudgedReply | Refused | Unknown:
        """Return the reply of the service, or why there is none.

        `patient` means that the client retries it: then it is sent once.
        """
        if not_after is None:
            not_after = self._clock.now() + WAIT_MS_MAX
        spec = contract.ACTIONS[action]
        if params.get("DryRun") == "true" or action in _ALWAYS_SENT:
            spec = msgspec.structs.replace(spec, mutating=False)
        request = UnsignedCall(spec, region, sign.canonical_query(params), not_after, patient)
        lane = Lane(Site(account, region), action)
        refusal = None if patient else await self._check_breaker(lane, request)
        if refusal is not None:
            return refusal
        try:
            if spec.mutating or patient:
                return await self._attempt(lane, request)
            return await self._retried(lane, request)
        except NotSent as error:
            return error.reason.refusal(_HELD_BACK.get(error.reason, str(error)))
        except Lost as error:
            if not patient:
                self._breaker(lane).note(Unknown(error.reason), self._clock.now())
            return Unknown(error.reason)

    async def _retried(self, lane: Lane, request: UnsignedCall) -> verdict.JudgedReply | Refused:
        """Retry a safe call whose connection failed, within its lane's retry budget."""
        budget = self._budgets.setdefault(lane, breaker.RetryBudget())
        budget.note_call(self._clock.now())

        def enough(state: tenacity.RetryCallState) -> bool:
            spent = state.attempt_number >= limits.ATTEMPTS_MAX
            return spent or not budget.take(self._clock.now())

        def wait_s(state: tenacity.RetryCallState) -> float:
            ceiling = min(_RETRY_CAP_S, _RETRY_BASE_S * (1 << state.attempt_number))
            return ceiling * jitter.share_of(f"{lane}{request.query}{state.attempt_number}")

        repeated = _CONNECTIONS.copy(stop=enough, wait=wait_s, sleep=self._sleep_s)
        return await repeated(self._attempt, lane, request)

    async def _attempt(self, lane: Lane, request: UnsignedCall) -> verdict.JudgedReply | Refused:
        """Wait for the lane, send, and report the outcome to lane and breaker."""
        stopped = self._stopped if request.action.mutating else (lambda: False)
        ticket = await self.governor.admit(lane, request.not_after, stopped)
        if ticket is None and stopped():
            return Unsent.HALTED.refusal(_HELD_BACK[Unsent.HALTED])
        if ticket is None:
            return Unsent.EXPIRED.refusal("its lane had no free slot in time")
        try:
            reply = await self._exchange(request)
        finally:
            self.governor.release(lane)
        self._note(lane, ticket, reply, patient=request.patient)
        return reply

    async def _exchange(self, request: UnsignedCall) -> verdict.JudgedReply | Refused:
        """Send, and a second time if keys or clock were refused and others are available."""
        try:
            keys = await self._fetch_keys(request, self._keyring.get())
            if keys is None:
                raise NotSent(self._held_back(request) or Unsent.EXPIRED)
            reply = await self._send(request, keys)
            refused = _refused_unread(reply)
            if refused is contract.ErrorClass.AUTH:
                others = await self._renew_keys(request, keys)
                if others is None or others.signs_like(keys):
                    return reply
                return await self._send(request, others)
            if refused is contract.ErrorClass.CLOCK:
                self._measure_skew(reply)
                return await self._send(request, keys)
            return reply
        except AccessError as error:
            problem = error.problems[0]
            temporary = isinstance(error, KeysUnavailableError)
            retry = RetryClass.UNSENT if temporary else RetryClass.DENIED
            return Refused(problem.code, retry, problem.message)

    async def _renew_keys(self, request: UnsignedCall, refused: Credentials) -> Credentials | None:
        """Fetch other keys than the refused ones; None if there are none in time or now."""
        try:
            return await self._fetch_keys(request, self._keyring.renew(refused))
        except KeysUnavailableError:
            return None

    async def _fetch_keys(
        self, request: UnsignedCall, fetch: Coroutine[Any, Any, Credentials]
    ) -> Credentials | None:
        """Fetch keys, which may take minutes; None once the call may no longer be sent."""
        if not self._keyring.source.blocks:
            return await fetch
        fetching = asyncio.ensure_future(fetch)
        try:
            while not fetching.done():
                await asyncio.wait((fetching,), timeout=_KEYS_NAP_S)
                if not fetching.done() and self._held_back(request):
                    return None
            return fetching.result()
        finally:
            fetching.cancel()

    async def _send(self, request: UnsignedCall, keys: Credentials) -> verdict.JudgedReply:
        """Sign and send, unless the call may no longer be sent. Errors: NotSent, Lost."""
        now = self._clock.now()
        reason = self._held_back(request)
        if reason is not None:
            raise NotSent(reason)
        endpoint = self._endpoints.ecs(request.region) if request.region else self._endpoints.sts()
        headers = self._headers(request, keys, _authority(endpoint), now + self.skew_ms)
        connect_ms = min(contract.TIMEOUT_CONNECT_MS, max(1, request.not_after - now))
        reply = await self._transport.send(
            SignedCall(
                request.action.name,
                endpoint,
                request.query,
                headers,
                connect_ms,
                request.action.timeout_read_ms,
                functools.partial(self._held_back, request),
            )
        )
        readable = self._without_secrets(reply, headers["authorization"])
        received = verdict.received(readable, self._clock.now(), left_at=now)
        self._compare_clocks(received)
        return received

    def _without_secrets(self, reply: wire.HttpReply, authorization: str) -> wire.HttpReply:
        """Return the reply without secrets of the call that it repeats: keys, token, signature.

        Done before it is read, since a reader may cut a text in the middle of a secret.
        """
        signature = authorization.rpartition("Signature=")[2]
        body = self._known.blank_bytes(reply.body).replace(signature.encode(), b"***")
        headers = {
            name.lower(): self._known.blank(value).replace(signature, "***")
            for name, value in reply.headers.items()
        }
        return wire.HttpReply(reply.status, headers, body)

    def _held_back(self, request: UnsignedCall) -> Unsent | None:
        """Return why the call must not be sent now, or None. Checked again once connected."""
        if self._clock.expired(request.not_after):
            return Unsent.EXPIRED
        if request.action.mutating and self._stopped():
            return Unsent.HALTED
        return None

    def _headers(
        self, request: UnsignedCall, keys: Credentials, authority: str, at: Instant
    ) -> dict[str, str]:
        """Return the signed headers: host and all `x-acs-` ones, as the gateway requires."""
        signed = {
            "host": authority,
            "x-acs-action": request.action.name,
            "x-acs-content-sha256": sign.EMPTY_SHA256,
            "x-acs-date": _iso_seconds(at // SECOND),
            "x-acs-signature-nonce": self._nonce(),
            "x-acs-version": request.action.version,
        }
        if keys.token is not None:
            signed["x-acs-accesskey-id"] = keys.access_key_id
            signed["x-acs-security-token"] = keys.token.reveal()
        text = sign.v3_canonical_text(
            "POST", "/", request.query, signed, list(signed), sign.EMPTY_SHA256
        )
        signature = sign.v3_signature(text, keys.secret.reveal())
        authorization = sign.v3_authorization(keys.access_key_id, signed, signature)
        return {
            **signed,
            "accept": "application/json",
            "user-agent": USER_AGENT,
            "authorization": authorization,
        }

    async def _check_breaker(self, lane: Lane, request: UnsignedCall) -> Refused | None:
        """Return None if the call may be sent. After its pause an open breaker sends a probe."""
        circuit = self._breaker(lane)
        admission = circuit.admit(self._clock.now())
        if admission is breaker.Admission.PROBE:
            outcome: Outcome = Unknown("cancelled")
            try:
                outcome = await self._probe(lane, storm=circuit.reason == "storm")
            finally:
                circuit.probed(outcome, self._clock.now())
            admission = circuit.admit(self._clock.now())
        if admission is breaker.Admission.GO:
            return None
        text = f"{request.action.name} in {lane.site.region} is paused: {circuit.reason}"
        return Unsent.BREAKER.refusal(text, circuit.left_ms(self._clock.now()))

    async def _probe(self, lane: Lane, *, storm: bool) -> Outcome:
        """Send a read-only call to the failed service, or to the one that checks keys and time."""
        service = storm and lane.site.region
        action, region = (
            ("DescribeRegions", lane.site.region) if service else ("GetCallerIdentity", "")
        )
        not_after = self._clock.now() + WAIT_MS_MAX
        request = UnsignedCall(contract.ACTIONS[action], region, "", not_after)
        try:
            reply = await self._attempt(Lane(Site(lane.site.account, region), action), request)
        except NotSent as error:
            return error.reason.refusal()
        except Lost as error:
            return Unknown(error.reason)
        return _outcome(reply)

    def _note(
        self, lane: Lane, ticket: Ticket, reply: verdict.JudgedReply | Refused, *, patient: bool
    ) -> None:
        """Report the outcome to the pace and, unless the call bypassed it, to the breaker."""
        outcome = _outcome(reply)
        if not patient:
            self._breaker(lane).note(outcome, self._clock.now())
        if isinstance(outcome, Refused) and outcome.retry is RetryClass.THROTTLED:
            ticket.throttled(self.governor.now(), outcome.retry_after_ms)
        elif isinstance(reply, verdict.JudgedReply):
            ticket.accepted()

    def _measure_skew(self, reply: verdict.JudgedReply) -> None:
        """Sign with the service's time from now on: ours was refused."""
        if reply.date is not None:
            self.skew_ms = reply.date - self._clock.now()

    def _compare_clocks(self, reply: verdict.JudgedReply) -> None:
        """Let the lanes follow the minutes of the service, not ours."""
        now = self._clock.now()
        if reply.date is not None:
            self.service_ahead_ms = reply.date + SECOND // 2 - now
        if reply.api_time == 0:
            return
        skew_ms = reply.api_time + SECOND // 2 - now
        if abs(skew_ms - self.governor.skew_ms) > SKEW_MS_MIN:
            self.governor.skew_ms = skew_ms if abs(skew_ms) > SKEW_MS_MIN else 0

    def _breaker(self, lane: Lane) -> breaker.Breaker:
        """Return the breaker of a lane, created on first use."""
        found = self._breakers.get(lane)
        if found is None:
            found = self._breakers[lane] = breaker.Breaker()
        return found

    async def _sleep_s(self, seconds: float) -> None:
        """Wait by the injected clock; tenacity counts in seconds."""
        await self._clock.sleep_until(self._clock.now() + round(seconds * SECOND))


def _failed_to_connect(error: BaseException) -> bool:
    if isinstance(error, NotSent):
        return error.reason not in _HELD_BACK
    return isinstance(error, Lost)


_CONNECTIONS = tenacity.AsyncRetrying(
    retry=tenacity.retry_if_exception(_failed_to_connect), reraise=True
)
"""A template: copied for each call, since one object cannot serve two calls at once."""


def _outcome(reply: verdict.JudgedReply | Refused) -> Outcome:
    """Return what a reply means, whatever the action."""
    return reply if isinstance(reply, Refused) else reply.failure or Done()


def _refused_unread(reply: verdict.JudgedReply) -> contract.ErrorClass | None:
    """Return AUTH or CLOCK if the gateway refused the call for its keys or its time."""
    if not isinstance(reply.failure, Refused):
        return None
    kind = contract.error_class(reply.failure.code)
    return kind if kind in {contract.ErrorClass.AUTH, contract.ErrorClass.CLOCK} else None


@lru_cache(maxsize=64)
def _authority(endpoint: str) -> str:
    """Return host and port exactly as they are sent, since the signature covers them."""
    return urlsplit(endpoint).netloc


@lru_cache(maxsize=64)
def _iso_seconds(second: int) -> str:
    """Format a second; all calls of one second share it."""
    return wire.iso_seconds(second * SECOND)
