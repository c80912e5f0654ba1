"""A private user, network and mount namespace with its own /etc/hosts.

A helper process holds it. The helper opens listening sockets there and passes them to the test
process, so that servers run in the test's threads: only the commands under test are inside.
"""

from __future__ import annotations

import contextlib
import fcntl
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

_NEW = ("unshare", "--user", "--map-root-user", "--net", "--mount", "--")
_BIND_HOSTS = ("mount", "--bind")
_HOSTS = "/etc/hosts"
_SET_INTERFACE_FLAGS, _INTERFACE_UP = 0x8914, 1
_START_S = 30


@dataclass(frozen=True)
class Namespace:
    """An open namespace: the process that holds it, and the sockets that listen in it."""

    holder: int
    listening: list[socket.socket]

    def program(self, folder: Path, command: Sequence[str]) -> tuple[str, ...]:
        """Return the command line that runs `command` inside, in `folder`."""
        enter = ("nsenter", f"--target={self.holder}", "--user", "--preserve-credentials")
        inside = ("--net", "--mount", "sh", "-c", 'cd "$0" && exec "$@"', str(folder))
        return (*enter, *inside, *command)


@contextlib.contextmanager
def private_namespace(
    folder: Path, hosts: Mapping[str, str], listen: Sequence[tuple[str, int]]
) -> Iterator[Namespace]:
    """Yield a namespace with `hosts` (address by name) and a socket listening on each of `listen`.

    Skips the test where the machine does not permit it.
    """
    _skip_unless_permitted()
    table = folder / "hosts"
    lines = ["127.0.0.1 localhost", *(f"{address} {name}" for name, address in hosts.items())]
    table.write_text("".join(f"{line}\n" for line in lines))
    ours, theirs = socket.socketpair()
    with ours, theirs:
        addresses = [f"{address}/{port}" for address, port in listen]
        command = [*_NEW, sys.executable, __file__, str(theirs.fileno()), str(table), *addresses]
        holder = subprocess.Popen(command, pass_fds=[theirs.fileno()])
        theirs.close()
        try:
            ours.settimeout(_START_S)
            _, files, _, _ = socket.recv_fds(ours, 1, len(listen))
            yield Namespace(holder.pid, [socket.socket(fileno=file) for file in files])
        finally:
            holder.kill()
            holder.wait()


def _skip_unless_permitted() -> None:
    missing = [tool for tool in ("unshare", "nsenter", "mount") if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"private network namespaces need {', '.join(missing)}")
    tried = subprocess.run(
        [*_NEW, *_BIND_HOSTS, _HOSTS, _HOSTS], check=False, capture_output=True, text=True
    )
    if tried.returncode:
        pytest.skip(f"private network namespaces are not permitted here: {tried.stderr.strip()}")


def _hold(channel: int, table: str, addresses: Sequence[str]) -> None:
    """Set the namespace up from inside, pass its sockets on and wait to be killed."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        loopback = struct.pack("16sh14x", b"lo", _INTERFACE_UP)
        fcntl.ioctl(any_socket, _SET_INTERFACE_FLAGS, loopback)
    subprocess.run([*_BIND_HOSTS, table, _HOSTS], check=True)
    listening = [_listen(*address.split("/")) for address in addresses]
    with socket.socket(fileno=channel) as out:
        socket.send_fds(out, [b"."], [one.fileno() for one in listening])
        out.recv(1)


def _listen(address: str, port: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return socket.create_server((address, int(port)), family=family)


if __name__ == "__main__":
    _hold(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
