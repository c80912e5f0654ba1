"""Check a plan against earlier runs of the runs directory: changed targets, unproven rotations.

Called by `preflight`, under the lock of the runs directory. Makes no API calls.
"""

from __future__ import annotations

from rollout.app.plan_file import SavedPlan
from rollout.core.planning.chained import is_chained
from rollout.errors import ConflictError
from rollout.journal import proofs
from rollout.journal.store import RunStore, StoredRun
from rollout.model.command import Attach, RestartCall
from rollout.model.event import Issued
from rollout.model.override import UNPROVEN
from rollout.model.phrase import say
from rollout.model.time import Instant, format_instant


def check_changed(saved: SavedPlan, store: RunStore) -> None:
    """Raise ConflictError R0614 if a run attached a key to a target of this plan, or restarted one,
    after the plan read the fleet. Such a plan would restart the instance again.

    Reads only runs that were not closed by then. Errors: as `StoredRun.read`.
    """
    plan = saved.plan
    targets = {target.instance for target in plan.targets()}
    for run in reversed(store.runs()):
        closed_at = run.closed_at()
        if closed_at is not None and closed_at <= plan.as_of:
            continue
        shared = sorted(changed_after(run, plan.as_of) & targets)
        if shared:
            raise ConflictError.of(
                "R0614",
                say(
                    "run {run} changed {number:,} of these targets ({instances}) after this plan "
                    "read the fleet at {as_of}",
                    run=run.id,
                    number=len(shared),
                    instances=shared[0] + (", …" if len(shared) > 1 else ""),
                    as_of=format_instant(plan.as_of),
                ),
                help=say("create a new plan"),
            )


def check_chained(saved: SavedPlan, store: RunStore) -> None:
    """Raise ConflictError R0615 if an attach of this plan covers an earlier rotation that is
    unproven. The plan may have been created without this runs directory.

    Reads each run once. All targets of a damaged run are unproven; a run whose plan is damaged too
    refuses every plan. Errors: that run's error; as `proofs.fold`.
    """
    plan = saved.plan
    if any(one.field == UNPROVEN and one.looser for one in plan.overridden()):
        return
    folded = proofs.fold(store)
    if folded.unknown:
        raise folded.unknown[0]
    unproven = folded.unproven
    chained = [
        target.instance
        for target in plan.targets()
        if target.instance in unproven
        and is_chained(
            unproven[target.instance], target.former_key, plan.keys[target.key], plan.made_from()
        )
    ]
    if chained:
        before = unproven[chained[0]]
        raise ConflictError.of(
            "R0615",
            say(
                "the last rotation of {number:,} of these targets is unproven ({instance}: "
                "{key_pair} in run {run})",
                number=len(chained),
                instance=chained[0],
                key_pair=before.key_pair,
                run=before.run,
            ),
            help=say(
                "`rollout retry {run}` finishes that rotation, `rollout undo {run}` attaches the "
                "former key pairs again; then create a new plan",
                run=before.run,
            ),
        )


def changed_after(run: StoredRun, at: Instant) -> set[str]:
    """Return the instances that calls of this run may have attached a key to or restarted after
    this time. Errors: as `StoredRun.read`.
    """
    return {
        instance
        for line in run.read()
        if line.at > at
        for event in line.body
        if isinstance(event, Issued) and isinstance(event.command, Attach | RestartCall)
        for instance in event.command.instances
    }
