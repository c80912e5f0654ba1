"""Golden plans: small plans in format 1.0, one for each form of a plan.

`python -m tests.golden_plans NAME…` writes the named plans to `tests/data/plans`. Use it only for a
new form: existing files represent what released versions have written and must stay readable.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import msgspec

from rollout import specfile
from rollout.app import plan_file
from rollout.core.planning import planner
from rollout.core.planning.narrowing import Narrowing, Pattern
from rollout.core.planning.scope import Scope
from rollout.model.gate import ExecGate, HttpGate, PrometheusGate
from rollout.model.instance import Instance, Inventory, MissingInstance, OsFamily, Proof, Status
from rollout.model.notify import NoticeFormat, NoticeKind, NoticeLang, NoticeReceiver
from rollout.model.plan import (
    FormerKey,
    Identity,
    Origin,
    OriginKind,
    Plan,
    PlanOverride,
    Reason,
    RegionKey,
    WantedKey,
    public_key_digest,
)
from rollout.model.signed_note import signer_of
from rollout.model.spec import (
    Amount,
    ApprovalRule,
    Budget,
    Calls,
    Exclude,
    Last,
    Limits,
    OnFailure,
    OnUnknown,
    Restart,
    Spec,
    Stopped,
    WaveGate,
    WaveKind,
    WaveSpec,
)
from rollout.model.time import DAY, HOUR, MINUTE, SECOND
from rollout.model.verify import AddressKind, CommandHook, HttpHook, SshLogin, Verify
from rollout.model.windows import Interval, PlanWindows
from rollout.sim.world.several_keys import with_keys
from tests.core import samples
from tests.core.samples import ACCOUNT, FINGERPRINT, NEW_KEY, NOW, PUBLIC_KEY, REGIONS
from tests.tree import ROOT

FOLDER = ROOT / "tests" / "data" / "plans"
FORMER_PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB0 former"
LIVE = (Identity(ACCOUNT, f"acs:ram::{ACCOUNT}:user/ops", "env"),)
EMULATED = (Identity(ACCOUNT, f"acs:ram::{ACCOUNT}:user/emulator", "emulator", emulator=True),)
SIGNERS = tuple(signer_of(name, bytes([9]) + name.encode().ljust(31)) for name in ("ops", "a", "b"))
"""The keys of the persons who may approve a plan; the first one is the author's."""
BUDGETS = (Budget("fleet", Amount(share_ppm=250_000)), Budget("fleet", Amount(count=3)))


def quickstart() -> Plan:
    """The quickstart spec with an emulated service. One region imports the key pair."""
    spec = specfile.load(ROOT / "plans" / "quickstart.yaml", ROOT).spec
    names = ("cn-hangzhou", "cn-shanghai", "cn-beijing")
    regions = [_region(name, present=name != "cn-beijing") for name in names]
    rows = [samples.instance(number, region=names[number % 3]) for number in range(24)]
    rows[4] = samples.instance(4, region=names[1], os=OsFamily.WINDOWS, os_name="Windows Server")
    rows[7] = samples.instance(7, region=names[1], image="m-2", tags=(("tier", "web"),))
    login = (("app", "login"), ("tier", "data"))
    rows[9] = samples.instance(9, region=names[0], tags=login)
    return _plan(spec, rows, EMULATED, regions)


def two_regions() -> Plan:
    """Waves with percentages over two regions, two budgets, stopped instances, labels."""
    stopped = Restart(stopped=Stopped.START)
    waves = (
        samples.CANARY,
        WaveSpec("quarter", WaveKind.AMOUNT, Amount(share_ppm=250_000)),
        *samples.REST,
    )
    spec = samples.spec(
        waves=waves, budgets=BUDGETS, restart=stopped, labels={"change": "CHG0042", "team": "ops"}
    )
    rows = samples.fleet(20, regions=2)
    rows[3] = samples.instance(3, region=REGIONS[1], status=Status.STOPPED)
    rows[8] = samples.instance(8, key_pair=NEW_KEY)
    return _plan(spec, rows)


def batch_calls() -> Plan:
    """Restarts in batch calls. A restart in doubt is retried once, and at most two instances are
    exposed.
    """
    batch = Restart(Stopped.LEAVE, Calls.BATCH, 10 * MINUTE, 90 * SECOND)
    limits = Limits(leave_quota_ppm=500_000, instances_max=12, exposed_max=2)
    spec = samples.spec(restart=batch, on_unknown=OnUnknown.RETRY_ONCE, limits=limits)
    return _plan(spec, samples.fleet(7))


def two_keys() -> Plan:
    """Two wanted keys at the same two sites: half of the targets get a former key back."""
    plan = _plan(samples.spec(), samples.fleet(12, regions=2))
    digest = public_key_digest(FORMER_PUBLIC_KEY)
    former = WantedKey("ops-former", FORMER_PUBLIC_KEY, digest, plan.keys[0].regions)
    return with_keys(plan, (*plan.keys, former), lambda one: int(one.instance[-1]) // 2 % 2)


def every_exclusion() -> Plan:
    """Exclusions with every reason."""
    bastion = Exclude("break-glass", instances=frozenset({"i-0004"}))
    expired = Exclude("freeze", instances=frozenset({"i-0000"}), until=NOW - HOUR)
    spec = samples.spec(exclude=(bastion, expired), restart=Restart(stopped=Stopped.LEAVE))
    changes: list[dict[str, object]] = [
        {},
        {},
        {"os": OsFamily.WINDOWS, "os_name": "Windows Server 2022"},
        {"os": OsFamily.UNKNOWN},
        {},
        {"key_pair": NEW_KEY},
        {"locks": ("financial", "security")},
        {"expires_at": NOW - HOUR},
        {"io_optimized": False},
        {"status": Status.STARTING},
        {"status": Status.STOPPED},
        {"key_pair": ""},
    ]
    rows = [samples.instance(number, **change) for number, change in enumerate(changes)]
    return _plan(spec, rows)


def undo() -> Plan:
    """Former key pairs come back, recorded ones are in the plan, and each reason to leave an
    instance out of an undo.
    """
    digest = public_key_digest(FORMER_PUBLIC_KEY)
    regions = tuple(map(_region, REGIONS))
    keys = tuple(
        WantedKey(name, FORMER_PUBLIC_KEY, digest, regions) for name in ("ops-old", "ops-older")
    )
    rows = samples.fleet(10, regions=2, key_pair=NEW_KEY)
    reasons = (
        (Reason.OUTSIDE_RUN, "no attach of the run or wave"),
        (Reason.OTHER_KEY, "ops-other"),
        (Reason.NO_FORMER_KEY, ""),
        (Reason.FORMER_KEY_LOST, "ops-gone in cn-shanghai was deleted after planning"),
    )
    out = {row.id: reason for row, reason in zip(rows, reasons, strict=False)}
    key_of = {row.id: number % 2 for number, row in enumerate(rows[4:])}
    origin = Origin(OriginKind.UNDO, "r-c3yhleleg3", f"sha256:{'9f' * 32}")
    plan = _plan(samples.spec(), rows, scope=Scope(keys, key_of, out, origin))
    former = tuple(
        FormerKey(ACCOUNT, region, NEW_KEY, public_key_digest(PUBLIC_KEY), FINGERPRINT)
        for region in REGIONS
    )
    return msgspec.structs.replace(plan, former_keys=former)


def offline() -> Plan:
    """A plan from files without API calls: it has no identity and no key pairs, and cannot be
    applied.
    """
    inventory = Inventory(
        tuple(samples.fleet(6)), NOW, live=False, merged=2, notes=(("R0317", "no tags"),)
    )
    return planner.make_plan(
        samples.spec(), inventory, {}, NOW, planner.PlanContext("rollout 1.0.0")
    )


def no_targets() -> Plan:
    """A plan without targets and without waves."""
    return _plan(samples.spec(), [samples.instance(1, os=OsFamily.WINDOWS)])


def narrowed() -> Plan:
    """One wave of some instances with a lower cap; the options are recorded."""
    some = Pattern("i-000*", globs=("i-000*",))
    one = Pattern("i-0003", frozenset({"i-0003"}))
    waves = (samples.CANARY, *samples.REST)
    narrowing = Narrowing((some,), (one,), "all", 2)
    spec = samples.spec(waves=waves)
    return _plan(spec, samples.fleet(14, regions=2), narrowing=narrowing)


def guarded() -> Plan:
    """Two instances are left out because their last rotation is unproven, and a recorded override
    raises the cap.
    """
    looser = PlanOverride("budgets[0].maxDown", "50%", "5%", looser=True, reason="CHG0042")
    return _plan(samples.spec(), samples.fleet(8), unproven=("i-0002", "i-0003"), looser=(looser,))


def approvals() -> Plan:
    """Two of three persons must approve; the author is one of the three."""
    rule = ApprovalRule(2, tuple(str(one.verifier) for one in SIGNERS))
    return _plan(samples.spec(approvals=rule), samples.fleet(4))


def notified() -> Plan:
    """A chat and a webhook get messages; the plan has references to their secrets."""
    chat = NoticeReceiver(
        "env:OPS", (NoticeKind.GATE, NoticeKind.HALTED), secret="file:sign", lang=NoticeLang.ZH
    )
    hook = NoticeReceiver(
        "https://hooks.internal/x", tuple(NoticeKind), NoticeFormat.CLOUDEVENTS, "env:SIGN"
    )
    return _plan(samples.spec(notify=(chat, hook)), samples.fleet(4))


def gated() -> Plan:
    """A bake with a manual gate, a gate that asks a question of each kind, limits of failures."""
    day = WaveSpec("day", WaveKind.AMOUNT, Amount(share_ppm=500_000))
    waves = (
        msgspec.structs.replace(samples.CANARY, bake_ms=30 * MINUTE, gate=WaveGate.MANUAL),
        msgspec.structs.replace(day, bake_ms=HOUR),
        *samples.REST,
    )
    questions = (
        HttpGate(
            url="https://alerts.internal/firing",
            query="length(@)",
            equals="0",
            headers={"Authorization": "env:ALERTS_TOKEN"},
            every_ms=MINUTE,
        ),
        ExecGate(argv=("ops/error-rate", "--max", "0.01"), env=("STAGE",), wait_ms=HOUR),
        PrometheusGate(url="https://prom.internal", query="errors:rate5m", wanted="< 0.01"),
    )
    rule = OnFailure(5, 100_000, min_sample=10, strict=True, quarantine=True)
    return _plan(samples.spec(waves=waves, gates=questions, on_failure=rule), samples.fleet(8))


def windowed() -> Plan:
    """Two nights, over a change of the clocks, and a rate of restarts."""
    nights = (
        Interval(NOW + HOUR, NOW + 5 * HOUR, 120, 120),
        Interval(NOW + 25 * HOUR, NOW + 30 * HOUR, 120, 60),
    )
    rated = Budget("tag:tier", None, restarts_per_10m=2)
    spec = samples.spec(budgets=(*BUDGETS, rated))
    rows = [samples.instance(n, tags=(("tier", "ab"[n % 2]),)) for n in range(8)]
    windows = PlanWindows("Europe/Berlin", "2026a", NOW + 61 * DAY, nights)
    return msgspec.structs.replace(_plan(spec, rows), windows=windows)


def last() -> Plan:
    """Logins and hooks prove the new key, and two instances restart after all others."""
    ssh = SshLogin("ops", 2222, "file:keys/new", "jump@bastion", address=AddressKind.PUBLIC)
    web = HttpHook("http://{address}:8080/ready", expect=204)
    proof = Verify(ssh, (web,), (CommandHook(("ops/ready", "{instance}")),))
    bastions = Last(instances=frozenset({"i-0001", "i-0004"}), reason="bastions")
    spec = samples.spec(verify=proof, last=(bastions,))
    former = FormerKey(ACCOUNT, REGIONS[0], samples.OLD_KEY, f"sha256:{'4d' * 32}", "77c1")
    return msgspec.structs.replace(_plan(spec, samples.fleet(6)), former_keys=(former,))


def kinds() -> Plan:
    """Targets of two operating systems and two instance types."""
    rows = [
        samples.instance(
            n, os_name=f"Ubuntu 2{n % 2 * 2}.04", instance_type=f"ecs.g{7 + n // 3}.large"
        )
        for n in range(6)
    ]
    return _plan(samples.spec(), rows)


SHAPES: tuple[Callable[[], Plan], ...] = (
    *(quickstart, two_regions, batch_calls, two_keys),
    *(every_exclusion, undo, offline, no_targets, narrowed, guarded, approvals, notified),
    *(gated, windowed, last, kinds),
)


def _region(name: str, *, present: bool = True) -> RegionKey:
    return RegionKey(ACCOUNT, name, present, FINGERPRINT if present else "")


def _plan(
    spec: Spec,
    rows: Sequence[Instance],
    identity: tuple[Identity, ...] = LIVE,
    regions: Sequence[RegionKey] = tuple(map(_region, REGIONS)),
    scope: Scope | None = None,
    narrowing: Narrowing = Narrowing(),  # noqa: B008 - immutable
    unproven: Sequence[str] = (),
    looser: tuple[PlanOverride, ...] = (),
) -> Plan:
    proof = Proof(NEW_KEY, public_key_digest(PUBLIC_KEY), "r-earlier")
    lost = (MissingInstance("i-9999", ACCOUNT, REGIONS[0]),)
    rows = sorted(rows, key=lambda one: (one.region, one.id))
    context = planner.PlanContext(
        "rollout 1.0.0",
        identity,
        tuple(regions),
        scope=scope,
        narrowing=narrowing,
        unproven=dict.fromkeys(unproven, Proof("ops-older", f"sha256:{'7e' * 32}", "r-unproven")),
        overrides=looser,
    )
    inventory = Inventory(tuple(rows), NOW, lost=lost, calls=2)
    return planner.make_plan(spec, inventory, {"i-0005": proof}, NOW, context)


def write(*names: str) -> None:
    """Write the plans with these names, each with its digest file."""
    for shape in SHAPES:
        if shape.__name__ in names:
            saved = plan_file.with_digest(shape())
            plan_file.save_plan(saved, FOLDER / f"{shape.__name__}.plan.json")


if __name__ == "__main__":
    write(*sys.argv[1:])
