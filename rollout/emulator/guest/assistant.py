"""State of Cloud Assistant: commands, their instances and results.

Written and read by the assistant actions. A one-time command runs at once; a command for the next
boot or every boot runs when the instance has booted; a scheduled command never runs.
"""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from rollout.emulator.cloud import keypairs
from rollout.emulator.cloud.instances import Instances
from rollout.emulator.cloud.keypairs import KeyPairs
from rollout.emulator.cloud.lifecycle import BaseStatus
from rollout.emulator.cloud.shapes import Tags
from rollout.emulator.guest import shell

RUN_MS: Final = 1_000
"""How long a command takes."""
OUTPUT_BYTES_MAX: Final = 24 * 1024
AT_BOOT: Final = frozenset({"NextRebootOnly", "EveryReboot"})

ERROR_INFOS: Final[Mapping[str, str]] = {
    "": "",
    "AccountNotExists": "the specified account does not exists",
    "ExitCodeNonzero": "the command execution exit code is not zero",
    "InstanceNotRunning": "the instance is not running when create task",
    "InstanceReleased": "the instance has released when create task",
}
"""ErrorInfo by ErrorCode, as the reference spells them."""


class Order(msgspec.Struct, frozen=True):
    """A command and its instances."""

    invoke_id: str
    command_id: str
    region: str
    at: int
    script: str
    repeat_mode: str
    user: str
    ordinals: tuple[int, ...]
    dead: frozenset[int]
    """Instances that were not Running when it was sent."""
    group: str = ""
    tags: Tags = ()
    launcher: str = ""
    termination_mode: str = "Process"


class SentOrder(msgspec.Struct, frozen=True):
    """An order and the call that sent it, for a repeat with the same ClientToken."""

    order: Order
    content: bytes


class Result(msgspec.Struct, frozen=True):
    """The state of an order on one instance. `exit_code` is None until it finishes.

    `repeats` counts the runs up to this one, `began_at` is the start of this run.
    """

    order: Order
    ordinal: int
    status: str
    exit_code: int | None = None
    output: str = ""
    error_code: str = ""
    finished_at: int | None = None
    began_at: int | None = None
    repeats: int = 0

    @property
    def record_status(self) -> str:
        """Return InvokeRecordStatus: Finished after the command ended, with any exit code."""
        if self.status == "Scheduled":
            return "Running"
        if self.exit_code is not None:
            return "Finished"
        return "Failed" if self.error_code else "Running"


class Activity(msgspec.Struct, frozen=True):
    """Commands of the agent of one instance; `last_at` None = no command ever."""

    active: int
    completed: int
    last_at: int | None


class Assistant:
    """All orders of one cloud, in the order they were sent."""

    def __init__(self, instances: Instances, pairs: KeyPairs) -> None:
        self._instances = instances
        self._pairs = pairs
        self.attach_ends_password_login = False
        self._orders: dict[str, Order] = {}
        self._by_token: dict[str, SentOrder] = {}
        self._waiting: dict[int, list[Order]] = {}
        """Orders to run at the boots of an instance."""
        self._runs: dict[tuple[str, int], list[Result]] = {}
        """Results are read from the guest at the time of the run, because it may boot later."""
        instances.booted = self._run_at_boot

    def by_token(self, token: str) -> SentOrder | None:
        """Return the order that was sent with a ClientToken."""
        return self._by_token.get(token)

    def send(self, order: Order, token: str, content: bytes) -> None:
        """Store an order, and run it now unless it waits for a boot."""
        self._orders[order.invoke_id] = order
        if token:
            self._by_token[token] = SentOrder(order, content)
        if order.repeat_mode == "Once":
            for ordinal in order.ordinals:
                if ordinal not in order.dead:
                    self._run(order, ordinal, order.at)
        elif order.repeat_mode in AT_BOOT:
            for ordinal in order.ordinals:
                self._waiting.setdefault(ordinal, []).append(order)

    def results(self, region: str, invoke_id: str, now: int) -> Iterator[Result]:
        """Yield the result of each order of a region, or of one order, on each of its instances."""
        for order in self._named(region, invoke_id):
            for ordinal in order.ordinals:
                yield self._result(order, ordinal, now)

    def history(self, region: str, invoke_id: str, now: int) -> Iterator[Result]:
        """Yield every run of an order that repeats, on each of its instances the latest first."""
        for order in self._named(region, invoke_id):
            for ordinal in order.ordinals:
                self._instances.advance(ordinal, now)
                runs = self._runs.get((order.invoke_id, ordinal), ())
                yield from (run for run in reversed(runs) if (run.finished_at or 0) <= now)

    def activity(self, ordinal: int, now: int) -> Activity:
        """Return the counts of one agent."""
        stands = [
            self._result(order, ordinal, now)
            for order in self._orders.values()
            if ordinal in order.ordinals
        ]
        begun = [result for result in stands if result.status != "Scheduled"]
        return Activity(
            active=sum(result.status == "Running" for result in begun),
            completed=sum(result.repeats for result in stands if result.exit_code is not None),
            last_at=max((result.began_at or result.order.at for result in begun), default=None),
        )

    def guest(self, ordinal: int, now: int) -> shell.Guest:
        """Return the inside of an instance after its last boot."""
        instances = self._instances
        numbers = instances.keys_in_force(ordinal, now)
        attached = instances.record[ordinal] != keypairs.NONE
        login_user = instances.shape_of(ordinal).image.login_user
        return shell.Guest(
            name=instances.name_of(ordinal),
            user=login_user,
            login_user=login_user,
            boot_id=shell.boot_id(instances.ids.id_of(ordinal), instances.boots[ordinal]),
            booted_at=instances.start_ms[ordinal],
            keys=tuple(self._pairs.all[number].body for number in numbers),
            host_key=f"{instances.ids.id_of(ordinal)}/{instances.host_keys.get(ordinal, 0)}",
            password_login=not numbers and not (attached and self.attach_ends_password_login),
        )

    def _named(self, region: str, invoke_id: str) -> list[Order]:
        orders = [self._orders.get(invoke_id)] if invoke_id else list(self._orders.values())
        return [order for order in orders if order is not None and order.region == region]

    def _result(self, order: Order, ordinal: int, now: int) -> Result:
        released = self._instances.status(ordinal, now) == BaseStatus.RELEASED  # settles its boot
        runs = self._runs.get((order.invoke_id, ordinal))
        if runs and now < (runs[-1].finished_at or 0):
            return Result(order, ordinal, "Running", began_at=runs[-1].began_at)
        if runs and order.repeat_mode != "EveryReboot":
            return runs[-1]
        if order.repeat_mode == "Once":
            return Result(order, ordinal, "Aborted", error_code="InstanceNotRunning")
        if released:
            return Result(order, ordinal, "Error", error_code="InstanceReleased")
        last = runs[-1] if runs else Result(order, ordinal, "")
        return msgspec.structs.replace(last, status="Scheduled")

    def _run_at_boot(self, ordinal: int, at: int) -> None:
        """Run orders that waited for a boot, in the guest after this boot."""
        waiting = self._waiting.pop(ordinal, ())
        for order in waiting:
            self._run(order, ordinal, at)
        if again := [order for order in waiting if order.repeat_mode == "EveryReboot"]:
            self._waiting[ordinal] = again

    def _run(self, order: Order, ordinal: int, at: int) -> None:
        """Run an order in the guest at `at`, and store the result."""
        inside = self.guest(ordinal, at)
        guest = msgspec.structs.replace(inside, user=order.user)
        runs = self._runs.setdefault((order.invoke_id, ordinal), [])
        run = Result(order, ordinal, "Invalid", None, "", "AccountNotExists", at + RUN_MS, at)
        windows = self._instances.shape_of(ordinal).windows
        if windows or order.user in {"root", guest.login_user}:
            code, output = shell.run(order.script, guest)
            status, error = ("Success", "") if code == 0 else ("Failed", "ExitCodeNonzero")
            run = Result(
                order, ordinal, status, code, output, error, at + RUN_MS, at, len(runs) + 1
            )
        runs.append(run)


def new_id(prefix: str, request_id: str) -> str:
    """Return an id computed from the request."""
    return prefix + hashlib.blake2b(request_id.encode(), digest_size=8).hexdigest()
