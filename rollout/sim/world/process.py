"""One simulated process: performs on a heap, in virtual time, what the loop of a run returns.

Made by the world for every start and resume, and by rehearsals. Like the local engine it only
appends, syncs, starts calls and waits. It dies at its crash point.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from rollout.core.running.arrivals import (
    CallEnded,
    LowSpace,
    ObservationEnded,
    ProbeEnded,
    Reply,
    Signal,
)
from rollout.core.running.decider import Decider
from rollout.core.running.loop import Effects, Loop
from rollout.core.running.state import lane_of_call
from rollout.ecs import replies, verdict
from rollout.errors import IntegrityError, RolloutError, StorageError
from rollout.model.command import (
    Observation,
    ObserveInstances,
    ObserveKeyPair,
    ObserveStatuses,
    QueryGate,
    ServiceObservation,
)
from rollout.model.event import AnyEvent, Issued, OperatorCommand
from rollout.model.observation import Described, KeyDescribed, StatusesDescribed
from rollout.model.outcome import Answer, Refused, Unknown
from rollout.model.probe import HostKeySeen, LoginSeen, Probe
from rollout.model.time import Instant
from rollout.sim.time.heap import Heap
from rollout.sim.time.suspension import ProcessClock
from rollout.sim.world import calls, driver
from rollout.sim.world.disk import CrashPoints
from rollout.sim.world.driver import LIFE_MS_MAX, End, Endless, Stuck
from rollout.sim.world.gate_world import GateWorld
from rollout.sim.world.guests import Guests
from rollout.sim.world.leasing import Keeper
from rollout.sim.world.network import WAIT_MS_MAX, Call, Network, Received

STEPS_MAX = 50_000


class JournalSink(Protocol):
    """The journal of a run, or the stand-in of a rehearsal, which keeps no line."""

    def append(self, events: list[AnyEvent], at: Instant) -> None:
        """See RunJournal."""

    def sync_now(self) -> None:
        """See RunJournal."""

    def append_final(self, events: list[AnyEvent], at: Instant) -> bool:
        """See RunJournal."""

    def low_space(self) -> bool:
        """See RunJournal."""

    def close(self) -> None:
        """See RunJournal."""

    def release(self) -> None:
        """See RunJournal."""


class Process:
    """One process, which drives a decider until it ends. Implements Driver."""

    steps_max = STEPS_MAX
    life_ms_max = LIFE_MS_MAX

    def __init__(
        self, heap: Heap, crash_points: CrashPoints, journal: JournalSink, decider: Decider
    ) -> None:
        self.heap = heap
        self.crash_points = crash_points
        self.journal = journal
        self.decider = decider
        self.loop = Loop(decider)
        self.network: Network
        self.guests: Guests
        self.gates = GateWorld()
        self.leases: Keeper | None = None
        self.incidents: set[str] = set()
        self.before_call: Callable[[int], None] = lambda _: None
        self.on_step: Callable[[list[AnyEvent], Instant], None] = lambda *_: None

    def drive(self) -> End:
        """Return how the process ended: the run closed, or stopped with no call in flight.

        Errors: Crash where it dies, Stuck where it does not end.
        """
        heap, begun = self.heap, self.heap.now
        for _ in range(self.steps_max):
            effects = self._step()
            for issued in effects.intents:
                self._call(issued)
            for observation in effects.observations:
                self._observe(observation)
            for probe in effects.probes:
                self._probe(probe)
            if effects.finished:
                return self._end()
            self._wait(effects.wake)
            if heap.now > begun + self.life_ms_max:
                raise Endless("a process lives too long")
        raise Stuck("steps without end")

    @property
    def clock(self) -> ProcessClock:
        """The clock of the process."""
        return self.network.clock

    @property
    def poisoned(self) -> bool:
        """See Driver."""
        return self.loop.error is not None

    @property
    def alive(self) -> bool:
        """See Driver."""
        return self.network.alive

    def cut_off(self) -> None:
        """See Driver."""
        self.network.alive = False

    def decides_nothing_more(self) -> bool:
        """See Driver."""
        return driver.nothing_left(self.decider, self.clock.now)

    def receive_signal(self, name: str) -> None:
        """See Driver."""
        self.loop.receive(Signal(name))

    def command(self, order: OperatorCommand) -> None:
        """See Driver."""
        self.loop.receive(order)

    # the loop

    def _step(self) -> Effects:
        """Take one step of the loop and make its line durable."""
        for _ in self.loop.inbox:
            self.crash_points.visit("before an arrival is handled")
        now = self.clock.now
        if self.journal.low_space():
            self.loop.receive(LowSpace())
        if self.leases is not None:
            self.loop.receive(self.leases.arrival(now))
        line = self.loop.step(now)
        self.network.stopped = self.loop.frozen
        try:
            if line:
                self.journal.append(line, now)
                self.journal.sync_now()
        except (StorageError, IntegrityError) as error:
            if isinstance(error, IntegrityError):
                self.incidents.add("lost the run")
            effects = self.loop.failed(error, now)
            self.network.stopped = True
        else:
            effects = self.loop.synced()
        if effects.events:
            self.on_step(effects.events, now)
        return effects

    def _end(self) -> End:
        if self.loop.error is not None:
            if self.journal.append_final(self.loop.unwritten, self.clock.now):
                self.incidents.add("final events")
            self.journal.release()
            return End.POISONED
        try:
            self.journal.close()
        except RolloutError:
            return End.POISONED
        return End.CLOSED if self.decider.run.closed is not None else End.STOPPED

    def _wait(self, wake: Instant | None) -> None:
        """Advance the world until something arrives or is due, and the machine is awake."""
        heap, clock = self.heap, self.clock
        while not self.loop.inbox:
            due, upcoming = None if wake is None else clock.world(wake), heap.next
            if upcoming is None or (due is not None and due <= upcoming):
                if due is None:
                    raise Stuck("nothing is in flight and nothing wakes the run")
                heap.advance(due)
                break
            heap.advance(upcoming)
        while clock.suspended:
            heap.advance(clock.wakes_at)

    # effects

    def _call(self, issued: Issued) -> None:
        run = self.decider.run
        self.before_call(issued.n)
        refused = self.loop.unsent(expired=self.clock.expired(issued.not_after))
        if refused is not None:
            self.loop.receive(CallEnded(issued.n, Answer(refused)))
        else:
            request = calls.of_intent(issued, lane_of_call(run, issued).site, run.plan)
            self.network.submit(Call(request, issued.n, issued.not_after, self._answered))

    def _answered(self, call: Call, received: Received) -> None:
        match received:
            case verdict.JudgedReply():
                action, ids = call.request.action, call.request.ids
                answer = verdict.answer(action, ids, received)
            case Answer():
                answer = received
            case Refused() | Unknown():
                answer = Answer(received)
            case Described():
                raise TypeError("a call is not answered like an observation")
        self.loop.receive(CallEnded(call.n, answer))

    def _observe(self, observation: Observation) -> None:
        if isinstance(observation, QueryGate):
            self._query(observation)
            return
        request = calls.of_observation(observation, self.decider.run.plan)
        observed = functools.partial(self._observed, observation)
        self.network.submit(Call(request, 0, self.clock.now + WAIT_MS_MAX, observed))

    def _probe(self, probe: Probe) -> None:
        """Let a probe arrive at its guest, and its reply at the process."""
        heap, guests = self.heap, self.guests

        def arrive() -> None:
            seen = guests.observe(probe, heap.now)
            heap.at(heap.now + guests.delay(), functools.partial(self._probed, probe, seen))

        heap.at(heap.now + guests.delay(), arrive)

    def _probed(self, probe: Probe, seen: HostKeySeen | LoginSeen) -> None:
        if self.clock.suspended:
            again = functools.partial(self._probed, probe, seen)
            self.heap.at(self.clock.wakes_at, again)
        elif self.alive:
            self.loop.receive(ProbeEnded(probe, seen))

    def _query(self, query: QueryGate) -> None:
        """Ask a question of a gate; the answer arrives later, if the process is alive then."""
        asked = self.clock.now
        drawn = self.gates.answer(query.gate, self.heap.now)

        def answered() -> None:
            if self.alive:
                self.loop.receive(ObservationEnded(query, drawn.reply, asked))

        self.heap.at(self.heap.now + drawn.after_ms, answered)

    def _observed(self, observation: ServiceObservation, call: Call, received: Received) -> None:
        reply: Reply
        match observation:
            case ObserveInstances(site=(account, region), instances=ids):
                reply = read_instances(received, account, region, ids)
            case ObserveStatuses():
                reply = read_statuses(received)
            case ObserveKeyPair(key=key):
                reply = read_key(received, self.decider.run.plan.keys[key].name)
        self.loop.receive(ObservationEnded(observation, reply, call.left_at))


def read_instances(
    received: Received, account: str, region: str, requested: Sequence[str]
) -> Described | Refused | Unknown:
    """Decode a page of instances like the real client; leave out instances not in `requested`."""
    if isinstance(received, Answer):
        raise TypeError("an observation is not answered like a call")
    if not isinstance(received, verdict.JudgedReply):
        return received
    page = replies.described(received, account, region)
    if not isinstance(page, Described):
        return page
    if page.next_token:
        return Unknown("page_loop")
    return msgspec.structs.replace(page, instances=replies.only(page.instances, requested))


def read_statuses(received: Received) -> StatusesDescribed | Refused | Unknown:
    """Decode statuses like the real client."""
    if isinstance(received, Refused | Unknown):
        return received
    if not isinstance(received, verdict.JudgedReply):
        raise TypeError("statuses are decoded from bytes")
    return replies.statuses(received)


def read_key(received: Received, name: str) -> KeyDescribed | Refused | Unknown:
    """Decode a key pair like the real client."""
    if isinstance(received, Refused | Unknown):
        return received
    if not isinstance(received, verdict.JudgedReply):
        raise TypeError("a key pair is decoded from bytes")
    return replies.key_described(received, name)
