"""Calls and observations that the core may request.

`Attach`, `RestartCall` and `ImportKey` change something: they are part of an `Issued` event
that is durable before they are sent. The others have no intent.
"""

from __future__ import annotations

import msgspec

from rollout.model.plan import RestartKind
from rollout.model.site import KeyAtSite, KeySite, Site


class Attach(msgspec.Struct, frozen=True, tag="AttachKeyPair", omit_defaults=True):
    """Attach a wanted key to these instances of one cell: one call, at most 50 ids. `key` indexes
    `Plan.keys`.
    """

    ordinals: tuple[int, ...]
    instances: tuple[str, ...]
    key: int = 0


class RestartCall(msgspec.Struct, frozen=True, tag="Restart"):
    """Restart these instances of one cell: one call. More than one id means the multi-instance
    action.
    """

    kind: RestartKind
    ordinals: tuple[int, ...]
    instances: tuple[str, ...]


class ImportKey(KeyAtSite, msgspec.Struct, frozen=True, tag="ImportKeyPair", omit_defaults=True):
    """Import a wanted key in one region. `key` indexes `Plan.keys`."""

    account: str
    region: str
    key: int = 0


Command = Attach | RestartCall | ImportKey


class ObserveInstances(msgspec.Struct, frozen=True):
    """Read these instances of one site: at most 100 ids.

    `instances` may name one more than `ordinals`: a witness, observed before or at least planned,
    without which an empty reply would prove nothing.
    """

    site: Site
    ordinals: tuple[int, ...]
    instances: tuple[str, ...]


class ObserveMembers(ObserveInstances, frozen=True):
    """Read members of groups for a census: at most 100 ids, no witness.

    Their ordinals are those of `Layout.members`.
    """


class ObserveKeyPair(msgspec.Struct, frozen=True):
    """Read a wanted key pair at one site, public key included. `key` indexes `Plan.keys`."""

    site: Site
    key: int = 0

    @property
    def key_site(self) -> KeySite:
        """Site and key."""
        return KeySite(self.site, self.key)


class ObserveStatuses(msgspec.Struct, frozen=True):
    """Read the status of these instances of one site by DescribeInstanceStatus: at most 50 ids.

    Confirms that DescribeInstances no longer lists these instances. The last of `instances` is a
    witness: a reply without it proves nothing.
    """

    site: Site
    ordinals: tuple[int, ...]
    instances: tuple[str, ...]


class QueryGate(msgspec.Struct, frozen=True):
    """Ask a question of the gate after a wave. `gate` indexes `Plan.gates`."""

    wave: int
    gate: int


ServiceObservation = ObserveInstances | ObserveKeyPair | ObserveStatuses
"""Observations of the service."""

Observation = ServiceObservation | QueryGate
