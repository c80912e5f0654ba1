"""The record of one simulated run, for the checkers.

Filled by the world. It contains the truth (hidden ledger, sent calls) and the report (plan,
journal, final state), and checks nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from rollout.core.running.decider import Decider
from rollout.core.running.layout import Layout
from rollout.core.running.state import Run
from rollout.emulator.cloud.ledger import LedgerEntry
from rollout.emulator.dispatch import Cloud
from rollout.journal.reader import run_id
from rollout.journal.record import Line
from rollout.journal.verify import Verdict
from rollout.model import limits
from rollout.model import plan as planmodel
from rollout.model.plan import Plan, WantedKey
from rollout.model.time import Duration, Instant
from rollout.sim.world.approving import Approvals
from rollout.sim.world.driver import End
from rollout.sim.world.gate_world import GateWorld
from rollout.sim.world.network import Arrivals
from rollout.sim.world.scenario import Interference, Scenario


@dataclass(frozen=True, slots=True)
class Sent:
    """One mutation that was sent: its time, and the durable bytes of the journal then."""

    n: int
    action: str
    region: str
    ids: tuple[str, ...]
    at: Instant
    durable_bytes: int


@dataclass(frozen=True, slots=True)
class ProcessRecord:
    """One process: start, end, how and where it ended, and when it was drained."""

    begun: Instant
    ended: Instant
    end: End
    died_at: str = ""
    drained: Instant | None = None


@dataclass(frozen=True, slots=True)
class Pause:
    """The virtual machine of a process was paused: after line `seq` of its epoch, and from `at` by
    its own clock, that clock is behind the world by `lag`.
    """

    epoch: int
    seq: int
    at: Instant
    lag: Duration


@dataclass(slots=True)
class LeaseHold:
    """Another run held the lease of a region, and could send calls until `ended`. With `seized` it
    took the lease over from a process of the simulated run that was stopped.
    """

    region: str
    begun: Instant
    seized: bool
    ended: Instant | None = None


@dataclass
class RunRecord:
    """One run from its plan to its end."""

    scenario: Scenario
    cloud: Cloud
    arrivals: Arrivals
    plan: Plan
    raw: bytes
    last: frozenset[str] = frozenset()
    """The instances that the spec's `last` matches."""
    own: str = ""
    """The instance that runs rollout; empty if none does."""
    approvals: Approvals = field(init=False)
    planned_effects: int = 0
    begun: Instant = 0
    sent: list[Sent] = field(default_factory=list)
    pauses: list[Pause] = field(default_factory=list)
    asleep: list[tuple[Instant, Instant]] = field(default_factory=list)
    processes: list[ProcessRecord] = field(default_factory=list)
    lines: list[tuple[Line, int]] = field(default_factory=list)
    foreign: dict[str, Interference] = field(default_factory=dict)
    touched: dict[str, list[tuple[Instant, Interference]]] = field(default_factory=dict)
    outages: dict[str, list[tuple[Instant, Instant]]] = field(default_factory=dict)
    """When members of groups that are no targets were down, by instance id."""
    gates: GateWorld = field(default_factory=GateWorld)
    """What the gates answered, which the run may only repeat."""
    keys_replaced: bool = False
    holds: list[LeaseHold] = field(default_factory=list)
    shut_out: list[Instant] = field(default_factory=list)
    """When a run of another region was refused, although a process only drove this one."""
    intruders: list[Instant] = field(default_factory=list)
    sent_after_loss: int = 0
    """Calls that a process sent after its locks were removed."""
    undecided: int = 0
    unfolded: list[str] = field(default_factory=list)
    misplaced: list[str] = field(default_factory=list)
    """Instances at a wrong station, after the first step that left one there."""
    incidents: dict[str, int] = field(default_factory=dict)
    stuck: str = ""
    bug: str = ""
    ended: Instant = 0
    decider: Decider | None = None
    """The decider of the last process."""
    verdict: Verdict | None = None

    def __post_init__(self) -> None:
        self.digest = planmodel.digest(self.raw)
        self.run_id = run_id(self.digest)
        self.approvals = Approvals(self.scenario.approving, self.plan, self.digest)

    @property
    def run(self) -> Run | None:
        """Return the state of the run in its last process."""
        return self.decider.run if self.decider else None

    @cached_property
    def wanted(self) -> dict[str, WantedKey]:
        """Return the wanted key of each target, by instance id."""
        layout = Layout(self.plan)
        return {one.instance: self.plan.keys[one.key] for one in layout.targets}

    def count(self, incident: str) -> None:
        """Count a situation for coverage."""
        self.incidents[incident] = self.incidents.get(incident, 0) + 1

    def suspended(self, since: Instant, until: Instant) -> Duration:
        """Return how long the machine was suspended within an interval."""
        return sum(max(0, min(end, until) - max(begin, since)) for begin, end in self.asleep)

    def decided(self, written: Instant) -> Instant:
        """Return the earliest instant at which the events of a line that was written then can have
        been decided: a second before, or before a suspension in that second.
        """
        earliest = written - limits.SYNC_EVERY_MS
        for begin, end in reversed(self.asleep):
            if begin < written and end >= earliest:
                earliest = min(earliest, begin - limits.SYNC_EVERY_MS)
        return earliest

    def lag_in(self, epoch: int, seq: int) -> Duration:
        """Return how far the process's clock was behind the world at a line."""
        lags = [one.lag for one in self.pauses if one.epoch == epoch and one.seq < seq]
        return lags[-1] if lags else 0

    def lag_at(self, epoch: int, instant: Instant) -> Duration:
        """Return how far the process's clock was behind the world at its own time."""
        lags = [one.lag for one in self.pauses if one.epoch == epoch and one.at <= instant]
        return lags[-1] if lags else 0

    def entries(self) -> list[LedgerEntry]:
        """Return the hidden ledger."""
        return list(self.cloud.ledger)
