"""The emulated cloud and the plan of a scenario, built as production builds a plan.

Called by the world before a run starts. The plan is made from what the cloud describes.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from rollout.core.planning import planner, selection
from rollout.ecs import replies, verdict, wire
from rollout.emulator.cloud.quotas import Quota, Quotas, QuotaSettings
from rollout.emulator.cloud.users import ACCOUNT_ID
from rollout.emulator.dispatch import Cloud
from rollout.emulator.fleet import synthetic
from rollout.emulator.http.render import Format, render
from rollout.emulator.messages import Reply, Request
from rollout.errors import PlanError
from rollout.model.instance import Instance, Inventory
from rollout.model.instance import Status as ObservedGroup
from rollout.model.observation import Described, KeyDescribed
from rollout.model.plan import (
    FormerKey,
    Identity,
    Plan,
    RegionKey,
    WantedKey,
    public_key_digest,
)
from rollout.model.spec import (
    Amount,
    Budget,
    EcsSource,
    Ensure,
    KeyPairSpec,
    Limits,
    Restart,
    Spec,
    WaveKind,
    WaveSpec,
    parse_amount,
)
from rollout.model.time import Instant
from rollout.model.verify import SshLogin, Verify
from rollout.sim.time.dice import Dice
from rollout.sim.world import calls
from rollout.sim.world.approving import AUTHOR
from rollout.sim.world.calls import ApiRequest
from rollout.sim.world.logins import LoginProofs
from rollout.sim.world.opening import with_windows
from rollout.sim.world.process import read_key
from rollout.sim.world.scenario import Scenario
from rollout.sim.world.several_keys import with_keys

WANTED = "fleet-fresh"
OTHER = "fleet-other"


def cloud_of(scenario: Scenario, now: Instant) -> Cloud:
    """Return the cloud a scenario starts with, before any fault is armed."""
    fleet = synthetic.build(
        size=scenario.size, seed=scenario.seed, now=now, regions=scenario.regions
    )
    quota = scenario.calls_per_minute
    settings = QuotaSettings((Quota(quota),) if quota else ())
    cloud = Cloud(fleet, scenario.switches, quotas=Quotas(settings), seed=scenario.seed)
    for region in scenario.regions:
        cloud.pairs.add(region, OTHER, public_key(2), now)
        for name, key in _wanted(scenario) if scenario.key_present else ():
            cloud.pairs.add(region, name, key, now)
    _rotate_some(scenario, cloud)
    return cloud


def _rotate_some(scenario: Scenario, cloud: Cloud) -> None:
    """Attach the wanted key to some instances, which then only need a boot."""
    dice = Dice(scenario.seed, "already")
    for region in scenario.regions if scenario.key_present else ():
        pair = cloud.pairs.find(region, WANTED)
        for ordinal in cloud.instances.spans[region]:
            windows = cloud.instances.shape_of(ordinal).windows
            if pair and not windows and dice.chance(scenario.already_percent):
                cloud.instances.record[ordinal] = pair.number
                pair.bound += 1


def _wanted(scenario: Scenario) -> list[tuple[str, str]]:
    """Return the wanted key pairs by name, with their public keys."""
    names = [WANTED, *(f"{WANTED}-{number}" for number in range(2, scenario.keys + 1))]
    return [(name, public_key(1 + 10 * number)) for number, name in enumerate(names)]


@functools.lru_cache(maxsize=8)
def public_key(number: int) -> str:
    """Return an OpenSSH public key line."""
    return synthetic.ed25519_line(bytes([number]) * 32, f"sim-{number}")


class Planned(NamedTuple):
    """A plan, the instances that its spec's `last` matches, and the machine that runs rollout."""

    plan: Plan
    last: frozenset[str]
    own: str


def plan_of(scenario: Scenario, cloud: Cloud, now: Instant) -> Planned:
    """Return the plan of a scenario, from what the cloud describes."""
    rows = [row for region in scenario.regions for row in _listed(cloud, region, now)]
    keys = [
        WantedKey(name, key, public_key_digest(key), _region_keys(scenario, cloud, name, now))
        for name, key in _wanted(scenario)
    ]
    inventory = Inventory(tuple(rows), as_of=now)
    identity = (Identity(ACCOUNT_ID, "acs:ram::1:user/sim", "static", emulator=True),)
    own = scenario.ordering.own_id(rows)
    context = planner.PlanContext("rollout sim", identity, keys[0].regions, user=AUTHOR, own=own)
    dice = Dice(scenario.seed, "wanted")
    try:
        plan = planner.make_plan(_spec(scenario, inventory), inventory, {}, now, context)
    except PlanError:  # a wave without targets in a small fleet
        plain = msgspec.structs.replace(_spec(scenario, inventory), waves=_REST)
        plan = planner.make_plan(plain, inventory, {}, now, context)
    if scenario.logins.proved:
        plan = msgspec.structs.replace(plan, former_keys=_former_keys(cloud, plan))
    plan = with_windows(plan, scenario.windows, now)
    plan = with_keys(plan, keys, lambda _: dice.between(0, len(keys) - 1))
    rules = scenario.ordering.rules(rows)
    last = (one.id for one in rows if any(rule.matches(one.id, one.tags) for rule in rules))
    return Planned(plan, frozenset(last), own)


def _former_keys(cloud: Cloud, plan: Plan) -> tuple[FormerKey, ...]:
    """Return the former key pairs of the targets, as the cloud has them."""
    used = {(cell.site, one.former_key) for _, cell in plan.cells() for one in cell.targets()}
    found = [(site, cloud.pairs.find(site.region, name)) for site, name in sorted(used) if name]
    return tuple(
        FormerKey(*site, pair.name, public_key_digest(pair.body), pair.fingerprint)
        for site, pair in found
        if pair is not None
    )


def _region_keys(
    scenario: Scenario, cloud: Cloud, name: str, now: Instant
) -> tuple[RegionKey, ...]:
    """Return one key pair in each region, as the cloud describes it."""
    found = []
    for region in scenario.regions:
        key = read_key(_called(cloud, calls.describe_key(region, name), now), name)
        assert isinstance(key, KeyDescribed)  # noqa: S101 - nothing is armed yet
        found.append(RegionKey(ACCOUNT_ID, region, bool(key.public_key), key.fingerprint))
    return tuple(found)


_REST = (WaveSpec("all", WaveKind.REST),)


def _spec(scenario: Scenario, inventory: Inventory) -> Spec:
    base = sum(
        one.status is not ObservedGroup.STOPPED and selection.rotatable_os(one) is None
        for one in inventory.instances
    )
    caps = [max(1, base * percent // 100) for percent in scenario.cap_percents]
    waves: list[WaveSpec] = []
    if scenario.canary:
        waves.append(WaveSpec("canary", WaveKind.AMOUNT, Amount(count=1)))
    if scenario.cover:
        waves.append(WaveSpec("cover", WaveKind.COVER))
    return Spec(
        name="sim",
        key_pair=KeyPairSpec(
            WANTED, public_key(1), Ensure.REQUIRE if scenario.key_present else Ensure.IMPORT
        ),
        inventory=(EcsSource(scenario.regions),),
        text=f"seed: {scenario.seed}\n",
        allow_password_loss=scenario.allow_password_loss,
        restart=Restart(scenario.stopped, scenario.calls, scenario.timeout_ms, scenario.settle_ms),
        budgets=(
            *(Budget("fleet", Amount(count=cap)) for cap in caps),
            *(Budget(by, parse_amount(most), int("%" in most)) for by, most in scenario.parts),
            *(Budget(by, None, restarts_per_10m=rate) for by, rate in scenario.rates),
        ),
        waves=(*(_gated(scenario, wave) for wave in waves), *_REST),
        gates=tuple(one.gate for one in scenario.gating.questions),
        on_unknown=scenario.on_unknown,
        on_failure=scenario.on_failure,
        verify=_verify(scenario.logins),
        limits=Limits(exposed_max=scenario.exposed_max),
        last=scenario.ordering.rules(inventory.instances),
        approvals=scenario.approving.rule(),
    )


def _verify(logins: LoginProofs) -> Verify | None:
    if not logins.proved:
        return None
    refused, timeout_ms = logins.expect_refused, logins.timeout_ms
    return Verify(SshLogin("root", expect_old_key_refused=refused, timeout_ms=timeout_ms))


def _gated(scenario: Scenario, wave: WaveSpec) -> WaveSpec:
    gating = scenario.gating
    return msgspec.structs.replace(wave, bake_ms=gating.bake_ms, gate=gating.gate)


def _listed(cloud: Cloud, region: str, now: Instant) -> list[Instance]:
    filters: Mapping[str, str] = {}
    rows: list[Instance] = []
    while True:
        received = _called(cloud, calls.describe(region, filters), now)
        page = replies.described(received, ACCOUNT_ID, region)
        assert isinstance(page, Described)  # noqa: S101 - nothing is armed yet
        rows += page.instances
        if not page.next_token:
            return rows
        filters = {"NextToken": page.next_token}


def _called(cloud: Cloud, request: ApiRequest, now: Instant) -> verdict.JudgedReply:
    reply: Reply = cloud.handle(Request(request.action, request.params), now)
    rendered = render(reply, request.action, Format.JSON)
    return verdict.received(wire.HttpReply(rendered.status, {}, rendered.body), now)
