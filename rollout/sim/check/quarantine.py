"""The checker of `quarantine`: nothing begins in an image or a zone that fails alone.

It counts failures that are certain, and possible ones, in the journal, and never uses the core's
phases. Listed and called by `checkers`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from rollout.model import event as ev
from rollout.model import limits
from rollout.model.command import ImportKey
from rollout.model.event import Trigger
from rollout.model.outcome import Refused, RetryClass
from rollout.model.plan import InstanceKind, Target
from rollout.model.probe import LoginVerdict
from rollout.sim.check.history import History, Intent, Journaled

_FAILED = frozenset({Trigger.TIMED_OUT, Trigger.GAVE_UP, Trigger.LOGIN_FAILED})
_MAY_FAIL = _FAILED | {Trigger.LEFT_STOPPED, Trigger.ABANDONED}
_DONE = frozenset({Trigger.OBSERVED_RUNNING, Trigger.KEY_PROVED})
_STATED = frozenset({Trigger.STATED_RESTARTED, Trigger.STATED_UNTOUCHED, Trigger.DROPPED})
_UNJUDGED = (RetryClass.THROTTLED, RetryClass.UNSENT, RetryClass.STATE)


class _Counts:
    """Failed and done targets, by cohort. A cohort that `_may_differ` is judged no more: others
    possibly failed, or an operator or the cloud took a failure back.
    """

    def __init__(self, history: History) -> None:
        kinds = history.record.plan.target_kinds()
        self.cohorts = [_cohorts(one, kinds[one.kind]) for one in history.layout.targets]
        self.held: set[str] = set()
        self._logins = history.record.plan.logins() is not None
        self._failed: set[int] = set()
        self._layout = history.layout
        self._attached: dict[int, int] = {}
        """How many attaches were observed up to that of each target."""
        self._proved: set[int] = set()
        self._done: set[int] = set()
        self._may_fail: set[int] = set()
        self._taken_back: set[int] = set()

    def moved(self, event: ev.Moved) -> None:
        """Count a move."""
        for trigger, targets in (
            (_FAILED, self._failed),
            (_MAY_FAIL, self._may_fail),
            (_STATED, self._taken_back),
        ):
            if event.trigger in trigger:
                targets.update(event.ordinals)
        if event.trigger is Trigger.OBSERVED_ATTACHED:
            for ordinal in event.ordinals:
                self._attached[ordinal] = len(self._attached) + 1
        elif event.trigger in _DONE and not self._logins:
            self._proved.update(event.ordinals)

    def compared(self, event: ev.KeyReady) -> None:
        """Count the proved targets whose key pair was compared after their attach."""
        for ordinal in list(self._proved):
            ours = self._layout.key_site_of(ordinal) == event.key_site
            if ours and event.attached >= self._attached.get(ordinal, 0):
                self._proved.remove(ordinal)
                self._done.add(ordinal)

    def probed(self, event: ev.LoginProbed) -> None:
        """Count the result of a login."""
        proved = event.verdict is LoginVerdict.PROVED
        (self._proved if proved else self._may_fail).add(event.ordinal)

    def settled(self, event: ev.Settled, intent: Intent) -> None:
        """Count the refusals of a call."""
        items = dict(event.items)
        for ordinal in intent.ordinals:
            outcome = items.get(ordinal, event.outcome)
            if isinstance(outcome, Refused) and outcome.retry not in _UNJUDGED:
                self._may_fail.add(ordinal)
                alone = ordinal in items or len(intent.ordinals) == 1
                if alone and outcome.retry is RetryClass.FACT:
                    self._failed.add(ordinal)

    def alone(self, ordinal: int) -> str:
        """Return a cohort of the target that certainly fails alone; empty if there is none."""
        for cohort in self.cohorts[ordinal]:
            inside = Counter(cohort in self.cohorts[one] for one in self._failed)
            others = sum(cohort not in self.cohorts[one] for one in self._done)
            enough = (
                inside[True] >= limits.COHORT_FAILURES_MIN
                and others >= limits.QUARANTINE_OTHERS_MIN
            )
            if (enough or cohort in self.held) and not self._may_differ(cohort):
                return cohort
        return ""

    def _may_differ(self, cohort: str) -> bool:
        if any(cohort in self.cohorts[one] for one in self._taken_back):
            return True
        return any(cohort not in self.cohorts[one] for one in self._may_fail)


class CohortsHeld:
    """No attach and no restart is intended in an image, a zone, an OS or an instance type after it
    was held, or once it certainly fails alone.
    """

    ids = ("I-84",)

    def check(self, history: History) -> Iterator[str]:
        """Compare the order of lines."""
        rule = history.record.plan.failure_rule()
        if rule is None or not rule.quarantine:
            return
        counts = _Counts(history)
        for journaled in history.journaled:
            yield from _begun(journaled, counts)
            match journaled.event:
                case ev.Moved() as moved:
                    counts.moved(moved)
                case ev.KeyReady() as ready:
                    counts.compared(ready)
                case ev.LoginProbed() as probed:
                    counts.probed(probed)
                case ev.Settled(n=n) as settled if n in history.intents:
                    counts.settled(settled, history.intents[n])
                case ev.Held(reason=reason) if reason.startswith("quarantined: "):
                    counts.held.add(reason.removeprefix("quarantined: "))
                case _:
                    pass


def _begun(journaled: Journaled, counts: _Counts) -> Iterator[str]:
    """Yield the targets of an intent whose cohort fails alone."""
    event = journaled.event
    if isinstance(event, ev.Issued) and not isinstance(event.command, ImportKey):
        for ordinal in event.command.ordinals:
            if cohort := counts.alone(ordinal):
                yield f"call {event.n} is about ordinal {ordinal}, but {cohort} fails alone"


def _cohorts(target: Target, kind: InstanceKind) -> tuple[str, ...]:
    """Return the image, the zone, the OS and the instance type of a target, as texts."""
    values = (
        ("image", target.image),
        ("zone", target.zone),
        ("OS", kind.os_name),
        ("instance type", kind.instance_type),
    )
    return tuple(f"{attribute} {value}" for attribute, value in values if value)
