"""Checkers of intents and sends: durable first, one process, in time, none after a halt.

They compare what was sent with plan and journal and never use the core's decisions. Listed and
called by `checkers`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import ClassVar

from rollout.engines.clock import JUMP_MS
from rollout.model import event as ev
from rollout.model import limits
from rollout.model.command import Attach, ImportKey
from rollout.model.observation import spread
from rollout.sim.check.history import History, Journaled


class DurableFirst:
    """An intent is durable before its call is sent."""

    ids = ("I-01",)

    def check(self, history: History) -> Iterator[str]:
        """Compare the bytes that were durable at each send with where its intent ends."""
        for sent in history.sent:
            intent = history.intents.get(sent.n)
            if intent is None or intent.journaled.end_bytes > sent.durable_bytes:
                yield f"call {sent.n} left before its intent was durable"


class IntentsAreWhole:
    """An intent contains its observations, and ids of one cell of the plan, not too many."""

    ids = ("I-02", "I-03", "I-05")

    def check(self, history: History) -> Iterator[str]:
        """Compare every intent with the plan."""
        for n, intent in history.intents.items():
            issued, command = intent.issued, intent.issued.command
            if issued.epoch != intent.journaled.epoch or issued.attempt < 1:
                yield f"intent {n} lacks epoch or attempt"
            if isinstance(command, ImportKey):
                continue
            most = limits.ATTACH_IDS_MAX if isinstance(command, Attach) else limits.RESTART_IDS_MAX
            ids = command.instances
            if not 0 < len(ids) <= most or len(set(ids)) != len(ids):
                yield f"intent {n} names {len(ids)} ids, or one twice"
            if len(list(spread(issued.observed))) != len(ids):
                yield f"intent {n} does not say what was seen of each id"
            planned = [history.ordinal_of.get(one) for one in ids]
            if planned != list(command.ordinals):
                yield f"intent {n} names what is not planned"
            elif len({history.layout.cell_of[o] for o in command.ordinals}) > 1:
                yield f"intent {n} names ids of two cells"


class SentAsIntended:
    """Each intent is sent unchanged and once, and only the four kinds of mutation exist."""

    ids = ("I-04", "I-15")

    ALLOWED: ClassVar[tuple[str, ...]] = (
        *("AttachKeyPair", "RebootInstance", "RebootInstances"),
        *("StartInstance", "StartInstances", "ImportKeyPair"),
    )

    def check(self, history: History) -> Iterator[str]:
        """Compare sends with intents; a second send is legal after a refused clock only."""
        counts: dict[int, int] = {}
        for sent in history.sent:
            intent = history.intents.get(sent.n)
            if sent.action not in self.ALLOWED:
                yield f"{sent.action} left"
            if intent is not None and sent.ids != intent.ids:
                yield f"call {sent.n} left for other instances than its intent names"
            counts[sent.n] = counts.get(sent.n, 0) + 1
        for n, count in counts.items():
            clocks = any(f.fault == "timestamp_expired" for f in history.record.scenario.faults)
            if count > 1 + clocks:
                yield f"call {n} left {count} times"


class OneProcess:
    """Never two live processes of one run: the locks refuse the second."""

    ids = ("I-41", "P17")

    def check(self, history: History) -> Iterator[str]:
        """Find processes that got the locks of a live one, and overlapping processes."""
        begun = history.record.begun
        for at in history.record.intruders:
            yield f"another process held the locks of a living one at {at - begun} ms"
        if history.record.sent_after_loss:
            yield f"{history.record.sent_after_loss} calls left a process that had lost its run"
        for one, other in itertools.pairwise(history.record.processes):
            if other.begun < one.ended:
                yield f"a process began at {other.begun - begun} ms, while one was alive"


class HaltHolds:
    """After a halt, a drain or an abort no intent is written or sent."""

    ids = ("I-38", "P8")

    def check(self, history: History) -> Iterator[str]:
        """Compare the order of lines, and the durable bytes at each send."""
        stopped: list[tuple[int, int]] = []
        stopping: Journaled | None = None
        aborted: Journaled | None = None
        for journaled in history.journaled:
            match journaled.event:
                case ev.Halted() | ev.Drained():
                    stopping = stopping or journaled
                case ev.Resumed():
                    if stopping is not None:
                        stopped.append((stopping.end_bytes, journaled.end_bytes))
                    stopping = None
                case ev.OperatorCommand(command=ev.OperatorVerb.ABORT):
                    aborted = journaled
                    stopped.append((journaled.end_bytes, 1 << 60))
                case ev.Issued(n=n):
                    if stopping is not None and journaled.seq > stopping.seq:
                        yield f"intent {n} after the run was stopped"
                    if aborted is not None:
                        yield f"intent {n} after the run was aborted"
                case _:
                    pass
        if stopping is not None:
            stopped.append((stopping.end_bytes, 1 << 60))
        for sent in history.sent:
            if any(first <= sent.durable_bytes < last for first, last in stopped):
                yield f"call {sent.n} left after the run was stopped"


class SentInTime:
    """No call is sent after its `not_after`, or on observations that are too old."""

    ids = ("I-50", "P22")

    def check(self, history: History) -> Iterator[str]:
        """Compare every send, in the world's time, with the observation of its intent."""
        for sent in history.sent:
            intent = history.intents.get(sent.n)
            if intent is None:
                continue
            observed = intent.issued.not_after - limits.STATE_AGE_MAX_MS
            lag = history.record.lag_at(intent.journaled.epoch, observed)
            late_ms = sent.at - intent.issued.not_after - lag
            if late_ms > (JUMP_MS if history.record.pauses else 0):
                yield f"call {sent.n} left {late_ms} ms too late"
