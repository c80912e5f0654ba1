"""Read one run's journal: the keys that it proved, and the rotations that it left unproven.

Called by `proofs`. Reads events instead of a folded run, because runs of other rules versions count
too.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from rollout.core.running.key_coverage import Comparisons
from rollout.core.running.layout import Layout
from rollout.journal.store import StoredRun
from rollout.model.command import Attach, RestartCall
from rollout.model.event import Issued, KeyChanged, KeyReady, Moved, Settled, Trigger
from rollout.model.instance import Proof, Proofs
from rollout.model.outcome import Refused

_Relevant = Issued | Settled | Moved | KeyReady | KeyChanged


class Rotations(msgspec.Struct, frozen=True):
    """What one run did, by instance id.

    `attached` holds the instances of all attach calls. `proved` holds those that ended `done`.
    `unproven` holds those that the run attached a key to, or may have, or restarted, and that did
    not end `done`. The values name the wanted key and the run.
    """

    attached: tuple[str, ...] = ()
    proved: Proofs = {}
    unproven: Proofs = {}


def read(run: StoredRun) -> Rotations:
    """Return the rotations of a run. Errors: as `StoredRun.read` and `StoredRun.plan`."""
    events: list[_Relevant] = []
    reader = run.read()
    for line in reader:
        events += [event for event in line.body if isinstance(event, _Relevant)]
    if reader.started is None:
        return Rotations()
    plan = run.plan(reader.started.plan_digest)
    layout = Layout(plan)
    keys = [Proof(key.name, key.public_key_digest, run.id) for key in plan.keys]

    def by_id(ordinals: Iterable[int]) -> Proofs:
        targets = [layout.targets[ordinal] for ordinal in ordinals]
        return {target.instance: keys[target.key] for target in targets}

    attached, done = _done(layout, events)
    started = _started(events)
    return Rotations(tuple(attached), by_id(done), by_id(started - set(done)))


def _started(events: Iterable[_Relevant]) -> set[int]:
    """Return the targets whose rotation began: an attach was observed or may have happened, or a
    restart was called. A refused attach call is no beginning.
    """
    attaches: dict[int, Attach] = {}
    possible: set[int] = set()
    certain: set[int] = set()
    for event in events:
        match event:
            case Issued(n=n, command=Attach() as command):
                attaches[n] = command
                possible.update(command.ordinals)
            case Issued(command=RestartCall(ordinals=ordinals)):
                certain.update(ordinals)
            case Settled(n=n, outcome=outcome, items=items) if n in attaches:
                own = dict(items)
                refused = [
                    ordinal
                    for ordinal in attaches.pop(n).ordinals
                    if isinstance(own.get(ordinal, outcome), Refused)
                ]
                possible.difference_update(refused)
            case Moved(trigger=Trigger.OBSERVED_ATTACHED, ordinals=ordinals):
                certain.update(ordinals)
            case Moved(trigger=Trigger.OBSERVED_UNATTACHED, ordinals=ordinals):
                possible.difference_update(ordinals)
            case _:
                pass
    return certain | possible


def _done(layout: Layout, events: Iterable[_Relevant]) -> tuple[list[str], list[int]]:
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
