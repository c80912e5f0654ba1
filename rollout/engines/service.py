"""The engine's port `Ecs` on the real client, and the gate that stops changes.

Created by the use cases and by the simulator. A service cannot change anything until
`allow_changes` was called.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from rollout.core.invariant import invariant
from rollout.ecs.client import EcsClient
from rollout.ecs.slowdowns import Slowdowns
from rollout.model.event import ClockSkew, LaneRecovered, LaneSlowed
from rollout.model.observation import Described, KeyDescribed, StatusesDescribed
from rollout.model.outcome import Answer, Done, Outcome, Refused, Unknown
from rollout.model.plan import Identity, RestartKind
from rollout.model.site import Site
from rollout.model.time import Clock, Instant
from rollout.model.verify import Addresses


@dataclass
class Gate:
    """Checked by the client right before a mutation is sent; shut at first.

    `lost` returns why the run no longer belongs to this process; empty while it does.
    """

    shut: bool = field(default=True)
    lost: Callable[[], str] = field(default=lambda: "")

    def refuses(self) -> bool:
        """Return whether a mutation must not be sent now."""
        return self.shut or bool(self.lost())


@dataclass
class Service:
    """One identified connection. Implements the engine's port `Ecs`."""

    client: EcsClient
    clock: Clock
    identity: Identity
    gate: Gate
    clock_skew: ClockSkew | None = None
    """The difference that `clock` corrects; None where it is too small to correct."""

    def __post_init__(self) -> None:
        self._slowdowns = Slowdowns(self.client.governor)

    def allow_changes(self, leave_quota_ppm: int, lost: Callable[[], str]) -> None:
        """Allow mutations while `lost` returns nothing, and leave this share of each lane to other
        clients. From now on only the core retries failed calls.
        """
        self.client.patience = None
        self.client.governor.leave_to_others(leave_quota_ppm)
        self.gate.lost = lost
        self.gate.shut = False

    def allow_key_changes(self) -> None:
        """Allow mutating calls outside a run. Read-only calls are still retried."""
        self.gate.shut = False

    def lane_changes(self) -> list[LaneSlowed | LaneRecovered]:
        """Return the changes of throttled lanes since the last call of this method."""
        return self._slowdowns.changes()

    def stop(self) -> None:
        """Refuse all mutating calls unsent from now on."""
        self.gate.shut = True

    async def attach_key_pair(
        self, site: Site, key_pair: str, instances: tuple[str, ...], *, not_after: Instant
    ) -> Answer:
        """AttachKeyPair for at most 50 ids."""
        client = self._client(site)
        return await client.attach_key_pair(site.region, key_pair, instances, not_after=not_after)

    async def restart(
        self, site: Site, kind: RestartKind, instances: tuple[str, ...], *, not_after: Instant
    ) -> Answer:
        """RebootInstance or StartInstance for one id, the multi-instance action for more."""
        return await self._client(site).restart(kind, site.region, instances, not_after=not_after)

    async def import_key_pair(
        self, site: Site, key_pair: str, public_key: str, *, not_after: Instant
    ) -> Outcome:
        """ImportKeyPair; never replaces."""
        client = self._client(site)
        return await client.import_key_pair(site.region, key_pair, public_key, not_after=not_after)

    async def may_restart(
        self, site: Site, kind: RestartKind, instances: Sequence[str], *, many: bool
    ) -> Done | Refused | Unknown:
        """Check whether one of these may be restarted; sent even while changes are not allowed."""
        return await self._client(site).may_restart(kind, site.region, instances, many=many)

    async def observe_instances(
        self, site: Site, instances: tuple[str, ...]
    ) -> Described | Refused | Unknown:
        """DescribeInstances for at most 100 ids."""
        return await self._client(site).observe_instances(site.region, instances)

    async def observe_statuses(
        self, site: Site, instances: tuple[str, ...]
    ) -> StatusesDescribed | Refused | Unknown:
        """DescribeInstanceStatus for at most 50 ids."""
        return await self._client(site).describe_instance_status(site.region, instances)

    async def observe_key_pair(self, site: Site, key_pair: str) -> KeyDescribed | Refused | Unknown:
        """DescribeKeyPairs with the public key, exact name."""
        return await self._client(site).observe_key_pair(site.region, key_pair)

    def keep_addresses(self) -> None:
        """Keep the addresses of observed instances from now on, for `addresses_of`."""
        if self.client.addresses is None:
            self.client.addresses = {}

    async def addresses_of(self, site: Site, instance: str) -> Addresses:
        """Return the last observed addresses of an instance, which is observed where there are
        none; empty ones if the service does not list it.
        """
        client = self._client(site)
        known = client.addresses if client.addresses is not None else {}
        if instance not in known:
            await client.observe_instances(site.region, (instance,))
        return known.get(instance, Addresses())

    def _client(self, site: Site) -> EcsClient:
        """Return the client of this site."""
        known = site.account == self.client.account
        invariant(known, f"no connection for account {site.account}")
        return self.client
