"""The circuit breaker of a lane in use: causes, probes, and waiting calls."""

from __future__ import annotations

import asyncio

import pytest

from rollout.ecs import replies
from rollout.ecs.breaker import OPEN_MS
from rollout.ecs.endpoints import Endpoints
from rollout.ecs.transport import Lost, NotSent, SignedCall
from rollout.ecs.wire import HttpReply
from rollout.model.observation import Described
from rollout.model.outcome import Done, Refused, Unsent
from tests.ecs.scripted import JumpClock, client_on
from tests.ecs.wires import REGION, Script, Wire, accepted, client_of, reboot, refused
from tests.inprocess import InProcessTransport


@pytest.mark.asyncio
async def test_a_denied_lane_is_tried_again_with_a_question_about_keys() -> None:
    """After the pause the probe is GetCallerIdentity, and only then the mutation."""
    clock, wire = JumpClock(), Wire([refused(403, "Forbidden.RAM"), accepted()])
    client = client_of(wire, clock)
    await reboot(client)
    stopped = await reboot(client)
    assert isinstance(stopped, Refused)
    assert stopped.retry_after_ms == OPEN_MS
    assert isinstance(await client.observe_instances(REGION, ["i-1"]), Described), "another lane"
    clock.at += OPEN_MS
    assert isinstance(await reboot(client), Done)
    assert wire.actions[2:] == ["GetCallerIdentity", "RebootInstance"]


@pytest.mark.asyncio
@pytest.mark.parametrize("bad", [Lost("reset"), NotSent(Unsent.DNS), refused(403, "Forbidden")])
async def test_a_failed_probe_keeps_the_lane_shut(bad: Script) -> None:
    """Without a reply to the probe the mutation is not sent."""
    clock, wire = JumpClock(), Wire([refused(403, "Forbidden.RAM"), bad])
    client = client_of(wire, clock)
    await reboot(client)
    clock.at += OPEN_MS
    outcome = await reboot(client)
    assert isinstance(outcome, Refused)
    assert outcome.code == Unsent.BREAKER
    assert wire.actions == ["RebootInstance", "GetCallerIdentity"]


@pytest.mark.asyncio
async def test_a_storm_is_probed_with_a_safe_call_of_the_same_service() -> None:
    """Most of twenty calls failed in the service; the probe is DescribeRegions."""
    storm: list[Script] = [HttpReply(502, {}, b"")] * 20
    clock, wire = JumpClock(), Wire([*storm, accepted()])
    client = client_of(wire, clock)
    for _ in range(25):
        await reboot(client)
    assert len(wire.calls) == 20
    clock.at += OPEN_MS
    assert isinstance(await reboot(client), Done)
    assert wire.actions[20:] == ["DescribeRegions", "RebootInstance"]
    assert wire.calls[20].endpoint == Endpoints().ecs(REGION)


@pytest.mark.asyncio
async def test_a_storm_of_identity_is_probed_where_identity_lives() -> None:
    """STS has no regions: its probe is GetCallerIdentity."""
    clock, wire = JumpClock(), Wire([HttpReply(502, {}, b"")] * 20 + [accepted()])
    client = client_of(wire, clock)
    for _ in range(20):
        await client.get_caller_identity()
    clock.at += OPEN_MS
    assert isinstance(await client.get_caller_identity(), replies.CallerIdentity)
    assert wire.actions[20:] == ["GetCallerIdentity"] * 2


@pytest.mark.asyncio
async def test_a_cancelled_probe_leaves_the_fuse_usable() -> None:
    """A cancelled probe does not prevent the next one."""
    clock, wire, waiting = JumpClock(), Wire([refused(403, "Forbidden.RAM")]), asyncio.Event()

    class Stuck(InProcessTransport):
        async def send(self, call: SignedCall) -> HttpReply:
            if call.action == "GetCallerIdentity" and not waiting.is_set():
                waiting.set()
                await asyncio.Event().wait()
            return await super().send(call)

    client = client_on(Stuck(wire), clock)
    await reboot(client)
    clock.at += OPEN_MS
    probing = asyncio.create_task(reboot(client))
    await waiting.wait()
    probing.cancel()
    await asyncio.gather(probing, return_exceptions=True)
    clock.at += OPEN_MS
    wire.scripts = [accepted()]
    assert isinstance(await reboot(client), Done)
