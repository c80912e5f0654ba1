"""Addresses of hosts: which of them are on this machine."""

from __future__ import annotations

import ipaddress


def is_loopback(name: str) -> bool:
    """Return whether this is exactly `localhost` or a loopback address."""
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False
