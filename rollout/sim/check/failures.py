"""The checker of `onFailure`: nothing begins at the limit, and strict failures never pass it.

It counts failures in the journal and never uses the core's counts. Listed and called by `checkers`.
"""

from __future__ import annotations

from collections.abc import Iterator

from rollout.model import event as ev
from rollout.model.event import Trigger
from rollout.sim.check.history import History

_FAILS = frozenset({Trigger.TIMED_OUT, Trigger.GAVE_UP, Trigger.LEFT_STOPPED})
_STATED = frozenset({Trigger.STATED_RESTARTED, Trigger.ABANDONED})


class FailureLimits:
    """No intent, wave or cell begins once as many instances failed as `failed` allows, unless an
    operator accepted them. With `strict`, never more of them fail.
    """

    ids = ("I-75", "I-76")

    def check(self, history: History) -> Iterator[str]:
        """Compare the order of lines. Refused instances are not counted here: a lower bound."""
        rule = history.record.plan.failure_rule()
        if rule is None or not rule.failed:
            return
        failed: set[int] = set()
        accepted: set[int] = set()
        for journaled in history.journaled:
            match journaled.event:
                case ev.Moved(trigger=trigger, ordinals=ordinals) if trigger in _FAILS:
                    failed.update(set(ordinals) - accepted)
                    if rule.strict and len(failed) > rule.failed:
                        yield f"{len(failed)} failures, the strict limit is {rule.failed}"
                case ev.Moved(trigger=trigger, ordinals=ordinals) if trigger in _STATED:
                    accepted.update(ordinals)
                    failed.difference_update(ordinals)
                case ev.FailuresAccepted(ordinals=ordinals):
                    accepted.update(ordinals)
                    failed.difference_update(ordinals)
                case ev.Issued() | ev.WaveStarted() | ev.CellOpened() as begun:
                    if len(failed) >= rule.failed:
                        yield f"{type(begun).__name__} at line {journaled.seq} after the limit"
                case _:
                    pass
