"""Choose the HTTP proxy for a host from the variables that curl, Go and Python read.

Called by the transport for each new host, and by `vendor` for the calls of the official library.
Pure. TLS is tunneled through the proxy (CONNECT), so that it cannot read a call.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote, urlsplit

from rollout.errors import ConfigError
from rollout.model.address import is_loopback
from rollout.model.phrase import Wording, say

HTTPS_VARIABLES: Final = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
"""The first one that has a value counts; the spelling in lower case is the older one."""
BYPASS_VARIABLES: Final = ("no_proxy", "NO_PROXY")


@dataclass(frozen=True, slots=True)
class Proxy:
    """One proxy: its address without a password, and the user to log in with."""

    url: str
    user: str = ""
    password: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Proxies:
    """The proxy of this process and the hosts that need none."""

    proxy: Proxy | None = None
    bypassed: tuple[str, ...] = ()

    def to(self, host: str, port: int | None = None) -> Proxy | None:
        """Return the proxy for a host; None for direct access, as always for loopback."""
        if self.proxy is None or is_loopback(host):
            return None
        host = host.lower().strip("[]")
        bypassed = any(_matches(entry, host, port or 443) for entry in self.bypassed)
        return None if bypassed else self.proxy


def read(environment: Mapping[str, str]) -> Proxies:
    """Return the proxies that the environment names. ConfigError R0015 for an unusable address."""
    variable = _variable(environment)
    if not variable:
        return Proxies()
    bypass = next((environment[name] for name in BYPASS_VARIABLES if environment.get(name)), "")
    entries = tuple(entry.strip().lower() for entry in bypass.split(",") if entry.strip())
    return Proxies(_parse(variable, environment[variable]), entries)


def chosen(environment: Mapping[str, str]) -> str:
    """Return the text of the variable that names the proxy; empty where none does."""
    return environment.get(_variable(environment), "")


def _variable(environment: Mapping[str, str]) -> str:
    return next((name for name in HTTPS_VARIABLES if environment.get(name)), "")


def _parse(variable: str, text: str) -> Proxy:
    """Read `[http[s]://][user[:password]@]host[:port]`."""
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        port = parts.port
    except ValueError:
        raise _refused(variable, say("is not a URL")) from None
    if parts.scheme not in {"http", "https"}:
        raise _refused(
            variable, say("has the scheme {scheme}, which is not supported", scheme=parts.scheme)
        )
    if not parts.hostname:
        raise _refused(variable, say("names no host"))
    name = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    address = f"{parts.scheme}://{name}" + (f":{port}" if port else "")
    return Proxy(address, unquote(parts.username or ""), unquote(parts.password or ""))


def _matches(entry: str, host: str, port: int) -> bool:
    """Return whether an entry of NO_PROXY covers a host: `*`, a domain with its subdomains, an
    address or a network; names with or without a port.
    """
    if entry == "*":
        return True
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(entry.strip("[]"), strict=False)
    except ValueError:
        pass
    name, _, wanted = entry.partition(":")
    if wanted and wanted != str(port):
        return False
    name = name.removeprefix("*").removeprefix(".")
    return bool(name) and (host == name or host.endswith(f".{name}"))


def _refused(variable: str, why: Wording) -> ConfigError:
    """Return the error without the value, which may hold a password."""
    return ConfigError.of(
        "R0015",
        say("{variable} {why}", variable=variable, why=why),
        help=say(
            "write http://HOST:PORT or http://USER:PASSWORD@HOST:PORT, or unset it; NO_PROXY "
            "lists hosts that are reached directly"
        ),
    )
