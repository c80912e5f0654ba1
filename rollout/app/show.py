"""Show the instances of a run: their phases, why they wait, and the life of one of them.

Called by `rollout show`. Changes nothing and makes no API calls.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from rollout.app import audit, runs
from rollout.app.audit import AuditEntry
from rollout.core.running.explain import explain
from rollout.errors import UsageError
from rollout.journal.store import StoredRun
from rollout.model.phrase import say
from rollout.model.view import InstanceView


class Life(NamedTuple):
    """One target of a run: its state, and its events in order."""

    view: InstanceView
    entries: tuple[AuditEntry, ...]


def life(run: StoredRun, instance: str) -> Life:
    """Return the state and all events of one target.

    Errors: UsageError R0524 if the instance is no target of the run; as `runs.fold`.
    """
    folded = runs.fold(run).run
    ordinal = folded.layout.ordinal_of(instance)
    if ordinal is None:
        excluded = next((one for one in folded.plan.exclusions if one.instance == instance), None)
        text = say("{instance} is not a target of run {run}", instance=instance, run=run.id)
        if excluded:
            reason = excluded.reason.value
            text = say("{text}: excluded as {reason}", text=text, reason=reason)
        raise UsageError.of(
            "R0524",
            text,
            help=say("rollout show {run} lists what the run covers", run=run.id),
        )
    entries = tuple(
        entry for entry in audit.read_log(run, instance).entries if instance in entry.instances
    )
    return Life(explain(folded, ordinal), entries)


def wave(run: StoredRun, name: str) -> Iterator[InstanceView]:
    """Return the targets of one wave. Errors: UsageError R0524 if the run has no such wave."""
    folded = runs.fold(run).run
    names = [span.name for span in folded.layout.waves]
    if name not in names:
        raise UsageError.of(
            "R0524",
            say("run {run} has no wave {name}", run=run.id, name=name),
            help=say("its waves: {names}", names=", ".join(names)),
        )
    number = names.index(name)
    cells = folded.layout.cells[slice(*folded.layout.waves[number].cells)]
    return (explain(folded, one) for cell in cells for one in range(cell.start, cell.end))
