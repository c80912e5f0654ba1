"""Checkers of restarts: state, locks, settle windows, the minute of a boot, number of attempts.

They compare the hidden ledger with plan and journal and never use the core's decisions. Listed and
called by `checkers`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from rollout.model import event as ev
from rollout.model import limits
from rollout.model.command import RestartCall
from rollout.model.event import Trigger
from rollout.model.instance import Status
from rollout.model.observation import spread
from rollout.model.outcome import Refused, RetryClass
from rollout.model.plan import RestartKind
from rollout.model.spec import OnUnknown
from rollout.model.time import minute
from rollout.sim.check.history import History, Intent
from rollout.sim.world.scenario import ExternalChange


class RightState:
    """Reboot only instances last observed Running, start only Stopped ones."""

    ids = ("I-09",)

    def check(self, history: History) -> Iterator[str]:
        """Compare with the observations in each restart intent."""
        for n, intent in history.intents.items():
            command = intent.issued.command
            if isinstance(command, RestartCall):
                reboot = command.kind is RestartKind.REBOOT
                due = Status.RUNNING if reboot else Status.STOPPED
                if any(observed.status is not due for observed in spread(intent.issued.observed)):
                    yield f"intent {n}: {command.kind} of what was not {due.value}"


class NotLocked:
    """No effect on instances that were locked before the observation of the intent."""

    ids = ("I-10",)

    def check(self, history: History) -> Iterator[str]:
        """Compare with external locks that were old enough to be observed."""
        patience = history.record.scenario.settle_ms
        for name, touches in history.record.touched.items():
            locked = [at for at, drift in touches if drift.change is ExternalChange.LOCKED]
            ours = [*history.restarts.get(name, ()), *history.attaches.get(name, ())]
            for effect in ours:
                if locked and effect.ours and effect.entry.at > locked[0] + patience:
                    yield f"{effect.entry.effect} of {name}, locked long before"


class OneOpen:
    """At most one open mutation of an instance."""

    ids = ("I-11",)

    def check(self, history: History) -> Iterator[str]:
        """Count open mutations along the journal."""
        open_: dict[int, int] = {}
        for journaled in history.journaled:
            match journaled.event:
                case ev.Resumed():
                    open_.clear()
                case ev.Issued(n=n):
                    for ordinal in history.intents[n].ordinals:
                        if ordinal in open_:
                            yield f"call {n} while call {open_[ordinal]} of {ordinal} is open"
                        open_[ordinal] = n
                case ev.Settled(n=n):
                    for ordinal in [o for o, by in open_.items() if by == n]:
                        del open_[ordinal]
                case _:
                    pass


class RestartedOnce:
    """An instance is restarted at most once; `retryOnce` allows one more where the journal says."""

    ids = ("I-12", "P3")

    def check(self, history: History) -> Iterator[str]:
        """Count in the hidden ledger, by intents: a doubled request is not the run's."""
        retries = history.record.plan.on_unknown is OnUnknown.RETRY_ONCE
        for name, effects in history.restarts.items():
            intents = {effect.n for effect in effects if effect.ours and not effect.duplicate}
            ordinal = history.ordinal_of.get(name)
            moves = history.moves.get(ordinal, []) if ordinal is not None else []
            retried = sum(move.trigger is Trigger.RETRIED for move, _ in moves)
            if len(intents) > 1 + (retries and retried):
                yield f"{name} restarted {len(intents)} times, by calls {sorted(intents)}"


class SettledFirst:
    """No second restart intent inside the settle window of one that may have happened."""

    ids = ("I-13",)

    def check(self, history: History) -> Iterator[str]:
        """Compare the consecutive intents of each instance."""
        settle_ms = history.record.plan.restart.settle_window_ms
        for ordinal, intents in history.restart_intents.items():
            for first, second in itertools.pairwise(intents):
                if isinstance(first.outcome(ordinal), Refused):
                    continue
                received = first.ended.event if first.ended else None
                since = received.at if isinstance(received, ev.Settled) else first.journaled.line_at
                if second.journaled.line_at < since + settle_ms:
                    yield f"call {second.issued.n} in the settle window of {first.issued.n}"


class MinuteGuard:
    """No reboot in the minute of the recorded StartTime."""

    ids = ("I-14",)

    def check(self, history: History) -> Iterator[str]:
        """Compare the minutes: cloud and run share one clock here."""
        for n, intent in history.intents.items():
            command = intent.issued.command
            if isinstance(command, RestartCall) and command.kind is RestartKind.REBOOT:
                last = max(observed.started_at for observed in spread(intent.issued.observed))
                if minute(intent.journaled.at) <= minute(last):
                    yield f"call {n} reboots in the minute of a start"


_NO_ATTEMPTS = (RetryClass.THROTTLED, RetryClass.UNSENT, RetryClass.STATE, RetryClass.GONE)


class AttemptsBounded:
    """At most three attempts of a request over all processes of a run; a call that never left and a
    refusal because of throttling or of a busy instance are none.
    """

    ids = ("I-37",)

    def check(self, history: History) -> Iterator[str]:
        """Count the calls that the service may have taken up."""
        free = (*_NO_ATTEMPTS, RetryClass.DENIED, RetryClass.CLOCK)
        kinds = (history.attach_intents, history.restart_intents)
        for ordinal, intents in [pair for kind in kinds for pair in kind.items()]:
            tried = [one for one in intents if not self._is_free(one, ordinal, free)]
            if len(tried) > limits.ATTEMPTS_MAX:
                yield f"{len(tried)} attempts of ordinal {ordinal}"

    def _is_free(self, intent: Intent, ordinal: int, free: tuple[RetryClass, ...]) -> bool:
        outcome = intent.outcome(ordinal)
        return isinstance(outcome, Refused) and (
            outcome.retry in free or outcome.retry in (RetryClass.FACT, RetryClass.KEY_PAIR)
        )
