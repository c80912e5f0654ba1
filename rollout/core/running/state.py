"""The run's state: what the journal knows.

A fold of events (`evolve` is its only writer): dense columns by ordinal, and sparse tables for
what is open. Read by all other modules of this folder.
"""

from __future__ import annotations

import msgspec

from rollout.core.running.failure_counts import Troubles
from rollout.core.running.failure_shares import Shares
from rollout.core.running.journey import DOWN, FINAL, Phase
from rollout.core.running.key_coverage import Comparisons
from rollout.core.running.layout import Layout
from rollout.core.running.ledger import Ledger
from rollout.core.running.rates import Rates
from rollout.model import event as ev
from rollout.model import limits
from rollout.model.command import Attach, ImportKey, RestartCall
from rollout.model.observation import Observed
from rollout.model.plan import Plan, RestartKind
from rollout.model.site import KeySite, Lane
from rollout.model.time import Duration, Instant

PHASES = tuple(Phase)
_FINAL = bytes(phase in FINAL for phase in Phase)


class Restarting(msgspec.Struct, eq=False, gc=False):
    """Data to judge one restart: the observed state before it, and its latest possible start."""

    kind: RestartKind
    base: Observed
    begun: Instant
    left_by: Instant
    answered: bool = False


class Attaching(msgspec.Struct, eq=False, gc=False):
    """The state of one attach: the latest time at which its call can have been sent."""

    left_by: Instant


class Busy(msgspec.Struct, eq=False, gc=False):
    """Refusals in a row because an instance is busy: the first, the last, how many, and the code.

    `first` and `last` are the times of the refusals, so the waiting time survives a resume.
    """

    first: Instant
    last: Instant
    refusals: int = 0
    code: str = ""


class LaneUse(msgspec.Struct, eq=False, gc=False):
    """Calls in one lane: open now, and how many may be (grows, halves on refusal)."""

    open: int = 0
    window: int = limits.LANE_CALLS_START


class GateWait(msgspec.Struct, frozen=True):
    """A gate that is shut: its wave, when the wave closed, and on which machine.

    `since` is when the bake began: at the close, or at the last answer that restarted it. `answers`
    are the last ones of this process, `shut_since` the first ones that did not open the gate.
    `order` is the id of the command that opens the gate despite its answers.
    """

    wave: int
    closed: Instant
    since: Instant
    machine: str
    answers: dict[int, ev.GateAnswered] = {}
    shut_since: dict[int, Instant] = {}
    order: str = ""


class Away(msgspec.Struct, frozen=True):
    """A member that is down without a call of this run: since when, and what a census observed."""

    since: Instant
    evidence: str


class Run(msgspec.Struct, eq=False, kw_only=True):
    """Everything a run knows that its journal knows. Dicts to None are sets that keep order."""

    plan: Plan
    layout: Layout
    ledger: Ledger
    rates: Rates
    troubles: Troubles
    shares: Shares
    at_risk: int = 0
    """Instances in a phase of `AT_RISK` that are not held: each may still fail."""
    phases: bytearray
    held: bytearray
    attach_tries: bytearray
    restart_tries: bytearray
    retried: bytearray
    drifted: bytearray
    """Targets that `drift_in_wave` counts or counted: each counts once."""
    causes: dict[int, str] = {}
    """Why an instance is held, failed, skipped or unverified."""
    attaching: dict[int, Attaching] = {}
    restarting: dict[int, Restarting] = {}
    busy: dict[int, Busy] = {}
    """Instances whose last call was refused because they are busy."""
    alone: dict[int, None] = {}
    """Instances whose restart was refused together with others for a fact of one of them: the next
    call names only one.
    """
    attached_at: dict[int, Instant] = {}
    """The service's time when the attach was observed."""
    doubts_held: dict[int, None] = {}
    """Instances in doubt that are held."""
    foreign: dict[int, None] = {}
    """Instances on which another key was observed while they were down."""
    host_keys: dict[int, str] = {}
    """Host keys before the restart; empty where no probe could read one."""
    refused_logins: dict[int, None] = {}
    """Instances that run and refuse the new key."""
    open_calls: dict[int, ev.Issued] = {}
    lanes: dict[Lane, LaneUse] = {}
    keys: dict[KeySite, str] = {}
    """Fingerprint of each key pair that is ready."""
    comparisons: Comparisons = msgspec.field(default_factory=Comparisons)
    trust: dict[tuple[str, str, str], list[int]] = {}
    """By family (account, region, image): clean reboots that moved StartTime, that did not."""
    counted: bool
    """Whether a census was taken since the wave, the process or the last window began. Plans whose
    groups have no members but targets need none.
    """
    away: dict[int, Away] = {}
    """Members that are down without a call of this run, by the last census."""
    phase_counts: list[int]
    left_in_wave: list[int]
    left_in_cell: list[int]
    drift_in_wave: list[int]
    drifts: dict[int, str] = {}
    """The observed difference of each target that `drift_in_wave` counts."""
    elsewhere_in_wave: list[int]
    restarted_elsewhere: dict[int, None] = {}
    """Instances restarted without an intent of this run."""
    left: int
    """Targets that are not finished; also by wave, by cell, and of the open cells."""
    left_in_open_cells: int = 0
    cells_open: dict[int, None] = {}
    cells_next: int = 0
    waves_closed: int = 0
    wave_open: int | None = None
    run_id: str = ""
    started: ev.RunStarted | None = None
    """The first event of the journal."""
    approved: dict[str, None] = {}
    """Ids of the keys that approved the plan."""
    epoch: int = 0
    machine: str = ""
    """The machine of the process that drives the run."""
    calls_issued: int = 0
    odd_codes: int = 0
    """Number of refusals in this process with an unexpected code."""
    not_before: Instant = 0
    """No restart before: the intents of a torn line may still take effect."""
    torn: bool = False
    alarm: ev.Halted | None = None
    """The halt that the next turn puts."""
    halted: ev.Halted | None = None
    drained: ev.Drained | None = None
    closed: ev.RunClosed | None = None
    aborted: ev.OperatorCommand | None = None
    """The operator's abort: observe instances with open questions, then close."""
    paused: ev.OperatorCommand | None = None
    """The operator's pause: no call, wave or cell begins until an operator continues the run."""
    shut: ev.WindowClosed | None = None
    """The close of the last window, until the next one opens: no call, wave or cell begins."""
    gate: GateWait | None = None
    """The gate after the last closed wave, until it opens."""
    last_wave: int | None = None
    """The last wave that this process may start; None: all."""
    promoted: ev.OperatorCommand | None = None
    """The operator's promotion of the gate that waits, or of all gates."""
    service_time: Instant = 0
    """The latest time of the service that an event has."""
    slowed: dict[Lane, ev.LaneSlowed] = {}
    """Throttled lanes, as this process reported last."""
    orders: dict[str, None] = {}
    """Ids of the operators' commands that were applied."""
    abandoned: dict[int, None] = {}
    """Instances that an operator gave up: they no longer keep the run open."""

    @classmethod
    def of(cls, plan: Plan) -> Run:
        """Return the state of a run of this plan before its first event."""
        layout = Layout(plan)
        count, waves = len(layout.targets), layout.waves
        return cls(
            plan=plan,
            layout=layout,
            ledger=Ledger.of(layout, plan.groups, plan.limits.exposed_max),
            rates=Rates.of(layout, plan),
            troubles=Troubles.of(layout),
            shares=Shares.of(layout, len(plan.groups), plan.failure_rule()),
            phases=bytearray(count),
            held=bytearray(count),
            attach_tries=bytearray(count),
            restart_tries=bytearray(count),
            retried=bytearray(count),
            drifted=bytearray(count),
            counted=not layout.members,
            phase_counts=[count] + [0] * (len(PHASES) - 1),
            left_in_wave=[wave.targets for wave in waves],
            left_in_cell=[cell.end - cell.start for cell in layout.cells],
            drift_in_wave=[0] * len(waves),
            elsewhere_in_wave=[0] * len(waves),
            left=count,
        )

    @property
    def stopping(self) -> bool:
        """Return whether nothing new may start in this process."""
        return bool(self.halted or self.drained or self.closed)

    @property
    def missing_approvals(self) -> int:
        """Return how many approvals the plan still needs before its first wave."""
        approvers = self.plan.approvers()
        return max(approvers.required - len(self.approved), 0) if approvers else 0

    @property
    def frozen(self) -> bool:
        """Return whether no call may begin any more: in this process, or at all."""
        return self.stopping or self.aborted is not None

    def phase(self, ordinal: int) -> Phase:
        """Return the phase of one target."""
        return PHASES[self.phases[ordinal]]

    def overtaken(self, group: int, begun: int = 0) -> bool:
        """Return whether no member of a group that reserved its permit may restart, because others
        went down without this run: as many as the cap are down, or may be. `begun` counts restarts
        that the state does not have yet.
        """
        ledger = self.ledger
        if ledger.left(group) >= 0:
            return False
        restarting = sum(
            group in ledger.groups_of(one)
            for one in self.restarting
            if ledger.permits[one] and not ledger.suspended[one] and self.phase(one) in DOWN
        )
        down = ledger.outside[group] + ledger.kept[group] + restarting + begun
        return down >= ledger.caps[group]

    def finished(self, ordinal: int) -> bool:
        """Return whether the instance is finished or held, so that it is not changed."""
        return bool(_FINAL[self.phases[ordinal]] or self.held[ordinal])

    def uncount(self) -> None:
        """A census is needed before the next restart."""
        self.counted = not self.layout.members

    def failed_down(self, ordinal: int) -> bool:
        """Return whether it failed and is down: it booted and was not Running in time. Every other
        failed instance serves.
        """
        failed = self.phases[ordinal] == Phase.FAILED
        return failed and bool(self.ledger.suspended[ordinal])

    @property
    def resting(self) -> bool:
        """Return whether no call, wave or cell may begin: in a pause, or outside the windows."""
        return self.paused is not None or self.shut is not None

    @property
    def windows_over(self) -> bool:
        """Return whether the last window of the plan is closed."""
        return self.shut is not None and not self.shut.opens

    @property
    def left_before(self) -> int | None:
        """Return the first wave before the open or the next one that has unfinished targets."""
        for wave in range(self.waves_closed):
            if self.left_in_wave[wave]:
                return wave
        return None

    @property
    def startable_end(self) -> int:
        """Return the end of the ordinals that calls may begin for: earlier waves finish first. None
        begins in a pause or outside the windows.
        """
        if self.resting:
            return 0
        wave = self.left_before
        cells = self.layout.cells
        return len(self.phases) if wave is None else cells[self.layout.waves[wave].cells[1] - 1].end

    @property
    def baked_at(self) -> Instant | None:
        """Return when the bake of the last closed wave is over; None where no gate waits. Another
        machine than the one that closed the wave adds the possible difference of their clocks.
        """
        if self.gate is None:
            return None
        bake_ms = self.plan.waves[self.gate.wave].bake_ms
        margin = limits.CLOCKS_DIFFER_MS if bake_ms and self.gate.machine != self.machine else 0
        return self.gate.since + bake_ms + margin

    def at_rest(self, ordinal: int) -> bool:
        """Return whether no observation of it is needed: it is finished or held, or only a
        comparison of its key pair is missing.
        """
        return self.finished(ordinal) or self.phases[ordinal] == Phase.COMPARING

    def family(self, ordinal: int) -> tuple[str, str, str]:
        """Return account, region and image: StartTime behaves the same within these."""
        account, region = self.layout.site_of(ordinal)
        return account, region, self.layout.targets[ordinal].image

    def trusted(self, family: tuple[str, str, str]) -> bool:
        """Return whether StartTime is known to move on a reboot: a clean reboot moved it, and none
        left it unchanged.
        """
        moved, unmoved = self.trust.get(family, (0, 0))
        return moved > 0 and unmoved == 0

    @property
    def status_lag_ms(self) -> Duration:
        """Return how long a status may be outdated: much shorter than a settle window."""
        return min(limits.STATUS_LAG_MS, self.plan.restart.settle_window_ms // 4)

    def settle_end(self, ordinal: int) -> Instant:
        """Return the time from which on a lost restart or attach can no longer take effect."""
        record = self.restarting.get(ordinal) or self.attaching.get(ordinal)
        left_by = record.left_by if record else 0
        return left_by + self.plan.restart.settle_window_ms

    def lane_use(self, lane: Lane) -> LaneUse:
        """Return the use of one lane, to be read only."""
        return self.lanes.get(lane) or LaneUse()


def lane_of_call(run: Run, issued: ev.Issued) -> Lane:
    """Return the lane of a call."""
    command = issued.command
    match command:
        case Attach():
            return Lane(run.layout.site_of(command.ordinals[0]), "AttachKeyPair")
        case RestartCall():
            action = command.kind.action(many=len(command.ordinals) > 1)
            return Lane(run.layout.site_of(command.ordinals[0]), action)
        case ImportKey():
            return Lane(command.site, "ImportKeyPair")
