"""The spec after reading, with every default filled in.

Created by `specfile` from YAML; the planner compiles it. Durations in milliseconds.
"""

from __future__ import annotations

import enum
import re
from typing import Final

import msgspec

from rollout.model import limits
from rollout.model.gate import AnyGate
from rollout.model.instance import Tags
from rollout.model.notify import NoticeReceiver
from rollout.model.phrase import say
from rollout.model.schedule import Schedule
from rollout.model.selector import Selector
from rollout.model.time import Duration, Instant
from rollout.model.verify import Verify
from rollout.model.windows import Windows

PPM = 1_000_000


class Amount(msgspec.Struct, frozen=True):
    """A count, or a share of a base in millionths; exactly one of the two is set."""

    count: int | None = None
    share_ppm: int | None = None

    def of(self, base: int) -> int:
        """Return the number for `base`, rounded down; may be 0, which callers must refuse."""
        if self.count is not None:
            return self.count
        return base * (self.share_ppm or 0) // PPM

    def __str__(self) -> str:
        if self.count is not None:
            return str(self.count)
        whole, rest = divmod(self.share_ppm or 0, PPM // 100)
        return f"{whole}.{rest:04d}".rstrip("0").rstrip(".") + "%"


_COUNT = re.compile(r"[1-9]\d{0,8}", re.ASCII)
_DIGITS = re.compile(r"\d{1,99}", re.ASCII)
_PERCENT = re.compile(r"(\d{1,3})(?:\.(\d{1,4}))?%", re.ASCII)


def parse_amount(text: str) -> Amount:
    """Parse a count (`5`) or a share (`5%`, `0.5%`). ValueError for others, 0 and over 100 %."""
    if _COUNT.fullmatch(text):
        return Amount(count=int(text))
    match = _PERCENT.fullmatch(text)
    if match is None:
        if not _DIGITS.fullmatch(text):
            raise ValueError(say("not a count or percent"))
        if text[0] == "0":
            raise ValueError(say("a count is at least 1 and has no zeros in front"))
        raise ValueError(say("a count has at most 9 digits"))
    share = int(match[1]) * (PPM // 100) + int((match[2] or "").ljust(4, "0"))
    if not 0 < share <= PPM:
        raise ValueError(say("a percent is more than 0 and at most 100"))
    return Amount(share_ppm=share)


class Ensure(enum.StrEnum):
    """What to do if a region has no key pair of the wanted name."""

    REQUIRE = "require"
    IMPORT = "import"


class KeyPairSpec(msgspec.Struct, frozen=True):
    """The wanted key pair: its name in every region and its public key, OpenSSH one-line."""

    name: str
    public_key: str
    ensure: Ensure = Ensure.REQUIRE


class EcsSource(msgspec.Struct, frozen=True, tag="ecs"):
    """Instances that the service lists in these regions and the selector matches."""

    regions: tuple[str, ...]
    select: Selector | None = None


class FileSource(msgspec.Struct, frozen=True, tag="file"):
    """Instances of a file. `format`: csv, json, jsonl or ids; `columns`: field to heading (CSV).

    `path` "-" is the standard input. `select`: only matching instances. `regions` (ids): an
    instance is in one of them.
    """

    format: str
    path: str
    columns: dict[str, str] = {}
    region: str = ""
    select: Selector | None = None
    regions: tuple[str, ...] = ()


Source = EcsSource | FileSource


class Exclude(msgspec.Struct, frozen=True):
    """A rule that excludes instances until `until`, with its reason."""

    reason: str
    select: Selector | None = None
    instances: frozenset[str] = frozenset()
    until: Instant | None = None


class Last(msgspec.Struct, frozen=True):
    """A rule that makes instances restart after all others, one at a time."""

    select: Selector | None = None
    instances: frozenset[str] = frozenset()
    reason: str = ""

    def matches(self, instance: str, tags: Tags) -> bool:
        """Return whether the rule is about the instance with this id and these tags."""
        return instance in self.instances or (self.select is not None and self.select.matches(tags))


class Stopped(enum.StrEnum):
    """Treatment of instances that are Stopped when planned."""

    START = "start"
    LEAVE = "leave"


class Calls(enum.StrEnum):
    """One restart call per instance, or up to 100 ids a call."""

    SINGLE = "single"
    BATCH = "batch"


class Restart(msgspec.Struct, frozen=True):
    """How instances are restarted for the key to take effect."""

    stopped: Stopped = Stopped.START
    calls: Calls = Calls.SINGLE
    timeout_ms: Duration = limits.RESTART_TIMEOUT_MS
    settle_window_ms: Duration = limits.SETTLE_WINDOW_MS

    @property
    def longest_ms(self) -> Duration:
        """Return the longest time from sending a restart until it succeeded or failed."""
        return limits.CALL_TIMEOUT_MS + self.timeout_ms


class OnUnknown(enum.StrEnum):
    """Treatment of a restart that stays in doubt after the settle window."""

    HOLD = "hold"
    RETRY_ONCE = "retryOnce"
    ASSUME_DONE = "assumeDone"


class OnFailure(msgspec.Struct, frozen=True, omit_defaults=True):
    """When failures halt the run: at `failed` of them, or at the share `share_ppm` of at least
    `min_sample` instances; 0 is no limit. `strict`: open calls count as failures when others are
    admitted. `quarantine`: an image or a zone that fails alone is held.
    """

    failed: int = 0
    share_ppm: int = 0
    min_sample: int = limits.SAMPLE_MIN
    strict: bool = False
    quarantine: bool = False


FLEET = "fleet"
"""The budget, and the key of its one group, that limits all instances together."""
LAST = "last"
"""The wave, the group and the budget of the instances that restart last; no spec names it in `by`.
"""
TAG_PREFIX = "tag:"
SCALING_TAG = "acs:autoscaling:scalingGroupId"
"""Auto Scaling sets this tag on the instances of a scaling group (DescribeInstances, `Tags`)."""


class Budget(msgspec.Struct, frozen=True):
    """At most `max_down` of each group that `by` makes may be down at once, in any case `at_least`,
    and at most `restarts_per_10m` restarts of it begin in any ten minutes; 0 is no limit.

    `by` is fleet, region, zone, account, resourceGroup, deploymentSet, scalingGroup or `tag:KEY`.
    `max_down` None: only the rate is limited.
    """

    by: str = FLEET
    max_down: Amount | None = Amount(share_ppm=limits.BUDGET_PPM)
    at_least: int = 0
    restarts_per_10m: int = 0

    def cap(self, members: int) -> int:
        """Return the number of instances of a group that may be down at once; may be 0."""
        if self.max_down is None:
            return max(members, 1)
        return max(self.max_down.of(members), self.at_least)

    @property
    def text(self) -> str:
        """Return `max_down` as written; empty where there is none."""
        return "" if self.max_down is None else str(self.max_down)


class ApprovalRule(msgspec.Struct, frozen=True):
    """How many of these verifier keys must sign a plan; with `not_author`, not its author's."""

    required: int
    keys: tuple[str, ...]
    not_author: bool = True


class WaveKind(enum.StrEnum):
    """How the size of a wave is determined."""

    AMOUNT = "amount"
    COVER = "cover"
    REST = "rest"


class WaveGate(enum.StrEnum):
    """How the gate after a wave opens after its bake: `auto` by answers to the spec's questions,
    `manual` by a promotion.
    """

    AUTO = "auto"
    MANUAL = "manual"


class WaveSpec(msgspec.Struct, frozen=True):
    """One wave as written: an amount of all targets, one of each kind (`cover`), or the rest.

    `bake_ms` and `gate` delay the next wave.
    """

    name: str
    kind: WaveKind
    amount: Amount | None = None
    bake_ms: Duration = 0
    gate: WaveGate = WaveGate.AUTO


class Limits(msgspec.Struct, frozen=True):
    """Limits that the operator sets."""

    leave_quota_ppm: int = limits.LEAVE_QUOTA_PPM
    instances_max: int | None = None
    exposed_max: int = limits.EXPOSED_MAX


NAME_MAX: Final = 63
"""Maximum length of the name of a spec."""
NAME_PATTERN: Final = rf"[a-z0-9](?:[a-z0-9-]{{0,{NAME_MAX - 2}}}[a-z0-9])?"

is_name = re.compile(NAME_PATTERN).fullmatch
"""Truthy if the whole text is the name of a spec."""


class Spec(msgspec.Struct, frozen=True):
    """A whole spec. `text` is the file's exact text, which the plan contains too."""

    name: str
    key_pair: KeyPairSpec
    inventory: tuple[Source, ...]
    text: str
    labels: dict[str, str] = {}
    exclude: tuple[Exclude, ...] = ()
    allow_password_loss: bool = False
    restart: Restart = Restart()
    budgets: tuple[Budget, ...] = (Budget(),)
    waves: tuple[WaveSpec, ...] = (WaveSpec("all", WaveKind.REST),)
    on_failure: OnFailure | None = None
    gates: tuple[AnyGate, ...] = ()
    on_unknown: OnUnknown = OnUnknown.HOLD
    limits: Limits = Limits()
    approvals: ApprovalRule | None = None
    schedule: Schedule | None = None
    """When rotations by this spec are due; None if only operators start them."""
    notify: tuple[NoticeReceiver, ...] = ()
    chain_unproven: bool = False
    """Also rotate instances whose last rotation is unproven. Only an override sets it."""
    verify: Verify | None = None
    windows: Windows | None = None
    last: tuple[Last, ...] = ()
