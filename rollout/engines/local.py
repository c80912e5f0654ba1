"""The local engine: performs in this process, on anyio, what the loop of a run returns.

Called by `app`. It only appends, syncs, starts calls and waits. Each call runs in its own task,
which passes its reply to the loop.
"""

from __future__ import annotations

import signal
from collections.abc import Callable

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup

from rollout.core.invariant import invariant
from rollout.core.running.arrivals import (
    Arrival,
    CallEnded,
    LeaseHeld,
    LeaseLost,
    LowSpace,
    MarkReplaced,
    ObservationEnded,
    ProbeEnded,
    Reply,
    Signal,
)
from rollout.core.running.decider import Decider
from rollout.core.running.loop import Effects, Loop
from rollout.core.running.state import Run, lane_of_call
from rollout.engines.perform import perform
from rollout.engines.ports import KeyPairMarks, Operators, Ports
from rollout.errors import IntegrityError, StorageError
from rollout.journal.store import RunLeases
from rollout.model import limits
from rollout.model.command import (
    ImportKey,
    Observation,
    ObserveInstances,
    ObserveKeyPair,
    ObserveStatuses,
    QueryGate,
)
from rollout.model.event import AnyEvent, Issued
from rollout.model.gate import AnyGate
from rollout.model.observation import Described
from rollout.model.outcome import Answer, Unknown
from rollout.model.probe import Probe, ReadHostKey
from rollout.model.time import Instant

OnStep = Callable[[Run, list[AnyEvent], Instant], None]
"""Called after every step that brought events, for progress; must not raise or wait."""

OPERATORS_POLL_S = 0.5
"""Pause between two reads of the operators' commands."""


GATE_GRACE_MS = 5_000
"""Time after the timeout of a gate in which its source must have answered."""


class LocalEngine:
    """Drives one run to its close, its halt or its drain."""

    def __init__(self, ports: Ports, on_step: OnStep | None = None) -> None:
        self.ports = ports
        self.loop: Loop
        self.lost: list[AnyEvent] = []
        """After an error of the journal: all events that may not be durable."""
        self._on_step = on_step
        self._arrived = anyio.Event()
        self._signals = 0

    async def drive(self, decider: Decider, *, signals: bool = True) -> None:
        """Return when the run is closed, or has stopped and no call is in flight.

        Errors: StorageError where the journal could not be written, IntegrityError R0906 where
        another process took over. No call was sent after it, and `lost` has the events that may
        not be durable.
        """
        self.loop = Loop(decider)
        async with anyio.create_task_group() as tasks:
            if signals:
                tasks.start_soon(self._listen)
            if self.ports.operators is not None:
                self._take_commands(self.ports.operators)  # applied before the first effect
                tasks.start_soon(self._poll, self.ports.operators)
            if self.ports.leases is not None:
                tasks.start_soon(self._renew, self.ports.leases)
            if self.ports.marks is not None:
                tasks.start_soon(self._wake_for_mark, self.ports.marks)
            try:
                await self._repeat(tasks)
            finally:
                tasks.cancel_scope.cancel()
        if self.loop.error is not None:
            raise self.loop.error

    def receive(self, arrival: Arrival) -> None:
        """Hand an arrival to the loop and wake it."""
        self.loop.receive(arrival)
        self._arrived.set()

    def receive_signal(self, number: signal.Signals) -> None:
        """Drain on the first signal, stop waiting on the second. KeyboardInterrupt on the third."""
        self._signals += 1
        if self._signals > 2:
            raise KeyboardInterrupt
        self.receive(Signal(number.name))

    # the loop

    async def _repeat(self, tasks: TaskGroup) -> None:
        while True:
            effects = await self._step()
            for issued in effects.intents:
                tasks.start_soon(self._call, issued)
            for observation in effects.observations:
                tasks.start_soon(self._observe, observation)
            for probe in effects.probes:
                tasks.start_soon(self._probe, probe)
            if effects.finished:
                self._append_final()
                return
            await self._wait(effects.wake)

    async def _step(self) -> Effects:
        """Take one step of the loop and make its line durable."""
        ports, now = self.ports, self.ports.clock.now()
        for change in ports.ecs.lane_changes():
            self.loop.receive(change)
        if ports.journal.low_space():
            self.loop.receive(LowSpace())
        if ports.leases is not None:
            lost = ports.leases.lost()
            held = LeaseHeld(now + ports.leases.left_ms())
            self.loop.receive(LeaseLost(lost) if lost else held)
        if ports.marks is not None and (other := ports.marks.lost()):
            self.loop.receive(MarkReplaced(other))
        self._arrived = anyio.Event()
        line = self.loop.step(now)
        self._stop_if_frozen()
        try:
            if line:
                ports.journal.append(line, now)
                await ports.journal.sync()
        except (StorageError, IntegrityError) as error:
            effects = self.loop.failed(error, now)
            self._stop_if_frozen()
        else:
            effects = self.loop.synced()
        if ports.operators is not None:
            for command in effects.acknowledged:
                ports.operators.done(command)
        if effects.events and self._on_step is not None:
            self._on_step(self.loop.decider.run, effects.events, now)
        return effects

    def _stop_if_frozen(self) -> None:
        if self.loop.frozen:
            self.ports.ecs.stop()

    async def _wait(self, wake: Instant | None) -> None:
        if self.loop.inbox:
            return
        if wake is None:
            await self._arrived.wait()
            return
        with anyio.move_on_after(max(0, wake - self.ports.clock.now()) / 1000):
            await self._arrived.wait()

    def _append_final(self) -> None:
        """After an error of the journal, write later events to the space left, or keep all."""
        if self.loop.error is not None:
            unwritten = self.loop.unwritten
            if not self.ports.journal.append_final(unwritten, self.ports.clock.now()):
                self.lost = self.loop.not_durable

    # effects, each in a task of its own

    async def _call(self, issued: Issued) -> None:
        overtaken = await self._overtaken(issued)
        expired = self.ports.clock.expired(issued.not_after)
        refused = self.loop.unsent(expired=expired, overtaken=overtaken)
        if refused is not None:
            self.receive(CallEnded(issued.n, Answer(refused)))
            return
        run = self.loop.decider.run
        answer = await perform(issued, lane_of_call(run, issued).site, run.plan, self.ports.ecs)
        self.receive(CallEnded(issued.n, answer))

    async def _observe(self, observation: Observation) -> None:
        ecs, sent_at = self.ports.ecs, self.ports.clock.now()
        reply: Reply
        match observation:
            case ObserveInstances(site=site, instances=ids):
                reply = await ecs.observe_instances(site, ids)
            case ObserveStatuses(site=site, instances=ids):
                reply = await ecs.observe_statuses(site, ids)
            case ObserveKeyPair(site=site, key=key):
                name = self.loop.decider.run.plan.keys[key].name
                reply = await ecs.observe_key_pair(site, name)
            case QueryGate(gate=gate):
                reply = await self._ask(self.loop.decider.run.plan.questions()[gate])
        if isinstance(reply, Described):
            sent_at = reply.left_at or sent_at  # it may have waited for its lane
        self.receive(ObservationEnded(observation, reply, sent_at))

    async def _probe(self, probe: Probe) -> None:
        prober = self.ports.prober
        invariant(prober is not None, "a plan with `verify` is driven with a prober")
        assert prober is not None  # noqa: S101 - for the type checker
        if isinstance(probe, ReadHostKey):
            self.receive(ProbeEnded(probe, await prober.read_host_key(probe)))
        else:
            self.receive(ProbeEnded(probe, await prober.prove_login(probe)))

    async def _ask(self, gate: AnyGate) -> Reply:
        """Return the answer to a question, `Unknown` if it takes longer than it may."""
        if self.ports.gates is None:
            return Unknown("no source of answers")
        with anyio.move_on_after((gate.timeout_ms + GATE_GRACE_MS) / 1000):
            return await self.ports.gates.ask(gate)
        return Unknown("timeout")

    # leases, marks, operators and signals

    async def _renew(self, leases: RunLeases) -> None:
        while not leases.lost():
            await anyio.sleep(limits.LEASE_BEAT_MS / 1000)
            await anyio.to_thread.run_sync(leases.renew)
        self._arrived.set()

    async def _overtaken(self, issued: Issued) -> bool:
        """Return whether another run marked a key pair, which is read before a call of a wave. A
        key pair has no mark before its import.
        """
        marks, wave = self.ports.marks, self.loop.decider.run.wave_open
        imports = isinstance(issued.command, ImportKey)
        if marks is None or wave is None or imports or self.loop.frozen:
            return False
        await marks.read_before(wave)
        return bool(marks.lost())

    async def _wake_for_mark(self, marks: KeyPairMarks) -> None:
        await marks.found()
        self._arrived.set()

    async def _poll(self, operators: Operators) -> None:
        while True:
            await anyio.sleep(OPERATORS_POLL_S)
            self._take_commands(operators)

    def _take_commands(self, operators: Operators) -> None:
        for command in operators.take():
            self.receive(command)

    async def _listen(self) -> None:
        """Receive SIGINT and SIGTERM; restore their former handlers at the end."""
        former = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            with anyio.open_signal_receiver(*former) as signals:
                async for number in signals:
                    self.receive_signal(number)
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)
