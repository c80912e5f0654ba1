"""How the pretend cloud behaves where the real service is slow, or where nobody knows.

Read by the cloud and its actions. Every default is the calm one; each open question about the real
service is a field here and never a silent assumption.
"""

from typing import Annotated, Final

import msgspec

from rollout.ecs import contract
from rollout.ecs.contract import Edition

BOOT_TIME_MS: Final = 5_000

Milliseconds = Annotated[int, msgspec.Meta(ge=0)]

_OLD_ACTIONS: Final = frozenset({"AttachKeyPair", "DeleteKeyPairs"})


class Switches(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The behavior of one emulated cloud. Times are milliseconds."""

    edition: Edition = Edition.CURRENT

    boot_time_ms: Milliseconds = BOOT_TIME_MS
    """From the accepted restart to Running again."""
    boot_spread_percent: Annotated[int, msgspec.Meta(ge=0, le=100)] = 0
    """How far one boot may be from `boot_time_ms`, either way; drawn per instance and boot."""
    boot_seed: int = 0
    """Another number draws other boot times."""
    stop_time_ms: Milliseconds = 1_000
    """From the accepted stop to Stopped; also the Stopping part of a reboot, within its half."""
    stopping_hidden: bool = False
    """A reboot shows no Stopping: Running, Starting, Running."""
    stale_status_ms: Milliseconds = 0
    """After a power call the former status is shown for so long."""
    describe_lag_ms: Milliseconds = 0
    """Describe* answers show status, key and StartTime as they were so long ago."""
    start_time_moves_on_reboot: bool = True
    """Whether StartTime is renewed by an in-place reboot."""

    windows_refuses_batch: bool = False
    """One Windows id refuses the whole attach, as in edition `seed`, instead of its own item."""
    unknown_id_refuses_batch: bool = False
    """One unknown id refuses the whole attach with 404, as in edition `seed`."""
    attach_locked: bool = True
    """Whether a key pair can be attached to a locked instance."""
    attach_transitional: bool = False
    """Whether it can be attached in a status other than Running and Stopped (`seed`: always)."""
    attach_state_code: str = "IncorrectInstanceStatus"
    """The code of an instance that cannot be attached to for its status; one of AttachKeyPair's."""
    attach_lock_code: str = "InstanceLockedForSecurity"
    """The code of a locked one."""
    attach_again_refused: bool = False
    """Whether attaching the key pair that is attached already is an error of that item."""

    boot_keeps_former_keys: bool = False
    """A boot appends the key to authorized_keys instead of rewriting the file."""
    images_without_keys: tuple[str, ...] = ()
    """Images that never install a key, whatever the record says: no cloud-init of the vendor's."""
    ed25519_accepted: bool = True
    """Whether ImportKeyPair takes an ed25519 key; the published list of 2021 has none."""
    attach_ends_password_login: bool = False
    """Password login goes off at the attach already, and not at the boot that brings the key."""
    md5_fingerprints: bool = False
    """Fingerprints are MD5, as documented, and not of the twenty octets that samples show."""
    dry_run_status: Annotated[int, msgspec.Meta(ge=400, le=599)] = 400
    """HTTP status of DryRunOperation, by which a passing dry run of one instance is told."""
    token_life_ms: Milliseconds = 0
    """How long a NextToken can be used; 0 = for ever."""
    loose_types: bool = False
    """Numbers and booleans of AttachKeyPair and DetachKeyPair results are sent as strings."""
    clock_ahead_ms: Milliseconds = 15 * 60 * 1000
    """How far a timestamp may lie in the future."""
    clock_skew_ms: int = 0
    """How far the service's clock, `Date` header included, is ahead of ours. HTTP server only."""

    def __post_init__(self) -> None:
        for code in (self.attach_state_code, self.attach_lock_code):
            if not contract.documents("AttachKeyPair", code):
                raise ValueError(f"AttachKeyPair has no code {code}")

    def edition_of(self, action: str) -> Edition:
        """What is known of edition `seed` is AttachKeyPair, and that a bound key was deleted."""
        return self.edition if action in _OLD_ACTIONS else Edition.CURRENT
