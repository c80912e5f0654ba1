"""Protocols of everything an engine uses; adapters implement them, tests replace them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from rollout.journal.store import RunLeases
from rollout.model.event import AnyEvent, LaneRecovered, LaneSlowed, OperatorCommand
from rollout.model.gate import AnyGate, GateReply
from rollout.model.observation import Described, KeyDescribed, StatusesDescribed
from rollout.model.outcome import Answer, Outcome, Refused, Unknown
from rollout.model.plan import RestartKind
from rollout.model.probe import HostKeySeen, LoginSeen, ProbeLogin, ReadHostKey
from rollout.model.site import Site
from rollout.model.time import Clock, Instant


class Ecs(Protocol):
    """The service as the engine uses it. Nothing raises: every failure is an outcome.

    Mutating calls are sent at most once, and refused unsent (`RetryClass.UNSENT`) if they could
    only be sent after `not_after`.
    """

    async def attach_key_pair(
        self, site: Site, key_pair: str, instances: tuple[str, ...], *, not_after: Instant
    ) -> Answer:
        """AttachKeyPair for at most 50 ids."""

    async def restart(
        self, site: Site, kind: RestartKind, instances: tuple[str, ...], *, not_after: Instant
    ) -> Answer:
        """RebootInstance or StartInstance for one id, the multi-instance action for more."""

    async def import_key_pair(
        self, site: Site, key_pair: str, public_key: str, *, not_after: Instant
    ) -> Outcome:
        """ImportKeyPair; never replaces."""

    def lane_changes(self) -> list[LaneSlowed | LaneRecovered]:
        """Return the changes of throttled lanes since the last call of this method."""

    def stop(self) -> None:
        """Refuse all mutating calls unsent from now on."""

    async def observe_instances(
        self, site: Site, instances: tuple[str, ...]
    ) -> Described | Refused | Unknown:
        """DescribeInstances for at most 100 ids; unknown ids are left out of the result."""

    async def observe_statuses(
        self, site: Site, instances: tuple[str, ...]
    ) -> StatusesDescribed | Refused | Unknown:
        """DescribeInstanceStatus for at most 50 ids; unknown ids are left out of the result."""

    async def observe_key_pair(self, site: Site, key_pair: str) -> KeyDescribed | Refused | Unknown:
        """DescribeKeyPairs with the public key, exact name."""


class Journal(Protocol):
    """The run's log. After the first error every call raises: the writer is poisoned."""

    def append(self, events: list[AnyEvent], at: Instant) -> None:
        """Add the events of one step, in order; buffered until `sync`."""

    async def sync(self) -> None:
        """Return when everything appended is durable and the run still belongs to this process.

        Errors, permanently: StorageError, or IntegrityError R0906 where another process took over.
        """

    def append_final(self, events: list[AnyEvent], at: Instant) -> bool:
        """Write these events after an error, when nothing is in flight, if the error allows it.

        Return False if nothing may be written any more; the caller prints them instead.
        """

    def low_space(self) -> bool:
        """Return whether the disk is nearly full: the run halts while it can still be recorded."""


class Operators(Protocol):
    """Commands of operators for a running process."""

    def take(self) -> list[OperatorCommand]:
        """Return the commands that arrived since the last call, oldest first."""

    def done(self, order: OperatorCommand) -> None:
        """Remove a command that is durable in the journal."""


class Prober(Protocol):
    """Probes of instances. Nothing raises: what cannot be observed is unknown."""

    async def read_host_key(self, probe: ReadHostKey) -> HostKeySeen:
        """Connect to the instance and return its host key. Sends no credentials."""

    async def prove_login(self, probe: ProbeLogin) -> LoginSeen:
        """Try the keys and run the hooks of one instance; the hooks only after both keys."""


class GateSource(Protocol):
    """Systems outside the service that open gates. Nothing raises: no answer is `unknown`."""

    async def ask(self, gate: AnyGate) -> GateReply:
        """Return the answer to a question of a gate, within its timeout."""


class KeyPairMarks(Protocol):
    """The marks of this process on the key pairs of its run. Nothing raises."""

    async def read_before(self, wave: int) -> None:
        """Read the marks before the first call of a wave; later calls wait for the same reading."""

    def lost(self) -> str:
        """Return which run of another runs directory marked a key pair; empty if none is known."""

    async def found(self) -> None:
        """Return once `lost` has a text."""


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports of one engine."""

    clock: Clock
    ecs: Ecs
    journal: Journal
    operators: Operators | None = None
    prober: Prober | None = None
    """Set if the plan wants logins to prove the key."""
    gates: GateSource | None = None
    """None: every question of a gate is unanswered."""
    leases: RunLeases | None = None
    marks: KeyPairMarks | None = None
    """None: the marks of other runs do not count."""
