"""The findings of one observation: what the journal, the watch list and the queues get from it.

Filled by `evidence` and its parts, which read both halves of the state and write neither; applied
by the decider.
"""

from __future__ import annotations

from collections.abc import Iterator

from rollout.core.running.drift import Drift
from rollout.core.running.state import Run
from rollout.core.running.watching import Absence, Sample, Watching
from rollout.model import event as ev
from rollout.model.event import AnyEvent, DriftKind, Trigger
from rollout.model.site import Site
from rollout.model.time import Instant


class Findings:
    """What one reply shows, in columns, so that it makes few events.

    `at` is the local time at which the observation started, `api_time` the service's time of the
    reply.
    """

    def __init__(
        self, run: Run, watching: Watching, site: Site, at: Instant, api_time: Instant
    ) -> None:
        self.run = run
        self.watching = watching
        self.site = site
        self.at = at
        self.api_time = api_time
        self.moves: dict[tuple[Trigger, str], list[int]] = {}
        self.holds: dict[str, list[int]] = {}
        self.drifts: dict[tuple[DriftKind, str], list[int]] = {}
        self.calibrations: dict[tuple[str, str, str], list[int]] = {}
        self.restarts: dict[str, list[int]] = {}
        """Restarts without an intent of this run, by evidence."""
        self.samples: dict[int, Sample] = {}
        """The observed state of each listed instance."""
        self.since: dict[int, Instant | None] = {}
        """From when on an instance is in a state that normally passes; None = no longer."""
        self.absent: dict[int, Absence | None] = {}
        """Instances that the reply leaves out; None = it lists the instance."""
        self.witness = watching.witness.get(site)
        """An instance that this reply lists, or the last one before that did."""
        self.witness_lost = False
        self.checked: list[int] = []
        """Instances that match the plan and may be attached."""
        self.ready: list[int] = []
        """Instances that may be restarted."""
        self.watched: dict[int, Instant] = {}
        """Instances to observe again, with the first useful time; 0 = on a coming tick."""
        self.missing: list[int] = []
        """Instances missing for so long that a second API is called."""

    def move(self, ordinal: int, trigger: Trigger, evidence: str) -> None:
        """The instance moves on this evidence."""
        self.moves.setdefault((trigger, evidence), []).append(ordinal)

    def hold(self, ordinal: int, reason: str) -> None:
        """The instance is not changed any more."""
        self.holds.setdefault(reason, []).append(ordinal)

    def drift(self, ordinal: int, found: Drift) -> None:
        """It differs from the plan; each kind is reported once in each process."""
        if (ordinal, found.kind) not in self.watching.drift_reported:
            self.drifts.setdefault((found.kind, found.detail), []).append(ordinal)

    def watch(self, ordinal: int, first: Instant = 0) -> None:
        """Observe it again, not before `first`."""
        self.watched[ordinal] = first

    def wait(self, ordinal: int) -> None:
        """Observe it again, since its state normally passes."""
        self.pass_since(ordinal)
        self.watch(ordinal)

    def passing_since(self, ordinal: int) -> Instant | None:
        """Return since when its state is one that normally passes."""
        if ordinal in self.since:
            return self.since[ordinal]
        return self.watching.since.get(ordinal)

    def pass_since(self, ordinal: int) -> Instant:
        """Return the same, and record this observation as the first where there is none."""
        since = self.passing_since(ordinal)
        if since is None:
            since = self.since[ordinal] = self.at
        return since

    def absence(self, ordinal: int) -> Absence | None:
        """Return the absence of an instance, this reply included."""
        if ordinal in self.absent:
            return self.absent[ordinal]
        return self.watching.absent.get(ordinal)

    def events(self) -> Iterator[AnyEvent]:
        """Yield the events, in an order in which every move is legal."""
        for (kind, detail), ordinals in self.drifts.items():
            yield ev.Drifted(kind, tuple(ordinals), detail)
        for evidence, ordinals in self.restarts.items():
            yield ev.ForeignRestart(tuple(ordinals), evidence, self.api_time)
        for (trigger, evidence), ordinals in sorted(
            self.moves.items(), key=lambda move: (_RANKS[move[0][0]], move[0][1])
        ):
            yield ev.Moved(trigger, tuple(ordinals), evidence, self.api_time)
        for family, (moved, unmoved) in self.calibrations.items():
            yield ev.Calibrated(*family, moved, unmoved)
        for reason, ordinals in self.holds.items():
            yield ev.Held(tuple(ordinals), reason)


_RANKS = {
    trigger: rank
    for rank, trigger in enumerate(
        (
            Trigger.OBSERVED_ATTACHED,
            Trigger.OBSERVED_UNATTACHED,
            Trigger.OBSERVED_BOOTED,
            Trigger.OBSERVED_RUNNING,
            Trigger.DOUBTED,
            Trigger.OBSERVED_SERVING,
            Trigger.OBSERVED_UNTOUCHED,
            Trigger.RETRIED,
            Trigger.ASSUMED,
            Trigger.TIMED_OUT,
            Trigger.LEFT_STOPPED,
            Trigger.GAVE_UP,
            Trigger.DROPPED,
        )
    )
}
