"""Decide when failures stop a run, after a wave or within a later one, and when conflicts do.

Called by `fleet` before it opens anything and by `turn` when a run is resumed. Pure: reads the
state, writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from rollout.core.running.failure_counts import Trouble
from rollout.core.running.state import Run
from rollout.model import event as ev
from rollout.model import limits
from rollout.model.event import Actor
from rollout.model.halts import HaltReason, halted
from rollout.model.spec import PPM

ACCEPTABLE: dict[str, tuple[Trouble, ...]] = {
    HaltReason.FAILURES: (Trouble.FAILED, Trouble.LEFT),
    HaltReason.FOREIGN_KEY: (Trouble.CONFLICT,),
}
"""Troubles that a resume accepts, by the reason of the halt."""
_DECIDED_BY_OPERATORS = frozenset(
    {
        HaltReason.FAILURES,
        HaltReason.FOREIGN_KEY,
        HaltReason.ELSEWHERE,
        HaltReason.DRIFT,
        HaltReason.INPUT,
        HaltReason.UNKNOWN_CODE,
        HaltReason.PROTOCOL_ANOMALY,
    }
)
"""Reasons of halts that a resume passes over: it counts from zero again."""

NAMED_MAX = 3
"""Instances that a halt names; the rest is a count, and `status` lists them all."""


def halt(run: Run) -> ev.Halted | None:
    """Return the halt that is due, or None where nothing new has to be stopped."""
    return _conflicts(run) or _elsewhere(run) or _within_wave(run) or _after_wave(run)


def waits_for_operator(run: Run) -> bool:
    """Return whether a resume would pass over what halted the run, which only a person may decide.

    Other halts need no decision: a resume checks their reason again.
    """
    halted = run.halted
    return run.aborted is None and halted is not None and halted.reason in _DECIDED_BY_OPERATORS


def accepted(run: Run, actor: Actor) -> Iterator[ev.FailuresAccepted]:
    """Yield what an operator accepts who resumes this halted run: nothing where it did not halt
    for failures or conflicts.
    """
    reason = run.halted.reason if run.halted else ""
    for wave in range(len(run.layout.waves)) if reason in ACCEPTABLE else ():
        found = run.troubles.of_wave(wave, *ACCEPTABLE[reason])
        for start in range(0, len(found), limits.EVENT_ORDINALS_MAX):
            part = tuple(found[start : start + limits.EVENT_ORDINALS_MAX])
            yield ev.FailuresAccepted(reason, wave, part, actor)


def _conflicts(run: Run) -> ev.Halted | None:
    """On so many instances of one wave a third key was observed that it is no exception."""
    for wave in range(run.waves_closed + (run.wave_open is not None)):
        count, targets = run.troubles.conflicts[wave], run.layout.waves[wave].targets
        if count > limits.CONFLICTS_MAX and count * PPM > targets * limits.CONFLICTS_SHARE_PPM:
            found = run.troubles.of_wave(wave, Trouble.CONFLICT)
            return _halted(run, wave, found, "with a third key pair", HaltReason.FOREIGN_KEY)
    return None


def _elsewhere(run: Run) -> ev.Halted | None:
    """So many instances of one wave have the new key without an attach of this run that somebody
    else rotates them too. Instances that were held until after their wave count as well.
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


def _within_wave(run: Run) -> ev.Halted | None:
    """The open wave has too many failures. The first of several waves always runs to its end."""
    wave = run.wave_open
    if wave is None or (wave == 0 and len(run.layout.waves) > 1):
        return None
    failed, targets = run.troubles.failed[wave], run.layout.waves[wave].targets
    enough = failed >= limits.FAILURES_MIN
    if not enough or failed * PPM < targets * limits.FAILURES_SHARE_PPM:
        return None
    return _halted(run, wave, run.troubles.of_wave(wave, Trouble.FAILED), "failed")


def _after_wave(run: Run) -> ev.Halted | None:
    """A wave ended with failures that no operator accepted, and a later wave has targets."""
    if run.left_before is not None or run.waves_closed == len(run.layout.waves):
        return None
    for wave in range(run.waves_closed):
        if run.troubles.failed[wave] or run.troubles.left[wave]:
            found = run.troubles.of_wave(wave, Trouble.FAILED, Trouble.LEFT)
            return _halted(run, wave, found, "failed, stranded or in doubt")
    return None


def _halted(
    run: Run,
    wave: int,
    found: list[int],
    what: str,
    reason: HaltReason = HaltReason.FAILURES,
) -> ev.Halted:
    span = run.layout.waves[wave]
    names = ", ".join(run.layout.targets[ordinal].instance for ordinal in found[:NAMED_MAX])
    more = f" and {len(found) - NAMED_MAX} more" if len(found) > NAMED_MAX else ""
    text = f"wave {span.name}: {len(found)} of {span.targets} {what}: {names}{more}"
    return halted(reason, text)
