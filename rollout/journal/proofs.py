"""Proofs from earlier runs: the key that was in effect on an instance when it was last observed.

Called before planning; the planner receives the result as an input. A damaged journal proves
nothing and voids older proofs of its instances, since it may have attached another key.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from rollout.core.running.key_coverage import Comparisons
from rollout.core.running.layout import Layout
from rollout.errors import Problem, RolloutError
from rollout.journal.store import RunStore, StoredRun
from rollout.model.command import Attach
from rollout.model.event import Issued, KeyChanged, KeyReady, Moved, Trigger
from rollout.model.instance import Proof, Proofs
from rollout.model.plan import Plan, decode


class FoldedProofs(msgspec.Struct, frozen=True):
    """Return the proofs, and a warning for each run that cannot be trusted."""

    proofs: Proofs
    warnings: tuple[Problem, ...]


def fold(store: RunStore) -> FoldedProofs:
    """Fold all runs of a store, oldest to newest; a newer run wins.

    An instance that ended `done` is proved. An attach of any key voids its earlier proof.
    StorageError R0802 if the store cannot be read.
    """
    proofs: Proofs = {}
    warnings = []
    for run in store.runs():
        try:
            voided, proved = _one(run)
        except RolloutError as error:
            _void_all(proofs, run)
            first = error.problems[0]
            text = f"run {run.id} proves nothing: {first.message}"
            warnings.append(
                Problem(first.code, text, first.place, f"rollout audit verify {run.id}")
            )
        else:
            _void(proofs, voided)
            proofs.update(proved)
    return FoldedProofs(proofs, tuple(warnings))


def _one(run: StoredRun) -> tuple[list[str], Proofs]:
    """Return the instances that a run attached, and its proofs, from a whole and valid journal."""
    events = []
    reader = run.read()
    for line in reader:
        events += [event for event in line.body if isinstance(event, _RELEVANT)]
    if reader.started is None:
        return [], {}
    plan = run.plan(reader.started.plan_digest)
    layout = Layout(plan)
    proofs = [Proof(key.name, key.public_key_digest, run.id) for key in plan.keys]
    attached, done = _done(layout, events)
    targets = [layout.targets[ordinal] for ordinal in done]
    return attached, {target.instance: proofs[target.key] for target in targets}


def _done(
    layout: Layout, events: Iterable[Issued | Moved | KeyReady | KeyChanged]
) -> tuple[list[str], list[int]]:
    """Instances that were attached, and those that ended `done`: seen Running after a boot, and
    attached before a comparison that found the plan's key material.
    """
    comparisons = Comparisons()
    attached: dict[int, str] = {}
    done: list[int] = []
    for event in events:
        match event:
            case Issued(command=Attach(ordinals=ordinals, instances=instances)):
                attached.update(zip(ordinals, instances, strict=True))
                for ordinal in ordinals:
                    comparisons.remove(ordinal)
            case Moved(trigger=Trigger.OBSERVED_ATTACHED, ordinals=ordinals):
                for ordinal in ordinals:
                    comparisons.observe(ordinal)
            case Moved(trigger=Trigger.OBSERVED_RUNNING, ordinals=ordinals):
                for ordinal in ordinals:
                    key_site = layout.key_site_of(ordinal)
                    if comparisons.vouched(key_site, ordinal):
                        done.append(ordinal)
                    elif ordinal not in comparisons.doubted:
                        comparisons.wait(key_site, ordinal)
            case KeyReady():
                done += comparisons.match(event.key_site, event.attached)
            case KeyChanged():
                touched = {**attached, **comparisons.numbers}
                key_site = event.key_site
                comparisons.differ(
                    key_site, [o for o in touched if layout.key_site_of(o) == key_site]
                )
            case _:
                pass
    return list(attached.values()), done


_RELEVANT = (Issued, Moved, KeyReady, KeyChanged)


def _void_all(proofs: Proofs, run: StoredRun) -> None:
    """Void the proofs of a damaged run's instances; all proofs if its plan is damaged too."""
    try:
        plan = decode(run.plan_bytes())
    except (RolloutError, msgspec.DecodeError, UnicodeDecodeError):
        proofs.clear()
    else:
        _void(proofs, _instances(plan))


def _void(proofs: Proofs, instances: Iterable[str]) -> None:
    for instance in instances:
        proofs.pop(instance, None)


def _instances(plan: Plan) -> list[str]:
    """Ids by ordinal."""
    return [target.instance for target in plan.targets()]
