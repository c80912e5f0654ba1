"""A broken core is caught: each mutation takes away one rule, and the checkers must notice."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from rollout.core.planning import last
from rollout.core.running import (
    attach_evidence,
    evidence,
    evolve,
    evolve_calls,
    evolve_phases,
    evolve_waves,
    gate_queries,
    gates,
    ledger,
    quarantine,
    restart_evidence,
    thresholds,
    windows,
)
from rollout.core.running.arrivals import Arrival, CallEnded
from rollout.core.running.decider import Decider
from rollout.core.running.findings import Findings
from rollout.core.running.journey import Phase
from rollout.core.running.loop import Loop
from rollout.core.running.rates import Rates
from rollout.core.running.state import Run
from rollout.core.running.stations import Station
from rollout.core.running.waiting import Waiting
from rollout.engines.clock import WallJumps
from rollout.journal.directory import LockedDirectory
from rollout.journal.locks.leases import LeaseClaim, Leases
from rollout.journal.locks.ownership import Claim
from rollout.model import approval, limits
from rollout.model.approval import Approvers
from rollout.model.command import Attach, ObserveKeyPair
from rollout.model.event import (
    AnyEvent,
    Issued,
    OperatorCommand,
    Settled,
    Trigger,
    WaveClosed,
)
from rollout.model.instance import Instance
from rollout.model.outcome import Answer, Done, Unknown
from rollout.model.plan import Plan
from rollout.model.site import Site
from rollout.model.time import HOUR, Instant
from rollout.sim.check import trial
from rollout.sim.world import calls, scenario
from rollout.sim.world.disk import SimDisk
from rollout.sim.world.scenario import Scenario
from tests.sim import meddled

SEEDS = tuple(dict.fromkeys((17, 76, *range(7), 20, 23, 29, 65, 108, 119, *range(120))))
"""The first ones find what few seeds find. A core that continues after a halt spends a minute in
seeds 7 and 11, and is caught in 17. In `test_seeds` the checkers find nothing wrong with the
unchanged core in these seeds.
"""
BESIDE = range(24)
"""Seeds of scenarios with another run."""

Break = Callable[[pytest.MonkeyPatch], None]


def skip_the_budget_check(patch: pytest.MonkeyPatch) -> None:
    """Every group always has a permit."""
    bounded = ledger.Ledger.of

    def unbounded(*made_of: Any) -> ledger.Ledger:
        made = bounded(*made_of)
        made.caps = [1_000 for _ in made.caps]
        return made

    patch.setattr(ledger.Ledger, "of", unbounded)


def respect_the_first_group_alone(patch: pytest.MonkeyPatch) -> None:
    """Of the groups of an instance only the first has a cap."""

    def first(book: ledger.Ledger, ordinal: int) -> tuple[int, ...]:
        return book.layout.targets[ordinal].groups[:1]

    patch.setattr(ledger.Ledger, "groups_of", first)
    patch.setattr(ledger.Ledger, "reboot_groups", first)


def forget_ended_restarts(patch: pytest.MonkeyPatch) -> None:
    """A restart counts against the rates only while its call is open."""
    end = Rates.end
    patch.setattr(Rates, "end", lambda self, ordinal, _: end(self, ordinal, None))


def reboot_twice(patch: pytest.MonkeyPatch) -> None:
    """What shows no sign of a restart is taken as not restarted, also where it was accepted."""
    _check_nothing(patch)
    patch.setattr(restart_evidence, "_untouched", lambda *_: True)


def forget_the_settle_window(patch: pytest.MonkeyPatch) -> None:
    """What was lost is judged at once."""
    patch.setattr(Run, "settle_end", lambda *_: 0)
    patch.setattr(restart_evidence, "_untouched", lambda *_: True)


def trust_a_lost_reply(patch: pytest.MonkeyPatch) -> None:
    """A call without a reply counts as done."""
    receive = Loop.receive

    def trusting(self: Loop, arrival: Arrival) -> None:
        match arrival:
            case CallEnded(n, Answer(Unknown())):
                arrival = CallEnded(n, Answer(Done()))
        receive(self, arrival)

    patch.setattr(Loop, "receive", trusting)
    patch.setattr(restart_evidence, "_boot_evidence", lambda record, _: "answer" * record.answered)
    patch.setattr(restart_evidence, "_runs_again", lambda *_: True)


def believe_any_running(patch: pytest.MonkeyPatch) -> None:
    """Running is believed, however old the observation."""
    patch.setattr(restart_evidence, "_runs_again", lambda *_: True)


def believe_a_status_at_once(patch: pytest.MonkeyPatch) -> None:
    """Running is taken for true, however shortly before it an attach or a restart was."""
    patch.setattr(limits, "STATUS_LAG_MS", 0)


def free_the_permit_of_a_lost_restart(patch: pytest.MonkeyPatch) -> None:
    """A boot that is seen is ours, and no lost restart arrives after it."""
    patch.setattr(restart_evidence, "_own_boot_from", lambda *_: 0)


def forget_who_was_judged_absent(patch: pytest.MonkeyPatch) -> None:
    """A restart that shows after its settle window is nobody's."""
    patch.setattr(evolve_phases, "_JUDGED_ABSENT", frozenset())


def never_give_up(patch: pytest.MonkeyPatch) -> None:
    """Nobody counts how often an instance was asked to restart."""
    for module in (attach_evidence, restart_evidence):
        patch.setattr(module, "spent", lambda *_: False)


def drop(kind: type) -> Break:
    """Every fifth event of a kind is not written."""

    def broken(patch: pytest.MonkeyPatch) -> None:
        take = Decider.take_events
        seen = [0]

        def written(event: AnyEvent) -> bool:
            seen[0] += isinstance(event, kind)
            return not (isinstance(event, kind) and seen[0] % 5 == 0)

        def dropping(self: Decider) -> list[AnyEvent]:
            return [event for event in take(self) if written(event)]

        patch.setattr(Decider, "take_events", dropping)

    broken.__name__ = f"drop_{kind.__name__}"
    return broken


def never_sync(patch: pytest.MonkeyPatch) -> None:
    """Intents are written and not made durable."""
    patch.setattr(SimDisk, "fdatasync", lambda *_: None)


def believe_absence(patch: pytest.MonkeyPatch) -> None:
    """What is missing from one answer is gone."""

    def gone(findings: Findings, ordinal: int, **_: object) -> None:
        findings.move(ordinal, Trigger.DROPPED, "gone")

    patch.setattr(evidence, "_missing", gone)


def continue_after_a_halt(patch: pytest.MonkeyPatch) -> None:
    """Nothing stops a run: it only says that it does."""
    patch.setattr(Run, "stopping", property(lambda self: self.closed is not None))


def attach_over_anything(patch: pytest.MonkeyPatch) -> None:
    """Nobody compares before setting, nor on the way into the state."""
    _check_nothing(patch)
    patch.setattr("rollout.core.running.drift.judge", lambda *_, **__: None)


def attach_the_first_key(patch: pytest.MonkeyPatch) -> None:
    """Every attach takes the plan's first key, whichever key its targets are to get."""
    of_intent = calls.of_intent

    def first(issued: Issued, site: Site, plan: Plan) -> calls.ApiRequest:
        if isinstance(issued.command, Attach):
            command = msgspec.structs.replace(issued.command, key=0)
            issued = msgspec.structs.replace(issued, command=command)
        return of_intent(issued, site, plan)

    patch.setattr(calls, "of_intent", first)


def restart_before_the_attach(patch: pytest.MonkeyPatch) -> None:
    """A read-back that shows the former key is good enough."""
    attaching = evidence._JUDGES[Phase.ATTACHING]

    def eager(findings: Findings, ordinal: int, instance: Instance) -> None:
        if findings.run.attach_tries[ordinal]:
            findings.move(ordinal, Trigger.OBSERVED_ATTACHED, "key_pair")
            findings.ready.append(ordinal)
        else:
            attaching(findings, ordinal, instance)

    patch.setitem(evidence._JUDGES, Phase.ATTACHING, eager)


def ask_too_many(patch: pytest.MonkeyPatch) -> None:
    """Attaches run ahead of every limit, and nobody counts them on the way into the state."""
    _check_nothing(patch)
    patch.setattr(ledger.Ledger, "attachable", lambda self, ordinals, *_: (list(ordinals), []))


def pass_over_failures(patch: pytest.MonkeyPatch) -> None:
    """No number of failures halts a run."""
    patch.setattr("rollout.core.running.thresholds.halt", lambda _: None)


def ignore_aborts(patch: pytest.MonkeyPatch) -> None:
    """A run that an operator aborts continues."""
    patch.setitem(evolve._FOLDS, OperatorCommand, lambda *_: None)


def let_anybody_in(patch: pytest.MonkeyPatch) -> None:
    """The lock is never checked."""
    patch.setattr(SimDisk, "seize", lambda *_: True)


def forget_the_lock_of_the_journal(patch: pytest.MonkeyPatch) -> None:
    """Only the lock files are locked, which can be removed."""
    seize = SimDisk.seize

    def blind(disk: SimDisk, handle: int) -> bool:
        file = disk._handles[handle]
        names = [path.name for path, one in disk.files.items() if one is file]
        return any(name.startswith("journal-") for name in names) or seize(disk, handle)

    patch.setattr(SimDisk, "seize", blind)


def overlook_a_lost_run(patch: pytest.MonkeyPatch) -> None:
    """A process continues after its locks were removed."""
    patch.setattr(Claim, "lost", lambda _: "")


def forget_lost_time(patch: pytest.MonkeyPatch) -> None:
    """Nobody compares the wall clock with the steady one."""
    patch.setattr(WallJumps, "gained_since", lambda *_: 0)


def believe_the_name_of_a_key_pair(patch: pytest.MonkeyPatch) -> None:
    """A key pair of the right name is taken for the plan's."""
    looked = Decider.key_pair_observed

    def trusting(self: Decider, look: ObserveKeyPair, _key: str, _print: str, now: Instant) -> None:
        region = self.run.plan.keys[0].regions[0]
        looked(self, look, self.run.plan.keys[0].public_key, region.fingerprint, now)

    patch.setattr(Decider, "key_pair_observed", trusting)


def restart_next_to_others(patch: pytest.MonkeyPatch) -> None:
    """Nobody counts instances that others attached the new key to."""
    patch.setattr(thresholds, "_elsewhere", lambda _: None)


def start_what_others_stopped(patch: pytest.MonkeyPatch) -> None:
    """Stopped instances are started, regardless of who stopped them, without a check."""

    def eager(findings: Findings, ordinal: int, instance: Instance) -> None:
        attach_evidence._steady(findings, ordinal, instance, findings.ready)

    _check_nothing(patch)
    patch.setattr(attach_evidence, "_ready", eager)


def give_up_on_the_busy(patch: pytest.MonkeyPatch) -> None:
    """The first refusal of a busy instance is the last."""
    patch.setattr(evolve_calls, "_busy_too_long", lambda *_: True)


def forget_gates(patch: pytest.MonkeyPatch) -> None:
    """The next wave starts at once, whatever the plan says."""
    _check_nothing(patch)
    patch.setitem(evolve._FOLDS, WaveClosed, _close_without_gate)


def _close_without_gate(run: Run, _: WaveClosed) -> None:
    run.wave_open = None
    run.waves_closed += 1


def believe_every_answer(patch: pytest.MonkeyPatch) -> None:
    """An answer that keeps a gate shut, or is missing, opens it too."""
    _check_nothing(patch)
    patch.setattr(gate_queries, "all_open", lambda run, _: _all_answered(run))


def _all_answered(run: Run) -> bool:
    answers = run.gate.answers if run.gate is not None else {}
    return all(index in answers for index in gate_queries.asked(run))


def open_gates_at_once(patch: pytest.MonkeyPatch) -> None:
    """Nobody waits for the end of a bake."""
    _check_nothing(patch)
    patch.setattr(Run, "baked_at", property(lambda run: run.gate and 0))


def promote_without_operators(patch: pytest.MonkeyPatch) -> None:
    """Every gate counts as automatic."""
    _check_nothing(patch)
    patch.setattr(gates, "unanswered", lambda _: False)


def ignore_pauses(patch: pytest.MonkeyPatch) -> None:
    """A pause is journaled and not obeyed."""
    fold = evolve._operator_command

    def folded(run: Run, order: OperatorCommand) -> None:
        fold(run, order)
        run.paused = None

    patch.setitem(evolve._FOLDS, OperatorCommand, folded)


def park_outside_the_queue(patch: pytest.MonkeyPatch) -> None:
    """Instances that wait for a permit are in no queue from which they are woken."""

    def park(self: Waiting, ordinal: int, _: int) -> None:
        self.leave(ordinal)
        self.stations.move(ordinal, Station.PARKED)

    patch.setattr(Waiting, "park", park)


def keep_the_station_of_the_finished(patch: pytest.MonkeyPatch) -> None:
    """Finished and held instances are not taken out of their queues."""
    patch.setattr(Waiting, "finish", lambda *_: None)


def ignore_the_limit_of_failures(patch: pytest.MonkeyPatch) -> None:
    """No limit of the spec halts the run."""
    patch.setattr(thresholds, "_stated", lambda *_: None)


def admit_without_count(patch: pytest.MonkeyPatch) -> None:
    """Open instances do not count as failures when others are admitted."""
    _check_nothing(patch)
    patch.setattr(thresholds, "admissible", lambda *_: None)


def forget_windows(patch: pytest.MonkeyPatch) -> None:
    """No window ever closes."""
    _check_nothing(patch)
    patch.setattr(windows, "verdict", lambda *_: None)


def begin_until_the_close(patch: pytest.MonkeyPatch) -> None:
    """Calls begin until a window closes, however long a restart takes."""
    patch.setattr(windows, "_last_start", lambda _, window: window.closes)


def count_approvals_of_other_plans(patch: pytest.MonkeyPatch) -> None:
    """A note approves every plan."""
    read = approval.read

    def any_plan(note: str, approvers: Approvers) -> approval.Approval:
        return read(note, approvers)._replace(digest=_AnyDigest())

    patch.setattr(approval, "read", any_plan)


class _AnyDigest(str):
    """A digest that equals every other one."""

    __slots__ = ()
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        return True


def let_authors_approve(patch: pytest.MonkeyPatch) -> None:
    """The approval of a plan's author counts."""
    patch.setattr(Approvers, "is_author", lambda *_: False)


def hold_no_cohort(patch: pytest.MonkeyPatch) -> None:
    """An image or a zone that fails alone is not held."""
    patch.setattr(quarantine, "due", lambda _: None)


def send_without_the_lease(patch: pytest.MonkeyPatch) -> None:
    """A process does not notice that its lease expired or was taken over."""
    patch.setattr(Leases, "lost", lambda _: "")
    patch.setattr(Leases, "left_ms", lambda _: HOUR)


def seize_leases_at_once(patch: pytest.MonkeyPatch) -> None:
    """A lease that was not renewed for a moment has expired."""
    patch.setattr(limits, "LEASE_LIVE_MS", 0)
    patch.setattr(LeaseClaim, "_has_expired", lambda *_: True)


def keep_the_lock_of_all_runs(patch: pytest.MonkeyPatch) -> None:
    """A process that drives a run lets no other one take leases."""
    patch.setattr(LockedDirectory, "share", lambda *_: None)


def restart_last_like_others(patch: pytest.MonkeyPatch) -> None:
    """The planner ignores the rules of `last`."""
    patch.setattr(last, "order", lambda _, parts, *__: last.Ordered(parts))


def overlook_members_that_are_down(patch: pytest.MonkeyPatch) -> None:
    """Members that are down without the run take no permits."""
    patch.setattr(ledger.Ledger, "_count_outside", lambda *_: None)


def _check_nothing(patch: pytest.MonkeyPatch) -> None:
    """No rule is checked on the way into the state."""
    for module in (evolve, evolve_calls, evolve_waves):
        patch.setattr(module, "invariant", lambda *_, **__: None)


MUTATIONS: tuple[tuple[Break, str], ...] = (
    (skip_the_budget_check, "BudgetHeld"),
    (respect_the_first_group_alone, "BudgetHeld"),
    (forget_ended_restarts, "RateHeld"),
    (overlook_members_that_are_down, "MembersCounted"),
    (reboot_twice, "RestartedOnce"),
    (forget_the_settle_window, "SettledFirst"),
    (trust_a_lost_reply, "InForce"),
    (believe_any_running, "InForce"),
    (drop(Issued), "EffectsIntended"),
    (drop(Settled), "OneOpen"),
    (never_sync, "DurableFirst"),
    (believe_absence, "GoneIsGone"),
    (let_anybody_in, "OneProcess"),
    (forget_the_lock_of_the_journal, "OneProcess"),
    (overlook_a_lost_run, "OneProcess"),
    (continue_after_a_halt, "HaltHolds"),
    (attach_over_anything, "CompareAndSet"),
    (attach_the_first_key, "CompareAndSet"),
    (restart_before_the_attach, "AttachFirst"),
    (ask_too_many, "JournalSound"),
    (pass_over_failures, "JournalSound"),
    (pass_over_failures, "LaterWavesWait"),
    (forget_lost_time, "SentInTime"),
    (believe_the_name_of_a_key_pair, "OwnMaterial"),
    (give_up_on_the_busy, "BusyWaits"),
    (ignore_aborts, "HaltHolds"),
    (start_what_others_stopped, "StartsAsPlanned"),
    (forget_gates, "GatesAnswered"),
    (promote_without_operators, "GatesAnswered"),
    (believe_every_answer, "GatesAnswered"),
    (open_gates_at_once, "BakesHeld"),
    (ignore_pauses, "PauseHolds"),
    (ignore_the_limit_of_failures, "FailureLimits"),
    (admit_without_count, "FailureLimits"),
    (forget_windows, "WindowsHeld"),
    (begin_until_the_close, "WindowsHeld"),
    (park_outside_the_queue, "OneStation"),
    (keep_the_station_of_the_finished, "OneStation"),
)


@pytest.mark.parametrize(
    "mutation, checker", MUTATIONS, ids=lambda value: getattr(value, "__name__", value)
)
def test_a_broken_core_is_caught(
    mutation: Break, checker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each rule that is taken away is missed by the checker that stands for it, within a few dozen
    seeds: that the run breaks down for want of the rule is not enough.
    """
    mutation(monkeypatch)

    found = (trial.run(seed).wrong for seed in SEEDS)

    assert any(checker in text.split(":")[0] for wrong in found for text in wrong)


OF_FEATURES: tuple[tuple[Break, str, Callable[[Scenario], object]], ...] = (
    (send_without_the_lease, "LeasesHeld", lambda one: one.leasing.others),
    (seize_leases_at_once, "LeasesHeld", lambda one: one.leasing.others),
    (keep_the_lock_of_all_runs, "LeasesHeld", lambda one: one.leasing.others),
    (restart_last_like_others, "LastOnes", lambda one: one.ordering.numbers),
    (hold_no_cohort, "CohortsHeld", lambda one: one.cohort.fault),
    (count_approvals_of_other_plans, "ApprovedFirst", lambda one: one.approving.required),
    (let_authors_approve, "ApprovedFirst", lambda one: one.approving.required),
)
"""Mutations of rules that few scenarios have, and the scenarios that have them."""


@pytest.mark.parametrize(
    "mutation, checker, feature", OF_FEATURES, ids=lambda value: getattr(value, "__name__", value)
)
def test_a_broken_rule_of_few_scenarios_is_caught(
    mutation: Break,
    checker: str,
    feature: Callable[[Scenario], object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As above, within a few dozen seeds whose scenario has the rule."""
    mutation(monkeypatch)

    seeds = (seed for seed in range(1_000) if feature(scenario.draw(seed)))
    found = (trial.run(seed).wrong for seed in seeds)

    assert any(checker in text.split(":")[0] for wrong in found for text in wrong)


@pytest.mark.parametrize(
    "mutation, seed, checker",
    [
        (believe_a_status_at_once, 71, "P4"),
        (believe_a_status_at_once, 611, "P6"),
        (free_the_permit_of_a_lost_restart, 2127, "P6"),
    ],
)
def test_external_reboots_excuse_nothing(
    mutation: Break, seed: int, checker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A core that takes another hand's boot for its own is caught by budget and by `done`; the
    whole core keeps both in the same scenario.
    """
    assert not meddled.wrong(seed)
    mutation(monkeypatch)

    assert any(checker in text.split()[0].split("/") for text in meddled.wrong(seed))


def test_attempts_are_bounded_over_all_processes_of_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """A core that asks a fourth time is caught; the whole core does not in the same scenario."""
    assert not meddled.wrong(95)
    never_give_up(monkeypatch)

    assert any(text.startswith("I-37") for text in meddled.wrong(95))


def test_a_restart_observed_late_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    """A core that no longer knows what it judged absent restarts twice; the whole core does not
    in the same scenario.
    """
    assert not meddled.trailing(17)
    forget_who_was_judged_absent(monkeypatch)

    assert any(text.startswith("I-12") for text in meddled.trailing(17))


def test_a_run_during_another_run_halts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A core that does not count what others attached restarts their instances too, and is caught;
    the whole core does not in the same scenarios.
    """
    assert not [seed for seed in BESIDE if meddled.during_another_run(seed)]
    restart_next_to_others(monkeypatch)

    found = [text for seed in BESIDE for text in meddled.during_another_run(seed)]
    assert any(text.startswith("I-64") for text in found)
