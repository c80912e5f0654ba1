"""Events of a run. The journal's lines hold them; the state is a fold of them.

An `Issued` has the instance ids, because auditors search for them; all others have ordinals (the
target's position in the plan, from 0).
"""

from __future__ import annotations

import enum

import msgspec

from rollout.model.command import Command
from rollout.model.gate import GateAnswer
from rollout.model.observation import ObservedGroup
from rollout.model.outcome import Outcome
from rollout.model.probe import KeyAccess, LoginVerdict
from rollout.model.site import AtSite, KeyAtSite, Lane
from rollout.model.time import Instant

FORMAT_VERSION = "1.0"
"""Version of the journal format, which the first line of a journal names."""


class Event(msgspec.Struct, frozen=True, gc=False, tag=True, omit_defaults=True):
    """Base of all events; `type` in JSON is the class name."""


class Actor(msgspec.Struct, frozen=True):
    """Who runs this process: OS user, cloud identity, machine and process."""

    user: str
    arn: str
    machine: str
    pid: int
    program: str


class RunStarted(Event, frozen=True):
    """First event of a run. `format_version` is that of the journal."""

    format_version: str
    run: str
    plan_digest: str
    spec_digest: str
    inventory_digest: str
    rules: int
    actor: Actor
    at: Instant
    epoch: int = 1


class Resumed(Event, frozen=True):
    """Another process took the run over; the outcome of calls that were open is unknown."""

    epoch: int
    actor: Actor
    at: Instant


class Approved(Event, frozen=True):
    """The key with this id signed the plan's digest; `note` is the whole signed note."""

    key: str
    note: str


class TornTail(Event, frozen=True):
    """The last line was half written and was cut; no effect can have depended on it."""

    bytes: int
    sha256: str


class Leased(AtSite, Event, frozen=True):
    """The process holds the lease of a region: no other one that uses the same runs directory
    changes anything there. `former` is the other run whose expired lease it took over.
    """

    account: str
    region: str
    epoch: int
    former: str = ""


class KeyReady(KeyAtSite, Event, frozen=True):
    """The key pair in this region was compared: public key and fingerprint are the plan's.

    `attached` is how many attaches the run had observed when the comparison began: it vouches for
    those in this region, and for no later one. `key` indexes `Plan.keys`.
    """

    account: str
    region: str
    fingerprint: str
    attached: int = 0
    key: int = 0


class KeyChanged(KeyAtSite, Event, frozen=True):
    """The key pair in this region is missing or has other material.

    Instances attached in this region since the last `KeyReady` may have that material.
    """

    account: str
    region: str
    detail: str
    key: int = 0


class WaveStarted(Event, frozen=True):
    """The wave's cells may open."""

    wave: int
    name: str


class WaveClosed(Event, frozen=True):
    """No instance of the wave is unfinished. The bake of a wave with a gate counts from `at`, the
    later of this machine's and the service's time; 0 for other waves.
    """

    wave: int
    at: Instant = 0


class GateOpened(Event, frozen=True):
    """The gate after a closed wave is open: its bake is over, and each of its questions has a
    recent answer that opens it. The operator's command with the id `order` promoted it if it is
    manual, or opened it despite its answers. The next wave may start.
    """

    wave: int
    at: Instant
    order: str = ""


class WindowClosed(Event, frozen=True):
    """From `at` on no call begins, because a restart could end after the close of its window. The
    next window opens at `opens`; 0 if the plan has none. Times are the service's.
    """

    at: Instant
    opens: Instant = 0


class WindowOpened(Event, frozen=True):
    """Calls may begin again from `at` on, in a window that closes at `closes`, in service time."""

    at: Instant
    closes: Instant


class GateAnswered(Event, frozen=True):
    """The answer to a question of a gate. `gate` indexes `Plan.gates`, `asked` and `at` are the
    times of the question and of the answer, `text` is what was received.

    An answer other than `open` to a question asked before the end of the bake restarts the bake.
    """

    wave: int
    gate: int
    answer: GateAnswer
    text: str
    asked: Instant
    at: Instant


class CellOpened(Event, frozen=True):
    """The cell's instances may be changed."""

    cell: int


class CellClosed(Event, frozen=True):
    """No instance of the cell is unfinished; instances that keep permits still keep them."""

    cell: int


class Issued(Event, frozen=True):
    """The intent of call `n`, durable before the call is sent, which is not after `not_after`.

    `observed` is the last state of each instance, in the order of the command's ordinals. Command
    and plan together are the parameters of the call. `epoch` and `attempt` are written if not 1.
    `at` is when a restart was decided whose rate a budget limits, 0 for other calls.
    """

    n: int
    command: Command
    not_after: Instant
    observed: tuple[ObservedGroup, ...] = ()
    epoch: int = 1
    attempt: int = 1
    at: Instant = 0


class Settled(Event, frozen=True):
    """How call `n` ended. `outcome` holds for all its instances that `items` does not name;
    `items` are (ordinal, outcome). `at` is when the reply, the error or the time-out came;
    `service_at` is the service's time then, if it is known that this clock is behind and a rate
    counts the call.
    """

    n: int
    at: Instant
    outcome: Outcome
    items: tuple[tuple[int, Outcome], ...] = ()
    service_at: Instant = 0


class Overridden(Event, frozen=True):
    """The plan of this run has a value that `--override` set, for this reason."""

    field: str
    value: str
    former: str = ""
    reason: str = ""


class LastWaveSet(Event, frozen=True):
    """The operator of this process lets it start no wave after this one (`--until-wave`). The run
    halts when this wave is closed; a resume forgets the limit.
    """

    wave: int
    actor: Actor


class Trigger(enum.StrEnum):
    """Causes that move one instance from phase to phase (the columns of `core.journey.TABLE`)."""

    ATTACH_ISSUED = "attach_issued"
    ATTACH_REFUSED = "attach_refused"
    ATTACH_REPEATABLE = "attach_repeatable"
    OBSERVED_ATTACHED = "observed_attached"
    OBSERVED_UNATTACHED = "observed_unattached"
    RESTART_ISSUED = "restart_issued"
    RESTART_REPEATABLE = "restart_repeatable"
    RESTART_REFUSED = "restart_refused"
    ANSWER_LOST = "answer_lost"
    OBSERVED_BOOTED = "observed_booted"
    OBSERVED_RUNNING = "observed_running"
    LEFT_STOPPED = "left_stopped"
    LOGIN_AWAITED = "login_awaited"
    LOGIN_PROVED = "login_proved"
    LOGIN_FAILED = "login_failed"
    KEY_UNPROVED = "key_unproved"
    KEY_PROVED = "key_proved"
    KEY_CHANGED = "key_changed"
    OBSERVED_UNTOUCHED = "observed_untouched"
    DOUBTED = "doubted"
    RETRIED = "retried"
    ASSUMED = "assumed"
    TIMED_OUT = "timed_out"
    GAVE_UP = "gave_up"
    STATED_RESTARTED = "stated_restarted"
    STATED_UNTOUCHED = "stated_untouched"
    ABANDONED = "abandoned"
    OBSERVED_SERVING = "observed_serving"
    DROPPED = "dropped"
    CLOSED = "closed"


class Moved(Event, frozen=True):
    """These instances moved because of an observation or a due time.

    `evidence` names the fact (`start_time`, `status`, `key_pair`, `settle_window` …); `api_time`
    is the service's time, 0 without an observation.
    """

    trigger: Trigger
    ordinals: tuple[int, ...]
    evidence: str
    api_time: Instant = 0


class Held(Event, frozen=True):
    """These instances wait for an operator and are not changed in this process."""

    ordinals: tuple[int, ...]
    reason: str


class Released(Event, frozen=True):
    """Held instances are observed again: the run was resumed, or StartTime is now trusted."""

    ordinals: tuple[int, ...]
    reason: str


class DriftKind(enum.StrEnum):
    """How the fleet differs from what the plan saw, by what follows."""

    BENIGN = "benign"
    ELSEWHERE = "elsewhere"
    NARROWING = "narrowing"
    STATE = "state"
    MATERIAL = "material"
    CONFLICT = "conflict"


class Drifted(Event, frozen=True):
    """These instances differ from the plan; `detail` is the observed difference."""

    kind: DriftKind
    ordinals: tuple[int, ...]
    detail: str


class ForeignRestart(Event, frozen=True):
    """These instances were restarted without an intent of this run.

    `evidence` is `start_time` if StartTime moved since the last observation or since the plan, and
    `status` if a boot was observed.
    """

    ordinals: tuple[int, ...]
    evidence: str
    api_time: Instant = 0


class MembersDown(Event, frozen=True):
    """These members of groups are down without a call of this run, by a census.

    `evidence` is their status, `missing` from the reply, or `no answer`. They are down from `at` on
    (the service's time). `lasting`: they have been for `CENSUS_EVERY_MS`, so that no instance waits
    for them any longer. The ordinal of an exclusion is the number of targets plus its position.
    """

    ordinals: tuple[int, ...]
    evidence: str
    at: Instant
    lasting: bool = False


class MembersUp(Event, frozen=True):
    """A census observed these members Running again."""

    ordinals: tuple[int, ...]
    at: Instant


class CensusTaken(Event, frozen=True):
    """All members of groups were observed, or counted as down without an answer: restarts may
    begin.
    """

    at: Instant


class HostKeyRead(Event, frozen=True):
    """The host key of an instance before its restart, as `SHA256:…`. It is empty where no probe
    could read it, because of `why`: then it is not compared after the restart.
    """

    ordinal: int
    host_key: str = ""
    why: str = ""


class LoginProbed(Event, frozen=True):
    """The result of the login probes of an instance, and what the last of them observed.

    `detail` is the failed hook, or why an access is unknown.
    """

    ordinal: int
    verdict: LoginVerdict
    new_key: KeyAccess = KeyAccess.UNTRIED
    former_key: KeyAccess = KeyAccess.UNTRIED
    host_key: str = ""
    detail: str = ""


class Split(Event, frozen=True):
    """A refused batch is halved to find the cause: these instances share the next call."""

    ordinals: tuple[int, ...]


class Calibrated(Event, frozen=True):
    """Clean reboots showed whether StartTime moves on a reboot, in one account, region, image."""

    account: str
    region: str
    image: str
    moved: int
    unmoved: int


class Anomaly(Event, frozen=True):
    """The service sent an unexpected reply, which was ignored."""

    n: int
    text: str


class OperatorVerb(enum.StrEnum):
    """Commands of operators to a run."""

    ABORT = "abort"
    RESOLVE = "resolve"
    PAUSE = "pause"
    PROMOTE = "promote"
    RESUME = "resume"


class Resolution(enum.StrEnum):
    """What an operator states about an instance whose restart the run cannot judge."""

    RESTARTED = "restarted"
    UNTOUCHED = "untouched"
    ABANDON = "abandon"


class OperatorCommand(Event, frozen=True):
    """A command of an operator; also the message that a running process receives.

    `source` is `command line` or `inbox`. `at` is by the sender's clock. `instance` and
    `resolution` belong to `resolve`; `full` belongs to `promote` and answers all later gates too.
    """

    id: str
    command: OperatorVerb
    actor: Actor
    at: Instant
    source: str
    reason: str = ""
    instance: str = ""
    resolution: Resolution | None = None
    full: bool = False


class FailuresAccepted(Event, frozen=True):
    """An operator resumed a run that `reason` had halted: these instances of one wave no longer
    count towards a halt.
    """

    reason: str
    wave: int
    ordinals: tuple[int, ...]
    actor: Actor


class ClockSkew(Event, frozen=True):
    """The clocks of this machine and of the service at one moment, more than a minute apart. This
    process uses the service's time.
    """

    local: Instant
    service: Instant


class LaneSlowed(AtSite, Event, frozen=True):
    """The service throttled calls of this lane `throttled` times in this process. It makes
    `per_minute` calls a minute, none before `until`; `quota` is the learned one, 0 if none.
    """

    account: str
    region: str
    action: str
    per_minute: int
    throttled: int
    until: Instant
    quota: int = 0

    @property
    def lane(self) -> Lane:
        """Account, region and action."""
        return Lane(self.site, self.action)


class LaneRecovered(AtSite, Event, frozen=True):
    """A slowed lane was not throttled for a minute."""

    account: str
    region: str
    action: str

    @property
    def lane(self) -> Lane:
        """Account, region and action."""
        return Lane(self.site, self.action)


class Halted(Event, frozen=True):
    """The core stopped itself: nothing new starts until an operator resumes the run."""

    reason: str
    code: str
    exit: int
    detail: str


class Drained(Event, frozen=True):
    """An operator or the machine requested a stop: nothing new starts in this process."""

    word: str
    actor: str


class RunClosed(Event, frozen=True):
    """Last event: every instance of the inventory is in exactly one class."""

    counts: dict[str, int]
    exit: int


AnyEvent = (
    RunStarted
    | Resumed
    | Approved
    | TornTail
    | Leased
    | KeyReady
    | KeyChanged
    | WaveStarted
    | WaveClosed
    | GateAnswered
    | GateOpened
    | LastWaveSet
    | Overridden
    | WindowClosed
    | WindowOpened
    | CellOpened
    | CellClosed
    | Issued
    | Settled
    | Moved
    | Held
    | Released
    | Drifted
    | ForeignRestart
    | MembersDown
    | MembersUp
    | CensusTaken
    | HostKeyRead
    | LoginProbed
    | Split
    | Calibrated
    | Anomaly
    | OperatorCommand
    | FailuresAccepted
    | ClockSkew
    | LaneSlowed
    | LaneRecovered
    | Halted
    | Drained
    | RunClosed
)
