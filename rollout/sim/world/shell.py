"""The real shell under virtual time: engine, client, governor, aiohttp, on cables to the emulator.

The same scenario, world and checkers as with the heap driver; only the clock and the driver of the
decider differ. When a crash point ends a process, its cables and disk are cut: its tasks have
no effect while they end.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import signal
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import msgspec
from aiohttp import web

from rollout.core.running.decider import Decider
from rollout.core.running.loop import Effects
from rollout.ecs import contract, credentials, endpoints, wire
from rollout.ecs.client import EcsClient
from rollout.ecs.governor import Governor
from rollout.emulator.cloud.users import ACCOUNT_ID
from rollout.emulator.http.server import HttpFrontEnd
from rollout.emulator.messages import DEFAULT_KEY_ID, DEFAULT_KEY_SECRET, Reply, Request
from rollout.engines.local import LocalEngine
from rollout.engines.ports import Ports
from rollout.engines.service import Gate, Service
from rollout.errors import IntegrityError, StorageError
from rollout.journal.writer import RunJournal
from rollout.model.event import Issued, OperatorCommand
from rollout.model.plan import Identity
from rollout.model.probe import HostKeySeen, LoginSeen, Probe, ProbeLogin, ReadHostKey
from rollout.model.time import SECOND, Instant
from rollout.sim.time.dice import Dice
from rollout.sim.time.loop import Deadlock, VirtualClock, VirtualLoop
from rollout.sim.time.order import in_order
from rollout.sim.world import driver
from rollout.sim.world.cable import CableTransport, Exchange
from rollout.sim.world.calls import ApiRequest
from rollout.sim.world.disk import Crash, CrashPoints
from rollout.sim.world.driver import LIFE_MS_MAX, Driver, End, Stuck
from rollout.sim.world.gate_world import GateWorld
from rollout.sim.world.guests import Guests
from rollout.sim.world.leasing import Leasing
from rollout.sim.world.network import RATE_START, Arrivals
from rollout.sim.world.record import RunRecord
from rollout.sim.world.scenario import Scenario
from rollout.sim.world.world import World

ENDPOINT = "http://127.0.0.1:1"
NONCE = "x-acs-signature-nonce"
_INTENT: ContextVar[int] = ContextVar("_INTENT", default=-1)
"""Number of the intent that the current task executes; -1 without one."""


class LoopTime:
    """The time of a world on a virtual loop: its tasks run while time passes."""

    def __init__(self, loop: VirtualLoop, begin: Instant) -> None:
        self._loop, self._begin = loop, begin

    @property
    def now(self) -> Instant:
        """See Time."""
        return self._begin + self._loop.passed_ms

    def at(self, instant: Instant, action: Callable[[], None]) -> None:
        """See Time."""
        self._loop.call_at((instant - self._begin) / SECOND, action)

    def advance(self, until: Instant) -> None:
        """See Time."""
        self._loop.run_until_complete(asyncio.sleep((until - self.now) / SECOND))


class ShellWorld(World):
    """A world whose processes are the real shell, without leases. Use once."""

    def __init__(self, scenario: Scenario) -> None:
        self._accidents: list[str] = []
        super().__init__(msgspec.structs.replace(scenario, leasing=Leasing()))

    def make_time(self, begin: Instant) -> LoopTime:
        """See World."""
        self._loop = VirtualLoop(Dice(self.scenario.seed, "turns"))
        self._loop.set_exception_handler(self._note)
        self._clock = VirtualClock(begin)
        self._time = LoopTime(self._loop, begin)
        return self._time

    def make_process(self, journal: RunJournal, decider: Decider) -> Driver:
        """See World."""
        number = len(self.record.processes)
        dice = Dice(self.scenario.seed, f"cables/{number}")
        exchange = Exchange(self._server, dice, self._written)
        link = link_to(exchange, self._clock, number)
        return Shell(
            self._loop,
            self._time,
            self.crash_points,
            journal,
            link,
            decider,
            self.guests,
            self.record.gates,
        )

    def run(self) -> RunRecord:
        """See World."""
        with self._served():
            record = super().run()
        record.bug = record.bug or next(iter(self._accidents), "")
        return record

    def _note(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Record exceptions that no task received."""
        error = context.get("exception")
        self._accidents.append(f"{context['message']}: {type(error).__name__}: {error}")

    @contextlib.contextmanager
    def _served(self) -> Iterator[None]:
        """Serve the emulator over HTTP during the whole run."""
        with in_order(self._loop.time), contextlib.closing(self._loop):
            front = Front(self.arrivals, lambda: self.heap.now)
            self._server = self._loop.run_until_complete(serve(front, self._accidents))
            try:
                yield
            finally:
                front.close()
                self._loop.run_until_complete(end(self._server))

    def _written(self, data: bytes) -> None:
        """Report the mutations that a process writes, or kill it before them."""
        try:
            found = _mutation(data)
            if found is not None:
                self.leaves(*found)
        except Crash:
            raise
        except Exception as error:  # aiohttp would convert it to a lost connection
            self._accidents.append(f"before a call leaves: {type(error).__name__}: {error}")
            raise


class Front(HttpFrontEnd):
    """The emulator's HTTP front end; records each arrival with its intent."""

    def __init__(self, arrivals: Arrivals, clock: Callable[[], int]) -> None:
        super().__init__(arrivals.cloud, clock)
        self._arrivals = arrivals

    def deliver(self, http: web.BaseRequest, request: Request, now: int, *, copy: int = 0) -> Reply:
        """See HttpFrontEnd."""
        self._arrivals.late += http.transport is None or http.transport.is_closing()
        n = _intent_of(http.headers.get(NONCE, ""))
        return self._arrivals.deliver(request, n, duplicate=copy > 0)


class Engine(LocalEngine):
    """The local engine, with a crash point before each arrival; calls know their intent."""

    crash_points: CrashPoints

    async def _step(self) -> Effects:
        for _ in self.loop.inbox:
            self.crash_points.visit("before an arrival is handled")
        return await super()._step()

    async def _call(self, issued: Issued) -> None:
        _INTENT.set(issued.n)
        await super()._call(issued)


class LoopProber:
    """The emulated prober on the virtual loop. Implements the engine's port `Prober`."""

    def __init__(self, guests: Guests, time: LoopTime) -> None:
        self._guests, self._time = guests, time

    async def read_host_key(self, probe: ReadHostKey) -> HostKeySeen:
        """See Prober."""
        seen = await self._observe(probe)
        assert isinstance(seen, HostKeySeen)  # noqa: S101 - as the probe
        return seen

    async def prove_login(self, probe: ProbeLogin) -> LoginSeen:
        """See Prober."""
        seen = await self._observe(probe)
        assert isinstance(seen, LoginSeen)  # noqa: S101 - as the probe
        return seen

    async def _observe(self, probe: Probe) -> HostKeySeen | LoginSeen:
        await asyncio.sleep(self._guests.delay() / SECOND)
        seen = self._guests.observe(probe, self._time.now)
        await asyncio.sleep(self._guests.delay() / SECOND)
        return seen


class Shell:
    """One process: the real engine on the real client. Implements Driver."""

    def __init__(
        self,
        loop: VirtualLoop,
        time: LoopTime,
        crash_points: CrashPoints,
        journal: RunJournal,
        link: Link,
        decider: Decider,
        guests: Guests,
        gates: GateWorld,
    ) -> None:
        self.decider = decider
        self.incidents: set[str] = set()
        self.alive = True
        self.poisoned = False
        self._loop, self._time, self._crash_points = loop, time, crash_points
        self._journal, self._link = journal, link
        prober = LoopProber(guests, time)
        self._engine = Engine(Ports(link.clock, link.service, journal, prober=prober, gates=gates))
        self._engine.crash_points = crash_points
        self._main: asyncio.Task[None] | None = None

    def drive(self) -> End:
        """See Driver. Errors: Crash, Stuck, and those of the engine."""
        self._crash_points.on_death = self._die
        self._loop.may_last(LIFE_MS_MAX)
        try:
            self._loop.run_until_complete(self._live())
        except Deadlock as error:
            raise Stuck(str(error)) from None
        except BaseException as error:  # noqa: BLE001 - also what cancels the tasks of the dead
            if self.alive:
                raise _innermost(error) from None
        finally:
            self._crash_points.on_death = None
            self._loop.run_until_complete(self._link.service.client.aclose())
        if not self.alive:
            raise Crash(self._crash_points.died_at)
        if self.poisoned:
            return End.POISONED
        return End.CLOSED if self.decider.run.closed is not None else End.STOPPED

    def decides_nothing_more(self) -> bool:
        """See Driver."""
        return driver.nothing_left(self.decider, self._time.now)

    def receive_signal(self, name: str) -> None:
        """See Driver."""
        self._engine.receive_signal(signal.Signals[name])

    def command(self, order: OperatorCommand) -> None:
        """See Driver."""
        self._engine.receive(order)

    def cut_off(self) -> None:
        """See Driver."""
        self.alive = False
        self._link.exchange.cut()

    async def _live(self) -> None:
        """Run the engine as the command line does."""
        self._main = asyncio.current_task()
        self._link.service.allow_changes(
            self.decider.run.plan.limits.leave_quota_ppm, self._journal.lost
        )
        try:
            await self._engine.drive(self.decider, signals=False)
        except (StorageError, IntegrityError) as error:
            self.poisoned = True
            if isinstance(error, IntegrityError):
                self.incidents.add("lost the run")
            if not self._engine.lost:
                self.incidents.add("final events")
            self._journal.release()
            return
        try:
            self._journal.close()
        except (StorageError, IntegrityError):
            self.poisoned = True

    def _die(self) -> None:
        """Cut the process off, so that nothing has an effect, and cancel its tasks."""
        self.cut_off()
        if self._main is not None:
            self._main.cancel()


@dataclass(frozen=True, slots=True)
class Link:
    """The connection of one process to the cloud."""

    exchange: Exchange
    service: Service
    clock: VirtualClock


def link_to(
    exchange: Exchange, clock: VirtualClock, number: int, rate_start: float = RATE_START
) -> Link:
    """Return the real client of a process on cables. A nonce contains the process's number, a
    counter and the number of the intent.
    """
    key = credentials.StaticSource(DEFAULT_KEY_ID, credentials.Secret(DEFAULT_KEY_SECRET))
    gate, count = Gate(), itertools.count()
    client = EcsClient(
        CableTransport(exchange),
        credentials.Keyring(key, clock),
        clock,
        endpoints=endpoints.parse(ENDPOINT),
        governor=Governor(clock, rate_start=rate_start),
        account=ACCOUNT_ID,
        stopped=gate.refuses,
        nonce=lambda: f"{number}/{_INTENT.get()}/{next(count)}",
    )
    identity = Identity(ACCOUNT_ID, "acs:ram::1:user/sim", "static", emulator=True)
    return Link(exchange, Service(client, clock, identity, gate), clock)


def _intent_of(nonce: str) -> int:
    return int(nonce.split("/")[1])


def _mutation(data: bytes) -> tuple[int, ApiRequest] | None:
    """Return intent and call of the request that begins with these bytes, if it is a mutation."""
    if not data.startswith(b"POST "):
        return None
    first, *lines = data.partition(b"\r\n\r\n")[0].decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    action = headers["x-acs-action"]
    if not contract.ACTIONS[action].mutating:
        return None
    params = wire.parse_pairs(first.split(" ")[1].partition("?")[2])
    request = ApiRequest(action, params.get("RegionId", ""), params, _ids(params))
    return _intent_of(headers[NONCE]), request


def _ids(params: Mapping[str, str]) -> tuple[str, ...]:
    """Return the instance ids of a call, in the order of its parameters."""
    if "InstanceIds" in params:
        return tuple(wire.json_array(params["InstanceIds"]) or ())
    if "InstanceId" in params:
        return (params["InstanceId"],)
    numbers = sorted(int(name[11:]) for name in params if name.startswith("InstanceId."))
    return tuple(params[f"InstanceId.{number}"] for number in numbers)


def _innermost(error: BaseException) -> BaseException:
    """Return the first error inside the groups of task groups."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def serve(front: Front, accidents: list[str]) -> web.Server:
    """Run a server whose errors are findings instead of replies with status 500."""
    return web.Server(front.answer, access_log=None, logger=_Notes(accidents))


class _Notes(logging.Logger):
    """Collects the server's log messages in a list."""

    def __init__(self, accidents: list[str]) -> None:
        super().__init__("server", logging.ERROR)
        self._accidents = accidents

    def handle(self, record: logging.LogRecord) -> None:
        """See Logger."""
        error = record.exc_info[1] if record.exc_info else None
        self._accidents.append(f"{record.getMessage()}: {type(error).__name__}: {error}")


async def end(server: web.Server) -> None:
    """Close every connection and cancel waiting handlers."""
    await server.shutdown(1)
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
