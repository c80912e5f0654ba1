"""Compare a rotation with what Terraform manages. Called by `rollout terraform reconcile`.

Changes nothing and makes no API calls.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from rollout.app import plan_file, runs
from rollout.core.planning import terraform as prediction
from rollout.inventory import terraform
from rollout.journal.store import StoredRun
from rollout.model.plan import Plan
from rollout.model.terraform import ApplyEffect, Reversal

__all__ = ["ApplyEffect", "Reversal", "of_plan", "of_run"]


def of_plan(plan: Path, state: Path) -> list[Reversal]:
    """Return what the next apply of Terraform reverses once a plan has been applied.

    Errors: as `plan_file.load_plan` and `inventory.terraform.read`.
    """
    return _compare(dict(_wanted(plan_file.load_plan(plan).plan)), state)


def of_run(run: StoredRun, state: Path) -> list[Reversal]:
    """Return what the next apply of Terraform reverses of a run: of the targets that its attach
    calls may have changed. Errors: as `runs.fold` and `inventory.terraform.read`.
    """
    folded = runs.fold(run).run
    wanted = dict(_wanted(folded.plan))
    tried = {
        target.instance
        for target, tries in zip(folded.layout.targets, folded.attach_tries, strict=True)
        if tries or not target.attach
    }
    return _compare({one: keys for one, keys in wanted.items() if one in tried}, state)


def _wanted(plan: Plan) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield each target with its former and its new key pair."""
    for target in plan.targets():
        yield target.instance, (target.former_key, plan.keys[target.key].name)


def _compare(rotated: Mapping[str, tuple[str, str]], state: Path) -> list[Reversal]:
    return list(prediction.reversals(rotated, terraform.read(state)))
