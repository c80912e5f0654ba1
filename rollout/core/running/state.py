"""The run's state: what the journal knows.

A fold of events (`evolve` is its only writer): dense columns by ordinal, and sparse tables for
what is open. Read by all other modules of this folder.
"""

from __future__ import annotations

from rollout.core.running.failure_counts import Troubles
from rollout.core.running.journey import FINAL, Phase
from rollout.core.running.key_coverage import Comparisons
from rollout.core.running.layout import Layout
from rollout.core.running.ledger import Ledger
from rollout.model import event as ev
from rollout.model import limits
from rollout.model.command import Attach, ImportKey, RestartCall
from rollout.model.observation import Observed
from rollout.model.plan import Plan, RestartKind
from rollout.model.site import KeySite, Lane
from rollout.model.time import Duration, Instant

PHASES = tuple(Phase)
_FINAL = bytes(phase in FINAL for phase in Phase)


class Restarting:
    """Data to judge one restart: the observed state before it, and its latest possible start."""

    __slots__ = ("answered", "base", "begun", "kind", "left_by")

    def __init__(self, kind: RestartKind, base: Observed, begun: Instant, left_by: Instant) -> None:
        self.kind = kind
        self.base = base
        self.begun = begun
        self.left_by = left_by
        self.answered = False


class Attaching:
    """The state of one attach: the latest time at which its call can have been sent."""

    __slots__ = ("left_by",)

    def __init__(self, left_by: Instant) -> None:
        self.left_by = left_by


class Busy:
    """Refusals in a row because an instance is busy: the first, the last, how many, and the code.

    `first` and `last` are the times of the refusals, so the waiting time survives a resume.
    """

    __slots__ = ("code", "first", "last", "refusals")

    def __init__(self, first: Instant) -> None:
        self.first = self.last = first
        self.refusals = 0
        self.code = ""


class LaneUse:
    """Calls in one lane: open now, and how many may be (grows, halves on refusal)."""

    __slots__ = ("open", "window")

    def __init__(self) -> None:
        self.open = 0
        self.window = limits.LANE_CALLS_START


_NOTHING: tuple[ev.Halted | None, ev.Drained | None, ev.RunClosed | None] = (None, None, None)


class Run:
    """Everything a run knows that its journal knows."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.layout = layout = Layout(plan)
        count = len(layout.targets)
        self.ledger = Ledger(layout, plan.groups, plan.limits.exposed_max)
        self.phases = bytearray(count)
        self.held = bytearray(count)
        self.attach_tries, self.restart_tries = bytearray(count), bytearray(count)
        self.retried = bytearray(count)
        self.drifted = bytearray(count)
        """Targets that `drift_in_wave` counts or counted: each counts once."""
        self.troubles = Troubles(layout)
        self.causes: dict[int, str] = {}
        """Why it is held, failed, skipped or unverified."""
        self.attaching: dict[int, Attaching] = {}
        self.restarting: dict[int, Restarting] = {}
        self.busy: dict[int, Busy] = {}
        """Instances whose last call was refused because they are busy."""
        self.attached_at: dict[int, Instant] = {}
        """The service's time when its attach was seen."""
        self.doubts_held: dict[int, None] = {}
        """Those in doubt that are held."""
        self.foreign: dict[int, None] = {}
        """Those on which another key was seen while they were down."""
        self.open_calls: dict[int, ev.Issued] = {}
        self.lanes: dict[Lane, LaneUse] = {}
        self.keys: dict[KeySite, str] = {}
        """Fingerprint of each key pair that is ready."""
        self.comparisons = Comparisons()
        self.trust: dict[tuple[str, str, str], list[int]] = {}
        """By family (account, region, image): clean reboots that moved StartTime, that did not."""
        self.phase_counts = [count] + [0] * (len(PHASES) - 1)
        self.left_in_wave = [wave.targets for wave in layout.waves]
        self.left_in_cell = [cell.end - cell.start for cell in layout.cells]
        self.drift_in_wave, self.elsewhere_in_wave = ([0] * len(layout.waves) for _ in range(2))
        self.restarted_elsewhere: dict[int, None] = {}
        """Restarted without an intent of this run."""
        self.left = count
        """Targets that are not finished; also by wave, by cell, and of the open cells."""
        self.left_in_open_cells = 0
        self.cells_open: dict[int, None] = {}
        self.cells_next = self.waves_closed = 0
        self.wave_open: int | None = None
        self.run_id = ""
        self.epoch = self.calls_issued = 0
        self.odd_codes = 0
        """Number of refusals in this process with an unexpected code."""
        self.not_before: Instant = 0
        """No restart before: what stood in a torn line may still take effect."""
        self.torn = False
        self._begin_life()

    def _begin_life(self) -> None:
        """Halts of the run and commands of operators."""
        self.alarm: ev.Halted | None = None
        """The halt that the next turn puts."""
        self.halted, self.drained, self.closed = _NOTHING
        self.aborted: ev.OperatorCommand | None = None
        """The operator's abort: observe what is open, then close."""
        self.slowed: dict[Lane, ev.LaneSlowed] = {}
        """Throttled lanes, as this process reported last."""
        self.orders: dict[str, None] = {}
        """Ids of the operators' commands that were applied."""
        self.abandoned: dict[int, None] = {}
        """Those that an operator gave up: they no longer keep the run open."""

    @property
    def stopping(self) -> bool:
        """Return whether nothing new may start in this process."""
        return bool(self.halted or self.drained or self.closed)

    @property
    def frozen(self) -> bool:
        """No call may begin any more: in this process, or at all."""
        return self.stopping or self.aborted is not None

    def phase(self, ordinal: int) -> Phase:
        """The phase of one target."""
        return PHASES[self.phases[ordinal]]

    def finished(self, ordinal: int) -> bool:
        """Return whether the instance is finished or held, so that it is not changed."""
        return bool(_FINAL[self.phases[ordinal]] or self.held[ordinal])

    @property
    def left_before(self) -> int | None:
        """The first wave before the open one (or before the next) that has unfinished targets."""
        waves = range(self.waves_closed)
        return next((wave for wave in waves if self.left_in_wave[wave]), None)

    @property
    def front_end(self) -> int:
        """Only targets with a smaller ordinal may begin something: earlier waves finish first."""
        wave = self.left_before
        cells = self.layout.cells
        return len(self.phases) if wave is None else cells[self.layout.waves[wave].cells[1] - 1].end

    def at_rest(self, ordinal: int) -> bool:
        """No observation of it is needed: it is finished, or only a comparison is missing."""
        return self.finished(ordinal) or self.phases[ordinal] == Phase.COMPARING

    def family(self, ordinal: int) -> tuple[str, str, str]:
        """Account, region and image: StartTime behaves the same within these."""
        account, region = self.layout.site_of(ordinal)
        return account, region, self.layout.targets[ordinal].image

    def trusted(self, family: tuple[str, str, str]) -> bool:
        """StartTime is known to move on a reboot here: some clean reboot moved it, none did not."""
        moved, unmoved = self.trust.get(family, (0, 0))
        return moved > 0 and unmoved == 0

    @property
    def status_lag_ms(self) -> Duration:
        """How long a status may trail behind; well below what may happen in a settle window."""
        return min(limits.STATUS_LAG_MS, self.plan.restart.settle_window_ms // 4)

    def settle_end(self, ordinal: int) -> Instant:
        """From here on a lost restart or attach can no longer take effect."""
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
