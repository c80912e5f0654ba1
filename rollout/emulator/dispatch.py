"""The emulated cloud: `handle(request, now)` answers one call and applies its effect. Pure.

Called by the HTTP server, by in-process transports and by the simulator; `now` is the arrival, in
UTC milliseconds, and may not go back. Knows no network, no clock and no chance: equal requests in
equal order give equal replies, request ids included. What the network does to a call is `faults`.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import msgspec

from rollout.ecs import contract
from rollout.ecs.contract import Edition
from rollout.emulator import actions
from rollout.emulator.actions.context import Call
from rollout.emulator.actions.instance_rows import Rows, Shown
from rollout.emulator.cloud import keygen
from rollout.emulator.cloud.fleet import Fleet
from rollout.emulator.cloud.instances import STATUS_NAMES, Status
from rollout.emulator.cloud.ledger import Ledger
from rollout.emulator.cloud.quotas import Quotas
from rollout.emulator.cloud.switches import Switches
from rollout.emulator.cloud.users import Access
from rollout.emulator.faults import FaultPlan
from rollout.emulator.guest.assistant import Assistant
from rollout.emulator.messages import Refusal, Reply, Request

_VERSIONS: Final = (contract.ECS_VERSION, contract.STS_VERSION)


class Observed(msgspec.Struct, frozen=True):
    """The hidden state of one instance, for checkers. `key_in_force`: since its last boot."""

    instance: str
    region: str
    zone: str
    os_type: str
    status: str
    key_pair: str | None
    key_in_force: str | None
    boots: int


class Cloud:
    """One account's worth of regions, key pairs and instances."""

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
        self.rows: Shown = Rows(fleet.instances, fleet.pairs)
        self.access = access or Access()
        self.quotas = quotas or Quotas()
        self.faults = faults or FaultPlan()
        self.make_key = make_key
        self.assistant = Assistant(fleet.instances, fleet.pairs)
        self.ledger = Ledger(
            fleet.instances.ids.id_of,
            lambda number: self.pairs.all[number].name,
            self.request_id,
        )
        key = hashlib.blake2b(f"requests/{seed}".encode(), digest_size=32).digest()
        self._request_ids = hashlib.blake2b(digest_size=16, key=key)
        self._count = 0
        self.switches = switches
        self.switch(switches)

    def handle(self, request: Request, now: int) -> Reply:
        """Answer one call. Never raises for anything a caller can send."""
        self._count += 1
        try:
            body = self._answer(request, now)
        except Refusal as refusal:
            return self._refused(request, refusal, self.request_id(self._count))
        request_id = self.request_id(self._count)
        printed = request.action == "AttachKeyPair" and self.switches.edition is Edition.SEED
        return Reply(200, _with_request_id(body, request_id), request_id, printed=printed)

    def refuse(self, request: Request, refusal: Refusal) -> Reply:
        """Answer a call with an error before it reaches any action: gateway and faults."""
        self._count += 1
        return self._refused(request, refusal, self.request_id(self._count))

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

    def sights(self, now: int) -> Iterator[Observed]:
        """Every instance that exists, in fleet order; made one by one."""
        for region, span in self.instances.spans.items():
            for ordinal in span:
                if self.instances.base[ordinal] != Status.RELEASED:
                    yield self._sight(region, ordinal, now)

    def request_id(self, number: int) -> str:
        """The request id of the `number`th call: an upper-case UUID that follows from the seed."""
        digest = self._request_ids.copy()
        digest.update(number.to_bytes(8, "big"))
        text = digest.hexdigest().upper()
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"

    def _answer(self, request: Request, now: int) -> Mapping[str, object]:
        if request.version not in _VERSIONS:
            raise Refusal("InvalidVersion")
        action = contract.ACTIONS.get(request.action)
        if action is None or action.version != request.version:
            raise Refusal("InvalidAction.NotFound")
        user = self.access.user(request.caller)
        if user is None:
            raise Refusal("InvalidAccessKeyId.NotFound")
        call = Call(self, action, request, user, now, self._count)
        wait_ms = self.quotas.admit(user.account, call.lane_region(), action.name, now)
        if wait_ms is not None:
            settings = self.quotas.settings
            raise Refusal(settings.code, retry_after_ms=wait_ms if settings.retry_after else None)
        return actions.HANDLERS[action.name](call)

    def _refused(self, request: Request, refusal: Refusal, request_id: str) -> Reply:
        """The error body of a refusal."""
        edition = self.switches.edition_of(request.action)
        try:
            row = contract.error(request.action, refusal.code, edition, refusal.subject)
        except KeyError:  # only faults ask for a code that is documented nowhere
            row = contract.ApiError(refusal.code, 400, "An error that no table knows.")
        body: dict[str, object] = {
            "RequestId": request_id,
            "HostId": request.address,
            "Code": row.code,
            "Message": row.message if refusal.message is None else refusal.message,
        }
        if edition is Edition.CURRENT:
            product = "Sts" if request.version == contract.STS_VERSION else "Ecs"
            body["Recommend"] = (
                f"https://api.aliyun.com/troubleshoot?q={row.code}"
                f"&product={product}&requestId={request_id}"
            )
        status = refusal.status or row.status
        return Reply(status, body, request_id, row.code, refusal.retry_after_ms)

    def _sight(self, region: str, ordinal: int, now: int) -> Observed:
        instances, pairs = self.instances, self.pairs.all
        status = instances.status(ordinal, now)
        shape = instances.shape_of(ordinal)
        return Observed(
            instance=instances.ids.id_of(ordinal),
            region=region,
            zone=shape.zone,
            os_type=shape.image.os_type,
            status=STATUS_NAMES[status],
            key_pair=pairs[instances.record[ordinal]].name or None,
            key_in_force=pairs[instances.guest[ordinal]].name or None,
            boots=instances.boots[ordinal],
        )


def _with_request_id(body: Mapping[str, object], request_id: str) -> dict[str, object]:
    """Put the request id where the action reserves a place for it, else in front."""
    if "RequestId" in body:
        return {**body, "RequestId": request_id}
    return {"RequestId": request_id, **body}
