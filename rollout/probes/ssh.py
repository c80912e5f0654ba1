"""Log in by SSH with exactly one key: accepted, refused or unknown.

Called by `prober`; needs the extra `[ssh]`. It runs no command, forwards no agent, and falls back
to no other key and no password. Nothing is sent to a server whose host key is not the expected one.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import asyncssh

from rollout.model import limits
from rollout.model.plan import public_key_digest
from rollout.model.probe import KeyAccess
from rollout.model.verify import SshLogin

_HOST_KEY_ALGORITHMS = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
    "rsa-sha2-256",
)
"""Fixed, so that a server with several host keys shows the same one before and after its boot."""

Pair = asyncssh.SSHKeyPair


class Unreachable(Exception):
    """A server could not be asked. The text is the cause."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """The result of one login, and the host key of the server as `SHA256:…`."""

    access: KeyAccess
    host_key: str = ""
    why: str = ""


@dataclass
class Ssh:
    """SSH logins of one plan. Open once; `aclose` ends the connection to the jump host."""

    login: SshLogin
    _jump: asyncssh.SSHClientConnection | None = None
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def host_key(self, address: str) -> tuple[str, str]:
        """Return the host key of a server; an empty one with the cause where none was read."""
        try:
            with _bounded():
                key = await asyncssh.get_server_host_key(
                    address,
                    self.login.port,
                    tunnel=await self._tunnel(),
                    server_host_key_algs=_HOST_KEY_ALGORITHMS,
                    config=None,
                )
        except Unreachable as error:
            return "", str(error)
        return (key.get_fingerprint(), "") if key else ("", "the server has no host key")

    async def attempt(self, address: str, pair: Pair, host_key: str) -> Attempt:
        """Log in with one key and close the connection. An empty `host_key` accepts any."""
        client = _Client(pair, host_key)
        try:
            with _bounded():
                connection = await asyncssh.connect(
                    address,
                    self.login.port,
                    tunnel=await self._tunnel(),
                    username=self.login.user,
                    client_factory=lambda: client,
                    client_keys=None,
                    known_hosts=([], [], []),
                    agent_path=None,
                    preferred_auth="publickey",
                    server_host_key_algs=_HOST_KEY_ALGORITHMS,
                    config=None,
                )
                connection.abort()
        except Unreachable as error:
            if client.mismatch:
                return Attempt(KeyAccess.UNTRIED, client.host_key)
            if client.offered and error.__cause__ and _refused(error.__cause__):
                return Attempt(KeyAccess.REFUSED, client.host_key)
            return Attempt(KeyAccess.UNKNOWN, client.host_key, str(error))
        if not client.offered:
            return Attempt(KeyAccess.UNKNOWN, client.host_key, "the server asks for no key")
        return Attempt(KeyAccess.ACCEPTED, client.host_key)

    async def aclose(self) -> None:
        """Close the connection to the jump host."""
        if self._jump is not None:
            self._jump.abort()

    async def _tunnel(self) -> asyncssh.SSHClientConnection | tuple[()]:
        """Return the connection to the jump host, `()` where there is none. Errors: Unreachable.

        The jump host must be in `~/.ssh/known_hosts`; the agent and the default identities open it.
        """
        if not self.login.via:
            return ()
        async with self._lock:
            if self._jump is None or self._jump.is_closed():
                user, host, port = jump_host(self.login.via)
                try:
                    self._jump = await asyncssh.connect(
                        host, port, username=user or (), config=None
                    )
                except (OSError, asyncssh.Error) as error:
                    raise Unreachable(f"jump host {host}: {_cause(error)}") from None
            return self._jump


class _Client(asyncssh.SSHClient):
    """Offers one key, once, and only to a server with the expected host key."""

    def __init__(self, pair: Pair, expected: str) -> None:
        self._pair, self._expected = pair, expected
        self.host_key = ""
        self.offered = self.mismatch = False

    def validate_host_public_key(
        self, host: str, addr: str, port: int, key: asyncssh.SSHKey
    ) -> bool:
        """Return whether the server has the expected host key."""
        self.host_key = key.get_fingerprint()
        self.mismatch = self._expected not in ("", self.host_key)
        return not self.mismatch

    def public_key_auth_requested(self) -> Pair | None:
        """Return the key on the first call, and none on others."""
        if self.offered:
            return None
        self.offered = True
        return self._pair


@contextlib.contextmanager
def _bounded() -> Iterator[None]:
    """Turn every failure within into Unreachable, also one that takes too long."""
    try:
        with anyio.fail_after(limits.PROBE_ATTEMPT_MS / 1000):
            yield
    except TimeoutError:
        text = f"no answer within {limits.PROBE_ATTEMPT_MS // 1000} s"
        raise Unreachable(text) from None
    except (OSError, asyncssh.Error) as error:
        raise Unreachable(_cause(error)) from error


def _refused(error: BaseException) -> bool:
    return isinstance(error, asyncssh.PermissionDenied)


def _cause(error: Exception) -> str:
    """Return the cause in a few words."""
    if isinstance(error, asyncssh.Error):
        return error.reason.strip() or type(error).__name__
    number = error.errno if isinstance(error, OSError) else None
    return os.strerror(number) if number else type(error).__name__


def jump_host(via: str) -> tuple[str, str, int]:
    """Return user, host and port of `[user@]host[:port]`."""
    user, _, rest = via.rpartition("@")
    host, _, port = rest.partition(":")
    return user, host, int(port or 22)


class Identities:
    """The keys that this process may log in with: those of the agent and of one file."""

    def __init__(self, login: SshLogin) -> None:
        self._login = login
        self._agent: asyncssh.SSHAgentClient | None = None
        self.pairs: dict[str, Pair] = {}
        """Key pairs by the digest of their public key. Agent keys stay in the agent."""
        self.problem = ""
        """Why the agent or the file cannot be used; empty where both can."""

    async def load(self) -> None:
        """Read the file, and list the keys of the agent. Sets `problem` where one is unusable."""
        if path := self._login.path:
            try:
                private = asyncssh.read_private_key(_expanded(path))
                for pair in asyncssh.load_keypairs([private]):
                    self.pairs[_digest(pair.public_data)] = pair
            except (OSError, asyncssh.KeyImportError) as error:
                reason = "it has a passphrase or is no private key"
                text = _cause(error) if isinstance(error, OSError) else reason
                self.problem = f"identity {path} cannot be used: {text}"
        if not path or self._login.expect_old_key_refused:
            await self._load_agent()

    async def _load_agent(self) -> None:
        path = os.environ.get("SSH_AUTH_SOCK", "")
        try:
            if not path:
                raise OSError("SSH_AUTH_SOCK is not set")
            self._agent = await asyncssh.connect_agent(path)
            for pair in await self._agent.get_keys():
                self.pairs.setdefault(_digest(pair.public_data), pair)
        except (OSError, ValueError, asyncssh.Error) as error:
            self.problem = self.problem or f"no SSH agent: {error}"

    async def aclose(self) -> None:
        """Close the connection to the agent."""
        if self._agent is not None:
            self._agent.close()


def _expanded(path: str) -> Path:
    return Path(path).expanduser()


def _digest(public_data: bytes) -> str:
    """Return the digest of a public key in SSH wire format, as plans have it."""
    size = int.from_bytes(public_data[:4], "big")
    kind = public_data[4 : 4 + size].decode("ascii", "replace")
    return public_key_digest(f"{kind} {base64.b64encode(public_data).decode()}")
