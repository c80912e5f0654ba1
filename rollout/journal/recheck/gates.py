"""The answers to the questions of gates, checked from the journal alone.

Called by `rules` and `waves`. Shares no code with the core.
"""

from __future__ import annotations

from rollout.journal.recheck.instances import Violations
from rollout.model import event as ev
from rollout.model import limits
from rollout.model.gate import GateAnswer
from rollout.model.plan import Plan


class GateRules:
    """The answers of one run since its last wave closed and since its last resume."""

    def __init__(self, plan: Plan, violations: Violations) -> None:
        self._plan = plan
        self._demand = violations.demand
        self._waits: ev.WaveClosed | None = None
        self._baked: int = 0
        self._answers: dict[int, ev.GateAnswered] = {}
        self._overrides: set[str] = set()

    def wave_closed(self, event: ev.WaveClosed) -> None:
        """Wait for answers, if the wave asks questions."""
        wave = self._plan.waves[event.wave]
        self._waits = event if wave.gates else None
        self._baked = event.at + wave.bake_ms
        self._answers, self._overrides = {}, set()

    def resumed(self) -> None:
        """Forget the answers: a resumed run asks again."""
        self._answers = {}

    def answered(self, event: ev.GateAnswered) -> None:
        """Check that a gate waits for this answer; one that does not open it restarts its bake."""
        wave = self._plan.waves[event.wave]
        waits = self._waits is not None and self._waits.wave == event.wave
        text = f"an answer to question {event.gate} after wave {wave.name}, which waits for none"
        self._demand(waits and event.gate in wave.gates, text)
        self._answers[event.gate] = event
        opens = event.answer is GateAnswer.OPEN
        if not opens and event.asked < self._baked and not self._overrides:
            self._baked = event.at + wave.bake_ms

    def commanded(self, event: ev.OperatorCommand) -> None:
        """Note a promotion of a gate that its answers keep shut."""
        shut = any(one.answer is not GateAnswer.OPEN for one in self._answers.values())
        if event.command is ev.OperatorVerb.PROMOTE and shut:
            self._overrides.add(event.id)

    def opened(self, event: ev.GateOpened) -> None:
        """Check that each question has a recent answer that opens the gate, or that an operator
        opened it despite the answers.
        """
        waits, self._waits = self._waits, None
        if waits is None or event.order in self._overrides:
            return
        wave = self._plan.waves[waits.wave]
        for gate in wave.gates:
            answer = self._answers.get(gate)
            opens = answer is not None and answer.answer is GateAnswer.OPEN
            text = f"the gate after wave {wave.name} opened, but question {gate} kept it shut"
            self._demand(opens, text)
            if answer is None or not opens:
                continue
            recent = self._baked <= answer.asked >= event.at - limits.GATE_AGE_MAX_MS
            text = f"the gate after wave {wave.name} opened by an old answer to question {gate}"
            self._demand(recent, text)
