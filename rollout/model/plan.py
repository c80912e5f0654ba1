"""The plan: an immutable value whose canonical bytes are its file.

Created by `core.planning`, executed by `core.running`, which reads nothing else. Canonical bytes:
keys sorted, no white space, UTF-8, integers only, as RFC 8785 requires of a document without
floats. The digest is sha256 over them, which is what `sha256sum` prints.
"""

from __future__ import annotations

import enum
import hashlib
import itertools
import shlex
from collections.abc import Iterator

import msgspec

from rollout.model.approval import Approvers
from rollout.model.gate import AnyGate
from rollout.model.instance import Status
from rollout.model.notify import NoticeReceiver
from rollout.model.site import AtSite
from rollout.model.spec import Calls, OnFailure, OnUnknown, Restart, WaveGate
from rollout.model.time import Duration, Instant
from rollout.model.verify import Verify
from rollout.model.windows import Interval, PlanWindows

FORMAT = "rollout.plan"
FORMAT_VERSION = "1.0"
RULES = 2
"""Version of the decision rules. A run continues under the rules it started with."""


class Reason(enum.StrEnum):
    """Why an instance is excluded; the first that applies, in this order, is its reason."""

    NOT_FOUND = "not_found_or_not_permitted"
    WINDOWS = "windows"
    OS_UNKNOWN = "os_unknown"
    RULE = "rule"
    OUTSIDE_RUN = "outside_run"
    OTHER_KEY = "other_key"
    NO_FORMER_KEY = "no_former_key"
    FORMER_KEY_LOST = "former_key_lost"
    ALREADY_DONE = "already_done"
    LOCKED = "locked"
    EXPIRED = "expired"
    NOT_IO_OPTIMIZED = "not_io_optimized"
    TRANSITIONAL = "transitional"
    STOPPED = "stopped"
    PASSWORD_ONLY = "password_only"  # noqa: S105 - a reason, not a password
    FORMER_ROTATION_UNPROVEN = "former_rotation_unproven"
    NARROWED = "narrowed"


OUT_OF_BASE = frozenset({Reason.NOT_FOUND, Reason.WINDOWS, Reason.OS_UNKNOWN, Reason.RULE})
"""Reasons of instances that the spec does not cover: they are not in the base of a percentage."""


class RestartKind(enum.StrEnum):
    """How a key takes effect: a reboot of a Running instance, a start of a Stopped one."""

    REBOOT = "reboot"
    START = "start"

    def action(self, *, many: bool = False) -> str:
        """Return the API action for one id, or the one for up to 100."""
        name = "RebootInstance" if self is RestartKind.REBOOT else "StartInstance"
        return f"{name}s" if many else name


class Target(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One instance of the plan. `groups` index `Plan.groups`, `key` indexes `Plan.keys`, `kind`
    indexes `Plan.kinds`. `attach` is false if the key is attached already and only its boot is
    unproved.
    """

    instance: str
    zone: str
    image: str
    status: Status
    former_key: str
    attach: bool
    restart: RestartKind
    groups: tuple[int, ...]
    key: int = 0
    kind: int = 0


class InstanceKind(msgspec.Struct, frozen=True, omit_defaults=True):
    """What many targets share: the name of the OS, and the instance type. Empty if unknown."""

    os_name: str = ""
    instance_type: str = ""


class Batch(msgspec.Struct, frozen=True):
    """At most 50 targets with the same wanted key: one AttachKeyPair call."""

    targets: tuple[Target, ...]


class Cell(AtSite, msgspec.Struct, frozen=True):
    """At most 1,000 targets of one account and region in one wave."""

    account: str
    region: str
    batches: tuple[Batch, ...]

    def targets(self) -> Iterator[Target]:
        """Yield the targets in order of their ordinals."""
        return itertools.chain.from_iterable(batch.targets for batch in self.batches)


class Wave(msgspec.Struct, frozen=True, omit_defaults=True):
    """An ordered slice of the fleet. The next wave starts `bake_ms` after this one closed, and
    after an operator's promotion if `gate` is manual, or after the questions in `gates` were
    answered. `gates` index `Plan.gates`. The last wave has none of them.
    """

    name: str
    cells: tuple[Cell, ...]
    bake_ms: Duration = 0
    gate: WaveGate = WaveGate.AUTO
    gates: tuple[int, ...] = ()

    @property
    def gated(self) -> bool:
        """Whether the next wave waits for a bake, a promotion or answers."""
        return bool(self.bake_ms or self.gate is WaveGate.MANUAL or self.gates)


class Group(msgspec.Struct, frozen=True, omit_defaults=True):
    """Instances that share a cap: at most `cap` of them are down at once. If `rate` is not 0, at
    most `rate` of their restarts begin in any ten minutes.

    `members` is the base that the cap was computed from: the instances that the spec covers and
    that were not Stopped when planned. `others` are those of them that are no targets.
    """

    key: str
    budget: int
    cap: int
    members: int
    others: int
    rate: int = 0


class BudgetText(msgspec.Struct, frozen=True, omit_defaults=True):
    """A budget as written in the spec. `max_down` is empty if it limits only the rate."""

    by: str
    max_down: str
    at_least: int = 0
    restarts_per_10m: int = 0


class Exclusion(AtSite, msgspec.Struct, frozen=True, gc=False):
    """An excluded instance and its one reason. `groups` index `Plan.groups`: the groups of targets
    that it is a member of, not set if there are none or if it was Stopped when planned.
    """

    instance: str
    account: str
    region: str
    reason: Reason
    detail: str = ""
    groups: tuple[int, ...] | msgspec.UnsetType = msgspec.UNSET


class Warn(msgspec.Struct, frozen=True):
    """A warning of the plan: code, number of affected things, and the text after the number.

    `count` 0: it is about the plan as a whole, and no number is printed.
    """

    code: str
    count: int
    text: str


class Identity(msgspec.Struct, frozen=True):
    """Who created the plan: account, ARN and source of the credentials; never a key."""

    account: str
    arn: str
    provider: str
    emulator: bool = False


class RegionKey(AtSite, msgspec.Struct, frozen=True):
    """A key pair in one region, as observed when planning; `present` false: to be imported."""

    account: str
    region: str
    present: bool
    fingerprint: str = ""


class WantedKey(msgspec.Struct, frozen=True):
    """A key pair that targets get, and its state in each region of these targets."""

    name: str
    public_key: str
    public_key_digest: str
    regions: tuple[RegionKey, ...]


class FormerKey(AtSite, msgspec.Struct, frozen=True):
    """A key pair that targets of one region had when planning. An undo attaches it again only if
    it still has this public key and this fingerprint.
    """

    account: str
    region: str
    name: str
    public_key_digest: str
    fingerprint: str


class OriginKind(enum.StrEnum):
    """The command that made a plan from a closed run."""

    UNDO = "undo"
    RETRY = "retry"


class Origin(msgspec.Struct, frozen=True):
    """The run that a plan was made from, with the digest of that run's plan."""

    kind: OriginKind
    run: str
    plan_digest: str


class Narrowed(msgspec.Struct, frozen=True, omit_defaults=True):
    """The options that narrowed the plan: patterns as typed, one wave, a further cap."""

    limit: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    wave: str = ""
    max_down: int = 0

    def options(self) -> list[str]:
        """Return the options as typed in a shell."""
        parts = [f"--limit {shlex.quote(text)}" for text in self.limit]
        parts += [f"--exclude {shlex.quote(text)}" for text in self.exclude]
        parts += [f"--wave {shlex.quote(self.wave)}"] if self.wave else []
        return parts + ([f"--max-down {self.max_down}"] if self.max_down else [])


class PlanOverride(msgspec.Struct, frozen=True):
    """A field of the spec that `--override` replaced. `former` is empty if the file has no value.
    `looser` is false if the value is known to be at least as safe as the former one.
    """

    field: str
    value: str
    former: str
    looser: bool
    reason: str

    @property
    def text(self) -> str:
        """Field, values and reason, for people."""
        former = f" instead of {self.former}" if self.former else ""
        return f"{self.field}={self.value}{former}" + (f": {self.reason}" if self.reason else "")


class Counts(msgspec.Struct, frozen=True):
    """found = targets + excluded; excluded by reason."""

    found: int
    targets: int
    excluded: dict[str, int]


class Estimate(msgspec.Struct, frozen=True):
    """Calls per action, and the duration that waves, permits and boot time allow at best."""

    calls: dict[str, int]
    duration_ms: Duration
    boot_time_ms: Duration


class PlanLimits(msgspec.Struct, frozen=True):
    """Limits of the run."""

    exposed_max: int
    leave_quota_ppm: int


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that `apply` needs. Contains no secret."""

    format: str = FORMAT
    format_version: str = FORMAT_VERSION
    tool: str
    rules: int = RULES
    name: str
    labels: dict[str, str]
    spec_text: str
    spec_digest: str
    made_at: Instant
    expires_at: Instant
    as_of: Instant
    identity: tuple[Identity, ...]
    inventory_digest: str
    counts: Counts
    applyable: bool
    keys: tuple[WantedKey, ...]
    restart: Restart
    on_unknown: OnUnknown
    limits: PlanLimits
    budgets: tuple[BudgetText, ...]
    groups: tuple[Group, ...]
    waves: tuple[Wave, ...]
    exclusions: tuple[Exclusion, ...]
    warnings: tuple[Warn, ...]
    estimate: Estimate
    origin: Origin | msgspec.UnsetType = msgspec.UNSET
    """Set if the plan undoes or retries a run."""
    former_keys: tuple[FormerKey, ...] | msgspec.UnsetType = msgspec.UNSET
    """Key pairs of targets that existed when planning; not set in offline plans."""
    narrowed: Narrowed | msgspec.UnsetType = msgspec.UNSET
    """Set if options narrowed the plan."""
    on_failure: OnFailure | msgspec.UnsetType = msgspec.UNSET
    """Set if the spec has `onFailure`; otherwise the rules of `limits.FAILURES_*` apply."""
    approvals: Approvers | msgspec.UnsetType = msgspec.UNSET
    """Set if the spec has `approvals`."""
    notify: tuple[NoticeReceiver, ...] | msgspec.UnsetType = msgspec.UNSET
    """Set if the spec has `notify`."""
    verify: Verify | msgspec.UnsetType = msgspec.UNSET
    """Set if an instance is done only after a login proved its key."""
    overrides: tuple[PlanOverride, ...] | msgspec.UnsetType = msgspec.UNSET
    """Set if options replaced fields of the spec."""
    windows: PlanWindows | msgspec.UnsetType = msgspec.UNSET
    """Set if the spec has windows: attaches and restarts begin only in these."""

    kinds: tuple[InstanceKind, ...] | msgspec.UnsetType = msgspec.UNSET
    """Kinds of the targets; not set if nothing is known about them."""

    gates: tuple[AnyGate, ...] | msgspec.UnsetType = msgspec.UNSET
    """Questions that waves with `gate: auto` ask; not set if there are none."""

    def cells(self) -> Iterator[tuple[Wave, Cell]]:
        """Yield each cell with its wave, in order of their ordinals."""
        return ((wave, cell) for wave in self.waves for cell in wave.cells)

    def targets(self) -> Iterator[Target]:
        """Yield all targets in order of their ordinals."""
        return itertools.chain.from_iterable(cell.targets() for _, cell in self.cells())

    def made_from(self) -> Origin | None:
        """Return the run that the plan undoes or retries; None for the plan of a spec."""
        return None if isinstance(self.origin, msgspec.UnsetType) else self.origin

    def overridden(self) -> tuple[PlanOverride, ...]:
        """Return the overrides; none for a plan without them."""
        return () if isinstance(self.overrides, msgspec.UnsetType) else self.overrides

    def former(self) -> tuple[FormerKey, ...]:
        """Return the recorded former key pairs; none for a plan that records none."""
        return () if isinstance(self.former_keys, msgspec.UnsetType) else self.former_keys

    def failure_rule(self) -> OnFailure | None:
        """Return the spec's limits of failures; None where the built-in rules apply."""
        return None if isinstance(self.on_failure, msgspec.UnsetType) else self.on_failure

    def logins(self) -> Verify | None:
        """Return the probes that prove a login; None where the service's evidence is enough."""
        return None if isinstance(self.verify, msgspec.UnsetType) else self.verify

    def receivers(self) -> tuple[NoticeReceiver, ...]:
        """Return who is notified about the run."""
        return () if isinstance(self.notify, msgspec.UnsetType) else self.notify

    def approvers(self) -> Approvers | None:
        """Return who must approve the plan; None if no approval is required."""
        return None if isinstance(self.approvals, msgspec.UnsetType) else self.approvals

    @property
    def intervals(self) -> tuple[Interval, ...] | None:
        """The windows in order; None if attaches and restarts may begin at any time."""
        return None if isinstance(self.windows, msgspec.UnsetType) else self.windows.open

    def questions(self) -> tuple[AnyGate, ...]:
        """Return the questions of the gates; none for a plan without them."""
        return () if isinstance(self.gates, msgspec.UnsetType) else self.gates

    def target_kinds(self) -> tuple[InstanceKind, ...]:
        """Return the kinds that `Target.kind` indexes; one without values for a plan without."""
        return (InstanceKind(),) if isinstance(self.kinds, msgspec.UnsetType) else self.kinds

    @property
    def emulated(self) -> bool:
        """Whether the plan was created against an emulator."""
        return any(identity.emulator for identity in self.identity)

    @property
    def calls(self) -> Calls:
        """Single or batch restart calls."""
        return self.restart.calls


_ENCODER = msgspec.json.Encoder(order="sorted")


def encode(plan: Plan) -> bytes:
    """Return the plan's canonical bytes: the file, without a final line feed."""
    return _ENCODER.encode(plan)


def digest(raw: bytes) -> str:
    """Return `sha256:…` of a plan's bytes."""
    return f"sha256:{hashlib.sha256(raw).hexdigest()}"


def decode(raw: bytes) -> Plan:
    """Return the plan in these bytes; msgspec.ValidationError or DecodeError if it is invalid.

    Unknown fields are refused, since a plan must not contain more than the program reads.
    """
    return _DECODER.decode(raw)


def public_key_digest(public_key: str) -> str:
    """Return `sha256:…` of type and key material, without the comment: equal for equal keys."""
    material = " ".join(public_key.split()[:2])
    return f"sha256:{hashlib.sha256(material.encode()).hexdigest()}"


_DECODER = msgspec.json.Decoder(Plan)
