"""Compare a plan with another plan, or with a new plan of its own spec.

Called by `rollout diff`. Sends Describe* and GetCallerIdentity only.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from rollout.app import connect, plan_file, preflight
from rollout.app import plan as planning
from rollout.app.session import Session
from rollout.core.planning import plan_diff
from rollout.core.planning.narrowing import Narrowing
from rollout.core.planning.plan_diff import PlanDiff
from rollout.errors import UsageError
from rollout.model.phrase import Wording, say
from rollout.model.plan import Plan

__all__ = ["PlanDiff", "of_files", "with_live"]


def of_files(before: Path, after: Path) -> PlanDiff:
    """Return the differences of two plan files. Errors: as `plan_file.load_plan`."""
    old, new = plan_file.load_plan(before), plan_file.load_plan(after)
    return plan_diff.compare(old.plan, new.plan)


async def with_live(path: Path, session: Session) -> PlanDiff:
    """Return how a new plan of the stored spec, with the same narrowing, would differ now.

    Errors: UsageError R0365 for a plan that its spec alone does not give; as
    `plan_file.load_plan`, `connect` and `plan.of_spec`.
    """
    old = plan_file.load_plan(path).plan
    if why := _not_of_a_spec(old):
        cure = say("repeat the command that created it, and compare the two files")
        raise UsageError.of(
            "R0365", say("--live cannot plan this again: {why}", why=why), help=cure
        )
    async with connect.connect(session.connection, session.notices) as service:
        if old.identity:
            preflight.check_identity(old, service)
        made = await planning.of_spec(
            _stored(old), service, session.store, narrowing=_narrowing(old)
        )
    return plan_diff.compare(old, made.saved.plan)


def _not_of_a_spec(plan: Plan) -> Wording:
    """Return why the spec in a plan does not give that plan again; empty if it does."""
    if plan.made_from() is not None:
        return say("it undoes or retries a run")
    if plan.overridden():
        return say("options replaced fields of its spec")
    given = plan.narrowed
    if not isinstance(given, msgspec.UnsetType) and "@-" in (*given.limit, *given.exclude):
        return say("a list on the standard input narrowed it")
    return ""


def _stored(plan: Plan) -> planning.LoadedSpec:
    from rollout.app import stored_spec  # with pydantic, which two files do not need

    return planning.LoadedSpec(stored_spec.read(plan))


def _narrowing(plan: Plan) -> Narrowing:
    """Return the narrowing of a plan, as its options gave it."""
    from rollout.app import narrow

    given = plan.narrowed
    if isinstance(given, msgspec.UnsetType):
        return Narrowing()
    return narrow.read(
        limit=given.limit,
        exclude=given.exclude,
        wave=given.wave or None,
        max_down=given.max_down or None,
    )
