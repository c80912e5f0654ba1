"""Defects of what a run does and says, planted in the record of a valid run.

The name of each function says what is wrong then.
"""

# ruff: noqa: D103

from __future__ import annotations

import dataclasses

import msgspec

from rollout.core.running.journey import Phase
from rollout.emulator.cloud.lifecycle import BaseStatus as Cloud
from rollout.emulator.messages import Request
from rollout.errors import Place, Problem
from rollout.journal import verify
from rollout.journal.directory import DirectoryRun
from rollout.model import event as ev
from rollout.model.command import Attach, RestartCall
from rollout.model.event import AnyEvent, Issued, Trigger
from rollout.model.instance import Status
from rollout.model.outcome import Refused, RetryClass
from rollout.model.time import HOUR, MINUTE
from rollout.sim.world.build import OTHER, WANTED, public_key
from rollout.sim.world.scenario import ExternalChange, Interference
from rollout.sim.world.world import World
from tests.sim.planting import (
    after_all,
    before_all,
    call,
    change_intent,
    command,
    in_cloud,
    intent,
    journaled,
    restarted,
    retell,
    see,
    sent,
)


def leaves_before_it_is_durable(world: World) -> None:
    sent(world.record, durable_bytes=0)


def no_attempt(world: World) -> None:
    change_intent(world.record, Attach, lambda one: msgspec.structs.replace(one, attempt=0))


def an_id_twice(world: World) -> None:
    first = intent(world.record, Attach).command
    assert isinstance(first, Attach)
    command(world.record, instances=(*first.instances, first.instances[0]))


def forbidden_action(world: World) -> None:
    sent(world.record, action="DeleteKeyPairs")


def an_id_that_is_not_planned(world: World) -> None:
    first = intent(world.record, Attach).command
    assert isinstance(first, Attach)
    command(world.record, instances=("i-of-somebody", *first.instances[1:]))


def windows_all_along(world: World) -> None:
    instances = world.cloud.instances
    windows = next(o for o in range(len(instances.shape)) if instances.shape_of(o).windows)
    instances.set_shape(in_cloud(world.record), instances.shape[windows])


def attach_over_a_foreign_key(world: World) -> None:
    see(world.record, Attach, key_pair="foreign")


def restart_before_the_attach(world: World) -> None:
    see(world.record, RestartCall, key_pair="fleet-former")


def reboot_of_what_is_stopped(world: World) -> None:
    see(world.record, RestartCall, status=Status.STOPPED)


def locked_long_ago(world: World) -> None:
    record = world.record
    record.touched[restarted(record)[1]] = [(0, Interference(ExternalChange.LOCKED, 0))]


def two_calls_open(world: World) -> None:
    n = intent(world.record, Attach).n
    retell(world.record, lambda e: [] if isinstance(e, ev.Settled) and e.n == n else [e])


def restarted_by_two_calls(world: World) -> None:
    call(world, "RebootInstance", 999, InstanceId=restarted(world.record)[1])


def asked_again_at_once(world: World) -> None:
    first = intent(world.record, RestartCall)
    second = msgspec.structs.replace(first, n=999)
    retell(
        world.record,
        lambda e: [e, second] if isinstance(e, ev.Settled) and e.n == first.n else [e],
    )


def rebooted_in_the_minute_of_its_start(world: World) -> None:
    see(world.record, RestartCall, started_at=world.record.ended)


def sent_twice(world: World) -> None:
    world.record.sent.append(world.record.sent[0])


def attached_before_the_attach(world: World) -> None:
    before_all(world.record, ev.Moved(Trigger.OBSERVED_ATTACHED, (0,), "key_pair"))


def done_before_its_boot(world: World) -> None:
    before_all(world.record, ev.Moved(Trigger.OBSERVED_RUNNING, (0,), "status"))


def done_on_another_key(world: World) -> None:
    other = world.cloud.pairs.find("cn-hangzhou", OTHER)
    assert other is not None
    world.cloud.instances.guest[in_cloud(world.record)] = other.number


def failed_on_nothing(world: World) -> None:
    assert world.record.run is not None
    world.record.run.phases[0] = Phase.FAILED


def gone_and_still_there(world: World) -> None:
    after_all(world.record, ev.Moved(Trigger.DROPPED, (0,), "gone"))


def an_effect_without_intent(world: World) -> None:
    call(world, "RebootInstance", 999, InstanceId=restarted(world.record)[1])


def claims_without_effects(world: World) -> None:
    world.record.planned_effects = len(world.cloud.ledger)


def classes_that_do_not_sum_up(world: World) -> None:
    retell(
        world.record,
        lambda e: [msgspec.structs.replace(e, counts={"done": 1})] if _closes(e) else [e],
    )


def _closes(event: AnyEvent) -> bool:
    return isinstance(event, ev.RunClosed)


def a_report_that_counts_otherwise(world: World) -> None:
    run = world.record.run
    assert run is not None and run.closed is not None
    run.closed = msgspec.structs.replace(run.closed, counts={"done": 1})


def exposed_and_let_go(world: World) -> None:
    assert world.record.run is not None
    done_on_another_key(world)
    world.record.run.phases[restarted(world.record)[0]] = Phase.SKIPPED


def all_down_at_once(world: World) -> None:
    for one in [e for e in journaled(world.record) if isinstance(e, Issued)]:
        if isinstance(one.command, RestartCall):
            call(world, "RebootInstance", one.n, InstanceId=one.command.instances[0])


def more_permits_than_the_cap(world: World) -> None:
    verdict = world.record.verdict
    assert verdict is not None
    groups = tuple(msgspec.structs.replace(one, peak=one.cap + 1) for one in verdict.groups)
    world.record.verdict = msgspec.structs.replace(verdict, groups=groups)


def more_exposed_than_allowed(world: World) -> None:
    verdict = world.record.verdict
    assert verdict is not None
    world.record.verdict = msgspec.structs.replace(verdict, exposed_peak=1_001)


def a_restart_over_the_cap(world: World) -> None:
    verdict = world.record.verdict
    assert verdict is not None
    problem = Problem("R0905", "i-1: 3 down of 2 in fleet", Place("journal", 1))
    world.record.verdict = msgspec.structs.replace(verdict, problems=(problem,))


def a_wave_that_never_began(world: World) -> None:
    retell(world.record, lambda e: [] if isinstance(e, ev.WaveStarted) and e.wave else [e])


def asked_four_times(world: World) -> None:
    first = intent(world.record, RestartCall)
    after_all(world.record, *(msgspec.structs.replace(first, n=n) for n in (901, 902, 903)))


def intents_after_a_drain(world: World) -> None:
    before_all(world.record, ev.Drained("SIGTERM", "signal"))


def a_line_is_missing(world: World) -> None:
    del world.record.lines[len(world.record.lines) // 2]


def two_at_once(world: World) -> None:
    world.record.intruders.append(world.record.begun)


def lives_that_overlap(world: World) -> None:
    world.record.processes *= 2


def a_state_that_no_journal_has(world: World) -> None:
    world.record.unfolded.append("phases")


def an_instance_at_no_station(world: World) -> None:
    world.record.misplaced.append("ordinal 0 is planned and at no station")


def a_byte_is_changed(world: World) -> None:
    path = next(p for p in world.disk.files if p.name.startswith("journal-"))
    world.disk.files[path].data[200] ^= 1
    world.record.verdict = verify.verify(DirectoryRun(world.run_dir, world.disk))


def sent_too_late(world: World) -> None:
    sent(world.record, at=world.record.sent[0].at + HOUR)


def never_closed(world: World) -> None:
    assert world.record.run is not None
    world.record.run.closed = None


def turns_without_end(world: World) -> None:
    world.record.stuck = "turns without end"


def a_drain_of_ten_minutes(world: World) -> None:
    (life,) = world.record.processes
    drained = life.ended - 10 * MINUTE
    world.record.processes = [dataclasses.replace(life, drained=drained)]


def a_key_pair_is_deleted(world: World) -> None:
    names = f'["{OTHER}"]'
    call(world, "DeleteKeyPairs", 1, RegionId="cn-hangzhou", KeyPairNames=names)


def planned_with_effects(world: World) -> None:
    world.record.planned_effects = 1


def another_plan_was_applied(world: World) -> None:
    retell(
        world.record,
        lambda e: (
            [msgspec.structs.replace(e, plan_digest="sha256:0")]
            if isinstance(e, ev.RunStarted)
            else [e]
        ),
    )


def something_left_undecided(world: World) -> None:
    world.record.undecided = 1


def a_wave_after_a_failure(world: World) -> None:
    assert world.record.run is not None
    world.record.run.phases[0] = Phase.FAILED


def other_material_of_that_name(world: World) -> None:
    pair = world.cloud.pairs.find("cn-hangzhou", WANTED)
    assert pair is not None
    pair.body = public_key(9)


def given_up_at_once(world: World) -> None:
    first, code = intent(world.record, RestartCall), "IncorrectInstanceStatus"
    refused = Refused(code, RetryClass.STATE)

    def tell(event: AnyEvent) -> list[AnyEvent]:
        ours = isinstance(event, ev.Settled) and event.n == first.n
        return [msgspec.structs.replace(event, outcome=refused) if ours else event]

    retell(world.record, tell)
    assert world.record.run is not None
    ordinal, _ = restarted(world.record)
    world.record.run.phases[ordinal] = Phase.STRANDED
    world.record.run.causes[ordinal] = code


def a_start_of_what_ran(world: World) -> None:
    first = intent(world.record, RestartCall)
    world.cloud.instances.put(in_cloud(world.record), Cloud.STOPPED, world.record.ended)
    call(world, "StartInstance", first.n, InstanceId=restarted(world.record)[1])


def restarted_during_another_run(world: World) -> None:
    record = world.record
    ours = [e for e in journaled(record) if isinstance(e, Issued) and isinstance(e.command, Attach)]
    for one in ours:
        assert isinstance(one.command, Attach)
        params = {"RegionId": "cn-hangzhou", "KeyPairName": WANTED}
        for name in one.command.instances:
            foreign = Request("AttachKeyPair", params | {"InstanceIds": f'["{name}"]'})
            reply = record.cloud.handle(foreign, record.ended)
            record.foreign[reply.request_id] = Interference(ExternalChange.FOREIGN_RUN, 0)
    retell(record, lambda event: [] if event in ours else [event])
