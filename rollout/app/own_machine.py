"""Find the instance that this process runs on, and protect a run from restarting it too early.

Called by `plan`, `undo` and `retry`, and before a plan is applied.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rollout.app import parallel
from rollout.ecs import contract, interfaces, metadata
from rollout.ecs.interfaces import Interface
from rollout.engines.service import Service
from rollout.errors import ConflictError
from rollout.model.phrase import say
from rollout.model.plan import Plan
from rollout.model.site import Site


async def find(service: Service, sites: Iterable[Site], url: str = metadata.URL) -> str:
    """Return the id of the instance that this process runs on; empty if it runs elsewhere.

    Without the metadata service, the instances of these sites are compared with the addresses of
    this machine. With an emulator the id is always empty: this machine is none of its instances.
    """
    if service.identity.emulator:
        return ""
    return await metadata.instance_id(url) or await by_address(service, sites, interfaces.local())


async def by_address(service: Service, sites: Iterable[Site], local: Sequence[Interface]) -> str:
    """Return the id of the instance with the private address and the MAC address of one of these
    interfaces; empty without one. A private address alone is not enough: many networks use the
    same ones.

    Sends one DescribeInstances for each site. A site that does not answer has no such instance.
    """
    addresses = [one.address for one in local][: contract.DESCRIBE_IDS_MAX]
    macs = frozenset(one.mac for one in local)
    found: list[str] = []

    async def search(site: Site) -> None:
        listed = await service.client.find_by_address(site.region, addresses)
        if isinstance(listed, dict):
            found.extend(instance for instance, own in listed.items() if own & macs)

    if addresses:
        await parallel.check_all(search, sites)
    return found[0] if len(found) == 1 else ""


def check(plan: Plan, own: str) -> None:
    """Raise ConflictError R0372 if the plan restarts this machine before another target."""
    *before, _ = [target.instance for target in plan.targets()] or [""]
    if own and own in before:
        raise ConflictError.of(
            "R0372",
            say(
                "{own} is this machine, and the plan restarts it before other targets: its "
                "restart would end this process in the middle of the run",
                own=own,
            ),
            help=say(
                "apply the plan on another machine, or create the plan on this one, which puts "
                "it last"
            ),
        )
