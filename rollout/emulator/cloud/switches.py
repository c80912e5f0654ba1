"""Settings of behavior that is slow or unknown in the real service.

Read by the cloud and its actions. The defaults cause no trouble. Each open question about the real
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
    """From the accepted restart to Running."""
    boot_spread_percent: Annotated[int, msgspec.Meta(ge=0, le=100)] = 0
    """How far one boot may be from `boot_time_ms`, either way; drawn per instance and boot."""
    boot_seed: int = 0
    """Seed of the drawn boot times."""
    stop_time_ms: Milliseconds = 1_000
    """From the accepted stop to Stopped; also the Stopping part of a reboot, within its half."""
    stopping_hidden: bool = False
    """A reboot has no Stopping: Running, Starting, Running."""
    stale_status_ms: Milliseconds = 0
    """How long Describe actions return the former status after a power call."""
    describe_lag_ms: Milliseconds = 0
    """Describe* replies have status, key and StartTime of that long ago."""
    start_time_moves_on_reboot: bool = True
    """Whether an in-place reboot changes StartTime."""

    windows_refuses_batch: bool = False
    """One Windows id refuses the whole attach, as in edition `seed`, not only its item."""
    unknown_id_refuses_batch: bool = False
    """One unknown id refuses the whole attach with 404, as in edition `seed`."""
    attach_locked: bool = True
    """Whether a key pair can be attached to a locked instance."""
    attach_transitional: bool = False
    """Whether it can be attached in a status other than Running and Stopped (`seed`: always)."""
    attach_state_code: str = "IncorrectInstanceStatus"
    """The code for an instance that cannot be attached to in its status; of AttachKeyPair."""
    attach_lock_code: str = "InstanceLockedForSecurity"
    """The code for a locked instance."""
    attach_again_refused: bool = False
    """Whether attaching the same key pair again is an error of that item."""

    boot_keeps_former_keys: bool = False
    """A boot appends the key to authorized_keys instead of rewriting the file."""
    images_without_keys: tuple[str, ...] = ()
    """Images that never install a key: they have no cloud-init of the vendor."""
    ed25519_accepted: bool = True
    """Whether ImportKeyPair takes an ed25519 key; the published list of 2021 has none."""
    attach_ends_password_login: bool = False
    """Password login ends at the attach, not at the boot that installs the key."""
    md5_fingerprints: bool = False
    """Fingerprints are MD5, as documented, not the 20 octets of published samples."""
    dry_run_status: Annotated[int, msgspec.Meta(ge=400, le=599)] = 400
    """HTTP status of DryRunOperation, the reply to a passing dry run of one instance."""
    token_life_ms: Milliseconds = 0
    """How long a NextToken can be used; 0 = permanently."""
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
        """Return the edition of an action: `seed` has its own AttachKeyPair and DeleteKeyPairs."""
        return self.edition if action in _OLD_ACTIONS else Edition.CURRENT
