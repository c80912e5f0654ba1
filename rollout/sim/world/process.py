"""One process that drives a decider in virtual time: the local engine's loop without its loop.

Made by the world for every start and resume; the next one begins where this one's journal ends.
Like the local engine it holds no budget, no retry rule and no phase. It dies where the fuse says.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from rollout.core.running.decider import Decider, Turn
from rollout.core.running.state import lane_of_call
from rollout.ecs import replies as reading
from rollout.ecs import verdict, wire
from rollout.engines.perform import halt_of
from rollout.errors import IntegrityError, RolloutError, StorageError
from rollout.model import limits
from rollout.model.command import Observation, ObserveInstances, ObserveKeyPair, ObserveStatuses
from rollout.model.event import AnyEvent, Issued, OperatorCommand
from rollout.model.halts import HaltReason, halted
from rollout.model.observation import Described, KeyDescribed, StatusesDescribed
from rollout.model.outcome import Answer, Refused, Unknown, Unsent
from rollout.model.time import Instant
from rollout.sim.time.heap import Heap
from rollout.sim.time.suspension import ProcessClock
from rollout.sim.world import calls, driver
from rollout.sim.world.disk import Fuse
from rollout.sim.world.driver import LIFE_MS_MAX, End, Endless, Stuck
from rollout.sim.world.network import WAIT_MS_MAX, Call, Heard, Network

TURNS_MAX = 50_000


class JournalSink(Protocol):
    """Where lines go: the run's log, or whoever wants to know what happens and keeps none."""

    def append(self, events: list[AnyEvent], at: Instant) -> None:
        """See RunJournal."""

    def sync_now(self) -> None:
        """See RunJournal."""

    def last_words(self, events: list[AnyEvent], at: Instant) -> bool:
        """See RunJournal."""

    def low_space(self) -> bool:
        """See RunJournal."""

    def close(self) -> None:
        """See RunJournal."""

    def release(self) -> None:
        """See RunJournal."""


class Process:
    """One process. `append` takes the decider's events; `drive` goes on until it ends."""

    turns_max = TURNS_MAX
    life_ms_max = LIFE_MS_MAX

    def __init__(self, heap: Heap, fuse: Fuse, journal: JournalSink) -> None:
        self.heap = heap
        self.fuse = fuse
        self.journal = journal
        self.decider: Decider
        self.network: Network
        self.words: set[str] = set()
        self.before_call: Callable[[int], None] = _nothing
        self._put: list[AnyEvent] = []
        self._inbox: list[Callable[[Instant], None]] = []
        self._unsynced_since: Instant | None = None
        self._poison: RolloutError | None = None
        self._stop_waiting = False
        self._unwritten: list[AnyEvent] = []

    def append(self, event: AnyEvent) -> None:
        """Where the decider's events go: into the line of the current turn."""
        self._put.append(event)

    def drive(self) -> End:
        """Go on until the run closes, or stops and nothing is in flight. `Crash` where it dies."""
        heap, begun = self.heap, self.heap.now
        for _ in range(self.turns_max):
            now = self.clock.now
            self._take_in(now)
            if self.journal.low_space():
                self.decider.halt(halted(HaltReason.DISK, "free space is nearly used up"), now)
            turn = self.decider.turn(now)
            self._write(now, urgent=bool(turn.intents) or self.decider.run.stopping)
            self._begin(turn)
            if self._finished():
                return self._end()
            self._wait(turn.wake)
            if heap.now > begun + self.life_ms_max:
                raise Endless("a process lives too long")
        raise Stuck("turns without end")

    @property
    def clock(self) -> ProcessClock:
        """What the process knows of time."""
        return self.network.clock

    @property
    def poisoned(self) -> bool:
        """The journal could not be written: the state knows more than it."""
        return self._poison is not None

    @property
    def alive(self) -> bool:
        """See Driver."""
        return self.network.alive

    def bury(self) -> None:
        """See Driver."""
        self.network.alive = False

    def decides_nothing_more(self) -> bool:
        """See Driver."""
        return driver.nothing_left(self.decider, self.clock.now)

    # people

    def drain(self, word: str) -> None:
        """The first signal: begin nothing new, wait for what is in flight."""

        def arrive(now: Instant) -> None:
            self.decider.drain(word, "signal", now)
            self.network.stopped = True

        self._inbox.append(arrive)

    def interrupt(self) -> None:
        """The second signal: no longer wait; what is open becomes in doubt."""

        def arrive(now: Instant) -> None:
            self._stop_waiting = True
            for n in list(self.decider.run.open_calls):
                self.decider.answered(n, Answer(Unknown("interrupted")), now)

        self._inbox.append(arrive)

    def command(self, order: OperatorCommand) -> None:
        """See Driver."""

        def arrive(now: Instant) -> None:
            self.decider.operate(order, now)
            if self.decider.run.frozen:
                self.network.stopped = True

        self._inbox.append(arrive)

    # the loop

    def _take_in(self, now: Instant) -> None:
        arrivals, self._inbox = self._inbox, []
        for arrival in arrivals:
            self.fuse.burn("before an answer is heard")
            arrival(now)

    def _write(self, now: Instant, *, urgent: bool) -> None:
        events, self._put = self._put, []
        if self._poison is not None:
            self._unwritten += events
        try:
            if self._poison is None and events:
                self.journal.append(events, now)
                self._unsynced_since = self._unsynced_since or now
            overdue = self._unsynced_since is not None and now >= self._sync_at
            if self._unsynced_since is not None and (urgent or overdue):
                self.journal.sync_now()
                self._unsynced_since = None
        except (StorageError, IntegrityError) as error:
            self._poisoned(error, now)

    @property
    def _sync_at(self) -> Instant:
        return (self._unsynced_since or 0) + limits.SYNC_EVERY_MS

    def _poisoned(self, error: RolloutError, now: Instant) -> None:
        if isinstance(error, IntegrityError):
            self.words.add("lost the run")
        self._poison = error
        self._unsynced_since = None
        self.network.stopped = True
        self.decider.halt(halt_of(error), now)

    def _begin(self, turn: Turn) -> None:
        if self._poison is not None:
            unsent = Answer(Unsent.DISK.refusal())
            for issued in turn.intents:
                self._hear(issued.n, unsent)
            return
        for issued in turn.intents:
            self._call(issued)
        for look in turn.looks:
            self._look(look)

    def _finished(self) -> bool:
        run = self.decider.run
        if run.closed is not None:
            return True
        if not run.stopping:
            return False
        self.network.stopped = True
        return self.decider.idle or self._stop_waiting

    def _end(self) -> End:
        if self._poison is not None:
            if self.journal.last_words(self._unwritten, self.clock.now):
                self.words.add("last words")
            self.journal.release()
            return End.POISONED
        try:
            self.journal.close()
        except RolloutError:
            return End.POISONED
        return End.CLOSED if self.decider.run.closed is not None else End.STOPPED

    def _wait(self, wake: Instant | None) -> None:
        """Let the world go on until something is heard or due, and the machine is awake."""
        if self._unsynced_since is not None:
            wake = self._sync_at if wake is None else min(wake, self._sync_at)
        heap, clock = self.heap, self.clock
        while not self._inbox:
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
        site = lane_of_call(run, issued).site
        self.before_call(issued.n)
        if run.stopping:
            self._hear(issued.n, Answer(Unsent.STOPPED.refusal()))
        elif self.clock.expired(issued.not_after):
            self._hear(issued.n, Answer(Unsent.EXPIRED.refusal()))
        else:
            wish = calls.of_intent(issued, site, run.plan)
            self.network.submit(Call(wish, issued.n, issued.not_after, self._answered))

    def _answered(self, call: Call, heard: Heard) -> None:
        match heard:
            case wire.HttpReply():
                action, ids = call.wish.action, call.wish.ids
                self._hear(call.n, verdict.answer(action, ids, heard, self.clock.now))
            case Answer():
                self._hear(call.n, heard)
            case Refused() | Unknown():
                self._hear(call.n, Answer(heard))
            case Described():
                raise TypeError("what changes something does not describe")

    def _hear(self, n: int, answer: Answer) -> None:
        self._inbox.append(lambda now: self.decider.answered(n, answer, now))

    def _look(self, look: Observation) -> None:
        wish = calls.of_look(look, self.decider.run.plan)
        looked = functools.partial(self._looked, look)
        self.network.submit(Call(wish, 0, self.clock.now + WAIT_MS_MAX, looked))

    def _looked(self, look: Observation, call: Call, heard: Heard) -> None:
        at = call.left_at
        match look:
            case ObserveInstances(site=(account, region), instances=asked):
                seen = see_instances(heard, account, region, asked, self.clock.now)
                if isinstance(seen, Described):
                    shown, api_time = seen.instances, seen.api_time
                    self._inbox.append(
                        lambda now: self.decider.instances_observed(look, shown, at, api_time, now)
                    )
                    return
            case ObserveKeyPair():
                name = self.decider.run.plan.keys[look.key].name
                found = see_key(heard, name, self.clock.now)
                if isinstance(found, KeyDescribed):
                    key, fingerprint = found.public_key, found.fingerprint
                    self._inbox.append(
                        lambda now: self.decider.key_pair_observed(look, key, fingerprint, now)
                    )
                    return
                seen = found
            case ObserveStatuses():
                said = see_statuses(heard, self.clock.now)
                if isinstance(said, StatusesDescribed):
                    ids, when = frozenset(said.statuses), said.api_time
                    self._inbox.append(
                        lambda now: self.decider.statuses_observed(look, ids, when, now)
                    )
                    return
                seen = said
        lost = seen
        self._inbox.append(lambda now: self.decider.observation_lost(look, lost, now))


def _nothing(_: int) -> None:
    """Nobody interferes before a call."""


def see_instances(
    heard: Heard, account: str, region: str, asked: Sequence[str], now: Instant
) -> Described | Refused | Unknown:
    """A page of instances as the real client reads it; only what was asked for."""
    if isinstance(heard, Answer):
        raise TypeError("a look changes nothing")
    if not isinstance(heard, wire.HttpReply):
        return heard
    page = reading.described(heard, account, region, now)
    if not isinstance(page, Described):
        return page
    if page.next_token:
        return Unknown("page_loop")
    return msgspec.structs.replace(page, instances=reading.only(page.instances, asked))


def see_statuses(heard: Heard, now: Instant) -> StatusesDescribed | Refused | Unknown:
    """Statuses as the real client reads them."""
    if isinstance(heard, Refused | Unknown):
        return heard
    if not isinstance(heard, wire.HttpReply):
        raise TypeError("statuses are read from bytes")
    return reading.statuses(heard, now)


def see_key(heard: Heard, name: str, now: Instant) -> KeyDescribed | Refused | Unknown:
    """A key pair as the real client reads it."""
    if isinstance(heard, Refused | Unknown):
        return heard
    if not isinstance(heard, wire.HttpReply):
        raise TypeError("a key pair is read from bytes")
    return reading.key_described(heard, name, now)
