"""Systems outside the service that open gates: what they answer, and how long they take.

Asked by the simulated processes. Without spells, as in a rehearsal, every gate is open at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import anyio
import msgspec

from rollout.model.gate import AnyGate, GateAnswer, GateReply
from rollout.model.time import Duration, Instant

QUICK_MS: Duration = 50
"""Time of an answer that is not slow."""


class Spell(msgspec.Struct, frozen=True, order=True):
    """From `at_ms` after the start on, a question has this answer, `after_ms` after it is asked."""

    at_ms: Duration
    answer: GateAnswer
    after_ms: Duration = QUICK_MS


class Answered(msgspec.Struct, frozen=True):
    """One answer as the world gave it: when it was asked, and when it arrives."""

    gate: int
    asked: Instant
    reply: GateReply
    after_ms: Duration


@dataclass
class GateWorld:
    """The answers of a scenario, by question; `given` is the hidden record of them."""

    spells: tuple[tuple[Spell, ...], ...] = ()
    begun: Instant = 0
    gates: tuple[AnyGate, ...] = ()
    now: Callable[[], Instant] = lambda: 0
    given: list[Answered] = field(default_factory=list)

    def answer(self, gate: int, now: Instant) -> Answered:
        """Return the answer to a question asked now, and record it."""
        spells = self.spells[gate] if gate < len(self.spells) else ()
        past = [spell for spell in spells if self.begun + spell.at_ms <= now]
        spell = past[-1] if past else Spell(0, GateAnswer.OPEN)
        reply = GateReply(spell.answer, f"simulated: {spell.answer.value}")
        self.given.append(Answered(gate, now, reply, spell.after_ms))
        return self.given[-1]

    async def ask(self, gate: AnyGate) -> GateReply:
        """See GateSource: the same answer after the same time, for the real engine."""
        given = self.answer(self.gates.index(gate), self.now())
        await anyio.sleep(given.after_ms / 1000)
        return given.reply

    def calm(self) -> None:
        """Open every gate from now on, without delay."""
        self.spells = ()
