"""SSH guests: every Running Linux instance accepts logins with the key of its last boot.

Called by the command line and by tests; needs the extra `[ssh]`. One listener on loopback for all:
the user name selects the instance, `i-…` or `root@i-…`. The simulated shell answers; nothing is
executed on this machine.
"""

import asyncio
import base64
import contextlib
import hashlib
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final

import anyio
import asyncssh
from anyio.abc import TaskGroup

from rollout.emulator.cloud.instances import ordinal_at
from rollout.emulator.cloud.lifecycle import BaseStatus
from rollout.emulator.dispatch import Cloud
from rollout.emulator.guest import shell
from rollout.emulator.guest.shell import Guest
from rollout.emulator.http.server import wall_clock_ms

PASSWORD: Final = "emulator-password"  # noqa: S105 - a published password of the emulator
"""The password of every guest without a key."""

LOGIN_S_MAX: Final = 30
LOOPBACK: Final = "127.0.0.1"
ANY: Final = "0.0.0.0"  # noqa: S104 - only connections to loopback addresses are served


@contextlib.asynccontextmanager
async def serve(
    cloud: Cloud,
    address: str = "127.0.0.1",
    port: int = 0,
    *,
    seed: int = 0,
    clock: Callable[[], int] = wall_clock_ms,
) -> AsyncIterator[int]:
    """Serve the guests of `cloud` and yield the port; port 0 selects a free one.

    The host key is derived from `seed`: known_hosts stays valid after reboots and restarts.
    `clock` gives UTC milliseconds. Errors: OSError when the address is taken.
    """

    def now() -> int:
        return clock() + cloud.switches.clock_skew_ms

    everywhere = cloud.instances.loopback and address == LOOPBACK
    with contextlib.closing(socket.create_server((ANY if everywhere else address, port))) as door:
        door.setblocking(False)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_accept, door, tasks, _Guests(cloud, now, seed))
            try:
                yield door.getsockname()[1]
            finally:
                tasks.cancel_scope.cancel()


@dataclass(frozen=True, slots=True)
class _Guests:
    """The guests of a cloud, and the seed of their host keys."""

    cloud: Cloud
    now: Callable[[], int]
    seed: int

    def at(self, address: str) -> tuple[str, bytes] | None:
        """Return instance id and host key of the guest at a loopback address. The id is empty at
        127.0.0.1, where the user name selects the instance; None where no guest answers.
        """
        cloud = self.cloud
        ordinal = ordinal_at(address) if cloud.instances.loopback else None
        if ordinal is None:
            return "", host_key(self.seed)
        if ordinal >= len(cloud.instances):
            return None
        instance = cloud.instances.ids.id_of(ordinal)
        guest = find(cloud, f"@{instance}", self.now())
        return None if guest is None else (instance, host_key(f"{self.seed}/{guest.host_key}"))


async def _accept(door: socket.socket, tasks: TaskGroup, guests: _Guests) -> None:
    """Serve each connection to a loopback address in a task of its own."""
    loop = asyncio.get_running_loop()
    while True:
        connection, _ = await loop.sock_accept(door)
        tasks.start_soon(_serve_one, connection, guests)


async def _serve_one(connection: socket.socket, guests: _Guests) -> None:
    address = connection.getsockname()[0]
    found = guests.at(address) if address.startswith("127.") else ("", host_key(guests.seed))
    if found is None:
        connection.close()
        return
    instance, key = found
    with contextlib.suppress(OSError, asyncssh.Error):
        served = await asyncssh.run_server(
            connection,
            config=None,
            server_factory=lambda: _Door(guests.cloud, guests.now, instance),
            server_host_keys=[asyncssh.import_private_key(key)],
            process_factory=lambda process: _session(process, guests.cloud, guests.now, instance),
            login_timeout=LOGIN_S_MAX,
            allow_scp=False,
        )
        try:
            await served.wait_closed()
        finally:
            served.abort()


def host_key(seed: int | str) -> bytes:
    """Return the private ed25519 key of the listener, as PKCS#8 PEM."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private = hashlib.blake2b(f"host-key/{seed}".encode(), digest_size=32).digest()
    return Ed25519PrivateKey.from_private_bytes(private).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


class _Door(asyncssh.SSHServer):
    """Authenticates one connection: selects the instance and checks the credentials."""

    def __init__(self, cloud: Cloud, clock: Callable[[], int], instance: str) -> None:
        self._cloud = cloud
        self._instance = instance
        self._clock = clock
        self._connection: asyncssh.SSHServerConnection | None = None
        self._guest: Guest | None = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        """Store the connection, to close it where no guest answers."""
        self._connection = conn

    def begin_auth(self, username: str) -> bool:
        """Select the guest; close the connection if the instance is not Running."""
        self._guest = find(self._cloud, _at(username, self._instance), self._clock())
        if self._guest is None and self._connection is not None:
            self._connection.abort()
        return True

    def public_key_auth_supported(self) -> bool:
        """Return true: public keys are always offered."""
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        """Return whether authorized_keys contains this key."""
        return self._guest is not None and any(
            base64.b64decode(line.split()[1]) == key.public_data for line in self._guest.keys
        )

    def password_auth_supported(self) -> bool:
        """Return whether password login is on: not with a key."""
        return self._guest is not None and self._guest.password_login

    def validate_password(self, username: str, password: str) -> bool:
        """Return whether this is the password of the guests."""
        return self.password_auth_supported() and password == PASSWORD


def _at(username: str, instance: str) -> str:
    """Return the user name with the instance whose address the client connected to."""
    return f"{username}@{instance}" if instance else username


def find(cloud: Cloud, username: str, now: int) -> Guest | None:
    """Return the guest of a user name if it is Linux, Running, and has that login user."""
    user, _, instance = username.rpartition("@")
    ordinal = cloud.instances.find(instance)
    if ordinal is None or cloud.instances.shape_of(ordinal).windows:
        return None
    if cloud.instances.status(ordinal, now) != BaseStatus.RUNNING:
        return None
    guest = cloud.assistant.guest(ordinal, now)
    return guest if user in {"", guest.user} else None


async def _session(
    process: asyncssh.SSHServerProcess[str],
    cloud: Cloud,
    clock: Callable[[], int],
    instance: str,
) -> None:
    """Run the command, or the input line by line."""
    username = _at(str(process.get_extra_info("username")), instance)
    code = 0
    if process.command is not None:
        code = _run(process, process.command, find(cloud, username, clock()))
    else:
        async for line in process.stdin:
            if line.strip() in {"exit", "logout"}:
                break
            code = _run(process, line, find(cloud, username, clock()))
    process.exit(code)


def _run(process: asyncssh.SSHServerProcess[str], script: str, guest: Guest | None) -> int:
    if guest is None:  # it was restarted in between
        return 255
    code, output = shell.run(script, guest)
    process.stdout.write(output)
    return code
