"""Checkers of what the run reports: results, classes, budgets, journal and end.

Each compares the run's report with the hidden state of the emulated cloud. Listed and called by
`checkers`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from rollout.core.running.journey import DOWN, Phase
from rollout.emulator.fault_plan import FaultPlan
from rollout.model import event as ev
from rollout.model import limits
from rollout.model.command import RestartCall
from rollout.model.event import Trigger
from rollout.model.observation import spread
from rollout.model.outcome import Done, Refused
from rollout.model.probe import LoginVerdict
from rollout.model.time import Instant
from rollout.sim.check.history import AttributedEffect, History, Journaled
from rollout.sim.world.driver import End
from rollout.sim.world.scenario import ExternalChange

_FAILED = (Phase.FAILED, Phase.STRANDED)


class AttachFirst:
    """A restart only after the new key was observed on the record, and truly is there."""

    ids = ("I-08", "I-18")

    def check(self, history: History) -> Iterator[str]:
        """Compare with the key that each boot installed, by the hidden ledger."""
        record = history.record
        for name, effects in history.restarts.items():
            for effect in effects:
                key = effect.entry.key_pair
                wanted = effect.ours and key == record.wanted[name].name
                if effect.ours and not wanted and not history.touched(name, ExternalChange.KEY):
                    yield f"{name} restarted on {key}"
        for n, intent in history.intents.items():
            if isinstance(intent.issued.command, RestartCall) and any(
                observed.key_pair != record.wanted[name].name
                for name, observed in zip(intent.ids, spread(intent.issued.observed), strict=True)
            ):
                yield f"intent {n} restarts what was not observed on the new key"
        for ordinal, moves in history.moves.items():
            target = history.layout.targets[ordinal]
            for move, journaled in moves:
                if move.trigger is Trigger.OBSERVED_ATTACHED and target.attach:
                    attached = history.attaches.get(target.instance, ())
                    if not any(one.entry.at <= journaled.at for one in attached):
                        yield f"{target.instance} is said to be attached and never was"


class InForce:
    """`done` only after a boot later than the attach has ended, on the new key.

    One case is accepted: the run's restart was lost, a replica far behind reported the end of an
    external boot from before the attach as a later one, and StartTime does not change here.
    """

    ids = ("I-19", "I-20", "I-24", "P4")

    _REKEYS: ClassVar[tuple[ExternalChange, ...]] = (ExternalChange.KEY, ExternalChange.GONE)
    """External changes after which another key, or none, may be in force at the end."""

    _GUESTS: ClassVar[tuple[str, ...]] = ("key_never_installed", "key_installed_late")
    """Faults that only a login shows: see `logins`."""

    def check(self, history: History) -> Iterator[str]:
        """Compare with the boots in the hidden ledger and with the key that the guest accepts."""
        run, wanted = history.record.run, history.record.wanted
        for ordinal, moves in history.moves.items():
            name = history.layout.targets[ordinal].instance
            for move, journaled in moves:
                if move.trigger is not Trigger.OBSERVED_RUNNING:
                    continue
                boots = history.restarts.get(name, ())
                proved = any(
                    self._proves(effect, wanted[name].name, journaled.at) for effect in boots
                )
                if not proved and not self._observed_late(history, ordinal):
                    yield f"{name} is said to be done without a boot on the new key"
        if run is None or history.record.keys_replaced:
            return
        now = history.record.ended
        in_force = {s.instance: s.key_in_force for s in history.record.cloud.observe(now)}
        for ordinal, target in enumerate(history.layout.targets):
            name = target.instance
            odd = any(history.fact(fault, name) for fault in self._GUESTS) or history.touched(
                name, *self._REKEYS
            )
            odd = odd or self._observed_late(history, ordinal)
            done = run.phase(ordinal) is Phase.DONE
            if done and not odd and in_force.get(name) != wanted[name].name:
                yield f"{name} is done and {in_force.get(name)} is in force"

    def _observed_late(self, history: History, ordinal: int) -> bool:
        scenario = history.record.scenario
        lag_ms = FaultPlan(scenario.faults).lag_ms_max
        received = [one.outcome(ordinal) for one in history.restart_intents.get(ordinal, ())]
        answered = any(isinstance(outcome, Done) for outcome in received)
        if not lag_ms or answered or scenario.switches.start_time_moves_on_reboot:
            return False
        shown = [
            (
                journaled.at - lag_ms - scenario.switches.describe_lag_ms - limits.CALL_TIMEOUT_MS,
                journaled.at,
            )
            for move, journaled in history.moves.get(ordinal, ())
            if move.trigger is Trigger.OBSERVED_BOOTED and move.evidence == "status"
        ]
        boots = history.restarts.get(history.layout.targets[ordinal].instance, ())
        ends = [boot.entry.until for boot in boots if not boot.ours]
        return any(end is not None and since < end < at for since, at in shown for end in ends)

    def _proves(self, effect: AttributedEffect, wanted: str, at: Instant) -> bool:
        entry = effect.entry
        return entry.key_pair == wanted and entry.until is not None and entry.until <= at


class FailedByFact:
    """Never `failed` where the result is only unknown."""

    ids = ("I-21",)

    def check(self, history: History) -> Iterator[str]:
        """Require a permanent refusal, a read-back after the window, or a timeout."""
        run = history.record.run
        ends = (Trigger.GAVE_UP, Trigger.TIMED_OUT)
        probed = {
            one.event.ordinal
            for one in history.journaled
            if isinstance(one.event, ev.LoginProbed)
            and one.event.verdict is not LoginVerdict.PROVED
        }
        for ordinal in range(len(history.layout.targets)) if run else ():
            if run is None or run.phase(ordinal) is not Phase.FAILED:
                continue
            refused = [
                intent.outcome(ordinal) for intent in history.attach_intents.get(ordinal, ())
            ]
            moved = any(m.trigger in ends for m, _ in history.moves.get(ordinal, ()))
            if (
                not moved
                and ordinal not in probed
                and not any(isinstance(one, Refused) for one in refused)
            ):
                yield f"{history.layout.targets[ordinal].instance} failed on nothing known"


class GoneIsGone:
    """An instance that a reply omits is not gone."""

    ids = ("I-22",)

    def check(self, history: History) -> Iterator[str]:
        """Compare with the releases in the scenario, which must come first."""
        for ordinal, moves in history.moves.items():
            name = history.layout.targets[ordinal].instance
            touches = history.record.touched.get(name, ())
            for move, journaled in moves:
                if move.trigger is Trigger.DROPPED and move.evidence == "gone":
                    released = [at for at, drift in touches if drift.change is ExternalChange.GONE]
                    if not released or released[0] > journaled.at:
                        yield f"{name} is said to be gone and is there"


class ClassesPartition:
    """At the close every instance of the inventory is in exactly one class, and in the true one."""

    ids = ("I-25", "I-27", "P5")

    def check(self, history: History) -> Iterator[str]:
        """Compare the close with the inventory. Attached instances without a boot need a class."""
        record, run = history.record, history.record.run
        closed = [t.event for t in history.journaled if isinstance(t.event, ev.RunClosed)]
        for event in closed:
            if sum(event.counts.values()) != record.plan.counts.found:
                yield f"the classes {event.counts} do not sum to {record.plan.counts.found}"
        if not closed or run is None or record.keys_replaced:
            return
        wanted = {name: key.name for name, key in record.wanted.items()}
        loose = {
            s.instance: s.status
            for s in record.cloud.observe(record.ended)
            if s.key_pair == wanted.get(s.instance) != s.key_in_force and s.status == "Running"
        }
        for ordinal, target in enumerate(history.layout.targets):
            skipped = run.phase(ordinal) is Phase.SKIPPED
            ours = [one for one in history.attaches.get(target.instance, ()) if one.ours]
            if (
                skipped
                and ours
                and target.instance in loose
                and not history.touched(target.instance)
            ):
                yield f"{target.instance} has the key attached, not in force, and is skipped"


class BudgetHeld:
    """Never more of a group down at once than its cap, by the hidden ledger: the run's reboots
    alone never exceed it, whatever other operators do.
    """

    ids = ("I-28", "P6")

    _TAKES_OVER: ClassVar[tuple[ExternalChange, ...]] = (ExternalChange.GONE, ExternalChange.HANGS)
    """External changes after which the run's reboot no longer keeps an instance down."""
    _STATED: ClassVar[tuple[Trigger, ...]] = (Trigger.STATED_RESTARTED, Trigger.ABANDONED)

    def check(self, history: History) -> Iterator[str]:
        """Sweep over the intervals in which the run's reboots had instances down."""
        groups = history.record.plan.groups
        down = [0] * len(groups)
        for at, change, ordinal in self.changes(history):
            for number in history.layout.targets[ordinal].groups:
                down[number] += change
                if down[number] > groups[number].cap:
                    when = at - history.record.begun
                    yield f"{down[number]} down of {groups[number].cap} at {when} ms"
                    return

    def changes(self, history: History) -> list[tuple[Instant, int, int]]:
        """Return when each reboot of the run brought a target down, as 1, and when it served again
        or was given up, as -1: the time, the change and the ordinal, in order.
        """
        found: list[tuple[Instant, int, int]] = []
        for name, effects in history.restarts.items():
            ordinal = history.ordinal_of.get(name)
            if ordinal is None:
                continue
            for effect in effects:
                if effect.entry.effect == "reboot" and effect.ours and not effect.duplicate:
                    found += self._interval(history, name, ordinal, effect)
        return sorted(found)

    def _interval(
        self, history: History, name: str, ordinal: int, effect: AttributedEffect
    ) -> list[tuple[Instant, int, int]]:
        """Return the interval from the effect until it serves again or an operator gives it up."""
        entry = effect.entry
        ends = [] if entry.until is None else [entry.until]
        ends += [
            at
            for at, drift in history.record.touched.get(name, ())
            if at > entry.at and drift.change in self._TAKES_OVER
        ]
        ends += [
            journaled.at
            for move, journaled in history.moves.get(ordinal, ())
            if move.trigger is Trigger.ASSUMED and journaled.at > entry.at
        ]
        ends += [
            journaled.at
            for _, journaled in self._last_word(history, ordinal)
            if journaled.at > entry.at
        ]
        begun = (entry.at, 1, ordinal)
        return [begun, (min(ends), -1, ordinal)] if ends else [begun]

    def _last_word(self, history: History, ordinal: int) -> list[tuple[ev.Moved, Journaled]]:
        """Return the last move of an instance, if an operator stated it without observation."""
        last = history.moves.get(ordinal, [])[-1:]
        return [one for one in last if one[0].trigger in self._STATED]


class JournalSound:
    """The chain is intact, epochs never decrease, and the recheck finds nothing."""

    ids = ("I-26", "I-29", "I-30", "I-31", "I-40", "I-43")

    def check(self, history: History) -> Iterator[str]:
        """Report what `audit verify` finds in the directory."""
        verdict = history.record.verdict
        if verdict is None:
            yield "the journal was not read"
            return
        for problem in verdict.problems[:3]:
            yield f"{problem.code} {problem.message}"
        if verdict.exposed_peak > history.record.plan.limits.exposed_max:
            yield f"{verdict.exposed_peak} exposed"
        for group in verdict.groups:
            if group.peak > group.cap:
                yield f"{group.key}: {group.peak} permits of {group.cap}"
        sequence = [line.seq for line, _ in history.record.lines]
        if sequence != list(range(1, len(sequence) + 1)):
            yield "a gap in the journal"
        run = history.record.run
        if run is not None and run.closed is not None and run.closed.counts != verdict.classes:
            yield f"the run counts {run.closed.counts}, its journal {verdict.classes}"


class FoldIsState:
    """The state is the fold of the journal, and a turn leaves nothing undecided."""

    ids = ("I-42", "I-59", "P2")

    def check(self, history: History) -> Iterator[str]:
        """Report what the world found during the run."""
        for name in history.record.unfolded:
            yield f"{name} differs between the run and the fold of its journal"
        if history.record.undecided:
            yield "a turn left something undecided"


class OneStation:
    """Each unfinished instance of an opened cell is at exactly one station, in its queue."""

    ids = ("I-65",)

    def check(self, history: History) -> Iterator[str]:
        """Report what the world found after a step."""
        yield from history.record.misplaced[:3]


class RunFinishes:
    """Without faults the run ends: closed, or stopped for a person for a true reason."""

    ids = ("I-52", "I-55", "P21")

    def check(self, history: History) -> Iterator[str]:
        """Compare the end of the last process with the state of the cloud."""
        record, run = history.record, history.record.run
        if record.stuck:
            yield f"stuck: {record.stuck}"
        if record.bug:
            yield record.bug
        if record.stuck or record.bug or run is None or run.closed is not None:
            return
        if run.open_calls:
            yield f"{len(run.open_calls)} calls are open at the end"
        reason = run.halted.reason if run.halted else "nothing"
        changes = {drift.change for drift in record.scenario.drifts}
        keys = ExternalChange.KEY in changes
        # An instance that just got the key from others may refuse the attach as an invalid call.
        again = record.scenario.switches.attach_again_refused
        good = {
            "input": again and ExternalChange.ROTATED in changes,
            "in_doubt": any(run.phase_counts[phase] for phase in DOWN),
            "foreign_key": keys,
            "key_pair": record.keys_replaced,
            "drift": bool(record.scenario.drifts),
            "elsewhere": bool(record.scenario.drifts),
            "failures": any(run.held) or any(run.phase_counts[phase] for phase in _FAILED),
        }
        if not good.get(reason, False):
            yield f"the run ends halted for {reason} though nothing is wrong"
        if reason == "in_doubt" and run.left:
            yield f"{run.left} instances are neither finished nor held"


class DrainsSoon:
    """A drain ends within the timeout of a call, while the machine is awake."""

    ids = ("I-53",)

    def check(self, history: History) -> Iterator[str]:
        """Measure from the signal to the end of the process."""
        for life in history.record.processes:
            if life.drained is None or life.end not in (End.STOPPED, End.CLOSED):
                continue
            took_ms = life.ended - life.drained - history.record.suspended(life.drained, life.ended)
            if took_ms > limits.CALL_TIMEOUT_MS + limits.SYNC_EVERY_MS:
                yield f"a drain took {took_ms} ms"
