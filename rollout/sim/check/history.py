"""The record of a run, indexed for the checkers: built once, read by all of them.

Joins the cloud's effects with the intents that caused them, and the journal's events with their
positions and instants.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from rollout.core.running.layout import Layout
from rollout.emulator.cloud.ledger import LedgerEntry
from rollout.model import event as ev
from rollout.model.command import Attach, ImportKey, RestartCall
from rollout.model.event import AnyEvent
from rollout.model.outcome import Outcome
from rollout.model.time import Instant
from rollout.sim.world.record import RunRecord, Sent
from rollout.sim.world.scenario import ExternalChange


@dataclass(frozen=True, slots=True)
class Journaled:
    """One event of the journal: its position, time and process.

    `at` is the world's time, `line_at` the process's own, as in the line.
    """

    event: AnyEvent
    seq: int
    at: Instant
    line_at: Instant
    end_bytes: int
    epoch: int


@dataclass(slots=True)
class Intent:
    """One mutation by the journal; `ended` is None without a reply."""

    issued: ev.Issued
    journaled: Journaled
    ended: Journaled | None = None

    @property
    def ids(self) -> tuple[str, ...]:
        """Return the ids of its instances."""
        command = self.issued.command
        return () if isinstance(command, ImportKey) else command.instances

    @property
    def ordinals(self) -> tuple[int, ...]:
        """Return the ordinals of its instances."""
        command = self.issued.command
        return () if isinstance(command, ImportKey) else command.ordinals

    def outcome(self, ordinal: int) -> Outcome | None:
        """Return the outcome for one of them."""
        if self.ended is None or not isinstance(self.ended.event, ev.Settled):
            return None
        return dict(self.ended.event.items).get(ordinal, self.ended.event.outcome)


@dataclass(frozen=True, slots=True)
class AttributedEffect:
    """One effect in the hidden ledger. `n` is its intent, 0 for an external change. A duplicate is
    the effect of a second copy of one request, which no client can prevent.
    """

    entry: LedgerEntry
    n: int
    duplicate: bool

    @property
    def ours(self) -> bool:
        """Return whether this run caused it."""
        return self.n > 0


@dataclass
class History:
    """The record of one run, indexed."""

    record: RunRecord
    layout: Layout = field(init=False)
    ordinal_of: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        self.layout = Layout(self.record.plan)
        self.ordinal_of = {
            target.instance: ordinal for ordinal, target in enumerate(self.layout.targets)
        }

    @cached_property
    def journaled(self) -> list[Journaled]:
        """Return every event of the journal, in order."""
        journaled, epoch = [], 0
        for line, end_bytes in self.record.lines:
            for event in line.body:
                if isinstance(event, ev.RunStarted | ev.Resumed):
                    epoch = event.epoch
                at = line.at + self.record.lag_in(epoch, line.seq)
                journaled.append(Journaled(event, line.seq, at, line.at, end_bytes, epoch))
        return journaled

    @cached_property
    def intents(self) -> dict[int, Intent]:
        """Return every intent by its number."""
        found: dict[int, Intent] = {}
        for journaled in self.journaled:
            if isinstance(journaled.event, ev.Issued):
                found[journaled.event.n] = Intent(journaled.event, journaled)
            elif isinstance(journaled.event, ev.Settled):
                intent = found.get(journaled.event.n)
                if intent and intent.ended is None and intent.journaled.epoch == journaled.epoch:
                    intent.ended = journaled
        return found

    @cached_property
    def sent(self) -> list[Sent]:
        """Return every mutation that was sent."""
        return self.record.sent

    @cached_property
    def effects(self) -> list[AttributedEffect]:
        """Return all effects in the cloud after planning."""
        arrivals, foreign = self.record.arrivals, self.record.foreign
        found = []
        for entry in self.record.cloud.ledger.since(self.record.planned_effects):
            if entry.request_id in foreign:
                found.append(AttributedEffect(entry, 0, duplicate=False))
            elif entry.request_id in arrivals.duplicates:
                found.append(
                    AttributedEffect(entry, arrivals.duplicates[entry.request_id], duplicate=True)
                )
            else:
                found.append(
                    AttributedEffect(
                        entry, arrivals.calls.get(entry.request_id, -1), duplicate=False
                    )
                )
        return found

    @cached_property
    def restarts(self) -> dict[str, list[AttributedEffect]]:
        """Return the restarts of each instance by anyone, in order."""
        return self._effects_of("reboot", "start")

    @cached_property
    def attaches(self) -> dict[str, list[AttributedEffect]]:
        """Return the attaches of each instance by anyone, in order."""
        return self._effects_of("attach")

    @cached_property
    def restart_intents(self) -> dict[int, list[Intent]]:
        """Return intents to restart, by ordinal, in order."""
        return self._intents_of(RestartCall)

    @cached_property
    def attach_intents(self) -> dict[int, list[Intent]]:
        """Return intents to attach, by ordinal, in order."""
        return self._intents_of(Attach)

    @cached_property
    def moves(self) -> dict[int, list[tuple[ev.Moved, Journaled]]]:
        """Return the moves of each target by observations and times, in order."""
        found: dict[int, list[tuple[ev.Moved, Journaled]]] = {}
        for journaled in self.journaled:
            if isinstance(journaled.event, ev.Moved):
                for ordinal in journaled.event.ordinals:
                    found.setdefault(ordinal, []).append((journaled.event, journaled))
        return found

    @cached_property
    def held(self) -> set[int]:
        """Return the targets that were held at some time."""
        holds = (one.event for one in self.journaled if isinstance(one.event, ev.Held))
        return {ordinal for hold in holds for ordinal in hold.ordinals}

    def touched(self, instance: str, *hands: ExternalChange) -> bool:
        """Return whether one of these external changes (or any) concerned the instance."""
        found = [drift.change for _, drift in self.record.touched.get(instance, ())]
        return any(change in hands or not hands for change in found)

    def fact(self, name: str, instance: str) -> bool:
        """Return whether the instance has this instance fault."""
        return self.record.cloud.faults.has(name, instance)

    def _effects_of(self, *words: str) -> dict[str, list[AttributedEffect]]:
        found: dict[str, list[AttributedEffect]] = {}
        for effect in self.effects:
            if effect.entry.effect in words and effect.entry.instance is not None:
                found.setdefault(effect.entry.instance, []).append(effect)
        return found

    def _intents_of(self, kind: type[Attach | RestartCall]) -> dict[int, list[Intent]]:
        found: dict[int, list[Intent]] = {}
        for intent in self.intents.values():
            if isinstance(intent.issued.command, kind):
                for ordinal in intent.ordinals:
                    found.setdefault(ordinal, []).append(intent)
        return found
