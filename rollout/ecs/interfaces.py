"""Read the addresses of this machine's network interfaces.

Called by `app.own_machine`. Only Linux gives them without a library; elsewhere there are none, and
rollout on an ECS instance runs on Linux.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from pathlib import Path
from typing import Final, NamedTuple

_FOLDER: Final = Path("/sys/class/net")
_GET_ADDRESS: Final = 0x8915
"""`SIOCGIFADDR` of Linux (netdevice(7)): the IPv4 address of an interface."""
_NAME_BYTES: Final = 15


class Interface(NamedTuple):
    """One network interface: its IPv4 address and its MAC address in lower case."""

    address: str
    mac: str


def local(folder: Path = _FOLDER) -> list[Interface]:
    """Return the interfaces that have both addresses, without loopback ones."""
    found = []
    for name in sorted(_names(folder)):
        address, mac = _address(name), _mac(folder / name / "address")
        if address and mac:
            found.append(Interface(address, mac))
    return found


def _names(folder: Path) -> list[str]:
    try:
        return [path.name for path in folder.iterdir()]
    except OSError:
        return []


def _mac(path: Path) -> str:
    """Return a MAC address; empty for an interface without one."""
    try:
        text = path.read_text("ascii").strip().lower()
    except (OSError, ValueError):
        return ""
    return text if text.strip("0:") else ""


def _address(name: str) -> str:
    """Return the IPv4 address of an interface; empty without a usable one."""
    try:
        import fcntl  # no module of Windows

        request = struct.pack("256s", name.encode()[:_NAME_BYTES])
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
            packed = fcntl.ioctl(any_socket.fileno(), _GET_ADDRESS, request)[20:24]
    except (ImportError, OSError):
        return ""
    found = ipaddress.ip_address(packed)
    return "" if found.is_loopback or found.is_link_local or found.is_unspecified else str(found)
