"""One command becomes one call, and what came of it an answer. No branching on run state.

Called by the engines. Checks before sending what only the moment of sending can tell: whether
the intent has grown too old and whether the run was stopped meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable

from rollout.engines.ports import Ecs
from rollout.errors import IntegrityError, RolloutError
from rollout.model.command import Attach, ImportKey, RestartCall
from rollout.model.event import Halted, Issued
from rollout.model.halts import HaltReason, halted
from rollout.model.outcome import Answer, Unsent
from rollout.model.plan import Plan
from rollout.model.site import Site
from rollout.model.time import Clock


def halt_of(error: RolloutError) -> Halted:
    """The halt that follows an error of the journal. It is never written: nothing is any more."""
    reason = HaltReason.LOST if isinstance(error, IntegrityError) else HaltReason.DISK
    return halted(reason, str(error)[:200])


async def perform(
    issued: Issued, site: Site, plan: Plan, ecs: Ecs, clock: Clock, stopped: Callable[[], bool]
) -> Answer:
    """Send the call of a durable intent, at most once."""
    if stopped():
        return Answer(Unsent.STOPPED.refusal())
    if clock.expired(issued.not_after):
        return Answer(Unsent.EXPIRED.refusal())
    match issued.command:
        case Attach(instances=instances, key=key):
            name = plan.keys[key].name
            return await ecs.attach_key_pair(site, name, instances, not_after=issued.not_after)
        case RestartCall(kind=kind, instances=instances):
            return await ecs.restart(site, kind, instances, not_after=issued.not_after)
        case ImportKey(key=key):
            wanted = plan.keys[key]
            outcome = await ecs.import_key_pair(
                site, wanted.name, wanted.public_key, not_after=issued.not_after
            )
            return Answer(outcome)
