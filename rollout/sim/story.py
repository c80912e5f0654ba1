"""What one simulated run left behind: the material of the checkers.

Filled by the world. Truth (the cloud's hidden ledger, what was sent when) and tale (plan, journal,
final state) stand side by side; nothing here judges.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from rollout.core.run import Run
from rollout.emulator.cloud import Cloud
from rollout.emulator.ledger import Entry
from rollout.journal.record import Line
from rollout.journal.verify import Verdict
from rollout.model.plan import Plan
from rollout.model.time import Instant
from rollout.sim.driver import End
from rollout.sim.network import Arrivals
from rollout.sim.scenario import Drift, Scenario


@dataclass(frozen=True, slots=True)
class Sent:
    """One mutation that left: when, and how much of the journal was durable at that moment."""

    n: int
    action: str
    region: str
    ids: tuple[str, ...]
    at: Instant
    durable_bytes: int


@dataclass(frozen=True, slots=True)
class Life:
    """One process: from when to when, how it ended, how its drain went, where it died."""

    begun: Instant
    ended: Instant
    end: End
    died_at: str = ""
    drained: Instant | None = None


@dataclass
class Story:
    """One run from its plan to its end."""

    scenario: Scenario
    cloud: Cloud
    arrivals: Arrivals
    plan: Plan
    raw: bytes
    planned_effects: int = 0
    begun: Instant = 0
    sent: list[Sent] = field(default_factory=list)
    lives: list[Life] = field(default_factory=list)
    lines: list[tuple[Line, int]] = field(default_factory=list)
    foreign: dict[str, Drift] = field(default_factory=dict)
    touched: dict[str, list[tuple[Instant, Drift]]] = field(default_factory=dict)
    keys_replaced: bool = False
    intruders: list[Instant] = field(default_factory=list)
    undecided: int = 0
    unfolded: list[str] = field(default_factory=list)
    words: dict[str, int] = field(default_factory=dict)
    stuck: str = ""
    bug: str = ""
    ended: Instant = 0
    run: Run | None = None
    verdict: Verdict | None = None

    def count(self, word: str) -> None:
        """One more of something that coverage asks for."""
        self.words[word] = self.words.get(word, 0) + 1

    def entries(self) -> list[Entry]:
        """The hidden ledger."""
        return list(self.cloud.ledger)
