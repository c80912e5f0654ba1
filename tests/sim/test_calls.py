"""The simulator asks what the real client asks: the same actions with the same parameters."""

import pytest

from rollout.ecs import wire
from rollout.ecs.transport import SignedCall
from rollout.model.command import (
    Attach,
    Command,
    ImportKey,
    ObserveInstances,
    ObserveKeyPair,
    ObserveStatuses,
    RestartCall,
)
from rollout.model.event import Issued
from rollout.model.plan import Plan, RestartKind
from rollout.model.site import Site
from rollout.sim.world import calls, scenario
from rollout.sim.world.world import World
from tests.ecs.scripted import FAR, JumpClock, client_on
from tests.inprocess import InProcessTransport

ACCOUNT, REGION = "1234567890123456", "cn-hangzhou"
SITE = Site(ACCOUNT, REGION)
ONE, TWO = ("i-1",), ("i-1", "i-2")


def plan() -> Plan:
    """Any plan: only its key pair matters here."""
    return World(scenario.draw(1)).record.plan


def intents() -> list[Issued]:
    """One of each mutation."""
    commands: list[Command] = [
        Attach((0, 1), TWO),
        *(
            RestartCall(kind, tuple(range(len(ids))), ids)
            for kind in RestartKind
            for ids in (ONE, TWO)
        ),
        ImportKey(ACCOUNT, REGION),
    ]
    return [Issued(n, command, FAR) for n, command in enumerate(commands, 1)]


@pytest.mark.asyncio
async def test_wishes_are_what_the_real_client_sends() -> None:
    """Action and parameters of every call of a run are equal to those on the client's wire."""
    sent: list[tuple[str, dict[str, str]]] = []

    def handle(call: SignedCall) -> wire.HttpReply:
        sent.append((call.action, wire.parse_pairs(call.query)))
        return wire.HttpReply(500, {}, b"")

    one, wished = plan(), []
    key = one.keys[0]
    client = client_on(InProcessTransport(handle), JumpClock())
    for issued in intents():
        api_request = calls.of_intent(issued, SITE, one)
        wished.append((api_request.action, dict(api_request.params)))
        match issued.command:
            case Attach(instances=ids):
                await client.attach_key_pair(REGION, key.name, ids, not_after=FAR)
            case RestartCall(kind=kind, instances=ids):
                await client.restart(kind, REGION, ids, not_after=FAR)
            case ImportKey():
                await client.import_key_pair(REGION, key.name, key.public_key, not_after=FAR)
    looks = (
        ObserveInstances(SITE, (0, 1), TWO),
        ObserveKeyPair(SITE),
        ObserveStatuses(SITE, (0,), TWO),
    )
    for look in looks:
        api_request = calls.of_observation(look, one)
        wished.append((api_request.action, dict(api_request.params)))
    await client.observe_instances(REGION, TWO)
    await client.observe_key_pair(REGION, key.name)
    await client.describe_instance_status(REGION, TWO)

    assert sent == wished
