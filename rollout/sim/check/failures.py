"""The checker of `onFailure`: nothing begins at the limit, and strict failures never pass it.

It counts failures and open calls in the journal and never uses the core's counts. Listed and
called by `checkers`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from rollout.model import event as ev
from rollout.model.command import ImportKey
from rollout.model.event import AnyEvent, Trigger
from rollout.model.probe import LoginVerdict
from rollout.sim.check.history import History

_FAILS = frozenset({Trigger.TIMED_OUT, Trigger.GAVE_UP, Trigger.LEFT_STOPPED})
_PROVES = frozenset({LoginVerdict.PROVED, LoginVerdict.UNPROVED})
_STATED = frozenset({Trigger.STATED_RESTARTED, Trigger.ABANDONED})


@dataclass
class _Counted:
    """Targets that failed or may fail. Refused instances are not counted: a lower bound."""

    failed: set[int] = field(default_factory=set)
    accepted: set[int] = field(default_factory=set)
    open: dict[int, tuple[int, ...]] = field(default_factory=dict)
    """The targets of each attach and restart without a reply."""

    def take(self, event: AnyEvent) -> None:
        """Count what one event changes."""
        match event:
            case ev.Issued(n=n, command=command) if not isinstance(command, ImportKey):
                self.open[n] = command.ordinals
            case ev.Settled(n=n):
                self.open.pop(n, None)
            case ev.RunStarted() | ev.Resumed():
                self.open.clear()
            case ev.Moved(trigger=trigger, ordinals=ordinals):
                self._close(ordinals)
                if trigger in _FAILS:
                    self.failed.update(set(ordinals) - self.accepted)
                elif trigger in _STATED:
                    self._accept(ordinals)
            case ev.LoginProbed(ordinal=ordinal, verdict=verdict):
                if verdict not in _PROVES:
                    self.accepted.discard(ordinal)
                    self.failed.add(ordinal)
            case ev.FailuresAccepted(ordinals=ordinals):
                self._accept(ordinals)
            case _:
                pass

    def risked(self) -> int:
        """Return how many failed, or have an open attach or restart."""
        waiting = {one for ordinals in self.open.values() for one in ordinals}
        return len(self.failed | waiting - self.accepted)

    def _close(self, ordinals: tuple[int, ...]) -> None:
        moved = set(ordinals)
        self.open = {
            n: tuple(one for one in waiting if one not in moved) for n, waiting in self.open.items()
        }

    def _accept(self, ordinals: tuple[int, ...]) -> None:
        self.accepted.update(ordinals)
        self.failed.difference_update(ordinals)


class FailureLimits:
    """No intent, wave or cell begins once as many instances failed as `failed` allows, unless an
    operator accepted them. With `strict`, failed instances and open calls never exceed the limit.
    """

    ids = ("I-75", "I-76")

    def check(self, history: History) -> Iterator[str]:
        """Compare the order of lines."""
        rule = history.record.plan.failure_rule()
        if rule is None or not rule.failed:
            return
        counted = _Counted()
        for journaled in history.journaled:
            event = journaled.event
            begins = isinstance(event, ev.Issued | ev.WaveStarted | ev.CellOpened)
            if begins and len(counted.failed) >= rule.failed:
                yield f"I-76: {type(event).__name__} at line {journaled.seq} after the limit"
            counted.take(event)
            if rule.strict and counted.risked() > rule.failed:
                yield f"I-75: {counted.risked()} may fail, the strict limit is {rule.failed}"
