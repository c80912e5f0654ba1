"""A run whose journal becomes a golden journal: the decider with the emulated service of its tests.

Used by `tests.golden_journals`.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from rollout.app import plan_file
from rollout.core.running.arrivals import Reply
from rollout.journal import writer
from rollout.journal.reader import run_id
from rollout.model import event as ev
from rollout.model.command import Observation, ObserveKeyPair, QueryGate
from rollout.model.event import AnyEvent, OperatorVerb
from rollout.model.gate import GateAnswer, GateReply
from rollout.model.observation import KeyDescribed
from rollout.model.plan import Plan
from rollout.model.time import Instant
from tests.core import samples
from tests.core.world import LATENCY_MS, Script, World

OPEN = GateReply(GateAnswer.OPEN, "204")


class GoldenRun(World):
    """A run that records the time of each event."""

    def __init__(self, plan: Plan, *args: object, **kwargs: object) -> None:
        self.saved = plan_file.with_digest(plan)
        self.times: list[Instant] = []
        self.answers: list[GateReply] = []
        """Answers to the next questions of gates; all later ones open the gate."""
        self.public_key = ""
        """The public key of every key pair, if it is not the plan's."""
        super().__init__(plan, *args, **kwargs)  # type: ignore[arg-type]

    def start(self) -> GoldenRun:
        digest = self.saved.digest
        self.decider.start(run_id(digest), digest, samples.ACTOR, self.now)
        return self

    def order(
        self,
        verb: OperatorVerb,
        *,
        reason: str = "",
        instance: str = "",
        resolution: ev.Resolution | None = None,
    ) -> str:
        """Apply a command of an operator now; return why it was refused."""
        name, about = f"{len(self.journal):04x}", (reason, instance, resolution)
        order = ev.OperatorCommand(name, verb, samples.ACTOR, self.now, "inbox", *about)
        return self.decider.operate(order, self.now)

    def _look(self, look: Observation) -> None:
        if isinstance(look, ObserveKeyPair):
            key = self.public_key or self.plan.keys[look.key].public_key
            self._reply(look, KeyDescribed(key, samples.FINGERPRINT, self.now))
        elif isinstance(look, QueryGate):
            self._reply(look, self.answers.pop(0) if self.answers else OPEN)
        else:
            super()._look(look)

    def _reply(self, look: Observation, reply: Reply) -> None:
        decider, asked = self.decider, self.now
        tell = lambda: decider.observation_ended(look, reply, asked, self.now)  # noqa: E731
        self._answer(self.now + LATENCY_MS, tell)

    def _append(self, event: AnyEvent) -> None:
        super()._append(event)
        self.times.append(self.now)

    def lines(self) -> Iterator[tuple[Instant, list[AnyEvent]]]:
        """Yield the events of each instant; the instant is the time of their line."""
        pairs = zip(self.times, self.journal, strict=True)
        for at, group in groupby(pairs, key=lambda pair: pair[0]):
            yield at, [event for _, event in group]

    def write(self, runs_dir: Path) -> Path:
        """Write the run as its process left it: with a seal if the process closed or stopped the
        run.
        """
        journal = writer.create(runs_dir, run_id(self.saved.digest), self.saved.raw)
        for at, events in self.lines():
            journal.append(events, at)
            journal.sync_now()
        if self.run.closed or self.run.stopping:
            journal.close()
        journal.release()
        (journal.run_dir / "reserve").unlink(missing_ok=True)
        return journal.run_dir


def golden(size: int, script: Script | None = None, **changes: object) -> GoldenRun:
    """Start a run of `size` instances, of which two may be down at a time."""
    rows = samples.fleet(size)
    return GoldenRun(samples.make_plan(rows, samples.capped(2, **changes)), rows, script).start()
