"""Find the instance that this process runs on, and protect a run from restarting it too early.

Called by `plan`, `undo` and `retry`, and before a plan is applied.
"""

from __future__ import annotations

from rollout.ecs import metadata
from rollout.engines.service import Service
from rollout.errors import ConflictError
from rollout.model.plan import Plan


async def find(service: Service, url: str = metadata.URL) -> str:
    """Return the id of the instance that this process runs on; empty if it runs elsewhere.

    With an emulator it is always empty: this machine is none of the emulated instances.
    """
    return "" if service.identity.emulator else await metadata.instance_id(url)


def check(plan: Plan, own: str) -> None:
    """Raise ConflictError R0372 if the plan restarts this machine before another target."""
    *before, _ = [target.instance for target in plan.targets()] or [""]
    if own and own in before:
        raise ConflictError.of(
            "R0372",
            f"{own} is this machine, and the plan restarts it before other targets: its restart "
            "would end this process in the middle of the run",
            help="apply the plan on another machine, or create the plan on this one, "
            "which puts it last",
        )
