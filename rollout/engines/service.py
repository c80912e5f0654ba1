"""The engine's port `Ecs` on the real client, and the gate that keeps changes in.

Made by the command line and by the simulator. What it gives cannot change anything until
`allow_changes` was called.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from rollout.ecs import replies as reading
from rollout.ecs.client import EcsClient
from rollout.ecs.slowdowns import Slowdowns
from rollout.engines.ports import Clock, Described, KeyDescribed, StatusesDescribed
from rollout.model.event import ClockSkew, LaneRecovered, LaneSlowed
from rollout.model.outcome import Answer, Done, Outcome, Refused, Unknown
from rollout.model.plan import Identity, RestartKind
from rollout.model.time import Instant


@dataclass
class Gate:
    """Asked by the client right before a call with consequences leaves; shut at first.

    `lost` says why the run no longer belongs to this process; empty while it does.
    """

    shut: bool = field(default=True)
    lost: Callable[[], str] = field(default=lambda: "")

    def refuses(self) -> bool:
        """Whether such a call must not leave now."""
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
        """From now on calls with consequences may leave, within all but this share of each lane,
        and while `lost` says nothing. The core alone repeats what failed.
        """
        self.client.patience = None
        self.client.governor.leave_to_others(leave_quota_ppm)
        self.gate.lost = lost
        self.gate.shut = False

    def lane_changes(self) -> list[LaneSlowed | LaneRecovered]:
        """What changed of the throttled lanes since the last call of this."""
        return self._slowdowns.changes()

    def stop(self) -> None:
        """From now on mutating calls that have not left yet are refused unsent."""
        self.gate.shut = True

    async def attach_key_pair(
        self, region: str, key_pair: str, instances: tuple[str, ...], *, not_after: Instant
    ) -> Answer:
        """AttachKeyPair for at most 50 ids."""
        return await self.client.attach_key_pair(region, key_pair, instances, not_after=not_after)

    async def restart(
        self, kind: RestartKind, region: str, instances: tuple[str, ...], *, not_after: Instant
    ) -> Answer:
        """RebootInstance or StartInstance for one id, the multi-instance action for more."""
        return await self.client.restart(kind, region, instances, not_after=not_after)

    async def import_key_pair(
        self, region: str, key_pair: str, public_key: str, *, not_after: Instant
    ) -> Outcome:
        """ImportKeyPair; never replaces."""
        return await self.client.import_key_pair(region, key_pair, public_key, not_after=not_after)

    async def may_restart(
        self, kind: RestartKind, region: str, instances: Sequence[str], *, many: bool
    ) -> Done | Refused | Unknown:
        """Whether one of these instances may be restarted; leaves also while changes may not."""
        return await self.client.may_restart(kind, region, instances, many=many)

    async def observe_instances(
        self, region: str, instances: tuple[str, ...]
    ) -> Described | Refused | Unknown:
        """DescribeInstances for at most 100 ids."""
        seen = await self.client.observe_instances(region, instances)
        if isinstance(seen, reading.Described):
            return Described(seen.instances, seen.api_time, seen.left_at)
        return seen

    async def observe_statuses(
        self, region: str, instances: tuple[str, ...]
    ) -> StatusesDescribed | Refused | Unknown:
        """DescribeInstanceStatus for at most 50 ids."""
        seen = await self.client.describe_instance_status(region, instances)
        if isinstance(seen, reading.StatusesDescribed):
            return StatusesDescribed(frozenset(seen.statuses), seen.api_time)
        return seen

    async def observe_key_pair(
        self, region: str, key_pair: str
    ) -> KeyDescribed | Refused | Unknown:
        """DescribeKeyPairs with the public key, exact name."""
        seen = await self.client.observe_key_pair(region, key_pair)
        if isinstance(seen, reading.KeyDescribed):
            return KeyDescribed(seen.public_key, seen.fingerprint, seen.api_time)
        return seen
