"""The states of an emulated instance, its locks, and the transitions between its states."""

import enum
from typing import Final

import msgspec

from rollout.emulator.cloud import keypairs

MINUTE_MS: Final = 60_000


class BaseStatus(enum.IntEnum):
    """Base states. RELEASED instances are absent from every reply."""

    RUNNING = 0
    STOPPED = 1
    STARTING = 2
    STOPPING = 3
    PENDING = 4
    RELEASED = 5


STATUS_NAMES: Final = ("Running", "Stopped", "Starting", "Stopping", "Pending", "Released")


class OperationLock(enum.IntFlag):
    """OperationLocks of an instance; the lower-case name is the reason as the API writes it."""

    NONE = 0
    FINANCIAL = 1
    SECURITY = 2
    RECYCLING = 4
    DEDICATEDHOSTFINANCIAL = 8
    REFUNDED = 16


class TransitionKind(enum.Enum):
    """A transition of an instance, and how it ends."""

    REBOOT = "reboot"
    START = "start"
    STOP = "stop"
    REBOOT_ENDS_STOPPED = "reboot ends stopped"


KEYS_UNCHANGED: Final = -1
"""Instead of a key pair: the boot leaves authorized_keys unchanged."""


class Transition(msgspec.Struct, frozen=True, gc=False):
    """A transition: Stopping for `stopping_ms` from `begin`, then Starting until `until`.

    `key` is the key pair that the boot installs: the one recorded when the motion began, or `LEFT`.
    With `appends` the boot also keeps the former keys. The key is installed `late_ms` after the
    boot. `new_host_key`: the boot makes a new host key.
    """

    kind: TransitionKind
    begin: int
    until: int
    stopping_ms: int
    key: int = keypairs.NONE
    appends: bool = False
    late_ms: int = 0
    new_host_key: bool = False

    def status_at(self, now: int) -> BaseStatus:
        """Return the status during the transition."""
        if self.kind is TransitionKind.STOP or now < self.begin + self.stopping_ms:
            return BaseStatus.STOPPING
        return BaseStatus.STARTING
