"""The emulated cloud and the real client in one process, connected without a socket.

Used by `engine`, `quota` and `journal`. Requests are signed, checked and rendered as over a
network. The CPU time of the cloud is counted separately.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter

import msgspec

from rollout.app.connect import EMULATOR_KEY
from rollout.core.planning.planner import PlanContext, make_plan
from rollout.ecs import credentials, endpoints
from rollout.ecs.client import EcsClient
from rollout.ecs.governor import Governor
from rollout.ecs.transport import SignedCall
from rollout.ecs.wire import HttpReply, http_date, parse_pairs
from rollout.emulator.cloud.fleet import Fleet, FleetBuilder
from rollout.emulator.cloud.quotas import Quotas
from rollout.emulator.cloud.shapes import Shape
from rollout.emulator.cloud.switches import Switches
from rollout.emulator.cloud.users import ACCOUNT_ID
from rollout.emulator.dispatch import Cloud
from rollout.emulator.fleet import synthetic
from rollout.emulator.http.front_end import FrontEnd
from rollout.emulator.http.gateway import Message
from rollout.engines.clock import LoopClock
from rollout.engines.service import Gate, Service
from rollout.model.instance import Instance, Inventory
from rollout.model.observation import Described
from rollout.model.plan import Identity, Plan, RegionKey
from rollout.model.spec import (
    Budget,
    Calls,
    EcsSource,
    Ensure,
    KeyPairSpec,
    Restart,
    Spec,
    parse_amount,
)
from rollout.sim.time.loop import START_MS, VirtualClock

REGIONS = ("cn-hangzhou", "cn-shanghai")
ENDPOINT = "http://127.0.0.1:1"
KEY_NAME = "fleet-next"
MONTH_MS = 30 * 24 * 3600 * 1000


def linux_fleet(
    size: int,
    *,
    regions: tuple[str, ...] = REGIONS,
    now: int = START_MS,
    grouped: bool = False,
) -> Fleet:
    """Return the reference fleet: Running Linux instances with the former key, spread evenly.

    `grouped`: with a tag `quorum` that groups neighbors by 3, 5 and 7 in turn.
    """
    builder = FleetBuilder(now)
    for index, name in enumerate(regions):
        region = builder.open_region(name)
        former = builder.key_pair(synthetic.FORMER_KEY_PAIR, synthetic.former_public_key(1, name))
        shapes = [
            builder.shape(Shape(region, region.zones[0], image)) for image in synthetic.LINUX_IMAGES
        ]
        tags = builder.tags((("app", "cart"), ("env", "prod")))
        for number in range(size // len(regions) + (index < size % len(regions))):
            if grouped:
                fifteen, rest = divmod(number, 15)
                quorum = f"{name}-{fifteen * 3 + (rest >= 3) + (rest >= 8)}"
                tags = builder.tags((("app", "cart"), ("env", "prod"), ("quorum", quorum)))
            builder.add(
                shapes[number % len(shapes)],
                tags,
                record=former.number,
                start_ms=now - MONTH_MS,
                created_minute=(now - 2 * MONTH_MS) // 60_000,
            )
    return builder.finish(1)


class InProcess:
    """A cloud behind an in-process transport. `calls` counts by action; `cloud_s` is the cloud's
    CPU time.
    """

    def __init__(
        self, fleet: Fleet, clock: VirtualClock, switches: Switches, quotas: Quotas | None = None
    ) -> None:
        self.cloud = Cloud(fleet, switches, quotas=quotas)
        self.calls: Counter[str] = Counter()
        self.cloud_s = 0.0
        self._front_end = FrontEnd(self.cloud)
        self._clock = clock

    def handle(self, call: SignedCall) -> HttpReply:
        """Answer one signed call like the HTTP server."""
        began = time.process_time()
        self.calls[call.action] += 1
        now = self._clock.now()
        message = Message("POST", "/", parse_pairs(call.query), call.headers, b"")
        rendered = self._front_end.answer(message, now)
        headers = {name.lower(): value for name, value in rendered.headers.items()}
        headers["date"] = http_date(now)
        reply = HttpReply(rendered.status, headers, rendered.body)
        self.cloud_s += time.process_time() - began
        return reply

    async def send(self, call: SignedCall) -> HttpReply:
        """Answer like a transport, without a socket."""
        await asyncio.sleep(0)
        return self.handle(call)

    async def aclose(self) -> None:
        """Do nothing: no connection is open."""

    def client(self, governor: Governor | None = None) -> EcsClient:
        """Return the real client, connected to this cloud."""
        key_id, secret = EMULATOR_KEY
        source = credentials.StaticSource(key_id, credentials.Secret(secret), name="emulator key")
        return EcsClient(
            self,
            credentials.Keyring(source, self._clock),
            self._clock,
            endpoints=endpoints.parse(ENDPOINT),
            governor=governor,
            account=ACCOUNT_ID,
        )


def service_on(client: EcsClient, clock: LoopClock | VirtualClock) -> Service:
    """Return the engine's port of a client, with changes permitted."""
    return Service(client, clock, identity(), Gate(shut=False))


def identity() -> Identity:
    """Return the operator that the journal names."""
    return Identity(ACCOUNT_ID, "acs:ram::bench", "emulator key", emulator=True)


async def listed(client: EcsClient, regions: tuple[str, ...] = REGIONS) -> list[Instance]:
    """Return every instance that the service lists, by region and id."""
    found: list[Instance] = []
    for region in regions:
        token = ""
        while True:
            page = await client.describe_instances(region, next_token=token)
            if not isinstance(page, Described):
                raise TypeError(f"no page of {region}: {page}")
            found += page.instances
            token = page.next_token
            if not token:
                break
    return sorted(found, key=lambda one: (one.account, one.region, one.id))


def spec(calls: Calls, max_down: str = "10%") -> Spec:
    """Return the reference spec: one wave, and one budget over the fleet."""
    key = KeyPairSpec(KEY_NAME, synthetic.ed25519_line(b"1" * 32, "next"), Ensure.IMPORT)
    return Spec(
        name="reference",
        key_pair=key,
        inventory=(EcsSource(REGIONS),),
        text="reference",
        restart=Restart(calls=calls),
        budgets=(Budget("fleet", parse_amount(max_down)),),
    )


def plan_of(
    instances: list[Instance],
    calls: Calls,
    now: int,
    max_down: str = "10%",
    *,
    grouped: bool = False,
) -> Plan:
    """Return the plan of the reference spec for these instances; `grouped`: with a budget of half
    of each quorum too.
    """
    made = spec(calls, max_down)
    if grouped:
        parts = Budget("tag:quorum", parse_amount("50%"), 1)
        made = msgspec.structs.replace(made, budgets=(*made.budgets, parts))
    keys = tuple(RegionKey(ACCOUNT_ID, region, present=False) for region in REGIONS)
    return make_plan(
        made,
        Inventory(tuple(instances), now),
        {},
        now,
        PlanContext("benchmark", (identity(),), keys),
    )
