"""A simulated world: simulates one run of a scenario.

Called by the command line of the simulator and by its tests. First with faults, crashes and
external changes (safety), then without, when the run must end (liveness).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable

from rollout.core.invariant import Bug
from rollout.core.running.decider import Decider
from rollout.emulator.cloud.users import ACCOUNT_ID
from rollout.emulator.fault_plan import FaultPlan
from rollout.emulator.faults import INSTANCE_FAULTS, Fault
from rollout.errors import ConflictError
from rollout.journal import verify
from rollout.journal.directory import DirectoryRun, LockedDirectory
from rollout.journal.reader import Reader
from rollout.journal.writer import RunJournal
from rollout.model import plan as planmodel
from rollout.model.event import Actor, AnyEvent
from rollout.model.time import MINUTE, SECOND, Duration, Instant
from rollout.sim.check.stations import misplaced
from rollout.sim.time.dice import Dice
from rollout.sim.time.heap import Heap, Time
from rollout.sim.world import build, neighbor, others
from rollout.sim.world.calls import ApiRequest
from rollout.sim.world.cohort import CohortFaults
from rollout.sim.world.disk import Crash, CrashPoints, SimDisk
from rollout.sim.world.driver import Driver, End, Stuck
from rollout.sim.world.gate_world import GateWorld
from rollout.sim.world.guests import Guests
from rollout.sim.world.locks import ELSEWHERE, HERE, RUNS, Locks
from rollout.sim.world.machine import Machine
from rollout.sim.world.network import Arrivals, Call, Network
from rollout.sim.world.operators import OperatorScript
from rollout.sim.world.process import Process
from rollout.sim.world.record import ProcessRecord, RunRecord, Sent
from rollout.sim.world.scenario import Rival, Scenario, Stop, Stopping

BEGIN: Instant = 1_795_400_000_000
RESUMES_MAX = 12
"""Maximum number of processes of one run with faults."""
CALM_RESUMES_MAX = 30
REPEATED_MAX = 2
"""A calm run that halts for the same reason this often in a row makes no progress, unless each
resume accepts different failures."""
_PASSES = ("failures", "login", "lost", "lease")
"""Halts that a resume passes: it accepts failures, and takes run and leases back from others."""


class World:
    """The simulation of one scenario."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.dice = Dice(scenario.seed, "world")
        self.heap = self.make_time(BEGIN + self.dice.between(0, MINUTE // SECOND) * SECOND)
        self.crash_points = CrashPoints()
        self.disk = SimDisk(self.crash_points)
        self.cloud = build.cloud_of(scenario, self.heap.now)
        self.arrivals = Arrivals(self.cloud, self.heap)
        plan, last, own = build.plan_of(scenario, self.cloud, self.heap.now)
        raw = planmodel.encode(plan)
        self.record = RunRecord(scenario, self.cloud, self.arrivals, plan, raw, last, own)
        self.record.planned_effects = self._effects = len(self.cloud.ledger)
        self.record.gates = GateWorld(
            tuple(one.spells for one in scenario.gating.questions),
            gates=plan.questions(),
            now=lambda: self.heap.now,
        )
        self.run_dir = RUNS / self.record.run_id
        self.locks = Locks(self.disk, self.record, self.heap)
        self.neighbors = neighbor.all_of(self.record, self.disk, self.heap, self._awake)
        self.machine = Machine(self.record)
        self.operators = OperatorScript(self.record, self.heap)
        lost_percent = scenario.logins.lost_percent
        self.guests = Guests(self.cloud, plan, Dice(scenario.seed, "probes"), lost_percent)
        self.process: Driver | None = None
        self._sent_at_loss: int | None = None
        self._waits = scenario.gating.waits

    def run(self) -> RunRecord:
        """Start, stop and resume the run as the scenario says, until it ends."""
        record, scenario = self.record, self.scenario
        self._arm(scenario.faults)
        self.heap.advance(self.heap.now + 5 * SECOND)
        while why := record.approvals.refused():
            record.count(why)
            self._pause(10 * SECOND)
        record.begun = record.gates.begun = self.heap.now
        others.plan_all(record, self.heap)
        others.plan_outages(record, self.heap)
        self.machine.plan_all(self.heap)
        for one in self.neighbors:
            self.heap.at(record.begun + one.begins_ms, one.begin)
        for rival in scenario.rivals:
            self.heap.at(record.begun + rival.at_ms, functools.partial(self._rival, rival))
        self.operators.plan_all()
        try:
            if not self._safety():
                self._liveness()
        except Stuck as error:
            record.stuck = str(error)
        except (Bug, AssertionError) as error:
            record.bug = f"{type(error).__name__}: {error}"
        self._read_back()
        record.ended = self.heap.now
        return record

    # what the real shell replaces

    def make_time(self, begin: Instant) -> Time:
        """Return the time of this world."""
        return Heap(begin)

    def make_process(self, journal: RunJournal, decider: Decider) -> Driver:
        """Return a new process."""
        assert isinstance(self.heap, Heap)  # noqa: S101 - the one of `make_time`
        process = Process(self.heap, self.crash_points, journal, decider)
        dice = Dice(self.scenario.seed, f"network/{len(self.record.processes)}")
        process.network = Network(self.arrivals, self.heap, dice, self._sending)
        process.leases = keeper = self.locks.keeper(process.clock)
        process.network.lost = lambda: journal.lost() or (keeper.lost() if keeper else "")
        process.guests = self.guests
        process.gates = self.record.gates
        self.machine.start(process, journal)
        return process

    # phases

    def _safety(self) -> bool:
        """Run processes with stops and faults; true = the run closed."""
        for stopping in self.scenario.stops:
            if self._one(stopping) is End.CLOSED:
                return True
            self._pause(stopping.pause_ms)
        for _ in range(RESUMES_MAX - len(self.scenario.stops)):
            end = self._one(None)
            if end is End.CLOSED:
                return True
            if self._halted_for() in ("in_doubt", "foreign_key", "drift", "key_pair"):
                return False
            self._pause(self.dice.between(1, 60) * SECOND)
        return False

    def _liveness(self) -> None:
        """Run processes without faults: the run closes, or stops permanently for a good reason."""
        facts = [one for one in self.scenario.faults if one.fault in INSTANCE_FAULTS]
        self._arm(facts)
        self.guests.lost_percent = 0
        self._pause(2 * MINUTE)
        self._waits = True
        self.record.gates.calm()
        reasons: list[str] = []
        for _ in range(CALM_RESUMES_MAX):
            if self._one(None) is End.CLOSED:
                return
            reasons.append(self._halted_for())
            last = reasons[-1]
            repeated = last not in _PASSES and reasons[-REPEATED_MAX:].count(last) == REPEATED_MAX
            if repeated and not self.operators.resolve(self.heap.now):
                return
            self._pause(SECOND)

    def _arm(self, faults: Iterable[Fault]) -> None:
        seed, cohort = self.scenario.seed, self.scenario.cohort
        members = cohort.members(self.record.plan)
        plan = CohortFaults(faults, seed, cohort, members) if members else FaultPlan(faults, seed)
        self.cloud.arm(plan)

    def _pause(self, duration: Duration) -> None:
        self.heap.advance(self.heap.now + duration)

    def _halted_for(self) -> str:
        run = self.record.run
        return run.halted.reason if run is not None and run.halted is not None else ""

    # one process

    def _one(self, stopping: Stopping | None) -> End:
        """Run one process to its end."""
        record, begun = self.record, self.heap.now
        died_at, drained = "", None
        self.process = self.operators.process = None
        try:
            if stopping is not None and stopping.stop is Stop.CRASH:
                self.crash_points.left = stopping.after
            process = self._admitted()
            if process is None:
                self.locks.release()
                return End.CLOSED
            drained = self._trouble(process, stopping)
            end = process.drive()
            self._compare_fold(process)
            self.locks.release()
        except Crash as crash:
            end, died_at = End.CRASHED, str(crash)
            self.locks.die()
            self.disk.die(self.dice)
            for one in self.neighbors:
                one.die()
        self.crash_points.left = None
        self.disk.repair()
        self._buried(self.process)
        record.processes.append(ProcessRecord(begun, self.heap.now, end, died_at, drained))
        return end

    def _admitted(self) -> Driver | None:
        """Start or resume the run once no other run holds a lease that it needs."""
        while True:
            try:
                return self._open(self.locks.take(self.heap.now))
            except ConflictError:
                self.locks.release()
                self.record.count("lease refused")
                self._pause(20 * SECOND)

    def _awake(self) -> bool:
        """Renew the leases of the live process up to now; return whether there is one."""
        process = self.process
        if process is None or not process.alive:
            return False
        if isinstance(process, Process) and process.leases is not None:
            process.leases.catch_up()
        return True

    def _open(self, locked: LockedDirectory) -> Driver | None:
        """Start the run, or resume it from its journal; None if it is closed."""
        record = self.record
        if self.run_dir.name not in self.disk.names(RUNS) or not self._stored.started:
            if record.processes:
                record.count("never began")
            digest = record.digest
            decider = Decider(record.plan)
            decider.after_step = self._after_step
            leased = self.locks.lease()
            process = self._process(locked.create(digest, record.raw, self.heap.now), decider)
            self.machine.forget(1)
            decider.start(self.run_dir.name, digest, _actor(1), self.heap.now)
            events: list[AnyEvent] = [*record.approvals.found(), *leased]
            for event in events:
                decider.put(event, self.heap.now)
            record.decider = decider
            decider.waits = self._waits
            return process
        folded, reader = self._fold()
        record.decider = folded
        if folded.run.closed is not None:
            return None
        leased = self.locks.lease()
        journal = locked.open(reader, folded.run.epoch + 1, self.heap.now)
        process = self._process(journal, folded)
        folded.after_step = self._after_step
        if reader.torn is not None:
            folded.put(reader.torn, self.heap.now)
        self.machine.forget(folded.run.epoch + 1)
        for order in self.operators.due(folded.run.orders):
            folded.operate(order, self.heap.now)
        folded.resume(_actor(folded.run.epoch + 1), self.heap.now)
        for lease in leased:
            folded.put(lease, self.heap.now)
        folded.waits = self._waits
        self.operators.attend(folded.run)
        return process

    @property
    def _stored(self) -> DirectoryRun:
        return DirectoryRun(self.run_dir, self.disk)

    def _fold(self) -> tuple[Decider, Reader]:
        stored = self._stored
        reader = stored.read()
        decider = Decider(stored.plan(planmodel.digest(self.record.raw)))
        for line in reader:
            for event in line.body:
                decider.fold(event)
        return decider, reader

    def _process(self, journal: RunJournal, decider: Decider) -> Driver:
        process = self.make_process(self.locks.hold(journal), decider)
        self.process = self.operators.process = process
        return process

    def _after_step(self, decider: Decider) -> None:
        self.operators.attend(decider.run)
        if self.record.own and self._own_machine_restarted():
            self.record.count("own machine restarted")
            self.crash_points.left = 1
        if not self.record.misplaced:
            self.record.misplaced += misplaced(decider.waiting)

    def _own_machine_restarted(self) -> bool:
        """Return whether the machine that runs rollout restarted since the last call of this."""
        known, self._effects = self._effects, len(self.cloud.ledger)
        return any(
            one.instance == self.record.own and one.effect in ("reboot", "start")
            for one in self.cloud.ledger.since(known)
        )

    def _sending(self, call: Call) -> None:
        if call.n:
            self.leaves(call.n, call.request)

    def leaves(self, n: int, request: ApiRequest) -> None:
        """Record a mutation right before it is sent; the process may die here."""
        others.act_before(self.record, n, request.ids, self.heap.now)
        self.crash_points.visit("before a call leaves")
        durable = self.disk.durable_bytes(self.run_dir, "journal-")
        self.record.sent.append(
            Sent(n, request.action, request.region, request.ids, self.heap.now, durable)
        )

    def _trouble(self, process: Driver, stopping: Stopping | None) -> Instant | None:
        """Schedule the stop of this process; return when it is drained, if it is."""
        if stopping is None:
            return None
        match stopping.stop:
            case Stop.CRASH:
                return None
            case Stop.DISK_FULL | Stop.DISK_BROKEN:
                name = self.dice.pick(("write", "fdatasync"))
                self.disk.refuse(name, stopping.errno, stopping.after)
                return None
            case Stop.DISK_LOW:
                at = self.heap.now + stopping.after * SECOND
                self.heap.at(at, lambda: setattr(self.disk, "space_bytes", 0))
                return None
            case Stop.DRAIN | Stop.INTERRUPT:
                at = self.heap.now + stopping.after
                self._alive_at(process, at, lambda: process.receive_signal("SIGTERM"))
                if stopping.stop is Stop.INTERRUPT:
                    self._alive_at(process, at + 100, lambda: process.receive_signal("SIGTERM"))
                return at

    def _alive_at(self, process: Driver, at: Instant, action: Callable[[], None]) -> None:
        def act() -> None:
            if process.alive:
                action()

        self.heap.at(at, act)

    def _rival(self, rival: Rival) -> None:
        """Let another process try to resume the run: refused while one is alive, else the next."""
        if self.process is not None and self.process.alive:
            with self.crash_points.spared():
                self.locks.contest(rival, self.heap.now)
            lost = (
                rival.removes > self.locks.shared
            )  # who shares the lock of all runs needs it no more
            if lost and self._sent_at_loss is None:
                self._sent_at_loss = len(self.record.sent)
        else:
            self.locks.machine = ELSEWHERE if rival.elsewhere else HERE

    def _buried(self, process: Driver | None) -> None:
        """Drop the replies of a dead process; its sent copies still arrive."""
        if process is None:
            return
        process.cut_off()
        if self._sent_at_loss is not None:
            self.record.sent_after_loss += len(self.record.sent) - self._sent_at_loss
            self._sent_at_loss = None
        for incident in sorted(process.incidents):
            self.record.count(incident)

    def _compare_fold(self, process: Driver) -> None:
        """Compare the state of a process with the fold of its journal (I-42)."""
        if not self.dice.chance(25) or process.poisoned:
            return
        if not process.decides_nothing_more():
            self.record.undecided += 1
        run, folded = process.decider.run, self._fold()[0].run
        for name in ("phases", "held", "causes", "attach_tries", "restart_tries", "phase_counts"):
            if getattr(run, name) != getattr(folded, name):
                self.record.unfolded.append(name)
        if run.ledger.used != folded.ledger.used or run.ledger.kept != folded.ledger.kept:
            self.record.unfolded.append("ledger")

    def _read_back(self) -> None:
        """Read and verify the journal like an auditor."""
        record = self.record
        if record.stuck or record.bug or self.run_dir.name not in self.disk.names(RUNS):
            return
        reader = self._stored.read()
        before, segment, length = 0, 1, 0
        for line in reader:
            if reader.segment != segment:
                before, segment = before + length, reader.segment
            length = reader.length
            record.lines.append((line, before + length))
        record.verdict = verify.verify(self._stored)


def _actor(epoch: int) -> Actor:
    return Actor("sim", f"acs:ram::{ACCOUNT_ID}:user/sim", "sim", epoch, "rollout sim")
