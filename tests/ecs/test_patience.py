"""Calls that change nothing are repeated until the service answers, for as long as they may be."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from rollout.ecs.client import EcsClient
from rollout.ecs.patience import Patience, is_transient
from rollout.ecs.replies import DRY_RUN_IGNORED
from rollout.ecs.transport import Lost, NotSent, SignedCall
from rollout.ecs.wire import HttpReply
from rollout.model.observation import Described
from rollout.model.outcome import Done, Refused, RetryClass, Unknown, Unsent
from rollout.model.plan import RestartKind
from rollout.model.time import MINUTE, SECOND, Duration
from tests.ecs.scripted import DATE, NOW, REQUEST_ID, JumpClock, client_on
from tests.ecs.wires import REGION, Script, Wire, accepted, reboot, refused
from tests.inprocess import InProcessTransport

PAGE_502 = HttpReply(502, {}, b"<html><h1>502 Bad Gateway</h1></html>")
REDIRECTED = HttpReply(302, {"location": "http://login.example"}, b"")
PORTAL = HttpReply(200, {}, b"<html>Please log in</html>")
DRY_RUN_PASSED = refused(400, "DryRunOperation")


def throttled(retry_after_ms: int = 0) -> HttpReply:
    """A refusal for pace, with the service's own wait where it names one."""
    reply = refused(400, "Throttling.User")
    told = {"x-acs-retry-after": str(retry_after_ms)} if retry_after_ms else {}
    return msgspec.structs.replace(reply, headers={"Date": DATE, **told})


def patient(wire: Wire, clock: JumpClock, budget_ms: Duration = 5 * MINUTE) -> EcsClient:
    """A client on a list of scripts, as before a run starts."""
    client = client_on(InProcessTransport(wire), clock)
    client.patience = Patience(clock, budget_ms)
    return client


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "failure",
    [
        throttled(),
        throttled(5_000),
        refused(503, "ServiceUnavailable"),
        refused(500, "InternalError"),
        PAGE_502,
        REDIRECTED,
        PORTAL,
        NotSent(Unsent.REFUSED),
        NotSent(Unsent.DNS),
        NotSent(Unsent.TLS),
        Lost("timeout"),
        Lost("reset"),
    ],
)
async def test_every_safe_call_outlasts_what_passes(failure: Script) -> None:
    """Throttling, 5xx, pages by a proxy and connection errors cost time and nothing else."""
    for number in range(6):
        wire = Wire([failure, failure, failure, accepted()])
        client = patient(wire, JumpClock())
        seen = await (
            client.identify,
            client.describe_regions,
            lambda: client.describe_instances(REGION),  # noqa: B023 - called at once
            lambda: client.observe_instances(REGION, ["i-1"]),  # noqa: B023 - called at once
            lambda: client.observe_key_pair(REGION, "ops"),  # noqa: B023 - called at once
            lambda: client.describe_instance_status(REGION, ["i-1"]),  # noqa: B023 - called at once
        )[number]()
        assert not isinstance(seen, Refused | Unknown), wire.actions
        assert len(wire.calls) == 4


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "failure, tries",
    [
        (refused(403, "Forbidden.RAM"), 1),
        (refused(404, "InvalidAccessKeyId.NotFound"), 1),
        (refused(400, "SignatureDoesNotMatch"), 1),
        (refused(400, "InvalidParameter"), 1),
        (refused(404, "InvalidRegionId.NotFound"), 1),
        (refused(400, "UnheardOf.Code"), 1),
        (NotSent(Unsent.CERTIFICATE), 1),
        (refused(400, "InvalidTimeStamp.Expired"), 2),
    ],
)
async def test_what_a_repeat_cannot_cure_ends_at_once(failure: Script, tries: int) -> None:
    """Denied, bad credentials, invalid parameters and certificates; a clock is corrected once."""
    clock, wire = JumpClock(), Wire([failure])
    outcome = await patient(wire, clock).describe_instances(REGION)
    assert isinstance(outcome, Refused)
    assert "tried" not in outcome.message
    assert len(wire.calls) == tries
    assert clock.now() == NOW


@pytest.mark.asyncio
@pytest.mark.parametrize("minutes", [1, 5, 12])
@pytest.mark.parametrize(
    "failure", [PAGE_502, NotSent(Unsent.REFUSED, "127.0.0.1:1"), Lost("reset")]
)
async def test_the_budget_is_used_up_and_not_exceeded(failure: Script, minutes: int) -> None:
    """The last failure names the number and the duration of the attempts."""
    clock, wire = JumpClock(), Wire([failure])
    outcome = await patient(wire, clock, minutes * MINUTE).describe_instances(REGION)
    assert isinstance(outcome, Refused | Unknown)
    assert outcome.message.endswith(f"(tried {len(wire.calls)} times in {minutes * 60} s)")
    assert clock.now() == NOW + minutes * MINUTE


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "failure", [NotSent(Unsent.PROXY_LOGIN, "h:443"), NotSent(Unsent.DNS, "h:443")]
)
async def test_the_end_of_the_budget_does_not_hide_the_cause(failure: NotSent) -> None:
    """The last attempt has no time to connect: the failure before it is reported."""

    def handle(call: SignedCall) -> HttpReply:
        raise failure if call.connect_ms >= SECOND else NotSent(Unsent.CONNECT_TIMEOUT, "h:443")

    clock = JumpClock()
    client = client_on(InProcessTransport(handle), clock)
    client.patience = Patience(clock, MINUTE)
    outcome = await client.identify()
    assert isinstance(outcome, Refused)
    assert outcome.code == failure.reason


@pytest.mark.asyncio
async def test_throttled_calls_end_within_the_budget_with_the_services_word() -> None:
    """A lane that has no place before the time is over ends early, with the cause of the wait."""
    clock, wire = JumpClock(), Wire([throttled()])
    outcome = await patient(wire, clock, 100 * SECOND).describe_instances(REGION)
    assert isinstance(outcome, Refused)
    assert (outcome.code, outcome.retry) == ("Throttling.User", RetryClass.THROTTLED)
    assert f"tried {len(wire.calls)} times" in outcome.message
    assert clock.now() <= NOW + 100 * SECOND


@pytest.mark.asyncio
async def test_the_services_own_wait_is_obeyed() -> None:
    """`x-acs-retry-after` is in milliseconds."""
    clock, wire = JumpClock(), Wire([throttled(7_000), accepted()])
    await patient(wire, clock).describe_instances(REGION)
    assert clock.now() >= NOW + 7 * SECOND


@pytest.mark.asyncio
async def test_an_outage_is_not_amplified() -> None:
    """Fifty waiting calls of one lane repeat at most five and a tenth of their number a minute."""
    clock, wire = JumpClock(), Wire([PAGE_502])
    client = patient(wire, clock)
    seen = await asyncio.gather(*(client.observe_instances(REGION, [f"i-{n}"]) for n in range(50)))
    assert all(isinstance(one, Unknown) for one in seen)
    assert len(wire.calls) <= 50 + 50 + 6 * (5 + 5)


@pytest.mark.asyncio
async def test_calls_that_follow_do_not_wait_the_same_time_again() -> None:
    """Once a lane was given up, later calls of it end at once, and one elsewhere is tried once."""
    clock, wire = JumpClock(), Wire([PAGE_502])
    client = patient(wire, clock)
    first = await client.observe_instances(REGION, ["i-1"])
    calls, ended = len(wire.calls), clock.now()
    assert await client.observe_instances(REGION, ["i-2"]) == first
    assert len(wire.calls) == calls
    assert isinstance(await client.observe_instances("cn-hangzhou", ["i-3"]), Unknown)
    assert len(wire.calls) == calls + 1
    assert clock.now() == ended


@pytest.mark.asyncio
async def test_an_answer_renews_the_budget_of_its_lane() -> None:
    """A long listing on a bad line is not given up while pages arrive."""
    clock = JumpClock()
    wire = Wire([*[Lost("reset")] * 4, accepted()] * 20)
    client = patient(wire, clock, MINUTE)
    for _ in range(20):
        assert isinstance(await client.describe_instances(REGION), Described)
    assert clock.now() > NOW + 2 * MINUTE


@pytest.mark.asyncio
async def test_changes_are_never_repeated() -> None:
    """Patience is for calls that change nothing."""
    wire = Wire([PAGE_502])
    client = patient(wire, JumpClock())
    assert await reboot(client) == Unknown("http_502")
    assert len(wire.calls) == 1


@pytest.mark.asyncio
async def test_who_waits_can_be_seen_while_it_waits() -> None:
    """Action, region, since, until, tries and the last failure; nothing is left afterwards."""
    clock = JumpClock()
    shown: list[tuple[str, int, str, Duration]] = []
    calm: list[Duration] = []

    def handle(_: SignedCall) -> HttpReply:
        (one,) = patience.waiting
        cause = one.last.why if isinstance(one.last, Unknown) else ""
        shown.append((one.lane.action, one.tries, cause, one.until - one.since))
        return accepted() if one.tries == 2 else PAGE_502

    client = client_on(InProcessTransport(handle), clock)
    client.patience = patience = Patience(clock)
    patience.on_calm = lambda: calm.append(clock.now())
    await client.observe_key_pair(REGION, "ops")
    assert shown == [
        ("DescribeKeyPairs", 0, "", 5 * MINUTE),
        ("DescribeKeyPairs", 1, "http_502", 5 * MINUTE),
        ("DescribeKeyPairs", 2, "http_502", 5 * MINUTE),
    ]
    assert patience.waiting == ()
    assert calm == [clock.now()]


def named(wire: Wire) -> list[str]:
    """The instance that each dry run named."""
    return [call.query.partition("InstanceId=")[2] for call in wire.calls]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "replies, passes, tries",
    [
        ([DRY_RUN_PASSED], True, 1),
        ([refused(403, "IncorrectInstanceStatus")], True, 1),
        ([refused(403, "InstanceLockedForSecurity")], True, 1),
        ([refused(404, "InvalidInstanceId.NotFound"), DRY_RUN_PASSED], True, 2),
        ([refused(404, "InvalidInstanceId.NotFound")], False, 3),
        ([refused(409, "OperationConflict"), DRY_RUN_PASSED], True, 2),
        ([refused(400, "UnheardOf.Code")], False, 3),
        ([refused(404, "InvalidInstanceId.NotFound"), refused(403, "Forbidden.RAM")], False, 2),
        ([throttled(), PAGE_502, Lost("timeout"), PORTAL, DRY_RUN_PASSED], True, 5),
        ([HttpReply(200, {}, b'{"RequestId": "R"}')], False, 1),
    ],
)
async def test_a_dry_run_shows_permission_or_another_instance_is_named(
    replies: list[Script], *, passes: bool, tries: int
) -> None:
    """Only a passed dry run or a code that discloses the instance's state counts as permission; a
    dry run that was carried out ends the check at once."""
    wire = Wire(replies)
    client = patient(wire, JumpClock())
    outcome = await client.may_restart(RestartKind.REBOOT, REGION, ["i-1", "i-2", "i-3"])
    assert isinstance(outcome, Done) is passes
    assert named(wire) == ["i-1", "i-2", "i-3", "i-1", "i-2"][:tries]


@pytest.mark.asyncio
@pytest.mark.parametrize("failure", [PAGE_502, throttled(), refused(409, "OperationConflict")])
async def test_an_inconclusive_dry_run_is_no_permission(failure: Script) -> None:
    """It is repeated while there is time, and then it is a refusal."""
    clock, wire = JumpClock(), Wire([failure])
    outcome = await patient(wire, clock).may_restart(RestartKind.REBOOT, REGION, ["i-1", "i-2"])
    assert isinstance(outcome, Refused | Unknown)
    assert "tried" in outcome.message
    assert NOW + 3 * MINUTE < clock.now() <= NOW + 5 * MINUTE


def test_a_dry_run_that_was_carried_out_is_not_repeated() -> None:
    """Each repeat might be another restart."""
    assert not is_transient(Unknown(DRY_RUN_IGNORED, REQUEST_ID))
