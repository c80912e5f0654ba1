"""Cloud Assistant's memory: which commands were sent to which instances, and how they ended.

Written and read by the assistant actions. A command of today runs at once; one for the next boot
waits until the instance has booted again.
"""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from rollout.emulator import shell
from rollout.emulator.instances import Instances, Status
from rollout.emulator.keypairs import KeyPairs

RUN_MS: Final = 1_000
"""How long a command takes."""
OUTPUT_BYTES_MAX: Final = 24 * 1024
AT_BOOT: Final = frozenset({"NextRebootOnly", "EveryReboot"})


class Order(msgspec.Struct, frozen=True):
    """A command as it was sent. `boots` by ordinal: the count when it was sent."""

    invoke_id: str
    command_id: str
    region: str
    at: int
    script: str
    repeat_mode: str
    user: str
    boots: Mapping[int, int]
    dead: frozenset[int]
    """Instances that were not Running when it was sent."""


class Result(msgspec.Struct, frozen=True):
    """How an order stands on one instance."""

    order: Order
    ordinal: int
    status: str
    exit_code: int | None = None
    output: str = ""
    error_code: str = ""
    finished_at: int | None = None


class Assistant:
    """All orders of one cloud, in the order of their sending."""

    def __init__(self, instances: Instances, pairs: KeyPairs) -> None:
        self._instances = instances
        self._pairs = pairs
        self._orders: dict[str, Order] = {}
        self._by_token: dict[str, tuple[bytes, Order]] = {}

    def by_token(self, token: str, content: bytes) -> tuple[Order, bool] | None:
        """The order sent with a ClientToken before, and whether it had the same content."""
        known = self._by_token.get(token)
        return None if known is None else (known[1], known[0] == content)

    def send(self, order: Order, token: str, content: bytes) -> None:
        """Keep an order."""
        self._orders[order.invoke_id] = order
        if token:
            self._by_token[token] = (content, order)

    def results(self, region: str, invoke_id: str, now: int) -> Iterator[Result]:
        """How every order of a region stands on each of its instances; one order, if named."""
        orders = [self._orders.get(invoke_id)] if invoke_id else list(self._orders.values())
        for order in orders:
            if order is not None and order.region == region:
                for ordinal in order.boots:
                    yield self._result(order, ordinal, now)

    def guest(self, ordinal: int, now: int) -> shell.Guest:
        """The instance from inside, as its last boot left it."""
        instances = self._instances
        numbers = instances.keys_in_force(ordinal, now)
        return shell.Guest(
            name=instances.name_of(ordinal),
            user=instances.shape_of(ordinal).image.login_user,
            boot_id=shell.boot_id(instances.ids.id_of(ordinal), instances.boots[ordinal]),
            booted_at=instances.start_ms[ordinal],
            keys=tuple(self._pairs.all[number].body for number in numbers),
        )

    def _result(self, order: Order, ordinal: int, now: int) -> Result:
        if ordinal in order.dead:
            return Result(order, ordinal, "Failed", error_code="InstanceNotRunning")
        running = self._instances.status(ordinal, now) == Status.RUNNING
        if order.repeat_mode in AT_BOOT:
            booted = self._instances.boots[ordinal] > order.boots[ordinal]
            if not (booted and running):
                return Result(order, ordinal, "Scheduled")
            finished = now
        else:
            finished = order.at + RUN_MS
            if now < finished:
                return Result(order, ordinal, "Running")
        code, output = shell.run(order.script, self.guest(ordinal, now))
        status = "Success" if code == 0 else "Failed"
        error = "" if code == 0 else "ExitCodeNonzero"
        return Result(order, ordinal, status, code, output, error, finished)


def new_id(prefix: str, request_id: str) -> str:
    """An id that follows from the request it was made by."""
    return prefix + hashlib.blake2b(request_id.encode(), digest_size=8).hexdigest()
