"""Probes of one instance, and what they observe.

A probe changes nothing and has no intent. The engine's prober answers it; `core` judges the answer.
"""

from __future__ import annotations

import enum

import msgspec

from rollout.model.site import Site


class ReadHostKey(msgspec.Struct, frozen=True):
    """Read the host key of an instance before its restart, without a login."""

    site: Site
    ordinal: int
    instance: str


class ProbeLogin(msgspec.Struct, frozen=True):
    """Log in with the new key, try the former key, and run the hooks of the plan.

    `key` indexes `Plan.keys`. `former_key` is the digest of the public key that must be refused,
    empty where none must be. Nothing is sent to an instance with another host key than `host_key`,
    unless that is empty.
    """

    site: Site
    ordinal: int
    instance: str
    key: int = 0
    former_key: str = ""
    host_key: str = ""


Probe = ReadHostKey | ProbeLogin


class KeyAccess(enum.StrEnum):
    """Whether an instance accepted a key."""

    UNTRIED = "untried"
    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNKNOWN = "unknown"
    """The instance could not be reached, or the connection ended before its answer."""


class HostKeySeen(msgspec.Struct, frozen=True):
    """The host key of an instance as `SHA256:…`; empty with the cause `why` if it is unknown."""

    host_key: str = ""
    why: str = ""


class LoginSeen(msgspec.Struct, frozen=True):
    """What one login probe observed. `failed_hook` is the first hook that failed, with its cause;
    `why` says why an access is unknown.
    """

    new_key: KeyAccess = KeyAccess.UNTRIED
    former_key: KeyAccess = KeyAccess.UNTRIED
    host_key: str = ""
    failed_hook: str = ""
    why: str = ""


class LoginVerdict(enum.StrEnum):
    """The result of all login probes of one instance; also the cause of a failure."""

    PROVED = "login_proved"
    UNPROVED = "login_unproven"
    KEY_REFUSED = "key_refused"
    FORMER_KEY_ACCEPTED = "former_key_accepted"
    HOST_KEY_CHANGED = "host_key_changed"
    HOOK_FAILED = "hook_failed"
