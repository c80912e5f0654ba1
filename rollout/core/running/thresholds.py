"""Decide when failures, conflicts or attaches by other operators halt a run.

Called by `decide_run`, and by the decider when a halted run is resumed. Reads the state only.
"""

from __future__ import annotations

from collections.abc import Iterator

from rollout.core.running import cohorts
from rollout.core.running.failure_counts import Trouble
from rollout.core.running.journey import FINAL, Phase
from rollout.core.running.state import Run
from rollout.model import event as ev
from rollout.model import limits
from rollout.model.event import Actor
from rollout.model.halts import HaltReason, halted
from rollout.model.spec import PPM, Amount, OnFailure
from rollout.model.text import some

ACCEPTABLE: dict[str, tuple[Trouble, ...]] = {
    HaltReason.FAILURES: (Trouble.FAILED, Trouble.LEFT),
    HaltReason.FOREIGN_KEY: (Trouble.CONFLICT,),
    HaltReason.LOGIN: (Trouble.FAILED, Trouble.LEFT),
}
"""Troubles that a resume accepts, by the reason of the halt."""
_DECIDED_BY_OPERATORS = frozenset(
    {
        HaltReason.FAILURES,
        HaltReason.LOGIN,
        HaltReason.FOREIGN_KEY,
        HaltReason.ELSEWHERE,
        HaltReason.DRIFT,
        HaltReason.INPUT,
        HaltReason.UNKNOWN_CODE,
        HaltReason.PROTOCOL_ANOMALY,
        HaltReason.LAST_WAVE,
    }
)
"""Reasons of halts that a resume passes over: it counts from zero again."""

NAMED_MAX = 3
"""Instances that a halt names; the rest is a count, and `status` lists them all."""


def halt(run: Run) -> ev.Halted | None:
    """Return the halt that is due, or None."""
    always = _canary_login(run) or _conflicts(run) or _elsewhere(run)
    rule = run.plan.failure_rule()
    if rule is not None:
        return always or _stated(run, rule)
    return always or _within_wave(run) or _after_wave(run)


def admissible(run: Run, checking: int) -> int | None:
    """Return how many more instances may be attached under `strict`; None = no limit. `checking`
    instances are on their way to an attach.
    """
    rule = run.plan.failure_rule()
    if rule is None or not rule.strict:
        return None
    return max(0, rule.failed - run.troubles.total() - run.at_risk - checking)


def waits_for_operator(run: Run) -> bool:
    """Return whether a resume would pass over the reason of the halt, as only an operator may.

    After other halts a resume checks the reason again, and needs no operator.
    """
    halted = run.halted
    return run.aborted is None and halted is not None and halted.reason in _DECIDED_BY_OPERATORS


def accepted(run: Run, actor: Actor) -> Iterator[ev.FailuresAccepted]:
    """Yield the failures or conflicts that `actor` accepts by resuming this halted run; none where
    it halted for another reason.
    """
    reason = run.halted.reason if run.halted else ""
    kinds = ACCEPTABLE.get(reason, ())
    rule = run.plan.failure_rule()
    if kinds and rule is not None and rule.strict:
        kinds = tuple(kind for kind in Trouble if kind is not Trouble.NONE)
    for wave in range(len(run.layout.waves)) if kinds else ():
        found = run.troubles.of_wave(wave, *kinds)
        for start in range(0, len(found), limits.EVENT_ORDINALS_MAX):
            part = tuple(found[start : start + limits.EVENT_ORDINALS_MAX])
            yield ev.FailuresAccepted(reason, wave, part, actor)


def _canary_login(run: Run) -> ev.Halted | None:
    """Return the halt for the first instance of the first wave that runs and refuses the new key:
    no other one may lose its logins.
    """
    found = [ordinal for ordinal in run.refused_logins if not run.layout.wave_of(ordinal)]
    return _halted(run, 0, found, "refuse the new key", HaltReason.LOGIN) if found else None


def _conflicts(run: Run) -> ev.Halted | None:
    """Return the halt for a wave in which too many instances carry a third key."""
    for wave in range(run.waves_closed + (run.wave_open is not None)):
        count, targets = run.troubles.conflicts[wave], run.layout.waves[wave].targets
        if count > limits.CONFLICTS_MAX and count * PPM > targets * limits.CONFLICTS_SHARE_PPM:
            found = run.troubles.of_wave(wave, Trouble.CONFLICT)
            return _halted(run, wave, found, "with a third key pair", HaltReason.FOREIGN_KEY)
    return None


def _elsewhere(run: Run) -> ev.Halted | None:
    """Return the halt for a wave in which too many instances got the new key without an attach of
    this run. Instances that were held until after their wave count too.
    """
    for wave in range(run.waves_closed + (run.wave_open is not None)):
        span, count = run.layout.waves[wave], run.elsewhere_in_wave[wave]
        few = count * PPM <= span.targets * limits.ELSEWHERE_SHARE_PPM
        if count > limits.ELSEWHERE_MAX and not few:
            text = (
                f"{count} of {span.targets} instances of wave {span.name} have the new key, which "
                "this run did not attach"
            )
            return halted(HaltReason.ELSEWHERE, text)
    return None


def _stated(run: Run, rule: OnFailure) -> ev.Halted | None:
    """Return the halt for the limits of the spec. Instances left in doubt or held for a budget
    count from the end of their wave on, and at once under `strict`. Once no instance is left, the
    run closes instead.
    """
    if not run.left:
        return None
    failed = run.troubles.total() if rule.strict else _failed_and_left(run)
    if rule.failed and failed >= rule.failed:
        what = "failed" if failed == sum(run.troubles.failed) else "failed or are held"
        names = some([run.layout.targets[one].instance for one in _troubled(run)], NAMED_MAX)
        text = f"{failed} instances {what}, onFailure.failed is {rule.failed}: {names}"
        return halted(HaltReason.FAILURES, "; ".join((text, *clusters(run))))
    shares = run.shares
    if shares.over:
        scope = min(shares.over)
        name = shares.name(scope, [group.key for group in run.plan.groups])
        share = Amount(share_ppm=rule.share_ppm)
        text = (
            f"{name}: {shares.failed[scope]} of {shares.judged[scope]} finished instances failed, "
            f"onFailure.failedPercent is {share}"
        )
        return halted(HaltReason.FAILURES, "; ".join((text, *clusters(run))))
    return None


def clusters(run: Run) -> tuple[str, ...]:
    """Return what most failed instances have in common. Walks all targets if enough failed."""
    bad = run.phase_counts[Phase.FAILED] + run.phase_counts[Phase.STRANDED]
    if bad < limits.COHORT_FAILURES_MIN:
        return ()
    phases = [run.phase(ordinal) for ordinal in range(len(run.phases))]
    failed = [one for one, phase in enumerate(phases) if phase in (Phase.FAILED, Phase.STRANDED)]
    judged = [one for one, phase in enumerate(phases) if phase in FINAL - {Phase.SKIPPED}]
    return cohorts.concentrated(run.layout, failed, judged)


def _failed_and_left(run: Run) -> int:
    return sum(run.troubles.failed) + sum(run.troubles.left[: run.waves_closed])


def _troubled(run: Run) -> list[int]:
    kinds = run.troubles.kinds
    return [ordinal for ordinal, kind in enumerate(kinds) if kind in (Trouble.FAILED, Trouble.LEFT)]


def _within_wave(run: Run) -> ev.Halted | None:
    """Return the halt for an open wave with too many failures, except the first of several."""
    wave = run.wave_open
    if wave is None or (wave == 0 and len(run.layout.waves) > 1):
        return None
    failed, targets = run.troubles.failed[wave], run.layout.waves[wave].targets
    enough = failed >= limits.FAILURES_MIN
    if not enough or failed * PPM < targets * limits.FAILURES_SHARE_PPM:
        return None
    return _halted(run, wave, run.troubles.of_wave(wave, Trouble.FAILED), "failed")


def _after_wave(run: Run) -> ev.Halted | None:
    """Return the halt for a closed wave with failures that no operator accepted, before the next
    wave starts.
    """
    if run.left_before is not None or run.waves_closed == len(run.layout.waves):
        return None
    for wave in range(run.waves_closed):
        if run.troubles.failed[wave] or run.troubles.left[wave]:
            found = run.troubles.of_wave(wave, Trouble.FAILED, Trouble.LEFT)
            return _halted(run, wave, found, "failed, stranded or in doubt")
    return None


def _halted(
    run: Run, wave: int, found: list[int], what: str, reason: HaltReason = HaltReason.FAILURES
) -> ev.Halted:
    span = run.layout.waves[wave]
    names = ", ".join(run.layout.targets[ordinal].instance for ordinal in found[:NAMED_MAX])
    more = f" and {len(found) - NAMED_MAX} more" if len(found) > NAMED_MAX else ""
    text = f"wave {span.name}: {len(found)} of {span.targets} {what}: {names}{more}"
    return halted(reason, text)
