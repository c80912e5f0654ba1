"""Defects of runs that break a rule of their plan, planted in the record of a valid run.

The name of each function says what is wrong then.
"""

# ruff: noqa: D103

from __future__ import annotations

import msgspec

from rollout.model import event as ev
from rollout.model.approval import Approvers
from rollout.model.command import Attach, RestartCall
from rollout.model.event import Trigger
from rollout.model.probe import LoginVerdict
from rollout.model.spec import OnFailure, WaveGate
from rollout.model.time import HOUR, MINUTE
from rollout.model.windows import Interval, PlanWindows
from rollout.sim.world.record import LeaseHold, RunRecord
from rollout.sim.world.world import World
from tests.sim.planting import (
    before_all,
    change_intent,
    in_cloud,
    intent,
    retell,
)


def _gate_after_the_canary(record: RunRecord, **changes: object) -> None:
    """Let the plan have a bake or a gate after the canary."""
    canary, *rest = record.plan.waves
    waves = (msgspec.structs.replace(canary, **changes), *rest)
    record.plan = msgspec.structs.replace(record.plan, waves=waves)


def no_verdict(world: World) -> None:
    _gate_after_the_canary(world.record, bake_ms=1)


def a_manual_gate_that_opened_by_itself(world: World) -> None:
    _gate_after_the_canary(world.record, gate=WaveGate.MANUAL)
    opened = ev.GateOpened(0, 0, "1")
    retell(world.record, lambda e: [e, opened] if isinstance(e, ev.WaveClosed) else [e])


def a_short_bake(world: World) -> None:
    _gate_after_the_canary(world.record, bake_ms=HOUR)


def intents_in_a_pause(world: World) -> None:
    actor = ev.Actor("operator", "", "sim", 0, "test")
    before_all(world.record, ev.OperatorCommand("1", ev.OperatorVerb.PAUSE, actor, 0, "inbox"))


def more_than_the_rate(world: World) -> None:
    groups = tuple(msgspec.structs.replace(one, rate=1) for one in world.record.plan.groups)
    world.record.plan = msgspec.structs.replace(world.record.plan, groups=groups)


def the_former_key_still_opens(world: World) -> None:
    """The guest appended the new key, and the run says that the former one was refused."""
    record = world.record
    former = record.plan.former()[0]
    pair = record.cloud.pairs.find(former.region, former.name)
    keyed = [one.instance for one in record.plan.targets() if one.former_key == former.name]
    number = record.cloud.instances.find(keyed[0])
    assert pair is not None and number is not None
    record.cloud.instances._former_keys[number] = (pair.number,)


def another_host_key(world: World) -> None:
    """The boot made a new host key, and the run says that the login is proved."""
    world.record.cloud.instances.host_keys[in_cloud(world.record)] = 1


def restarts_after_a_refusal(world: World) -> None:
    """An instance of the first wave refused the new key, and the run continued."""
    before_all(world.record, ev.LoginProbed(0, LoginVerdict.KEY_REFUSED))


def no_census(world: World) -> None:
    """The journal has no census."""
    retell(world.record, lambda event: [] if isinstance(event, ev.CensusTaken) else [event])


def members_that_are_down(world: World) -> None:
    """All members that are no targets were down during the whole run."""
    record = world.record
    record.plan = msgspec.structs.replace(
        record.plan,
        groups=tuple(msgspec.structs.replace(one, cap=1) for one in record.plan.groups),
    )
    for out in record.plan.exclusions:
        record.outages[out.instance] = [(0, record.ended)] if out.groups else []


def _limit(record: RunRecord, rule: OnFailure) -> None:
    record.plan = msgspec.structs.replace(record.plan, on_failure=rule)


def intents_at_the_limit(world: World) -> None:
    """An instance failed before the first intent, and the limit is one."""
    _limit(world.record, OnFailure(failed=1))
    before_all(world.record, ev.Moved(Trigger.TIMED_OUT, (0,), "status"))


def more_open_than_may_fail(world: World) -> None:
    """The strict limit is one, and two calls are open at once."""
    _limit(world.record, OnFailure(failed=1, strict=True))
    first = intent(world.record, RestartCall)
    retell(world.record, lambda e: [] if isinstance(e, ev.Settled) and e.n == first.n else [e])


def _windows(record: RunRecord, *intervals: Interval) -> None:
    windows = PlanWindows("UTC", "simulated", record.ended, intervals)
    record.plan = msgspec.structs.replace(record.plan, windows=windows)


def calls_outside_the_windows(world: World) -> None:
    _windows(world.record, Interval(world.record.ended, world.record.ended + HOUR))


def intents_in_no_window(world: World) -> None:
    """A window closed, and the run continued."""
    _windows(world.record, Interval(world.record.begun, world.record.ended + HOUR))
    before_all(world.record, ev.WindowClosed(world.record.begun, 0))


def sent_in_time_by_luck(world: World) -> None:
    """The first attach could have been sent until its window closed."""
    record = world.record
    closes = record.ended + HOUR
    _windows(record, Interval(record.begun, closes))
    change_intent(record, Attach, lambda one: msgspec.structs.replace(one, not_after=closes))


def a_target_of_last_comes_first(world: World) -> None:
    world.record.last = frozenset(intent(world.record, Attach).command.instances[:1])  # type: ignore[union-attr]


def all_targets_are_last(world: World) -> None:
    """Several of them were down at once."""
    world.record.last = frozenset(one.instance for one in world.record.plan.targets())


def never_approved(world: World) -> None:
    """The plan requires an approval, and the journal has none."""
    record = world.record
    record.plan = msgspec.structs.replace(record.plan, approvals=Approvers(1, ()))


def approved_by_nobody(world: World) -> None:
    """A key approved the plan whose owner did not sign it."""
    never_approved(world)
    before_all(world.record, ev.Approved("mallory+00000000", ""))


def intents_in_a_held_image(world: World) -> None:
    """An image was held, and the run continued with it."""
    _limit(world.record, OnFailure(failed=50, quarantine=True))
    image = next(world.record.plan.targets()).image
    before_all(world.record, ev.Held((0,), f"quarantined: image {image}"))


def intents_where_all_fail(world: World) -> None:
    """Three instances of one zone failed, three of another one are done, and the run continued."""
    _limit(world.record, OnFailure(failed=50, quarantine=True))
    zones: dict[str, list[int]] = {}
    for ordinal, target in enumerate(world.record.plan.targets()):
        zones.setdefault(target.zone, []).append(ordinal)
    bad, good, *_ = sorted(zones.values(), key=len, reverse=True)
    before_all(
        world.record,
        *(ev.LoginProbed(ordinal, LoginVerdict.PROVED) for ordinal in good[:3]),
        ev.KeyReady(*world.record.plan.waves[0].cells[0].site, "ff"),
        ev.Moved(Trigger.TIMED_OUT, tuple(bad[:3]), "status"),
    )


def another_run_holds_the_lease(world: World) -> None:
    record = world.record
    first = record.sent[0]
    record.holds.append(LeaseHold(first.region, first.at, seized=False, ended=first.at + 1))


def in_flight_when_the_lease_is_seized(world: World) -> None:
    record = world.record
    last = record.sent[-1]
    record.holds.append(LeaseHold(last.region, last.at + MINUTE, seized=True))


def a_run_of_another_region_waits(world: World) -> None:
    world.record.shut_out.append(world.record.begun)
