"""What Terraform manages about key pairs, and what its next apply would do after a rotation."""

from __future__ import annotations

import enum

import msgspec


class ResourceKind(enum.Enum):
    """What a resource of Terraform is, as far as key pairs are concerned."""

    INSTANCE = "instance"
    ATTACHMENT = "attachment"
    TEMPLATE = "template"
    """It creates instances: a scaling configuration, a launch template, a node pool."""


class Managed(msgspec.Struct, frozen=True):
    """A resource that names a key pair in its field `field`. `instances` are those it manages;
    `force`: an attachment that restarts them.
    """

    address: str
    kind: ResourceKind
    field: str
    key_name: str
    instances: tuple[str, ...] = ()
    force: bool = False


class ApplyEffect(enum.StrEnum):
    """What the next apply of Terraform does. Source: the provider's resources; the first release
    after pull request 9378 (2026-01) changes `key_name` of an instance in place, earlier ones
    destroy the instance and create another one.
    """

    REPLACES = "replaces"
    ATTACHES = "attaches"
    CREATES = "creates"


class Reversal(msgspec.Struct, frozen=True):
    """A resource whose next apply works against a rotation, and the line that prevents it."""

    address: str
    effect: ApplyEffect
    field: str
    key_name: str
    wanted: str
    instances: tuple[str, ...]
    force: bool = False

    @property
    def change(self) -> str:
        """Return the line of the configuration that names the new key pair."""
        return f"{self.field} = {msgspec.json.encode(self.wanted).decode()}"
