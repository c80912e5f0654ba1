"""The state of one emulated account: what actions read and change, and what checkers observe.

Made by `dispatch.Cloud`; used by actions, guests and admin endpoints. Answers no calls itself.
"""

import hashlib
from collections.abc import Callable, Iterator

import msgspec

from rollout.emulator.cloud import keygen
from rollout.emulator.cloud.fleet import Fleet
from rollout.emulator.cloud.ledger import HiddenLedger
from rollout.emulator.cloud.lifecycle import STATUS_NAMES, BaseStatus
from rollout.emulator.cloud.quotas import Quotas
from rollout.emulator.cloud.switches import Switches
from rollout.emulator.cloud.users import Access
from rollout.emulator.fault_plan import FaultPlan
from rollout.emulator.guest.assistant import Assistant


class ObservedInstance(msgspec.Struct, frozen=True):
    """The hidden state of one instance, for checkers. `key_in_force`: since its last boot."""

    instance: str
    region: str
    zone: str
    os_type: str
    status: str
    key_pair: str | None
    key_in_force: str | None
    boots: int


class CloudState:
    """Regions, key pairs, instances, users and settings of one account, and its hidden ledger."""

    def __init__(
        self,
        fleet: Fleet,
        switches: Switches = Switches(),  # noqa: B008 - frozen
        *,
        access: Access | None = None,
        quotas: Quotas | None = None,
        faults: FaultPlan | None = None,
        make_key: Callable[[], tuple[str, str]] = keygen.rsa_key,
        seed: int = 0,
    ) -> None:
        self.fleet = fleet
        self.instances = fleet.instances
        self.pairs = fleet.pairs
        self.access = access or Access()
        self.quotas = quotas or Quotas()
        self.faults = faults or FaultPlan()
        self.make_key = make_key
        self.assistant = Assistant(fleet.instances, fleet.pairs)
        self.ledger = HiddenLedger(
            fleet.instances.ids.id_of, lambda number: self.pairs.all[number].name, self.request_id
        )
        key = hashlib.blake2b(f"requests/{seed}".encode(), digest_size=32).digest()
        self._request_ids = hashlib.blake2b(digest_size=16, key=key)
        self.switches = switches
        self.switch(switches)

    def switch(self, switches: Switches) -> None:
        """Change the behavior from now on."""
        self.switches = switches
        instances = self.instances
        instances.start_moves_on_reboot = switches.start_time_moves_on_reboot
        instances.stale_ms = switches.stale_status_ms
        self.pairs.use_md5(switches.md5_fingerprints)
        self.assistant.attach_ends_password_login = switches.attach_ends_password_login
        instances.keep_ms = max(switches.describe_lag_ms, self.faults.lag_ms_max)

    def arm(self, faults: FaultPlan) -> None:
        """Change the faults from now on."""
        self.faults = faults
        self.switch(self.switches)

    def observe(self, now: int) -> Iterator[ObservedInstance]:
        """Yield the hidden state of every instance that exists, in fleet order."""
        for region, span in self.instances.spans.items():
            for ordinal in span:
                if self.instances.base[ordinal] != BaseStatus.RELEASED:
                    yield self._observe(region, ordinal, now)

    def request_id(self, number: int) -> str:
        """Return the request id of the `number`th call: an upper-case UUID made from the seed."""
        digest = self._request_ids.copy()
        digest.update(number.to_bytes(8, "big"))
        text = digest.hexdigest().upper()
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"

    def _observe(self, region: str, ordinal: int, now: int) -> ObservedInstance:
        instances, pairs = self.instances, self.pairs.all
        status = instances.status(ordinal, now)
        shape = instances.shape_of(ordinal)
        return ObservedInstance(
            instance=instances.ids.id_of(ordinal),
            region=region,
            zone=shape.zone,
            os_type=shape.image.os_type,
            status=STATUS_NAMES[status],
            key_pair=pairs[instances.record[ordinal]].name or None,
            key_in_force=pairs[instances.guest[ordinal]].name or None,
            boots=instances.boots[ordinal],
        )
