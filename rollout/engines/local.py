"""The local engine: drives one decider with real effects, in this process, on anyio.

Called by the command line. It holds no budget, no retry rule and no phase. One loop takes
answers, lets the decider take a turn, makes the turn durable, and starts what it decided; every
call runs in a task of its own and only ever puts its answer into the inbox.
"""

from __future__ import annotations

import functools
import signal
from collections.abc import Callable

import anyio
from anyio.abc import TaskGroup

from rollout.core.running.decider import Decider
from rollout.core.running.state import Run, lane_of_call
from rollout.engines.perform import halt_of, perform
from rollout.engines.ports import Operators, Ports
from rollout.errors import IntegrityError, RolloutError, StorageError
from rollout.model import limits
from rollout.model.command import Observation, ObserveInstances, ObserveKeyPair, ObserveStatuses
from rollout.model.event import AnyEvent, Issued, OperatorCommand
from rollout.model.halts import HaltReason, halted
from rollout.model.observation import Described, KeyDescribed, StatusesDescribed
from rollout.model.outcome import Answer, Refused, Unknown, Unsent
from rollout.model.time import Instant

OnTurn = Callable[[Run, list[AnyEvent], Instant], None]
"""Called after every turn with the events it put, for progress; must not raise or wait."""

OPERATORS_POLL_S = 0.5
"""How often the commands of operators are looked for."""

_Arrival = Callable[[Instant], None]


class LocalEngine:
    """Runs one decider to its close, its halt or its drain."""

    def __init__(self, ports: Ports, on_turn: OnTurn | None = None) -> None:
        self.ports = ports
        self._on_turn = on_turn
        self._put: list[AnyEvent] = []
        self._inbox: list[_Arrival] = []
        self._arrived = anyio.Event()
        self._unsynced_since: Instant | None = None
        self._poison: RolloutError | None = None
        self._signals = 0
        self._stop_waiting = False
        self._unsynced: list[AnyEvent] = []
        self._unwritten: list[AnyEvent] = []
        self._orders: list[OperatorCommand] = []
        self.lost: list[AnyEvent] = []

    def append(self, event: AnyEvent) -> None:
        """Where the decider's events go: into the next line."""
        self._put.append(event)

    async def drive(self, decider: Decider, *, signals: bool = True) -> None:
        """Go on until the run closes, or stops and nothing is in flight any more.

        StorageError when the journal could not be written, IntegrityError R0906 when another
        process took over: no effect began after that, and all that may not be durable stands in
        `lost`, the calls in flight included.
        """
        self.decider = decider
        async with anyio.create_task_group() as tasks:
            if signals:
                tasks.start_soon(self._listen)
            if self.ports.operators is not None:
                self._take_orders(
                    self.ports.operators
                )  # one that waits is obeyed before any effect
                tasks.start_soon(self._poll, self.ports.operators)
            try:
                await self._loop(tasks)
            finally:
                tasks.cancel_scope.cancel()
        if self._poison is not None:
            raise self._poison

    # the loop

    async def _loop(self, tasks: TaskGroup) -> None:
        clock = self.ports.clock
        while True:
            now = clock.now()
            self._take_in(now)
            if self.ports.journal.low_space():
                self.decider.halt(halted(HaltReason.DISK, "free space is nearly used up"), now)
            if not self.decider.run.stopping:
                for change in self.ports.ecs.lane_changes():
                    self.decider.put(change, now)
            turn = self.decider.turn(now)
            urgent = bool(turn.intents or self._orders) or self.decider.run.stopping
            await self._write(now, urgent=urgent)
            if self._poison is None:
                for issued in turn.intents:
                    tasks.start_soon(self._call, issued)
                for look in turn.looks:
                    tasks.start_soon(self._look, look)
            else:
                self._refuse(turn.intents)
            if self._finished():
                self._last_words()
                return
            await self._wait(turn.wake)

    def _take_in(self, now: Instant) -> None:
        arrivals, self._inbox = self._inbox, []
        self._arrived = anyio.Event()
        for arrival in arrivals:
            arrival(now)

    async def _write(self, now: Instant, *, urgent: bool) -> None:
        """What the turns put becomes one line: durable before any effect, else within a second."""
        events, self._put = self._put, []
        if self._poison is not None:
            self._unwritten += events
        elif events:
            self._unsynced += events
            self._unsynced_since = self._unsynced_since or now
        if self._unsynced_since is not None and (urgent or self._overdue(now)):
            try:
                self.ports.journal.append(self._unsynced, now)
                await self.ports.journal.sync()
            except (StorageError, IntegrityError) as error:
                self._poisoned(error, now)
                last, self._put = self._put, []  # with nothing in flight no turn comes after this
                self._unwritten += last
                events += last
            else:
                self._unsynced_since = None
                self._unsynced.clear()
                self._orders_done()
        if events and self._on_turn is not None:
            self._on_turn(self.decider.run, events, now)

    def _overdue(self, now: Instant) -> bool:
        since = self._unsynced_since
        return since is not None and now >= since + limits.SYNC_EVERY_MS

    def _poisoned(self, error: RolloutError, now: Instant) -> None:
        self._poison = error
        self._unsynced_since = None
        self.ports.ecs.stop()
        self.decider.halt(halt_of(error), now)

    def _refuse(self, intents: tuple[Issued, ...]) -> None:
        """Intents that are not durable never leave."""
        unsent = Answer(Unsent.DISK.refusal())
        for issued in intents:
            self._arrive(functools.partial(self.decider.answered, issued.n, unsent))

    def _last_words(self) -> None:
        """After a write error: what came since goes into the space that is left, or is shown."""
        if self._poison is not None and not self.ports.journal.last_words(
            self._unwritten, self.ports.clock.now()
        ):
            self.lost = self._unsynced + self._unwritten

    def _finished(self) -> bool:
        run = self.decider.run
        if run.closed is not None:
            return True
        if not run.stopping:
            return False
        self.ports.ecs.stop()
        return self.decider.idle or self._stop_waiting

    async def _wait(self, wake: Instant | None) -> None:
        if self._inbox:
            return
        clock = self.ports.clock
        if self._unsynced_since is not None:
            sync_at = self._unsynced_since + limits.SYNC_EVERY_MS
            wake = sync_at if wake is None else min(wake, sync_at)
        if wake is None:
            await self._arrived.wait()
            return
        with anyio.move_on_after(max(0, wake - clock.now()) / 1000):
            await self._arrived.wait()

    def _arrive(self, arrival: _Arrival) -> None:
        self._inbox.append(arrival)
        self._arrived.set()

    # effects, each in a task of its own

    async def _call(self, issued: Issued) -> None:
        run = self.decider.run
        site = lane_of_call(run, issued).site
        answer = await perform(
            issued, site, run.plan, self.ports.ecs, self.ports.clock, lambda: run.frozen
        )
        self._arrive(lambda now: self.decider.answered(issued.n, answer, now))

    async def _look(self, look: Observation) -> None:
        if isinstance(look, ObserveInstances):
            await self._look_at_instances(look)
        elif isinstance(look, ObserveStatuses):
            await self._look_at_status(look)
        else:
            await self._look_at_key(look)

    async def _look_at_instances(self, look: ObserveInstances) -> None:
        asked_at = self.ports.clock.now()
        seen = await self.ports.ecs.observe_instances(look.site, look.instances)
        if isinstance(seen, Described):
            shown, api_time, at = seen.instances, seen.api_time, seen.left_at or asked_at
            self._arrive(
                lambda now: self.decider.instances_observed(look, shown, at, api_time, now)
            )
        else:
            self._lost_look(look, seen)

    async def _look_at_status(self, look: ObserveStatuses) -> None:
        seen = await self.ports.ecs.observe_statuses(look.site, look.instances)
        if isinstance(seen, StatusesDescribed):
            shown, api_time = frozenset(seen.statuses), seen.api_time
            self._arrive(lambda now: self.decider.statuses_observed(look, shown, api_time, now))
        else:
            self._lost_look(look, seen)

    async def _look_at_key(self, look: ObserveKeyPair) -> None:
        name = self.decider.run.plan.keys[look.key].name
        seen = await self.ports.ecs.observe_key_pair(look.site, name)
        if isinstance(seen, KeyDescribed):
            key, fingerprint = seen.public_key, seen.fingerprint
            self._arrive(lambda now: self.decider.key_pair_observed(look, key, fingerprint, now))
        else:
            self._lost_look(look, seen)

    def _lost_look(self, look: Observation, outcome: Refused | Unknown) -> None:
        self._arrive(lambda now: self.decider.observation_lost(look, outcome, now))

    # people

    async def _poll(self, operators: Operators) -> None:
        """Pass on what operators command."""
        while True:
            await anyio.sleep(OPERATORS_POLL_S)
            self._take_orders(operators)

    def _take_orders(self, operators: Operators) -> None:
        for order in operators.take():
            self.command(order)

    def command(self, order: OperatorCommand) -> None:
        """Apply what an operator commands, before the next turn."""
        self._arrive(functools.partial(self._operate, order))

    def _operate(self, order: OperatorCommand, now: Instant) -> None:
        self._orders.append(order)
        self.decider.operate(order, now)
        if self.decider.run.frozen:
            self.ports.ecs.stop()

    def _orders_done(self) -> None:
        """The journal has them: nobody has to send them again."""
        orders, self._orders = self._orders, []
        for order in orders:
            if self.ports.operators is not None:
                self.ports.operators.done(order)

    async def _listen(self) -> None:
        """Pass on the signals that the process receives; the former handlers come back."""
        former = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            with anyio.open_signal_receiver(*former) as signals:
                async for number in signals:
                    self.hear_signal(number)
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)

    def hear_signal(self, number: signal.Signals) -> None:
        """The first signal drains, the second stops waiting, the third is out at once."""
        self._signals += 1
        if self._signals == 1:
            self._arrive(functools.partial(self._drain, number.name))
        elif self._signals == 2:
            self._arrive(self._give_up_waiting)
        else:
            raise KeyboardInterrupt

    def _drain(self, word: str, now: Instant) -> None:
        self.decider.drain(word, "signal", now)
        self.ports.ecs.stop()

    def _give_up_waiting(self, now: Instant) -> None:
        """What is open becomes in doubt in the journal; a late answer is no longer heard."""
        self._stop_waiting = True
        for n in list(self.decider.run.open_calls):
            self.decider.answered(n, Answer(Unknown("interrupted")), now)
