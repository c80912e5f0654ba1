"""Proofs from earlier runs: the key that was in effect on an instance when it was last observed,
and the instances whose last rotation is unproven.

Called before planning and before a plan is applied; the planner receives the result as an input. A
damaged journal proves nothing and voids older proofs of its instances, since it may have attached
another key.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from rollout.errors import Problem, RolloutError
from rollout.journal import rotations
from rollout.journal.store import RunStore, StoredRun
from rollout.model.instance import Proof, Proofs
from rollout.model.phrase import say
from rollout.model.plan import Plan, decode


class FoldedProofs(msgspec.Struct, frozen=True):
    """The proofs, the last rotations that are unproven, and a warning for each run that cannot be
    trusted. An instance has a proof or an unproven rotation, never both. `unknown` has the errors
    of runs whose plan is damaged too: they may have changed any instance.
    """

    proofs: Proofs
    warnings: tuple[Problem, ...]
    unproven: Proofs = {}
    unknown: tuple[RolloutError, ...] = ()


def fold(store: RunStore) -> FoldedProofs:
    """Fold all runs of a store, oldest to newest; a newer run wins.

    An instance that ended `done` is proved. An attach of any key voids its earlier proof. Each
    journal is read once. StorageError R0802 if the store cannot be read.
    """
    proofs: Proofs = {}
    unproven: Proofs = {}
    warnings = []
    unknown = []
    for run in store.runs():
        try:
            found = rotations.read(run)
        except RolloutError as error:
            touched = _damaged(run)
            if touched is None:
                unknown.append(error)
            _void(proofs, list(proofs) if touched is None else touched)
            unproven |= touched or {}
            first = error.problems[0]
            text = say("run {run} proves nothing: {problem}", run=run.id, problem=first.what)
            warnings.append(
                Problem(first.code, text, first.place, f"rollout audit verify {run.id}")
            )
        else:
            _void(proofs, found.attached)
            _void(unproven, found.proved)
            proofs.update(found.proved)
            unproven |= found.unproven
    _void(proofs, unproven)
    return FoldedProofs(proofs, tuple(warnings), unproven, tuple(unknown))


def _damaged(run: StoredRun) -> Proofs | None:
    """Return the targets of a damaged run, which may all be unproven, with the keys that its plan
    wants; None if the plan is damaged too.
    """
    try:
        plan = decode(run.plan_bytes())
    except (RolloutError, msgspec.DecodeError, UnicodeDecodeError):
        return None
    return _wanted(plan, run.id)


def _wanted(plan: Plan, run: str) -> Proofs:
    keys = [Proof(key.name, key.public_key_digest, run) for key in plan.keys]
    return {target.instance: keys[target.key] for target in plan.targets()}


def _void(proofs: Proofs, instances: Iterable[str]) -> None:
    for instance in instances:
        proofs.pop(instance, None)
