"""The yardstick of rehearsals: whole rotations by the real engine and client, in virtual time."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import msgspec

from benchmarks import world
from benchmarks.rotation import InlineDisk
from rollout.app.connect import EMULATOR_KEY
from rollout.core.planning.planner import PlanContext, make_plan
from rollout.core.running.decide_run import exit_of
from rollout.core.running.decider import Decider
from rollout.ecs import credentials, endpoints
from rollout.ecs.client import EcsClient
from rollout.ecs.governor import EMULATOR_RATE_START, Governor
from rollout.ecs.transport import SignedCall
from rollout.ecs.wire import HttpReply
from rollout.emulator.cloud.fleet import Fleet
from rollout.emulator.cloud.quotas import Quota, Quotas, QuotaSettings
from rollout.emulator.cloud.switches import Switches
from rollout.emulator.cloud.users import ACCOUNT_ID
from rollout.emulator.fleet import synthetic
from rollout.engines.local import LocalEngine
from rollout.engines.ports import Ports
from rollout.engines.service import Service
from rollout.journal import writer
from rollout.journal.reader import run_id
from rollout.model import plan as planmodel
from rollout.model.event import Actor
from rollout.model.instance import Inventory
from rollout.model.plan import Plan, RegionKey
from rollout.model.spec import Amount, Calls, Spec, WaveKind, WaveSpec
from rollout.model.time import Duration, Instant
from rollout.sim.rehearse import rehearsal
from rollout.sim.rehearse.rehearsal import Assumed
from rollout.sim.time import loop
from rollout.sim.time.dice import Dice
from rollout.sim.time.order import in_order
from rollout.sim.world import shell
from rollout.sim.world.cable import Exchange
from rollout.sim.world.network import Arrivals
from tests.inprocess import InProcessTransport

ONE_WAY_MS = 2


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """One reference plan: its fleet at an instant, its spec, and the cloud's behaviour."""

    name: str
    fleet: Callable[[Instant], Fleet]
    spec: Spec
    boot_ms: Duration
    quota: int | None = None


class Rotated(msgspec.Struct, frozen=True):
    """What the real engine needed; `calls` where they were counted."""

    duration_ms: Duration
    exit: int
    calls: dict[str, int] = {}


def _waves(spec: Spec) -> Spec:
    waves = (
        WaveSpec("canary", WaveKind.COVER),
        WaveSpec("early", WaveKind.AMOUNT, Amount(share_ppm=200_000)),
        WaveSpec("bulk", WaveKind.REST),
    )
    return msgspec.structs.replace(spec, waves=waves, allow_password_loss=True)


REFERENCES = (
    Reference(
        name="one by one, a fleet of one kind",
        fleet=lambda now: world.linux_fleet(600, now=now),
        spec=world.spec(Calls.SINGLE),
        boot_ms=30_000,
    ),
    Reference(
        name="batches, a small budget, slow boots",
        fleet=lambda now: world.linux_fleet(600, now=now),
        spec=world.spec(Calls.BATCH, "5%"),
        boot_ms=75_000,
    ),
    Reference(
        name="waves over a mixed fleet, held up by a quota",
        fleet=lambda now: synthetic.build(size=400, seed=7, now=now, regions=world.REGIONS),
        spec=_waves(world.spec(Calls.SINGLE, "20%")),
        boot_ms=15_000,
        quota=40,
    ),
)


def plan_of(reference: Reference, at: Instant = loop.START_MS) -> Plan:
    """The plan of a reference, made from what the emulator describes."""

    async def make() -> Plan:
        clock = loop.VirtualClock(at)
        near = world.InProcess(reference.fleet(at), clock, Switches())
        rows = await world.listed(near.client())
        keys = tuple(RegionKey(ACCOUNT_ID, region, present=False) for region in world.REGIONS)
        context = PlanContext("test", (world.identity(),), keys)
        return make_plan(reference.spec, Inventory(tuple(rows), at), {}, at, context)

    return loop.run(make)


def rotate(reference: Reference, plan: Plan, at: Instant, folder: Path) -> Rotated:
    """Apply a plan from that instant on, as the command does; the run stays in `folder`."""
    return loop.run(_rotate, reference, plan, at, folder)


async def _rotate(reference: Reference, plan: Plan, at: Instant, folder: Path) -> Rotated:
    clock = loop.VirtualClock(at)
    quotas = Quotas(QuotaSettings((Quota(reference.quota),) if reference.quota else ()))
    switches = Switches(boot_time_ms=reference.boot_ms)
    near = world.InProcess(reference.fleet(plan.as_of), clock, switches, quotas)
    client = _client(near, clock)
    rotated = await _applied(plan, world.service_on(client, clock), clock, folder)
    return msgspec.structs.replace(rotated, calls=dict(near.calls))


def rotate_on_cables(plan: Plan, assumed: Assumed, seed: int, folder: Path) -> Rotated:
    """Apply a plan with the real engine, client and server in the cloud of a rehearsal."""
    virtual = loop.VirtualLoop(Dice(seed, "turns"))
    accidents: list[str] = []
    with in_order(virtual.time), contextlib.closing(virtual):
        found = virtual.run_until_complete(
            _rotate_on_cables(plan, assumed, seed, folder, virtual, accidents)
        )
    if accidents:
        raise AssertionError(accidents[0])
    return found


async def _rotate_on_cables(
    plan: Plan,
    assumed: Assumed,
    seed: int,
    folder: Path,
    virtual: loop.VirtualLoop,
    accidents: list[str],
) -> Rotated:
    begin = rehearsal.begin(plan, seed)
    arrivals = Arrivals(
        rehearsal.cloud_of(plan, assumed, seed, begin), shell.LoopTime(virtual, begin)
    )
    clock = loop.VirtualClock(begin)
    front = shell.Front(arrivals, clock.now)
    server = await shell.serve(front, accidents)
    link = shell.link_to(
        Exchange(server, Dice(seed, "cables")), clock, 0, rate_start=assumed.rate_start
    )
    try:
        return await _applied(plan, link.service, clock, folder)
    finally:
        await link.service.client.aclose()
        front.close()
        await shell.end(server)


async def _applied(plan: Plan, service: Service, clock: loop.VirtualClock, folder: Path) -> Rotated:
    """What `apply` does with a plan, from this instant on."""
    begun = clock.now()
    raw = planmodel.encode(plan)
    digest = planmodel.digest(raw)
    journal = writer.create(folder, run_id(digest), raw, disk=InlineDisk())
    service.allow_changes(plan.limits.leave_quota_ppm, journal.lost)
    engine = LocalEngine(Ports(clock, service, journal))
    decider = Decider(plan)
    actor = Actor("test", "arn", "here", 1, "test")
    decider.start(journal.run_dir.name, digest, actor, begun)
    await engine.drive(decider, signals=False)
    journal.close()
    return Rotated(clock.now() - begun, exit_of(decider.run))


class _Far:
    """A transport on which a call takes its time in both directions."""

    def __init__(self, near: world.InProcess, clock: loop.VirtualClock) -> None:
        self._inner = InProcessTransport(near.handle)
        self._clock = clock

    async def send(self, call: SignedCall) -> HttpReply:
        """See Transport."""
        await self._clock.sleep_until(self._clock.now() + ONE_WAY_MS)
        reply = await self._inner.send(call)
        await self._clock.sleep_until(self._clock.now() + ONE_WAY_MS)
        return reply

    async def aclose(self) -> None:
        """See Transport."""


def _client(near: world.InProcess, clock: loop.VirtualClock) -> EcsClient:
    key_id, secret = EMULATOR_KEY
    source = credentials.StaticSource(key_id, credentials.Secret(secret), name="emulator key")
    return EcsClient(
        _Far(near, clock),
        credentials.Keyring(source, clock),
        clock,
        endpoints=endpoints.parse(world.ENDPOINT),
        governor=Governor(clock, rate_start=EMULATOR_RATE_START),
        account=ACCOUNT_ID,
    )
