"""Send the call of one durable intent and return its answer. No branching on the run's state.

Called by the engines, after the loop allowed the call. Never retries.
"""

from __future__ import annotations

from rollout.engines.ports import Ecs
from rollout.model.command import Attach, ImportKey, RestartCall
from rollout.model.event import Issued
from rollout.model.outcome import Answer
from rollout.model.plan import Plan
from rollout.model.site import Site


async def perform(issued: Issued, site: Site, plan: Plan, ecs: Ecs) -> Answer:
    """Send the call of a durable intent once, and return what the service answered."""
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
