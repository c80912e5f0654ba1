"""How a rotation proves logins: the probes of the spec's `verify`, which the plan contains too.

Holds references only: an identity is the agent or the path of a file, never a key.
"""

from __future__ import annotations

import enum

import msgspec

from rollout.model import limits
from rollout.model.time import Duration

AGENT = "agent"
"""The identity that is held by the SSH agent."""
FILE_PREFIX = "file:"


class AddressKind(enum.StrEnum):
    """The address of an instance that a probe connects to."""

    PRIVATE = "private"
    PUBLIC = "public"


class SshLogin(msgspec.Struct, frozen=True, omit_defaults=True):
    """A login by SSH with the new key. `identity` is `agent` or `file:PATH`, `via` a jump host as
    `[user@]host[:port]`. The former key is always that of the agent.
    """

    user: str
    port: int = 22
    identity: str = AGENT
    via: str = ""
    expect_old_key_refused: bool = True
    timeout_ms: Duration = limits.LOGIN_TIMEOUT_MS
    address: AddressKind = AddressKind.PRIVATE

    @property
    def path(self) -> str:
        """Return the path of the identity file; empty for the agent."""
        return self.identity.removeprefix(FILE_PREFIX) if self.identity != AGENT else ""


class HttpHook(msgspec.Struct, frozen=True, omit_defaults=True):
    """A GET request whose reply must have the status `expect`. `{instance}` and `{address}` in the
    URL are replaced.
    """

    url: str
    expect: int = 200
    timeout_ms: Duration = limits.LOGIN_TIMEOUT_MS


class CommandHook(msgspec.Struct, frozen=True, omit_defaults=True):
    """A program that must exit with 0; `{instance}` and `{address}` in its arguments are replaced.
    No shell is involved.
    """

    argv: tuple[str, ...]
    timeout_ms: Duration = limits.LOGIN_TIMEOUT_MS


class Verify(msgspec.Struct, frozen=True, omit_defaults=True):
    """All probes that an instance must pass after its restart."""

    ssh: SshLogin | None = None
    http: tuple[HttpHook, ...] = ()
    command: tuple[CommandHook, ...] = ()

    def timeout_ms(self, *, hooks: bool) -> Duration:
        """Return how long after its boot an instance may take to pass its hooks, or its login."""
        login_ms = self.ssh.timeout_ms if self.ssh else 0
        if not hooks:
            return login_ms
        http, command = (one.timeout_ms for one in self.http), (o.timeout_ms for o in self.command)
        return max((*http, *command), default=login_ms)


class Addresses(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """The addresses of an instance; empty where it has none."""

    private: str = ""
    public: str = ""

    def of(self, kind: AddressKind) -> str:
        """Return the address of this kind."""
        return self.private if kind is AddressKind.PRIVATE else self.public
