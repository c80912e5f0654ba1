"""What is sent, when and how often: nonces, clocks, keys, retries, and deadlines."""

from __future__ import annotations

import asyncio
import json
import threading
from urllib.parse import parse_qsl

import pytest

from rollout.ecs import contract
from rollout.ecs import wire as forms
from rollout.ecs.client import EcsClient
from rollout.ecs.credentials import UNAVAILABLE_PAUSE_MS, Credentials, Keyring, Secret
from rollout.ecs.governor import Governor
from rollout.ecs.transport import Lost, NotSent, SignedCall
from rollout.ecs.wire import HttpReply
from rollout.engines.clock import LoopClock
from rollout.model import limits
from rollout.model.observation import Described
from rollout.model.outcome import Done, Refused, RetryClass, Unknown, Unsent
from rollout.model.plan import RestartKind
from rollout.model.time import MINUTE, SECOND, Instant
from tests.ecs.scripted import DATE, FAR, NOW, REQUEST_ID, JumpClock, client_on
from tests.ecs.wires import CANARY, REGION, Tokens, Wire, accepted, client_of, reboot, refused
from tests.inprocess import InProcessTransport

# what is sent


@pytest.mark.asyncio
async def test_every_send_has_its_own_nonce_and_the_time_of_its_leaving() -> None:
    """Repeats too: nothing that was signed leaves twice."""
    clock, wire = JumpClock(), Wire([Lost("reset"), accepted()])
    client = client_of(wire, clock)
    await client.observe_instances(REGION, ["i-1"])
    clock.at += 90 * SECOND
    await client.observe_instances(REGION, ["i-1"])
    nonces = wire.header("x-acs-signature-nonce")
    assert len(set(nonces)) == len(nonces) == 3
    assert all(len(nonce) == 32 for nonce in nonces)
    assert len(set(wire.header("authorization"))) == 3
    dates = wire.header("x-acs-date")
    assert dates[0] == "2026-01-02T03:04:05Z"
    assert dates[2] > dates[0]


async def _everything(client: EcsClient) -> None:
    """Call every method of the client."""
    many = ["i-1", "i-2"]
    await client.attach_key_pair(REGION, "ops", many, not_after=FAR)
    for kind in RestartKind:
        await client.restart(kind, REGION, many[:1], not_after=FAR)
        await client.restart(kind, REGION, many, not_after=FAR)
    await client.import_key_pair(REGION, "ops", "ssh-ed25519 AAAA", not_after=FAR)
    await client.observe_instances(REGION, many)
    await client.describe_instances(REGION, {"Status": "Running"}, next_token="t")
    await client.may_describe(REGION)
    await client.describe_instance_status(REGION, many)
    await client.observe_key_pair(REGION, "ops")
    await client.describe_regions()
    await client.identify()


@pytest.mark.asyncio
async def test_nothing_that_cuts_power_or_wipes_disks_is_ever_said() -> None:
    """Of all parameters of all methods none is forbidden and none is unknown to the contract."""
    wire = Wire()
    await _everything(client_of(wire))
    assert len(wire.calls) == 13
    for call in wire.calls:
        known = {param.name for param in contract.ACTIONS[call.action].params}
        for name, value in parse_qsl(call.query, keep_blank_values=True):
            assert not name.startswith(("Force", "InitLocalDisk", "Stopped")), call
            assert name.partition(".")[0] in known, call
            assert value


@pytest.mark.asyncio
async def test_many_are_restarted_with_success_first() -> None:
    """The default of the service lets one bad id fail all the others."""
    wire = Wire()
    client = client_of(wire)
    for kind in RestartKind:
        await client.restart(kind, REGION, ["i-1", "i-2"], not_after=FAR)
    assert wire.actions == ["RebootInstances", "StartInstances"]
    for call in wire.calls:
        params = dict(parse_qsl(call.query))
        assert params["BatchOptimization"] == "SuccessFirst"
        assert (params["InstanceId.1"], params["InstanceId.2"]) == ("i-1", "i-2")


@pytest.mark.asyncio
async def test_keys_travel_in_signed_headers_never_in_the_url() -> None:
    """Token and key id are headers; the secret and the signature are in no address."""
    wire = Wire()
    await _everything(client_of(wire, keyring=Keyring(Tokens(), JumpClock())))
    for call in wire.calls:
        url = call.endpoint + "/?" + call.query
        assert CANARY not in url and "id-1" not in url and "Signature" not in url
        assert f"{CANARY}-s1" not in repr(call.headers)
        assert call.headers["x-acs-security-token"] == f"{CANARY}-t1"
        signed = call.headers["authorization"].partition("SignedHeaders=")[2].partition(",")[0]
        ours = {name for name in call.headers if name.startswith("x-acs-")} | {"host"}
        assert set(signed.split(";")) == ours


@pytest.mark.asyncio
async def test_each_region_has_its_host_and_identity_that_of_sts() -> None:
    """Host header and endpoint agree, since the signature covers the header."""
    wire = Wire()
    client = client_of(wire)
    await client.observe_instances("eu-central-1", ["i-1"])
    await client.identify()
    hosts = ["ecs.eu-central-1.aliyuncs.com", "sts.aliyuncs.com"]
    assert [call.endpoint for call in wire.calls] == [f"https://{host}" for host in hosts]
    assert wire.header("host") == hosts
    assert wire.header("x-acs-version") == ["2014-05-26", "2015-04-01"]


# the clock

BEHIND = "Fri, 02 Jan 2026 03:24:05 GMT"
"""The service's time where ours is 20 minutes behind."""


@pytest.mark.asyncio
async def test_a_skewed_clock_is_measured_and_the_call_signed_again() -> None:
    """Even a mutation: a refused time stamp proves that it was not processed."""
    wire = Wire([refused(400, "InvalidTimeStamp.Expired", date=BEHIND), accepted(date=BEHIND)])
    client = client_of(wire)
    assert isinstance(await reboot(client), Done)
    assert wire.header("x-acs-date") == ["2026-01-02T03:04:05Z", "2026-01-02T03:24:05Z"]
    assert isinstance(await reboot(client), Done)
    assert wire.header("x-acs-date")[2] == "2026-01-02T03:24:05Z", "known from now on"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "date, text",
    [
        (BEHIND, "our clock is 1200 s behind the service's"),
        ("Fri, 02 Jan 2026 02:44:05 GMT", "our clock is 1200 s ahead of the service's"),
    ],
)
async def test_a_clock_refused_twice_is_an_error_that_says_by_how_much(
    date: str, text: str
) -> None:
    """Signed again once, then stop: refused with the class of clocks, and the breaker opens."""
    wire = Wire([refused(400, "InvalidTimeStamp.Expired", date=date)])
    client = client_of(wire)
    outcome = await reboot(client)
    assert isinstance(outcome, Refused)
    assert (outcome.retry, outcome.message) == (RetryClass.CLOCK, text)
    assert len(wire.calls) == 2
    again = await reboot(client)
    assert isinstance(again, Refused)
    assert (again.code, again.retry) == (Unsent.BREAKER, RetryClass.UNSENT)
    assert len(wire.calls) == 2


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "date", ["Fri, 02 Jan 2099 03:04:05 GMT", "Fri, 02 Jan 2026 22:04:05 GMT", "Thu, 01 Jan 1970"]
)
async def test_one_wrong_date_holds_up_no_lane(date: str) -> None:
    """The next calls are sent within a minute, whatever time a reply contained."""
    clock, wire = JumpClock(), Wire([accepted(date=date), accepted(date=date), accepted()])
    client = EcsClient(
        InProcessTransport(wire), Keyring(Tokens(), clock), clock, governor=Governor(clock)
    )
    for _ in range(6):
        assert isinstance(await reboot(client, NOW + MINUTE), Done)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "date, skew_ms",
    [(DATE, 0), (BEHIND, 20 * MINUTE + SECOND // 2), ("Fri, 02 Jan 2099 03:04:05 GMT", 0)],
)
async def test_lanes_follow_the_minutes_of_a_believable_clock(date: str, skew_ms: int) -> None:
    """The buckets of the service turn with its clock; a date of another century is no clock."""
    client = client_of(Wire([accepted(date=date)]))
    await reboot(client)
    assert client.governor.skew_ms == skew_ms


# the keys


@pytest.mark.asyncio
async def test_an_expired_token_is_renewed_once_without_a_failed_call() -> None:
    """Refused during a run, the call is sent again with newly fetched keys."""
    wire, tokens = Wire([refused(403, "InvalidSecurityToken.Expired"), accepted()]), Tokens()
    client = client_of(wire, keyring=Keyring(tokens, JumpClock()))
    assert isinstance(await reboot(client), Done)
    assert wire.header("x-acs-security-token") == [f"{CANARY}-t1", f"{CANARY}-t2"]
    assert tokens.fetches == 2


@pytest.mark.asyncio
async def test_keys_refused_twice_open_the_breaker() -> None:
    """One renewal, then the refusal stands and nothing more leaves."""
    wire, tokens = Wire([refused(403, "Forbidden.RAM")]), Tokens()
    client = client_of(wire, keyring=Keyring(tokens, JumpClock()))
    first, second = await reboot(client), await reboot(client)
    assert isinstance(first, Refused) and isinstance(second, Refused)
    assert (first.code, first.retry) == ("Forbidden.RAM", RetryClass.DENIED)
    assert second.code == Unsent.BREAKER
    assert len(wire.calls) == tokens.fetches == 2


@pytest.mark.asyncio
async def test_static_keys_that_are_refused_are_not_tried_again() -> None:
    """There are no others."""
    wire = Wire([refused(403, "Forbidden.RAM")])
    assert isinstance(await reboot(client_of(wire)), Refused)
    assert len(wire.calls) == 1


@pytest.mark.asyncio
async def test_a_source_without_keys_is_a_refusal() -> None:
    """Nothing raises: the code of the error is the code of the refusal."""
    wire, tokens = Wire(), Tokens()
    tokens.down = True
    outcome = await reboot(client_of(wire, keyring=Keyring(tokens, JumpClock())))
    assert outcome == Refused("R0402", RetryClass.DENIED, "no keys")
    assert wire.calls == []


@pytest.mark.asyncio
async def test_a_call_without_keys_is_unsent_while_their_service_is_away() -> None:
    """A credential service that cannot be reached is no denial: the call may be tried again, its
    breaker stays closed, and the next call after the pause uses the new keys.
    """
    wire, tokens, clock = Wire([accepted()]), Tokens(), JumpClock()
    tokens.unreachable = True
    client = client_of(wire, clock, keyring=Keyring(tokens, clock))
    for _ in range(2):
        assert await reboot(client) == Refused("R0410", RetryClass.UNSENT, "no answer")
    assert (wire.calls, tokens.fetches) == ([], 1)
    tokens.unreachable = False
    clock.at += UNAVAILABLE_PAUSE_MS
    assert isinstance(await reboot(client), Done)


@pytest.mark.asyncio
async def test_refused_keys_stay_refused_while_their_service_is_away() -> None:
    """The service itself refused the keys, so the call is denied, and it is not sent again."""
    wire, tokens = Wire([refused(403, "InvalidSecurityToken.Expired")]), Tokens()
    client = client_of(wire, keyring=Keyring(tokens, JumpClock()))
    await client.keyring.get()
    tokens.unreachable = True
    outcome = await reboot(client)
    assert isinstance(outcome, Refused)
    assert (outcome.code, outcome.retry) == ("InvalidSecurityToken.Expired", RetryClass.DENIED)
    assert len(wire.calls) == 1


@pytest.mark.asyncio
async def test_no_outcome_carries_a_secret() -> None:
    """The gateway's text for a wrong signature repeats the signed request, token included."""
    text = f"StringToSign x-acs-security-token:{CANARY}-t1"
    body = {"RequestId": REQUEST_ID, "Code": "SignatureDoesNotMatch", "Message": text}
    wire = Wire([HttpReply(400, {}, json.dumps(body).encode())])
    client = client_of(wire, keyring=Keyring(Tokens(), JumpClock()))
    outcomes = [await reboot(client), await client.get_caller_identity()]
    assert all(isinstance(outcome, Refused) for outcome in outcomes)
    assert CANARY not in repr(outcomes) + repr(vars(client)) + repr(client.keyring.__dict__)


# repeats


@pytest.mark.asyncio
@pytest.mark.parametrize("reason", ["reset", "timeout", "cut_off"])
async def test_a_mutation_that_was_lost_is_never_sent_again(reason: str) -> None:
    """Its outcome is unknown, so the caller must observe."""
    wire = Wire([Lost(reason), accepted()])
    assert await reboot(client_of(wire)) == Unknown(reason)
    assert len(wire.calls) == 1


@pytest.mark.asyncio
async def test_a_mutation_that_did_not_leave_is_refused_unsent() -> None:
    """A refused connection proves that nothing was sent: the caller may retry."""
    wire = Wire([NotSent(Unsent.REFUSED, "127.0.0.1:1"), accepted()])
    outcome = await reboot(client_of(wire))
    assert outcome == Refused("refused", RetryClass.UNSENT, "refused: 127.0.0.1:1")
    assert len(wire.calls) == 1


@pytest.mark.asyncio
async def test_a_safe_call_is_repeated_twice() -> None:
    """Three attempts at most, with a wait by the injected clock in between."""
    clock, wire = JumpClock(), Wire([Lost("reset"), NotSent(Unsent.REFUSED), accepted()])
    assert isinstance(await client_of(wire, clock).observe_instances(REGION, ["i-1"]), Described)
    assert len(wire.calls) == 3
    assert NOW < clock.now() <= NOW + 3 * SECOND
    wire = Wire([Lost("reset")])
    assert await client_of(wire).observe_instances(REGION, ["i-1"]) == Unknown("reset")
    assert len(wire.calls) == 3


@pytest.mark.asyncio
@pytest.mark.parametrize("reply", [refused(500, "InternalError"), refused(429, "Throttling")])
async def test_a_reply_is_never_asked_for_again(reply: HttpReply) -> None:
    """Only failed connections are retried here; replies are left to the caller."""
    wire = Wire([reply])
    seen = await client_of(wire).observe_instances(REGION, ["i-1"])
    assert isinstance(seen, Refused | Unknown)
    assert len(wire.calls) == 1


@pytest.mark.asyncio
async def test_concurrent_callers_do_not_mix_up_their_attempts() -> None:
    """Fifty lanes, each failing twice: each gets its own three attempts and its answer."""
    tries: dict[str, int] = {}

    def flaky(call: SignedCall) -> HttpReply:
        tries[call.endpoint] = tries.get(call.endpoint, 0) + 1
        if tries[call.endpoint] < 3:
            raise Lost("reset")
        return accepted()

    client = client_on(InProcessTransport(flaky), JumpClock())
    looks = [client.observe_instances(f"region-{n}", ["i-1"]) for n in range(50)]
    seen = await asyncio.gather(*looks)
    assert all(isinstance(one, Described) for one in seen)
    assert list(tries.values()) == [3] * 50


@pytest.mark.asyncio
async def test_repeats_of_a_lane_have_a_budget() -> None:
    """In an outage a lane adds five repeats a minute and a tenth of its calls, no more."""
    wire = Wire([Lost("reset")])
    client = client_of(wire)
    for _ in range(20):
        assert isinstance(await client.observe_instances(REGION, ["i-1"]), Unknown)
    assert 20 < len(wire.calls) <= 20 + 5 + 2 + 1


# times that pass


@pytest.mark.asyncio
async def test_a_call_whose_time_has_passed_does_not_leave() -> None:
    """Refused unsent, for mutations of any kind."""
    wire = Wire()
    client = client_of(wire)
    outcomes = [
        await reboot(client, NOW - 1),
        (await client.attach_key_pair(REGION, "k", ["i-1"], not_after=NOW - 1)).outcome,
        await client.import_key_pair(REGION, "k", "ssh-ed25519 A", not_after=NOW - 1),
    ]
    for outcome in outcomes:
        assert isinstance(outcome, Refused)
        assert (outcome.code, outcome.retry) == ("not_sent_expired", RetryClass.UNSENT)
    assert wire.calls == []


@pytest.mark.asyncio
async def test_a_second_chance_does_not_outlive_its_time() -> None:
    """Signed again only while its time lasts."""
    clock = JumpClock()

    def late(call: SignedCall) -> HttpReply:
        calls.append(call)
        clock.at += 30 * SECOND
        return refused(400, "InvalidTimeStamp.Expired", date=BEHIND)

    calls: list[SignedCall] = []
    outcome = await reboot(client_on(InProcessTransport(late), clock), NOW + 10 * SECOND)
    assert isinstance(outcome, Refused)
    assert outcome.retry is RetryClass.UNSENT
    assert len(calls) == 1


@pytest.mark.asyncio
@pytest.mark.parametrize("left_ms, connect_ms", [(700, 700), (60_000, 5_000), (0, 1)])
async def test_connecting_ends_before_the_time_does(left_ms: int, connect_ms: int) -> None:
    """A connection that takes long must not let the call leave late."""
    wire = Wire()
    await reboot(client_of(wire), NOW + left_ms)
    assert [call.connect_ms for call in wire.calls] == [connect_ms]


@pytest.mark.asyncio
async def test_reads_have_the_time_outs_of_their_action() -> None:
    """At least 20 s for an attach, 30 for a reboot, 50 for a start."""
    wire = Wire()
    await _everything(client_of(wire))
    least_ms = {"AttachKeyPair": 20_000, "RebootInstance": 30_000, "StartInstance": 50_000}
    waits_ms = {call.action: call.read_ms for call in wire.calls}
    for action, ms in least_ms.items():
        assert waits_ms[action] >= ms
    assert all(ms < limits.CALL_TIMEOUT_MS for ms in waits_ms.values())


@pytest.mark.asyncio
async def test_a_stopped_run_can_only_observe() -> None:
    """The gate is checked right before each mutation is sent."""
    wire = Wire()
    client = client_of(wire, stopped=lambda: True)
    outcome = await reboot(client)
    assert isinstance(outcome, Refused)
    assert (outcome.code, outcome.retry) == (Unsent.HALTED, RetryClass.UNSENT)
    assert isinstance(await client.observe_instances(REGION, ["i-1"]), Described)
    assert wire.actions == ["DescribeInstances"]


class SlowKeys:
    """Keys that arrive when the test releases them."""

    name, blocks = "slow", True

    def __init__(self) -> None:
        self.asked, self.arrived = threading.Event(), threading.Event()

    def fetch(self, now: Instant) -> Credentials:
        self.asked.set()
        self.arrived.wait(20)
        return Credentials("id", Secret("secret"), None, now)


@pytest.mark.asyncio
async def test_a_change_that_waits_for_keys_ends_when_the_run_stops() -> None:
    """A credential source that hangs does not keep a drain waiting: the call ends unsent."""
    source, wire, clock = SlowKeys(), Wire(), LoopClock()
    client = client_on(
        InProcessTransport(wire),
        clock,
        keyring=Keyring(source, clock),
        stopped=source.asked.is_set,
    )
    try:
        answer = await client.attach_key_pair(REGION, "ops", ["i-1"], not_after=FAR)
    finally:
        source.arrived.set()
    assert isinstance(answer.outcome, Refused)
    assert (answer.outcome.code, answer.outcome.retry) == (Unsent.HALTED, RetryClass.UNSENT)
    assert wire.calls == []


@pytest.mark.asyncio
async def test_a_refusal_is_decoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pace, breaker, retry and verdict share the decoded error."""
    bodies: list[bytes] = []

    def decode(body: bytes) -> dict[str, object]:
        bodies.append(body)
        return decoded(body)

    decoded = forms.decode
    monkeypatch.setattr(forms, "decode", decode)
    outcome = await reboot(client_of(Wire([refused(403, "IncorrectInstanceStatus")])))

    assert isinstance(outcome, Refused) and outcome.retry is RetryClass.STATE
    assert len(bodies) == 1
