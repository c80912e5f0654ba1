"""Which host answers for a region, and which hosts an operator may name instead.

Called by the client for every call and by the command line for `--endpoint`. Pure.
Source of the map: `alibabacloud-ecs20140526` 7.11.8, `client.py`, for the regions a caller can use.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final
from urllib.parse import SplitResult, urlsplit

import msgspec

from rollout.errors import ConfigError, RolloutError

DOMAIN: Final = "aliyuncs.com"
STS: Final = "https://sts.aliyuncs.com"

_CENTRAL = "ecs.aliyuncs.com"
_HANGZHOU = "ecs-cn-hangzhou.aliyuncs.com"
_HOSTS: Final = {
    "cn-hangzhou": _HANGZHOU,
    "cn-shanghai-finance-1": _HANGZHOU,
    "cn-shenzhen-finance-1": _HANGZHOU,
    "cn-fujian": _HANGZHOU,
    "cn-beijing-gov-1": _CENTRAL,
    "cn-hangzhou-finance": _CENTRAL,
    "cn-north-2-gov-1": _CENTRAL,
    "cn-wuhan": _CENTRAL,
    "cn-yushanfang": _CENTRAL,
    "cn-zhangbei": _CENTRAL,
}
_LABEL_CHARS_MAX = 63
"""Longest part of a host name between two dots (RFC 1035)."""
_REGION = re.compile(r"[a-z][a-z0-9-]{1,40}")


class Endpoints(msgspec.Struct, frozen=True):
    """Where calls go: to the service's own hosts, or all of them to `override`."""

    override: str = ""

    def ecs(self, region: str) -> str:
        """Scheme and authority for ECS in a region."""
        return self.override or f"https://{host(region)}"

    def sts(self) -> str:
        """Scheme and authority for GetCallerIdentity; an emulator answers it beside ECS."""
        return self.override or STS

    @property
    def emulated(self) -> bool:
        """True where every call ends on this machine."""
        return bool(self.override) and is_loopback(urlsplit(self.override).hostname or "")


def host(region: str) -> str:
    """The public host of ECS in a region. ConfigError for what cannot be a region's name."""
    if not _REGION.fullmatch(region):
        raise ConfigError.of("R0010", f"{region!r} is not a region, so it has no endpoint")
    return _HOSTS.get(region, f"ecs.{region}.{DOMAIN}")


def parse(text: str) -> Endpoints:
    """Read `--endpoint`: `https://HOST[:PORT]` of the service, or any port of this machine.

    Without a scheme loopback means http and everything else https.
    Errors: ConfigError R0010 for http beyond loopback, another domain, a path or a password.
    """
    shown = text if "@" not in text else "***@" + text.rpartition("@")[2]
    parts = _split(text, shown)
    local = is_loopback(parts.hostname or "")
    if "@" in parts.netloc:
        raise _refused(shown, "a user name or password does not belong in an endpoint")
    if parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise _refused(shown, "an endpoint has no path, query or fragment")
    if parts.scheme != "https" and not (parts.scheme == "http" and local):
        raise _refused(shown, "only https:// leaves this machine; http:// is for loopback")
    if not local and not (parts.hostname or "").endswith(f".{DOMAIN}"):
        raise _refused(shown, f"{parts.hostname} does not belong to {DOMAIN}")
    return Endpoints(f"{parts.scheme}://{parts.netloc.lower()}")


def is_loopback(name: str) -> bool:
    """True for this machine: `localhost` and the loopback addresses, nothing that only looks so."""
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False


def _split(text: str, shown: str) -> SplitResult:
    """Take the text apart, adding the scheme that is meant."""
    try:
        parts = urlsplit(text if "://" in text else f"//{text}")
        _ = parts.port  # raises where it is no number
    except ValueError:
        raise _refused(shown, "not a URL") from None
    name = parts.hostname or ""
    if not _is_host(name) or any(character.isspace() for character in text):
        raise _refused(shown, "no host in it")
    if parts.scheme:
        return parts
    return parts._replace(scheme="http" if is_loopback(name) else "https")


def _is_host(name: str) -> bool:
    """True for a name that can be looked up at all; what cannot would fail as if it were sent."""
    return all(0 < len(label) <= _LABEL_CHARS_MAX for label in name.split("."))


def _refused(text: str, why: str) -> RolloutError:
    """The one error of this module."""
    cure = "leave it out, or give https://HOST of the service or http://127.0.0.1:PORT"
    return ConfigError.of("R0010", f"endpoint {text!r}: {why}", help=cure)
