"""Rehearsals: the plan's cloud, agreement with the real engine, the same figures everywhere."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollout.ecs import verdict
from rollout.ecs.governor import EMULATOR_RATE_START
from rollout.emulator.cloud.switches import Switches
from rollout.emulator.dispatch import Cloud
from rollout.emulator.faults import HOSTILE, NO_INJECTION, Fault
from rollout.emulator.fleet import synthetic
from rollout.emulator.messages import Request
from rollout.errors import Exit
from rollout.model.plan import Plan, WantedKey, public_key_digest
from rollout.model.time import SECOND
from rollout.sim.rehearse import planned, rehearsal
from rollout.sim.rehearse.rehearsal import Assumed, RehearsedSeed
from rollout.sim.time.heap import Heap
from rollout.sim.world import calls
from rollout.sim.world.network import Arrivals, Received
from rollout.sim.world.process import read_instances
from rollout.sim.world.values import ValueArrivals
from tests import tree
from tests.app import factory
from tests.sim import rotated
from tests.sim.rotated import REFERENCES, Reference

CALM_CLOUD = Assumed(
    boot_ms=20_000,
    boot_spread_percent=20,
    quota=None,
    latency_ms=(1, 3),
    rate_start=EMULATOR_RATE_START,
)
AGREES_WITHIN = 0.05


SEEDS = (1, 2)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("reference", REFERENCES, ids=lambda one: one.name)
def test_a_rehearsal_agrees_with_the_real_engine(
    reference: Reference, seed: int, tmp_path: Path
) -> None:
    """Duration within 5 % of what engine, client and emulator need; as many calls that change."""
    plan = rotated.plan_of(reference)
    assumed = msgspec.structs.replace(
        CALM_CLOUD,
        boot_ms=reference.boot_ms,
        boot_spread_percent=0,
        quota=reference.quota,
        latency_ms=(rotated.ONE_WAY_MS, rotated.ONE_WAY_MS),
    )

    real = rotated.rotate(reference, plan, rehearsal.begin(plan, seed), tmp_path)
    rehearsed = rehearsal.simulate(plan, assumed, seed)

    assert rehearsed.duration_ms == pytest.approx(real.duration_ms, rel=AGREES_WITHIN)
    assert _calls(rehearsed) == pytest.approx(real.calls, rel=AGREES_WITHIN, abs=2)
    assert rehearsed.exit == real.exit == 0


def test_a_rehearsal_agrees_with_the_real_engine_when_the_cloud_misbehaves(tmp_path: Path) -> None:
    """Faults hit different calls in each, so single seeds differ: over many, half of the
    durations lie about as high and the runs end in the same ways.
    """
    plan = factory.plan(60)
    hostile = msgspec.structs.replace(CALM_CLOUD, faults=HOSTILE)
    seeds = range(1, 17)

    real = [rotated.rotate_on_cables(plan, hostile, one, tmp_path / str(one)) for one in seeds]
    rehearsed = [rehearsal.simulate(plan, hostile, one) for one in seeds]

    middle = statistics.median(one.duration_ms for one in real)
    assert statistics.median(one.duration_ms for one in rehearsed) == pytest.approx(
        middle, rel=0.25
    )
    for exit_ in (Exit.DONE, Exit.SOME_FAILED, Exit.HALTED):
        ended, forecast = (sum(one.exit == exit_ for one in many) for many in (real, rehearsed))
        assert abs(ended - forecast) <= 4, exit_


def _calls(rehearsed: RehearsedSeed) -> dict[str, int]:
    sums: dict[str, int] = {}
    for lane in rehearsed.lanes:
        sums[lane.action] = sums.get(lane.action, 0) + lane.calls
    return sums


def test_the_cloud_of_a_plan_is_as_the_plan_saw_it() -> None:
    """Ids, zones, statuses and former keys are those of the targets; otherwise only the members of
    their groups are there, Running.
    """
    plan = factory.plan(100)
    fleet = planned.fleet_of(plan, plan.made_at)
    cloud = Cloud(fleet)
    targets = {target.instance: target for target in plan.targets()}

    rows = list(cloud.observe(plan.made_at))

    members = {out.instance for out in plan.exclusions if out.groups}
    assert {one.instance for one in rows} == targets.keys() | members
    assert {one.status for one in rows if one.instance in members} == {"Running"}
    for one in (row for row in rows if row.instance not in members):
        target = targets[one.instance]
        seen = (one.zone, one.status, one.key_pair or "")
        assert seen == (target.zone, target.status.value, target.former_key)


def test_every_instance_is_rotated_in_calm_weather() -> None:
    """All targets end done, no group is over its cap, and each wave has its end."""
    plan = factory.plan(200)

    rehearsed = rehearsal.simulate(plan, CALM_CLOUD, 1)

    assert rehearsed.counts["done"] == plan.counts.targets
    assert (rehearsed.exit, rehearsed.halted) == (0, "")
    assert [name for name, _ in rehearsed.waves] == ["canary", "rest"]
    assert all(0 < one.peak <= one.cap for one in rehearsed.down)
    assert all(max(one.points) == one.peak for one in rehearsed.down)


def test_a_plan_made_offline_can_be_rehearsed() -> None:
    """Nobody asked whether the key pair is there: it is taken for granted."""
    plan = factory.plan(40)
    pairs = msgspec.structs.replace(plan.keys[0], regions=())
    offline = msgspec.structs.replace(plan, keys=(pairs,), identity=(), applyable=False)

    assert rehearsal.simulate(offline, CALM_CLOUD, 1).counts["done"] == plan.counts.targets


def test_a_missing_key_pair_is_imported() -> None:
    """Where the plan says that a region lacks it, the rehearsal has the call too."""
    plan = factory.plan(40)
    regions = tuple(
        msgspec.structs.replace(one, present=False, fingerprint="") for one in plan.keys[0].regions
    )
    key = synthetic.ed25519_line(b"1" * 32, "next")
    pairs = WantedKey(plan.keys[0].name, key, public_key_digest(key), regions)
    rehearsed = rehearsal.simulate(msgspec.structs.replace(plan, keys=(pairs,)), CALM_CLOUD, 1)

    assert _calls(rehearsed)["ImportKeyPair"] == len(regions)
    assert rehearsed.counts["done"] == plan.counts.targets


def test_a_quota_makes_it_longer_and_is_seen_as_throttled() -> None:
    """Fewer calls a minute: the fullest minute keeps to it, and somebody was refused."""
    plan = factory.plan(400)
    few = msgspec.structs.replace(CALM_CLOUD, quota=10)

    free, held_up = (rehearsal.simulate(plan, one, 1) for one in (CALM_CLOUD, few))

    assert held_up.duration_ms > free.duration_ms
    assert sum(lane.throttled for lane in held_up.lanes) > 0
    assert sum(lane.throttled for lane in free.lanes) == 0


def test_faults_show_in_the_outcomes() -> None:
    """Boots that hang end failed and would end `apply` with 3; a lost permission halts the run."""
    plan = factory.plan(200)
    hangs = msgspec.structs.replace(CALM_CLOUD, faults=(Fault("boot_stuck_starting", 0.02),))
    denied = msgspec.structs.replace(CALM_CLOUD, faults=(Fault("forbidden", 0.2),))

    rehearsed = rehearsal.simulate(plan, hangs, 2)
    halted = rehearsal.simulate(plan, denied, 2)

    assert rehearsed.counts["failed"] > 0
    assert rehearsed.exit == 3
    assert halted.halted.startswith("denied")
    assert halted.exit == 4


def test_what_takes_too_long_is_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that does not end is reported as such, with the figures so far."""
    monkeypatch.setattr(rehearsal, "LIFE_DAYS_MAX", 0)

    rehearsed = rehearsal.simulate(factory.plan(40), CALM_CLOUD, 1)

    assert (rehearsed.exit, rehearsed.halted) == (8, "not over after 0 days")


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 1000),
    steps=st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 29), st.integers(0, 90)), max_size=12
    ),
)
def test_values_say_what_bytes_say(seed: int, steps: list[tuple[int, int, int]]) -> None:
    """Whatever happened to a fleet, an answer as values equals the same answer read from JSON."""
    plan = factory.plan(60)
    clouds = [_cloud(plan, seed), _cloud(plan, seed)]
    heaps = [Heap(plan.made_at), Heap(plan.made_at)]
    both = [
        Arrivals(clouds[0], heaps[0]),
        ValueArrivals(clouds[1], heaps[1], planned.account_of(plan)),
    ]
    ids = [target.instance for target in plan.targets()]
    region = {one.instance: cell.region for _, cell in plan.cells() for one in cell.targets()}
    for kind, first, seconds in steps:
        chosen = [one for one in ids[first : first + 4] if region[one] == region[ids[first]]]
        api_request = _wish(kind, region[ids[first]], tuple(chosen), plan)
        journaled = []
        for arrivals, heap in zip(both, heaps, strict=True):
            heap.advance(heap.now + seconds * SECOND)
            request = Request(api_request.action, api_request.params)
            reply = arrivals.deliver(request, 1, duplicate=False)
            received = arrivals.read(NO_INJECTION, request, reply, heap.now, heap.now)
            journaled.append(_reported(received, api_request, planned.account_of(plan)))
        assert journaled[0] == journaled[1]


def _wish(kind: int, region: str, ids: tuple[str, ...], plan: Plan) -> calls.ApiRequest:
    match kind:
        case 0:
            text = msgspec.json.encode(list(ids)).decode()
            return calls.describe(region, {"InstanceIds": text}, ids)
        case 1:
            text = msgspec.json.encode(list(ids)).decode()
            name = plan.keys[0].name
            params = {"RegionId": region, "KeyPairName": name, "InstanceIds": text}
            return calls.ApiRequest("AttachKeyPair", region, params, ids)
        case 2:
            return calls.ApiRequest("RebootInstance", region, {"InstanceId": ids[0]}, ids[:1])
        case _:
            params = {f"InstanceId.{number}": one for number, one in enumerate(ids, 1)}
            params |= {"RegionId": region, "BatchOptimization": "SuccessFirst"}
            return calls.ApiRequest("RebootInstances", region, params, ids)


def _reported(received: Received, api_request: calls.ApiRequest, account: str) -> object:
    """What the run would learn of it."""
    if api_request.action == "DescribeInstances":
        return read_instances(received, account, api_request.region, api_request.ids)
    if isinstance(received, verdict.JudgedReply):
        return verdict.answer(api_request.action, api_request.ids, received)
    return received


def _cloud(plan: Plan, seed: int) -> Cloud:
    cloud = Cloud(planned.fleet_of(plan, plan.made_at), Switches(boot_time_ms=30_000), seed=seed)
    planned.add_key_pairs(plan, cloud, plan.made_at)
    return cloud


_PRINTS_FIGURES = """
import msgspec
from rollout.sim.rehearse import rehearsal
from tests.app import factory
from rollout.emulator.faults import HOSTILE
from tests.sim.test_rehearsal import CALM_CLOUD
for faults in ((), HOSTILE):
    assumed = msgspec.structs.replace(CALM_CLOUD, faults=faults, quota=60)
    print(msgspec.json.encode(rehearsal.simulate(factory.plan(120), assumed, 3)).decode())
"""


def test_the_same_seed_gives_the_same_figures_in_every_process() -> None:
    """Whatever the hash seed of the interpreter is; another seed gives others."""
    journaled = [
        subprocess.run(
            [sys.executable, "-c", _PRINTS_FIGURES],
            env={**os.environ, "PYTHONHASHSEED": hashes},
            cwd=tree.ROOT,
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for hashes in ("0", "1")
    ]
    plan = factory.plan(120)
    others = [rehearsal.simulate(plan, CALM_CLOUD, seed) for seed in (3, 4)]

    assert journaled[0] == journaled[1]
    assert others[0].duration_ms != others[1].duration_ms
