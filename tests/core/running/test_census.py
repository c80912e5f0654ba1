"""Members of groups that are down without the run take permits of their groups."""

from __future__ import annotations

import itertools
from functools import partial

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from rollout.core.invariant import Bug
from rollout.core.running.evolve import evolve
from rollout.core.running.journey import Phase
from rollout.journal.recheck.rules import Rules
from rollout.model import event as ev
from rollout.model import limits
from rollout.model.command import Observation, ObserveMembers, RestartCall
from rollout.model.instance import Instance, OsFamily, Status
from rollout.model.spec import Amount, Budget, WaveKind, WaveSpec, parse_amount
from rollout.model.time import MINUTE, SECOND, Instant
from tests.core import samples
from tests.core.world import Script, World
from tests.fuzz import cases

QUORUM = Budget("tag:quorum", Amount(count=1))
FLEET = Budget("fleet", Amount(share_ppm=1_000_000))
WINDOWS = {"os": OsFamily.WINDOWS, "key_pair": ""}


def member(number: int, quorum: str = "a", **changes: object) -> Instance:
    """An instance of a quorum."""
    return samples.instance(number, tags=(("quorum", quorum),), **changes)


def story(rows: list[Instance], script: Script | None = None, **changes: object) -> World:
    """A started run of the Linux instances; the members of a quorum restart one at a time."""
    spec = samples.spec(budgets=(FLEET, QUORUM), **changes)
    return World(samples.make_plan(rows, spec), rows, script).start()


def change(world: World, number: int, status: Status) -> None:
    """A member changes its status without a call of the run."""
    world.machines[f"i-{number:04d}"].change(world.now, status=status)


def violations(world: World) -> list[str]:
    """What the second check of the journal finds."""
    rules = Rules(world.plan)
    return [text for event in world.journal for text in rules.take(event)]


def restarts(world: World) -> list[tuple[Instant, str]]:
    """Each restart with its time."""
    found = [(at, name) for name, one in world.machines.items() for at in one.restarts]
    return sorted(found)


def test_a_member_that_is_down_takes_the_permit_of_its_group() -> None:
    """No member of its quorum restarts before a census observes it Running again; members of
    other quorums restart meanwhile.
    """
    rows = [member(0), member(1), member(2, **WINDOWS), member(3, "b")]
    world = story(rows)
    change(world, 2, Status.STARTING)
    world.at(world.now + 5 * MINUTE, lambda: change(world, 2, Status.RUNNING))
    began = world.now
    world.go()
    world.check_end()

    times = {name: at for at, name in restarts(world)}
    assert world.classes["done"] == 3
    assert times["i-0003"] < began + MINUTE
    assert min(times["i-0000"], times["i-0001"]) > began + 5 * MINUTE
    assert [one.evidence for one in world.events(ev.MembersDown)] == ["Starting"]
    assert len(world.events(ev.MembersUp)) == 1


def test_a_target_that_is_down_takes_the_permit_of_its_group() -> None:
    """No member of a quorum restarts while another target of it, whose turn has not come or is
    over, is down without the run.
    """
    baked = msgspec.structs.replace(samples.CANARY, bake_ms=MINUTE)
    rows = [member(0), member(1), member(2), member(3, "b")]
    world = story(rows, waves=(baked, *samples.REST))
    change(world, 2, Status.STARTING)
    world.at(world.now + 3 * MINUTE, lambda: change(world, 2, Status.RUNNING))
    began = world.now
    while world.run.waves_closed == 0:
        world.go(until=world.now + SECOND)
    first = restarts(world)
    assert [name for _, name in first] == ["i-0000"] and first[0][0] > began + 3 * MINUTE
    change(world, 0, Status.STOPPING)
    world.at(world.now + 3 * MINUTE, lambda: change(world, 0, Status.RUNNING))
    again = world.now
    world.go()
    world.check_end()

    times = {name: at for at, name in restarts(world)}
    assert min(times["i-0001"], times["i-0002"]) > again + 3 * MINUTE
    assert times["i-0003"] < again + 2 * MINUTE
    assert world.classes["done"] == 4 and violations(world) == []


def test_a_target_that_is_released_is_no_member_any_more() -> None:
    """Missing is down at first; once a second API has confirmed that it is gone, the others of its
    quorum restart.
    """
    world = story([member(0), member(1), member(2)])
    world.machines["i-0000"].gone = True
    world.meddled = True
    world.go()
    world.check_end()

    assert world.classes["done"] == 2 and world.classes["skipped"] == 1
    assert violations(world) == []


def test_instances_that_wait_for_a_member_for_long_are_left_out() -> None:
    """A member that two censuses observe down keeps its permit: what waits for it ends as skipped,
    and the cause names the member.
    """
    rows = [member(0), member(1), member(2, **WINDOWS), member(3, "b")]
    world = story(rows)
    change(world, 2, Status.STOPPED)
    began = world.now
    world.go()
    world.check_end()

    assert world.classes["done"] == 1 and world.classes["skipped"] == 2
    assert [*world.run.causes.values()] == ["budget_held by i-0002"] * 2
    assert [one.lasting for one in world.events(ev.MembersDown)] == [False, True]
    assert world.now - began < limits.CENSUS_EVERY_MS + 2 * MINUTE


def test_a_member_that_is_not_listed_is_down() -> None:
    """Missing in the reply is unknown, and unknown is down, until a later reply lists it."""
    world = story([member(0), member(1), member(2, **WINDOWS)])
    world.hidden.add("i-0002")
    world.at(world.now + 3 * MINUTE, world.hidden.clear)
    began = world.now
    world.go()
    world.check_end()

    assert world.classes["done"] == 2 and restarts(world)[0][0] > began + 3 * MINUTE
    assert world.events(ev.MembersDown)[0].evidence == "missing"


def test_a_region_that_does_not_answer_is_down() -> None:
    """Members of a silent region count as down after a minute; restarts of other groups begin then,
    and those of its quorums when it answers.
    """
    rows = [member(0), member(1, region=samples.REGIONS[1], **WINDOWS), member(2, "b")]
    world = story(rows)
    world.deaf.add(samples.REGIONS[1])
    world.at(world.now + 3 * MINUTE, world.deaf.clear)
    began = world.now
    world.go()
    world.check_end()

    times = {name: at for at, name in restarts(world)}
    assert began + limits.CENSUS_SILENCE_MS <= times["i-0002"] < began + 2 * MINUTE
    assert times["i-0000"] > began + 3 * MINUTE
    assert world.events(ev.MembersDown)[0].evidence == "no answer"
    assert world.classes["done"] == 2


def test_a_census_is_taken_at_each_wave_and_every_ten_minutes() -> None:
    """Without a change it leaves one event; a member that goes down in a long wave is found."""
    waves = (WaveSpec("canary", WaveKind.AMOUNT, Amount(count=1)), *samples.REST)
    rows = [*[member(n) for n in range(8)], member(8, **WINDOWS)]
    script = Script(boot_ms=5 * MINUTE)
    world = story(rows, script, waves=waves)
    world.at(world.now + 12 * MINUTE, lambda: change(world, 8, Status.STOPPING))
    world.at(world.now + 24 * MINUTE, lambda: change(world, 8, Status.RUNNING))
    world.go()
    world.check_end()

    started = [n for n, one in enumerate(world.journal) if isinstance(one, ev.WaveStarted)]
    taken = [n for n, one in enumerate(world.journal) if isinstance(one, ev.CensusTaken)]
    begun = [n for n, one in enumerate(world.journal) if _is_restart(one)]
    for wave in started:
        first = min(n for n in begun if n > wave)
        assert any(wave < census < first for census in taken)
    gaps = [b.at - a.at for a, b in itertools.pairwise(world.events(ev.CensusTaken))]
    assert len(gaps) > 3 and max(gaps) <= limits.CENSUS_EVERY_MS + MINUTE
    assert world.events(ev.MembersDown) and world.classes["done"] == 8


def _is_restart(event: ev.AnyEvent) -> bool:
    return isinstance(event, ev.Issued) and isinstance(event.command, RestartCall)


def test_a_census_observes_the_groups_of_its_wave_only() -> None:
    """The canary's census names the members of its own quorum: a large fleet does not delay it."""
    rows = [member(n, f"q{n // 3}") for n in range(30)]
    world = story(rows, waves=(samples.CANARY, *samples.REST))
    calls: list[tuple[int, ObserveMembers]] = []
    look = world._look

    def noted(call: Observation) -> None:
        if isinstance(call, ObserveMembers):
            calls.append((world.run.wave_open or 0, call))
        look(call)

    world._look = noted  # type: ignore[assignment, method-assign]
    world.go()
    world.check_end()

    by_wave = {
        wave: {n for at, one in calls if at == wave for n in one.instances} for wave in (0, 1)
    }
    assert by_wave[0] == {"i-0000", "i-0001", "i-0002"}
    assert len(by_wave[1]) == 30 and world.classes["done"] == 30


def test_a_plan_without_members_takes_no_census() -> None:
    """Targets of a budget of the fleet are counted by their own observations only; Windows
    instances and Stopped ones are no members of the fleet.
    """
    rows = [member(0), samples.instance(1, **WINDOWS), member(2, status=Status.STOPPED, **WINDOWS)]
    world = World(samples.make_plan(rows, samples.spec(budgets=(FLEET,))), rows).start().go()

    assert not world.events(ev.CensusTaken) and world.classes["done"] == 1


def test_no_restart_is_folded_before_the_census() -> None:
    """I-95: A restart that no census preceded in its wave is a violation of the run's rules."""
    world = story([member(0), member(1, **WINDOWS)]).go()
    assert any(map(_is_restart, world.journal))
    again = World(world.plan, [one.now for one in world.machines.values()])

    with pytest.raises(Bug, match="I-95"):
        for event in world.journal:
            if not isinstance(event, ev.CensusTaken):
                evolve(again.run, event)


def test_a_permit_that_was_reserved_early_does_not_hide_a_member_that_went_down() -> None:
    """I-96: An attached instance that has its permit already is not restarted while a member of its
    quorum is down.
    """
    world = story([member(0), member(1, **WINDOWS)])
    while world.run.phase(0) is not Phase.ATTACHED:
        world.go(until=world.now + 100)
    assert world.run.ledger.permits[0]
    change(world, 1, Status.STOPPED)
    world.decider.put(ev.MembersDown((1,), "Stopped", world.now), world.now)
    world.at(world.now + 4 * MINUTE, lambda: change(world, 1, Status.RUNNING))
    began = world.now
    world.go()
    world.check_end()

    assert restarts(world)[0][0] > began + 4 * MINUTE and world.classes["done"] == 1


def test_an_instance_that_waits_with_its_permit_for_long_is_left_out() -> None:
    """It ends as stranded, because its key is attached, and names the member."""
    world = story([member(0), member(1, **WINDOWS)])
    while world.run.phase(0) is not Phase.ATTACHED:
        world.go(until=world.now + 100)
    change(world, 1, Status.STOPPED)
    world.decider.put(ev.MembersDown((1,), "Stopped", world.now), world.now)
    world.go()
    world.check_end()

    assert world.run.causes[0] == "budget_held by i-0001" and not restarts(world)


def test_a_held_instance_that_is_down_takes_the_permits_that_it_gave_back() -> None:
    """I-96: An attached target that another operator restarts and that stays Starting is held, and
    the permit that it reserved returns. No other member of its quorum restarts meanwhile.
    """
    world = story([member(0), member(1)])
    while not (world.run.phases[0] or world.run.phases[1]):
        world.go(until=world.now + 100)
    hung = 0 if world.run.phases[0] else 1
    change(world, hung, Status.STARTING)
    while not world.run.held[hung]:
        world.go(until=world.now + SECOND)

    assert not world.run.ledger.permits[hung] and hung in world.run.away
    world.go(until=world.now + 5 * MINUTE)
    assert not restarts(world)
    change(world, hung, Status.RUNNING)
    world.go()
    world.check_end()
    assert [name for _, name in restarts(world)] == [f"i-{1 - hung:04d}"]
    assert violations(world) == []


def test_a_batch_that_was_observed_before_members_went_down_is_held_with_the_others() -> None:
    """The run ends, although the batch could have been attached when it was observed."""
    world = story([member(0), member(1, **WINDOWS)])
    while 0 not in world.decider.waiting.permits.checking:
        world.go(until=world.now + 50)
    change(world, 1, Status.STOPPED)
    world.decider.put(ev.MembersDown((1,), "Stopped", world.now), world.now)
    world.decider.put(ev.MembersDown((1,), "Stopped", world.now, lasting=True), world.now)
    world.go(until=world.now + 5 * MINUTE)
    world.check_end()

    assert world.run.causes[0] == "budget_held by i-0001" and not restarts(world)
    assert world.machines["i-0000"].attaches == 0


def test_a_member_that_went_down_delays_the_attaches_of_its_quorum_only() -> None:
    """It went down while the batch was observed: the others of the batch are attached at once."""
    rows = [member(0), member(1, **WINDOWS), member(2, "b"), member(3, "c")]
    world = story(rows)
    while 0 not in world.decider.waiting.permits.checking:
        world.go(until=world.now + 50)
    change(world, 1, Status.STOPPED)
    world.decider.put(ev.MembersDown((3,), "Stopped", world.now), world.now)
    world.at(world.now + 4 * MINUTE, lambda: change(world, 1, Status.RUNNING))
    began = world.now
    world.go(until=began + MINUTE)

    assert [world.machines[row.id].attaches for row in rows] == [0, 0, 1, 1]
    world.go()
    world.check_end()
    assert world.classes["done"] == 3 and restarts(world)[-1][1] == "i-0000"
    assert violations(world) == []


def test_a_target_that_is_down_itself_waits_for_no_permit_of_its_own() -> None:
    """It has been down for long when its wave begins: it is observed, and not held by itself."""
    waves = (WaveSpec("canary", WaveKind.AMOUNT, Amount(count=1)), *samples.REST)
    rows = [member(0, "b"), member(1), member(2)]
    world = story(rows, waves=waves)
    change(world, 1, Status.STARTING)
    world.decider.put(ev.MembersDown((1,), "Starting", world.now), world.now)
    world.decider.put(ev.MembersDown((1,), "Starting", world.now, lasting=True), world.now)
    world.at(world.now + 3 * MINUTE, lambda: change(world, 1, Status.RUNNING))
    world.go()
    world.check_end()

    assert world.run.causes.get(1) != "budget_held by i-0001"


@st.composite
def fleets(draw: st.DrawFn) -> list[Instance]:
    """Targets and Windows instances of a few quorums and zones."""
    rows = []
    for number in range(draw(st.integers(2, 12))):
        windows = number and draw(st.integers(0, 2)) == 0
        quorum, zone = draw(st.sampled_from("abc")), draw(st.sampled_from("xy"))
        region = samples.REGIONS[draw(st.integers(0, 1))]
        changes = WINDOWS if windows else {}
        rows.append(member(number, quorum, zone=zone, region=region, **changes))
    return rows


OUTAGES = st.lists(
    st.tuples(st.integers(0, 11), st.integers(0, 900), st.integers(1, 400)), max_size=4
)


def fail(world: World, number: int, for_s: int) -> None:
    """An instance that runs goes down for a while."""
    machine = world.machines[f"i-{number:04d}"]
    if machine.now.status is Status.RUNNING:
        change(world, number, Status.STARTING)
        world.at(world.now + for_s * SECOND, partial(change, world, number, Status.RUNNING))


@cases(60)
@given(fleets(), st.sampled_from(("1", "2", "50%")), OUTAGES, st.integers(0, 99))
def test_own_restarts_and_outages_stay_within_the_caps(
    rows: list[Instance], zone_cap: str, outages: list[tuple[int, int, int]], seed: int
) -> None:
    """Whenever a restart is decided, its instance has a permit that neither another restart nor a
    member that is known to be down takes. The run ends, and the state is the fold of the journal.
    """
    zone = Budget("zone", parse_amount(zone_cap), 1)
    spec = samples.spec(budgets=(FLEET, QUORUM, zone))
    world = World(samples.make_plan(rows, spec), rows, seed=seed).start()
    world.meddled = True
    for number, from_s, for_s in outages:
        world.at(world.now + from_s * SECOND, partial(fail, world, number % len(rows), for_s))
    put = world.decider.append

    def checked(event: ev.AnyEvent) -> None:
        if _is_restart(event):
            ledger = world.run.ledger
            assert isinstance(event, ev.Issued) and isinstance(event.command, RestartCall)
            for ordinal in event.command.ordinals:
                for group in ledger.groups_of(ordinal):
                    taken = ledger.used[group] + ledger.outside[group] - ledger.counts(ordinal)
                    assert taken < ledger.caps[group]
        put(event)

    world.decider.append = checked
    world.go()
    world.check_end()

    assert violations(world) == []
    folded = World(world.plan, rows).run
    for event in world.journal:
        evolve(folded, event)
    assert folded.away == world.run.away and folded.ledger.outside == world.run.ledger.outside


@given(fleets(), st.integers(1, 60))
@cases(25)
def test_a_resume_takes_a_census_first(rows: list[Instance], after_s: int) -> None:
    """Whenever the process ends, the next one restarts nothing before it has counted; the run ends
    with every target rotated.
    """
    world = story(rows)
    world.go(until=world.now + after_s * SECOND)
    assume(world.run.closed is None)
    mark = len(world.journal)
    world.resume().go()
    world.check_end()

    later = world.journal[mark:]
    for number, event in enumerate(later):
        if _is_restart(event) and world.run.layout.members:
            assert any(isinstance(one, ev.CensusTaken) for one in later[:number])
    assert world.classes["done"] == len(world.run.phases)


def test_a_late_answer_is_no_part_of_a_later_round() -> None:
    """An answer to a call from before the round began leaves its members to be observed."""
    world = story([member(0), member(1, **WINDOWS)])
    world.turn()
    census = world.decider.watching.census
    call = ObserveMembers(census.run.layout.home_of(1), (1,), ("i-0001",))
    assert 1 in census.asked
    census.begin(world.now + 1)
    census.open[call.site] = 1
    census.answered(call, world.now, world.now + 2)

    assert 1 in census.left[call.site] and not census.finished
    assert msgspec.structs.asdict(call)["ordinals"] == (1,)


def test_an_old_answer_does_not_count() -> None:
    """The machine was suspended while a census waited for its answer: the members are observed
    again, since one may have gone down meanwhile.
    """
    world = story([member(0), member(1, **WINDOWS)])
    world.turn()
    census = world.decider.watching.census
    call = ObserveMembers(census.run.layout.home_of(1), (1,), ("i-0001",))
    sent_at = world.now
    assert 1 in census.asked

    assert not census.answered(call, sent_at, sent_at + limits.STATE_AGE_MAX_MS + 1)
    assert 1 in census.left[call.site] and not census.finished
    again = sent_at + limits.STATE_AGE_MAX_MS + 2 * SECOND
    census.advance(again)
    assert [one.ordinals for one in census.due(again)] == [(1,)]


def test_a_call_of_a_former_round_that_fails_does_not_wake_the_run_at_once() -> None:
    """Nothing of this round is to be observed again, so the run waits for the open calls."""
    world = story([member(0), member(1, **WINDOWS)])
    world.turn()
    census = world.decider.watching.census
    call = ObserveMembers(census.run.layout.home_of(1), (), ())
    census.open[call.site] += 1
    census.failed(call, world.now)
    later = world.now + MINUTE // 2

    wake = census.wake()
    assert list(census.due(later)) == [] and wake is not None and wake > later
