"""An emulated service and a driver for the decider, in virtual time, on a heap.

`World` keeps the truth of every machine, answers calls and observations with the faults of a
script, and checks invariants after every turn. Nothing here knows a phase's rules.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from rollout.core.running import decide_instances, decide_run, gates
from rollout.core.running.decider import Decider
from rollout.core.running.journey import EXPOSED, FINAL
from rollout.core.running.key_coverage import Comparisons
from rollout.core.running.state import Attaching, Busy, Restarting, Run
from rollout.core.running.view import view
from rollout.model.command import (
    Attach,
    ImportKey,
    Observation,
    ObserveInstances,
    ObserveKeyPair,
    ObserveMembers,
    ObserveStatuses,
    QueryGate,
    RestartCall,
)
from rollout.model.event import AnyEvent, Issued, RunClosed
from rollout.model.instance import Instance, OsFamily, Status
from rollout.model.outcome import Answer, Done, Outcome, Refused, RetryClass, Unknown
from rollout.model.plan import Plan, RestartKind
from rollout.model.probe import HostKeySeen, KeyAccess, LoginSeen, Probe, ReadHostKey
from rollout.model.time import MINUTE, SECOND, Instant
from rollout.sim.check.stations import misplaced
from tests.core import samples

LATENCY_MS = 300
TURNS_MAX = 20_000
T = TypeVar("T")
CONFLICT = Refused("OperationConflict", RetryClass.STATE)
THROTTLED = Refused("Throttling", RetryClass.THROTTLED)


class Crash(Exception):
    """The process died here."""


@dataclass
class Machine:
    """One machine's truth, its past (for outdated replies), and what was done to it."""

    now: Instance
    past: list[tuple[Instant, Instance | None]] = field(default_factory=list)
    gone: bool = False
    attaches: int = 0
    restarts: list[Instant] = field(default_factory=list)
    boots: list[str] = field(default_factory=list)
    down_by_us: bool = False

    def change(self, at: Instant, **changes: object) -> None:
        self.past.append((at, None if self.gone else self.now))
        self.now = msgspec.structs.replace(self.now, **changes)

    def at(self, instant: Instant) -> Instance | None:
        """How it was seen at an instant, now or before."""
        return next(
            (was for until, was in self.past if instant < until), None if self.gone else self.now
        )


@dataclass
class Script:
    """What goes wrong. `calls`: faults by call number, then drawn by `odds` from the seed."""

    calls: dict[int, str] = field(default_factory=dict)
    odds: dict[str, float] = field(default_factory=dict)
    look_odds: dict[str, float] = field(default_factory=dict)
    refuse: dict[str, Refused] = field(default_factory=dict)
    start_time_moves: bool = True
    boot_ms: int = 15 * SECOND
    windows_whole: bool = True
    late_ms: int = 20 * SECOND
    lag_ms: int = 20 * SECOND
    stuck: tuple[str, ...] = ()


class Probed(Decider):
    """A decider that passes each event on before it folds it, and photographs its state after."""

    append: Callable[[AnyEvent], None]
    photos: list[dict[str, object]]
    takes_photos = False

    def put(self, event: AnyEvent, now: Instant) -> None:
        self.append(event)
        super().put(event, now)
        if self.takes_photos:
            self.photos.append(photo(self.run))


class World:
    """The service, the driver and the checks."""

    decider_type = Probed

    def __init__(
        self,
        plan: Plan,
        rows: Iterable[Instance],
        script: Script | None = None,
        *,
        seed: int = 0,
        photos: bool = False,
    ) -> None:
        self.plan = plan
        self.script = script or Script()
        self.rng = random.Random(seed)
        self.machines = {row.id: Machine(row) for row in rows}
        self.keys = dict.fromkeys(samples.REGIONS, (samples.PUBLIC_KEY, samples.FINGERPRINT))
        self.now = samples.NOW
        self.journal: list[AnyEvent] = []
        self.heap: list[tuple[Instant, int, Callable[[], object]]] = []
        self.arrivals: list[Callable[[], None]] = []
        self.generation = 0
        self.ties = 0
        self.in_flight = 0
        self.crash_at: int | None = None
        self.restless = False
        self.hidden: set[str] = set()
        """Instances that DescribeInstances leaves out although they are there."""
        self.blind = False
        """Whether DescribeInstanceStatus shows nothing, as without the right to call it."""
        self.guest: Callable[[Probe], HostKeySeen | LoginSeen] = lambda probe: (
            HostKeySeen("SHA256:a")
            if isinstance(probe, ReadHostKey)
            else LoginSeen(KeyAccess.ACCEPTED, KeyAccess.REFUSED, "SHA256:a")
        )
        """What a probe observes."""
        self.probes: list[Probe] = []
        self.queries: list[QueryGate] = []
        """Questions of gates that a test answers."""
        self.deaf: set[str] = set()
        """Regions whose observations are lost."""
        self.meddled = False
        self.photos = photos
        self.decider = self._decider()

    # life

    def start(self) -> World:
        self.decider.start("run-1", "sha256:0", samples.ACTOR, self.now)
        return self

    def resume(self, *, pause_ms: int = SECOND) -> World:
        """Another process folds the journal and continues; replies to the dead one are lost."""
        self.crash_at = None
        self.generation += 1
        self.in_flight = 0
        self.arrivals.clear()
        self.queries.clear()
        self.now += pause_ms
        self.decider = self._decider()
        for event in self.journal:
            self.decider.fold(event)
        self.decider.resume(samples.ACTOR, self.now)
        return self

    def go(self, *, until: Instant | None = None) -> World:
        """Drive until the run closes or stops with nothing in flight, or until an instant."""
        for _ in range(TURNS_MAX):
            self.turn()
            run = self.decider.run
            if run.closed or (run.stopping and self.decider.idle):
                return self
            instants = [self.heap[0][0]] if self.heap else []
            instants += [self.wake] if self.wake is not None else []
            assert instants, "nothing is in flight and nothing wakes the run"
            if self.restless:
                self.now = max(self.now, (self.now + min(instants)) // 2)
                self.turn()
            self.now = max(self.now, min(instants))
            if until is not None and self.now >= until:
                return self
            self._advance()
        raise AssertionError("the run does not end")

    def turn(self) -> None:
        """Hand in what arrived, take a turn, start what it decided, check."""
        arrivals, self.arrivals = self.arrivals, []
        for arrival in arrivals:
            arrival()
        self._decide_twice()
        turn = self.decider.turn(self.now)
        self.wake = turn.wake
        for issued in turn.intents:
            self._send(issued)
        for look in turn.observations:
            self._look(look)
        for probe in turn.probes:
            self._probe(probe)
        self.check()

    @property
    def run(self) -> Run:
        return self.decider.run

    @property
    def classes(self) -> dict[str, int]:
        return decide_run.classes(self.run)

    def events(self, kind: type[T]) -> list[T]:
        return [event for event in self.journal if isinstance(event, kind)]

    def at(self, instant: Instant, action: Callable[[], object]) -> None:
        """Do something to the world at an instant."""
        self.ties += 1
        heapq.heappush(self.heap, (instant, self.ties, action))

    # checks

    def check(self) -> None:
        """What must hold after every turn."""
        run, ledger = self.run, self.run.ledger
        assert not decide_run.decide(run, self.decider.watching, self.now)[0]
        assert not decide_instances.decide(self.decider.waiting, self.now)
        for group in range(len(ledger.caps)):
            holders = [o for o, has in enumerate(ledger.permits) if has]
            holders = [o for o in holders if group in ledger.groups_of(o)]
            assert len(holders) == ledger.used[group] <= ledger.caps[group]
            away = [o for o in run.away if group in run.layout.groups_of(o)]
            assert len(away) == ledger.outside[group]
            assert sum(o in ledger.lasting for o in away) == ledger.lasting_in[group]
            kept = sum(1 for o in holders if ledger.suspended[o])
            assert kept == ledger.kept[group]
            assert ledger.ahead[group] >= 0
        assert not list(misplaced(self.decider.waiting))
        exposed = sum(run.phase(o) in EXPOSED for o in range(len(run.phases)))
        assert exposed == ledger.exposed <= ledger.exposed_max
        assert run.left == sum(not run.finished(o) for o in range(len(run.phases)))
        assert run.left == sum(run.left_in_cell) == sum(run.left_in_wave)
        believed = self.script.look_odds.get("stale") or self.meddled
        if not believed and self.plan.on_unknown.value == "hold":
            self._check_down()
        asked = bool(self.decider.watching.queries)
        idle = run.paused is not None or gates.unanswered(run) or asked
        waits = not run.stopping and run.left and not idle
        assert not waits or self.in_flight or self.wake is not None

    def _check_down(self) -> None:
        """No group has more members down by us than its cap, in truth."""
        down = Counter[int]()
        for target in self.run.layout.targets:
            down.update(target.groups if self.machines[target.instance].down_by_us else ())
        assert all(count <= self.plan.groups[group].cap for group, count in down.items())

    def check_end(self, *, restarts_max: int = 1) -> None:
        """What must hold of the whole run, compared with the truth."""
        assert sum(self.classes.values()) == self.plan.counts.found
        shown = view(self.run)
        assert sum(shown.classes.values()) == self.plan.counts.found
        unfinished = len(self.run.phases) - sum(self.run.phase_counts[phase] for phase in FINAL)
        assert sum(shown.waiting.values()) <= unfinished, "an instance waits for two things"
        assert shown.state == "running" or shown.exit or not shown.left, "left for a person: exit 0"
        closed = [n for n, event in enumerate(self.journal) if isinstance(event, RunClosed)]
        assert closed in ([], [len(self.journal) - 1])
        for ordinal, target in enumerate(self.run.layout.targets):
            machine = self.machines[target.instance]
            assert len(machine.restarts) <= restarts_max
            if self.run.phase(ordinal).label == "done":
                assert machine.now.key_pair == samples.NEW_KEY
                assert samples.NEW_KEY in machine.boots

    def _decide_twice(self) -> None:
        run, watching = self.run, self.decider.watching
        now = self.now
        assert decide_run.decide(run, watching, now) == decide_run.decide(run, watching, now)
        one, two = (decide_instances.decide(self.decider.waiting, self.now) for _ in range(2))
        assert (one.events, one.observations, one.probes, one.parks) == (
            two.events,
            two.observations,
            two.probes,
            two.parks,
        )

    # time

    def _decider(self) -> Probed:
        probed = self.decider_type(self.plan)
        probed.append = self._append
        probed.photos, probed.takes_photos = [], self.photos
        return probed

    def _append(self, event: AnyEvent) -> None:
        if self.crash_at is not None and len(self.journal) >= self.crash_at:
            raise Crash
        self.journal.append(event)

    def _advance(self) -> None:
        while self.heap and self.heap[0][0] <= self.now:
            heapq.heappop(self.heap)[2]()

    def _answer(self, at: Instant, tell: Callable[[], None]) -> None:
        """An answer for this process only."""
        generation = self.generation
        self.in_flight += 1

        def arrive() -> None:
            if generation == self.generation:
                self.in_flight -= 1
                self.arrivals.append(tell)

        self.at(at, arrive)

    # calls

    def _send(self, issued: Issued) -> None:
        fate = self.script.calls.get(issued.n) or self._draw(self.script.odds)
        decider, n = self.decider, issued.n
        there, back = self.now + LATENCY_MS, self.now + 2 * LATENCY_MS
        if fate == "throttled":
            self._tell(back, decider, n, Answer(THROTTLED))
        elif fate == "conflict":
            self._tell(back, decider, n, Answer(CONFLICT))
        elif fate == "ignored":
            self._tell(back, decider, n, Answer(Done()))
        elif fate == "lost_before":
            self._tell(back, decider, n, Answer(Unknown("reset")))
        elif fate == "lost_after":
            self.at(there, lambda: self._effect(issued))
            self._tell(back, decider, n, Answer(Unknown("timeout")))
        elif fate == "late":
            self.at(back + self.script.late_ms, lambda: self._effect(issued))
            self._tell(back, decider, n, Answer(Unknown("timeout")))
        else:
            self._answer_truly(issued, there, back)

    def _answer_truly(self, issued: Issued, there: Instant, back: Instant) -> None:
        decider, generation = self.decider, self.generation
        answers: list[Answer] = []
        self.at(there, lambda: answers.append(self._effect(issued)))
        self._answer(back, lambda: decider.call_ended(issued.n, answers[0], self.now))
        assert generation == self.generation

    def _tell(self, at: Instant, decider: Decider, n: int, answer: Answer) -> None:
        self._answer(at, lambda: decider.call_ended(n, answer, self.now))

    def _effect(self, issued: Issued) -> Answer:
        """The service does it, and says so."""
        command = issued.command
        if isinstance(command, ImportKey):
            self.keys[command.region] = (samples.PUBLIC_KEY, samples.FINGERPRINT)
            return Answer(Done())
        machines = {name: self.machines[name] for name in command.instances}
        windows = any(one.now.os is OsFamily.WINDOWS for one in machines.values())
        fact = Refused("DependencyViolation.WindowsInstance", RetryClass.FACT)
        if isinstance(command, Attach) and windows and self.script.windows_whole:
            return Answer(fact)
        items: dict[str, Outcome] = {}
        for name, machine in machines.items():
            refusal = self._refusal(name, machine, command)
            if refusal is not None:
                items[name] = refusal
            elif isinstance(command, Attach):
                machine.attaches += 1
                machine.change(self.now, key_pair=self.plan.keys[command.key].name)
            else:
                machine.restarts.append(self.now)
                machine.down_by_us = machine.now.status is Status.RUNNING
                self.boot(machine)
        return Answer(Done(), items)

    def _refusal(
        self, name: str, machine: Machine, command: Attach | RestartCall
    ) -> Refused | None:
        if name in self.script.refuse:
            return self.script.refuse[name]
        if machine.gone:
            return Refused("InvalidInstanceId.NotFound", RetryClass.GONE)
        if isinstance(command, Attach):
            return None
        wanted = Status.RUNNING if command.kind is RestartKind.REBOOT else Status.STOPPED
        if machine.now.status is not wanted:
            return Refused("IncorrectInstanceStatus", RetryClass.STATE)
        return None

    def boot(self, machine: Machine) -> None:
        """It begins to boot now: what is attached now is in force once it is Running."""
        machine.boots.append(machine.now.key_pair)
        reboot = machine.now.status is Status.RUNNING
        machine.change(self.now, status=Status.STOPPING if reboot else Status.STARTING)
        if machine.now.id not in self.script.stuck:
            self.at(self.now + self.script.boot_ms, lambda: self._booted(machine))

    def _booted(self, machine: Machine) -> None:
        started = self.now // MINUTE * MINUTE
        if not self.script.start_time_moves:
            started = machine.now.started_at
        machine.change(self.now, status=Status.RUNNING, started_at=started)
        machine.down_by_us = False

    # observations

    def _probe(self, probe: Probe) -> None:
        decider = self.decider
        self.probes.append(probe)
        self._answer(
            self.now + LATENCY_MS,
            lambda: decider.probe_ended(probe, self.guest(probe), self.now),
        )

    def _look(self, look: Observation) -> None:
        if isinstance(look, QueryGate):
            self.queries.append(look)
            return
        decider, at = self.decider, self.now
        back = self.now + LATENCY_MS
        fate = self._draw(self.script.look_odds)
        if fate == "lost" or look.site.region in self.deaf:
            lost = Unknown("timeout")
            self._answer(back, lambda: decider.observation_failed(look, lost, self.now))
            return
        if isinstance(look, ObserveKeyPair):
            key, fingerprint = self.keys.get(look.site.region, ("", ""))
            self._answer(back, lambda: decider.key_pair_observed(look, key, fingerprint, self.now))
            return
        lag = self.rng.randrange(self.script.lag_ms) if fate == "stale" else 0
        if isinstance(look, ObserveStatuses):
            shown = [one for one in look.instances if not self.machines[one].gone]
            shown = [] if self.blind else shown
            self._answer(back, lambda: decider.statuses_observed(look, shown, at, self.now))
            return
        self._observe_machines(look, at, lag, back)

    def _observe_machines(
        self, look: ObserveInstances, at: Instant, lag: int, back: Instant
    ) -> None:
        decider = self.decider
        seen = [self.machines[name].at(at - lag) for name in look.instances]
        shown = [one for one in seen if one is not None and one.id not in self.hidden]
        if isinstance(look, ObserveMembers):
            self._answer(back, lambda: decider.members_observed(look, shown, at, at, self.now))
            return
        self._answer(back, lambda: decider.instances_observed(look, shown, at, at, self.now))

    def _draw(self, odds: dict[str, float]) -> str:
        draw = self.rng.random()
        for fate, odd in odds.items():
            if draw < odd:
                return fate
            draw -= odd
        return "ok"


def photo(run: Run) -> dict[str, object]:
    """Every column of a run's state, comparable."""
    ledger = run.ledger
    columns: dict[str, object] = {
        name: _flat(getattr(run, name))
        for name in run.__struct_fields__
        if name not in {"plan", "layout", "ledger", "lanes", "rates", "shares", "troubles"}
    }
    columns["lanes"] = {key: (use.open, use.window) for key, use in run.lanes.items()}
    for name in run.troubles.__struct_fields__[1:]:
        columns[f"troubles.{name}"] = _flat(getattr(run.troubles, name))
    for name in ("outcomes", "judged", "failed", "over"):
        columns[f"shares.{name}"] = _flat(getattr(run.shares, name))
    for name in ("open", "until", "shut_until"):
        columns[f"rates.{name}"] = _flat(getattr(run.rates, name))
    for name in (
        *("ahead", "aside", "kept", "keeper", "used", "permits", "suspended", "exposed"),
        *("outside", "lasting_in", "lasting"),
    ):
        columns[f"ledger.{name}"] = _flat(getattr(ledger, name))
    return columns


def _flat(value: object) -> object:
    if isinstance(value, bytearray):
        return bytes(value)
    if isinstance(value, list):
        return list(value)
    if isinstance(value, dict):
        return {key: _flat(entry) for key, entry in value.items()}
    if isinstance(value, Attaching | Busy | Comparisons | Restarting):
        return tuple(_flat(getattr(value, name)) for name in value.__struct_fields__)
    return value
