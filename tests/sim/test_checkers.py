"""Each checker can fail: a valid record with one planted defect must be reported.

By invariant, so that each listed invariant has a working checker.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator

import msgspec
import pytest

from rollout.core.running.journey import Phase
from rollout.emulator.cloud.lifecycle import BaseStatus as Cloud
from rollout.emulator.messages import Request
from rollout.errors import Place, Problem
from rollout.journal import verify
from rollout.journal.directory import DirectoryRun
from rollout.model import event as ev
from rollout.model.approval import Approvers
from rollout.model.command import Attach, RestartCall
from rollout.model.event import AnyEvent, Issued, Trigger
from rollout.model.instance import Status
from rollout.model.observation import gather, spread
from rollout.model.outcome import Refused, RetryClass
from rollout.model.probe import LoginVerdict
from rollout.model.spec import OnFailure, Stopped, WaveGate
from rollout.model.time import HOUR, MINUTE
from rollout.model.windows import Interval, PlanWindows
from rollout.sim.check import checkers, crashes
from rollout.sim.world.build import OTHER, WANTED, public_key
from rollout.sim.world.logins import LoginProofs
from rollout.sim.world.record import LeaseHold, RunRecord
from rollout.sim.world.scenario import ExternalChange, Interference
from rollout.sim.world.world import World

Plant = Callable[[World], None]


def retell(record: RunRecord, tell: Callable[[AnyEvent], Iterable[AnyEvent]]) -> None:
    """Put other events in the place of some."""
    record.lines = [
        (msgspec.structs.replace(line, body=tuple(one for e in line.body for one in tell(e))), end)
        for line, end in record.lines
    ]


def before_all(record: RunRecord, *events: AnyEvent) -> None:
    """Add events to the first line, after the start of the run."""
    (line, end), *rest = record.lines
    record.lines = [(msgspec.structs.replace(line, body=(*line.body, *events)), end), *rest]


def after_all(record: RunRecord, *events: AnyEvent) -> None:
    """Add events to the last line."""
    *rest, (line, end) = record.lines
    record.lines = [*rest, (msgspec.structs.replace(line, body=(*line.body, *events)), end)]


def journaled(record: RunRecord) -> Iterator[AnyEvent]:
    """Every event of the journal."""
    return (event for line, _ in record.lines for event in line.body)


def intent(record: RunRecord, kind: type[Attach | RestartCall]) -> Issued:
    """The first intent of a kind."""
    return next(
        e for e in journaled(record) if isinstance(e, Issued) and isinstance(e.command, kind)
    )


def change_intent(
    record: RunRecord,
    kind: type[Attach | RestartCall],
    change: Callable[[Issued], Issued],
) -> None:
    """Replace the first intent of a kind."""
    first = intent(record, kind)
    retell(record, lambda event: [change(first) if event is first else event])


def see(record: RunRecord, kind: type[Attach | RestartCall], **changes: object) -> None:
    """Replace the observation of the first intent of a kind."""

    def change(first: Issued) -> Issued:
        seen = [msgspec.structs.replace(one, **changes) for one in spread(first.observed)]
        return msgspec.structs.replace(first, observed=gather(seen))

    change_intent(record, kind, change)


def command(record: RunRecord, **changes: object) -> None:
    """Let the first attach name something else."""

    def change(first: Issued) -> Issued:
        return msgspec.structs.replace(
            first, command=msgspec.structs.replace(first.command, **changes)
        )

    change_intent(record, Attach, change)


def sent(record: RunRecord, **changes: object) -> None:
    """Let the first call have left otherwise."""
    record.sent[0] = dataclasses.replace(record.sent[0], **changes)  # type: ignore[arg-type]


def call(world: World, action: str, n: int, **params: str) -> None:
    """One more effect in the cloud, as if intent `n` had asked for it."""
    world.arrivals.deliver(Request(action, params), n, duplicate=False)


def restarted(record: RunRecord) -> tuple[int, str]:
    """Ordinal and id of the first target that was restarted."""
    first = intent(record, RestartCall).command
    assert isinstance(first, RestartCall)
    return first.ordinals[0], first.instances[0]


def in_cloud(record: RunRecord) -> int:
    """The cloud's own number of that target."""
    number = record.cloud.instances.find(restarted(record)[1])
    assert number is not None
    return number


# the defects, in the order of the invariants


def _leaves_before_it_is_durable(world: World) -> None:
    sent(world.record, durable_bytes=0)


def _no_attempt(world: World) -> None:
    change_intent(world.record, Attach, lambda one: msgspec.structs.replace(one, attempt=0))


def _an_id_twice(world: World) -> None:
    first = intent(world.record, Attach).command
    assert isinstance(first, Attach)
    command(world.record, instances=(*first.instances, first.instances[0]))


def _forbidden_action(world: World) -> None:
    sent(world.record, action="DeleteKeyPairs")


def _an_id_that_is_not_planned(world: World) -> None:
    first = intent(world.record, Attach).command
    assert isinstance(first, Attach)
    command(world.record, instances=("i-of-somebody", *first.instances[1:]))


def _windows_all_along(world: World) -> None:
    instances = world.cloud.instances
    windows = next(o for o in range(len(instances.shape)) if instances.shape_of(o).windows)
    instances.set_shape(in_cloud(world.record), instances.shape[windows])


def _attach_over_a_foreign_key(world: World) -> None:
    see(world.record, Attach, key_pair="foreign")


def _restart_before_the_attach(world: World) -> None:
    see(world.record, RestartCall, key_pair="fleet-former")


def _reboot_of_what_is_stopped(world: World) -> None:
    see(world.record, RestartCall, status=Status.STOPPED)


def _locked_long_ago(world: World) -> None:
    record = world.record
    record.touched[restarted(record)[1]] = [(0, Interference(ExternalChange.LOCKED, 0))]


def _two_calls_open(world: World) -> None:
    n = intent(world.record, Attach).n
    retell(world.record, lambda e: [] if isinstance(e, ev.Settled) and e.n == n else [e])


def _restarted_by_two_calls(world: World) -> None:
    call(world, "RebootInstance", 999, InstanceId=restarted(world.record)[1])


def _asked_again_at_once(world: World) -> None:
    first = intent(world.record, RestartCall)
    second = msgspec.structs.replace(first, n=999)
    retell(
        world.record,
        lambda e: [e, second] if isinstance(e, ev.Settled) and e.n == first.n else [e],
    )


def _rebooted_in_the_minute_of_its_start(world: World) -> None:
    see(world.record, RestartCall, started_at=world.record.ended)


def _sent_twice(world: World) -> None:
    world.record.sent.append(world.record.sent[0])


def _attached_before_the_attach(world: World) -> None:
    before_all(world.record, ev.Moved(Trigger.OBSERVED_ATTACHED, (0,), "key_pair"))


def _done_before_its_boot(world: World) -> None:
    before_all(world.record, ev.Moved(Trigger.OBSERVED_RUNNING, (0,), "status"))


def _done_on_another_key(world: World) -> None:
    other = world.cloud.pairs.find("cn-hangzhou", OTHER)
    assert other is not None
    world.cloud.instances.guest[in_cloud(world.record)] = other.number


def _failed_on_nothing(world: World) -> None:
    assert world.record.run is not None
    world.record.run.phases[0] = Phase.FAILED


def _gone_and_still_there(world: World) -> None:
    after_all(world.record, ev.Moved(Trigger.DROPPED, (0,), "gone"))


def _an_effect_without_intent(world: World) -> None:
    call(world, "RebootInstance", 999, InstanceId=restarted(world.record)[1])


def _claims_without_effects(world: World) -> None:
    world.record.planned_effects = len(world.cloud.ledger)


def _classes_that_do_not_sum_up(world: World) -> None:
    retell(
        world.record,
        lambda e: [msgspec.structs.replace(e, counts={"done": 1})] if _closes(e) else [e],
    )


def _closes(event: AnyEvent) -> bool:
    return isinstance(event, ev.RunClosed)


def _a_report_that_counts_otherwise(world: World) -> None:
    run = world.record.run
    assert run is not None and run.closed is not None
    run.closed = msgspec.structs.replace(run.closed, counts={"done": 1})


def _exposed_and_let_go(world: World) -> None:
    assert world.record.run is not None
    _done_on_another_key(world)
    world.record.run.phases[restarted(world.record)[0]] = Phase.SKIPPED


def _all_down_at_once(world: World) -> None:
    for one in [e for e in journaled(world.record) if isinstance(e, Issued)]:
        if isinstance(one.command, RestartCall):
            call(world, "RebootInstance", one.n, InstanceId=one.command.instances[0])


def _more_permits_than_the_cap(world: World) -> None:
    verdict = world.record.verdict
    assert verdict is not None
    groups = tuple(msgspec.structs.replace(one, peak=one.cap + 1) for one in verdict.groups)
    world.record.verdict = msgspec.structs.replace(verdict, groups=groups)


def _more_exposed_than_allowed(world: World) -> None:
    verdict = world.record.verdict
    assert verdict is not None
    world.record.verdict = msgspec.structs.replace(verdict, exposed_peak=1_001)


def _a_restart_over_the_cap(world: World) -> None:
    verdict = world.record.verdict
    assert verdict is not None
    problem = Problem("R0905", "i-1: 3 down of 2 in fleet", Place("journal", 1))
    world.record.verdict = msgspec.structs.replace(verdict, problems=(problem,))


def _a_wave_that_never_began(world: World) -> None:
    retell(world.record, lambda e: [] if isinstance(e, ev.WaveStarted) and e.wave else [e])


def _asked_four_times(world: World) -> None:
    first = intent(world.record, RestartCall)
    after_all(world.record, *(msgspec.structs.replace(first, n=n) for n in (901, 902, 903)))


def _intents_after_a_drain(world: World) -> None:
    before_all(world.record, ev.Drained("SIGTERM", "signal"))


def _a_line_is_missing(world: World) -> None:
    del world.record.lines[len(world.record.lines) // 2]


def _two_at_once(world: World) -> None:
    world.record.intruders.append(world.record.begun)


def _lives_that_overlap(world: World) -> None:
    world.record.processes *= 2


def _a_state_that_no_journal_has(world: World) -> None:
    world.record.unfolded.append("phases")


def _an_instance_at_no_station(world: World) -> None:
    world.record.misplaced.append("ordinal 0 is planned and at no station")


def _a_byte_is_changed(world: World) -> None:
    path = next(p for p in world.disk.files if p.name.startswith("journal-"))
    world.disk.files[path].data[200] ^= 1
    world.record.verdict = verify.verify(DirectoryRun(world.run_dir, world.disk))


def _sent_too_late(world: World) -> None:
    sent(world.record, at=world.record.sent[0].at + HOUR)


def _never_closed(world: World) -> None:
    assert world.record.run is not None
    world.record.run.closed = None


def _turns_without_end(world: World) -> None:
    world.record.stuck = "turns without end"


def _a_drain_of_ten_minutes(world: World) -> None:
    (life,) = world.record.processes
    drained = life.ended - 10 * MINUTE
    world.record.processes = [dataclasses.replace(life, drained=drained)]


def _a_key_pair_is_deleted(world: World) -> None:
    names = f'["{OTHER}"]'
    call(world, "DeleteKeyPairs", 1, RegionId="cn-hangzhou", KeyPairNames=names)


def _planned_with_effects(world: World) -> None:
    world.record.planned_effects = 1


def _another_plan_was_applied(world: World) -> None:
    retell(
        world.record,
        lambda e: (
            [msgspec.structs.replace(e, plan_digest="sha256:0")]
            if isinstance(e, ev.RunStarted)
            else [e]
        ),
    )


def _something_left_undecided(world: World) -> None:
    world.record.undecided = 1


def _a_wave_after_a_failure(world: World) -> None:
    assert world.record.run is not None
    world.record.run.phases[0] = Phase.FAILED


def _other_material_of_that_name(world: World) -> None:
    pair = world.cloud.pairs.find("cn-hangzhou", WANTED)
    assert pair is not None
    pair.body = public_key(9)


def _given_up_at_once(world: World) -> None:
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


def _a_start_of_what_ran(world: World) -> None:
    first = intent(world.record, RestartCall)
    world.cloud.instances.put(in_cloud(world.record), Cloud.STOPPED, world.record.ended)
    call(world, "StartInstance", first.n, InstanceId=restarted(world.record)[1])


def _restarted_during_another_run(world: World) -> None:
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


def _gate_after_the_canary(record: RunRecord, **changes: object) -> None:
    """Let the plan have a bake or a gate after the canary."""
    canary, *rest = record.plan.waves
    waves = (msgspec.structs.replace(canary, **changes), *rest)
    record.plan = msgspec.structs.replace(record.plan, waves=waves)


def _no_verdict(world: World) -> None:
    _gate_after_the_canary(world.record, bake_ms=1)


def _a_manual_gate_that_opened_by_itself(world: World) -> None:
    _gate_after_the_canary(world.record, gate=WaveGate.MANUAL)
    opened = ev.GateOpened(0, 0, "1")
    retell(world.record, lambda e: [e, opened] if isinstance(e, ev.WaveClosed) else [e])


def _a_short_bake(world: World) -> None:
    _gate_after_the_canary(world.record, bake_ms=HOUR)


def _intents_in_a_pause(world: World) -> None:
    actor = ev.Actor("operator", "", "sim", 0, "test")
    before_all(world.record, ev.OperatorCommand("1", ev.OperatorVerb.PAUSE, actor, 0, "inbox"))


def _more_than_the_rate(world: World) -> None:
    groups = tuple(msgspec.structs.replace(one, rate=1) for one in world.record.plan.groups)
    world.record.plan = msgspec.structs.replace(world.record.plan, groups=groups)


def _the_former_key_still_opens(world: World) -> None:
    """The guest appended the new key, and the run says that the former one was refused."""
    record = world.record
    former = record.plan.former()[0]
    pair = record.cloud.pairs.find(former.region, former.name)
    keyed = [one.instance for one in record.plan.targets() if one.former_key == former.name]
    number = record.cloud.instances.find(keyed[0])
    assert pair is not None and number is not None
    record.cloud.instances._former_keys[number] = (pair.number,)


def _another_host_key(world: World) -> None:
    """The boot made a new host key, and the run says that the login is proved."""
    world.record.cloud.instances.host_keys[in_cloud(world.record)] = 1


def _restarts_after_a_refusal(world: World) -> None:
    """An instance of the first wave refused the new key, and the run continued."""
    before_all(world.record, ev.LoginProbed(0, LoginVerdict.KEY_REFUSED))


def _no_census(world: World) -> None:
    """The journal has no census."""
    retell(world.record, lambda event: [] if isinstance(event, ev.CensusTaken) else [event])


def _members_that_are_down(world: World) -> None:
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


def _intents_at_the_limit(world: World) -> None:
    """An instance failed before the first intent, and the limit is one."""
    _limit(world.record, OnFailure(failed=1))
    before_all(world.record, ev.Moved(Trigger.TIMED_OUT, (0,), "status"))


def _more_open_than_may_fail(world: World) -> None:
    """The strict limit is one, and two calls are open at once."""
    _limit(world.record, OnFailure(failed=1, strict=True))
    first = intent(world.record, RestartCall)
    retell(world.record, lambda e: [] if isinstance(e, ev.Settled) and e.n == first.n else [e])


def _windows(record: RunRecord, *intervals: Interval) -> None:
    windows = PlanWindows("UTC", "simulated", record.ended, intervals)
    record.plan = msgspec.structs.replace(record.plan, windows=windows)


def _calls_outside_the_windows(world: World) -> None:
    _windows(world.record, Interval(world.record.ended, world.record.ended + HOUR))


def _intents_in_no_window(world: World) -> None:
    """A window closed, and the run continued."""
    _windows(world.record, Interval(world.record.begun, world.record.ended + HOUR))
    before_all(world.record, ev.WindowClosed(world.record.begun, 0))


def _sent_in_time_by_luck(world: World) -> None:
    """The first attach could have been sent until its window closed."""
    record = world.record
    closes = record.ended + HOUR
    _windows(record, Interval(record.begun, closes))
    change_intent(record, Attach, lambda one: msgspec.structs.replace(one, not_after=closes))


def _a_target_of_last_comes_first(world: World) -> None:
    world.record.last = frozenset(intent(world.record, Attach).command.instances[:1])  # type: ignore[union-attr]


def _all_targets_are_last(world: World) -> None:
    """Several of them were down at once."""
    world.record.last = frozenset(one.instance for one in world.record.plan.targets())


def _never_approved(world: World) -> None:
    """The plan requires an approval, and the journal has none."""
    record = world.record
    record.plan = msgspec.structs.replace(record.plan, approvals=Approvers(1, ()))


def _approved_by_nobody(world: World) -> None:
    """A key approved the plan whose owner did not sign it."""
    _never_approved(world)
    before_all(world.record, ev.Approved("mallory+00000000", ""))


def _intents_in_a_held_image(world: World) -> None:
    """An image was held, and the run continued with it."""
    _limit(world.record, OnFailure(failed=50, quarantine=True))
    image = next(world.record.plan.targets()).image
    before_all(world.record, ev.Held((0,), f"quarantined: image {image}"))


def _intents_where_all_fail(world: World) -> None:
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


def _another_run_holds_the_lease(world: World) -> None:
    record = world.record
    first = record.sent[0]
    record.holds.append(LeaseHold(first.region, first.at, seized=False, ended=first.at + 1))


def _in_flight_when_the_lease_is_seized(world: World) -> None:
    record = world.record
    last = record.sent[-1]
    record.holds.append(LeaseHold(last.region, last.at + MINUTE, seized=True))


def _a_run_of_another_region_waits(world: World) -> None:
    world.record.shut_out.append(world.record.begun)


PLANTS: tuple[tuple[str, Plant], ...] = (
    ("I-01", _leaves_before_it_is_durable),
    ("I-02", _no_attempt),
    ("I-03", _an_id_twice),
    ("I-04", _forbidden_action),
    ("I-05", _an_id_that_is_not_planned),
    ("I-06", _windows_all_along),
    ("I-07", _attach_over_a_foreign_key),
    ("I-08", _restart_before_the_attach),
    ("I-09", _reboot_of_what_is_stopped),
    ("I-10", _locked_long_ago),
    ("I-11", _two_calls_open),
    ("I-12", _restarted_by_two_calls),
    ("I-13", _asked_again_at_once),
    ("I-14", _rebooted_in_the_minute_of_its_start),
    ("I-15", _sent_twice),
    ("I-18", _attached_before_the_attach),
    ("I-19", _done_before_its_boot),
    ("I-20", _done_on_another_key),
    ("I-21", _failed_on_nothing),
    ("I-22", _gone_and_still_there),
    ("I-23", _an_effect_without_intent),
    ("I-24", _claims_without_effects),
    ("I-25", _classes_that_do_not_sum_up),
    ("I-26", _a_report_that_counts_otherwise),
    ("I-27", _exposed_and_let_go),
    ("I-28", _all_down_at_once),
    ("I-29", _more_permits_than_the_cap),
    ("I-30", _more_exposed_than_allowed),
    ("I-31", _a_restart_over_the_cap),
    ("I-33", _a_wave_that_never_began),
    ("I-34", _no_verdict),
    ("I-34", _a_manual_gate_that_opened_by_itself),
    ("I-35", _a_short_bake),
    ("I-37", _asked_four_times),
    ("I-38", _intents_after_a_drain),
    ("I-66", _intents_in_a_pause),
    ("I-32", _more_than_the_rate),
    ("I-75", _more_open_than_may_fail),
    ("I-76", _intents_at_the_limit),
    ("I-39", _calls_outside_the_windows),
    ("I-77", _intents_in_no_window),
    ("I-78", _sent_in_time_by_luck),
    ("I-79", _the_former_key_still_opens),
    ("I-80", _another_host_key),
    ("I-81", _restarts_after_a_refusal),
    ("I-90", _never_approved),
    ("I-90", _approved_by_nobody),
    ("I-48", _another_run_holds_the_lease),
    ("I-48", _in_flight_when_the_lease_is_seized),
    ("I-91", _a_run_of_another_region_waits),
    ("I-84", _intents_in_a_held_image),
    ("I-84", _intents_where_all_fail),
    ("I-83", _a_target_of_last_comes_first),
    ("I-83", _all_targets_are_last),
    ("I-40", _a_line_is_missing),
    ("I-41", _two_at_once),
    ("I-41", _lives_that_overlap),
    ("I-42", _a_state_that_no_journal_has),
    ("I-43", _a_byte_is_changed),
    ("I-50", _sent_too_late),
    ("I-52", _never_closed),
    ("I-53", _a_drain_of_ten_minutes),
    ("I-55", _turns_without_end),
    ("I-57", _a_key_pair_is_deleted),
    ("I-58", _planned_with_effects),
    ("I-58", _another_plan_was_applied),
    ("I-59", _something_left_undecided),
    ("I-60", _a_wave_after_a_failure),
    ("I-61", _other_material_of_that_name),
    ("I-62", _given_up_at_once),
    ("I-63", _a_start_of_what_ran),
    ("I-64", _restarted_during_another_run),
    ("I-65", _an_instance_at_no_station),
    ("I-95", _no_census),
    ("I-96", _members_that_are_down),
)


def lived() -> World:
    """A calm run of two waves, in which all restarts are reboots, to its end."""
    world = World(crashes.calm(stopped=Stopped.LEAVE, logins=LoginProofs(proved=True)))
    world.run()
    return world


def test_a_calm_run_has_no_violations() -> None:
    """What is found below is found for what was planted."""
    assert not checkers.violations(lived().record)


@pytest.mark.parametrize(
    "invariant, plant", PLANTS, ids=[f"{name}{plant.__name__}" for name, plant in PLANTS]
)
def test_a_planted_defect_is_found_by_its_checker(invariant: str, plant: Plant) -> None:
    """The checker that stands for the invariant speaks, whatever others say of the same defect."""
    world = lived()
    plant(world)

    found = checkers.violations(world.record)

    assert any(invariant in text.split()[0].split("/") for text in found), found


def test_every_invariant_that_is_checked_has_a_planted_defect() -> None:
    """No checker is believed that nobody has seen fail."""
    checked = {name for checker in checkers.CHECKERS for name in checker.ids if name[:2] == "I-"}

    assert checked == {invariant for invariant, _ in PLANTS}
