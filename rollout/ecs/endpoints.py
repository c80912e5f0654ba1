"""Hosts of the service by region, and the hosts that an operator may use instead.

Called by the client for every call and by the command line for `--endpoint` and `--sts-endpoint`.
Pure. Source of the map and of the forms of hosts: `alibabacloud-ecs20140526` 7.11.8 and
`alibabacloud-sts20150401` 1.2.0, `client.py`, for the regions a caller can use.
"""

from __future__ import annotations

import re
from typing import Final, Literal
from urllib.parse import SplitResult, urlsplit

import msgspec

from rollout.errors import ConfigError, RolloutError
from rollout.model.address import is_loopback
from rollout.model.phrase import Wording, say

DOMAIN: Final = "aliyuncs.com"
STS: Final = "https://sts.aliyuncs.com"

Product = Literal["ecs", "sts"]

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
_SERVICE_REGION = r"(?:af|ap|cn|eu|me|na|rus|sa|us)(?:-[a-z0-9]+)+"
"""A region as it stands in a host name. Its first part is a part of the world: a tenant may own
`ecs.oss-cn-hangzhou.aliyuncs.com`, which is a bucket called ecs."""
_SERVICE_HOST: Final = re.compile(
    rf"(?P<product>ecs|sts)(?:-{_SERVICE_REGION}|(?P<vpc>-vpc)?\.(?P<region>{_SERVICE_REGION}))?"
    rf"\.{re.escape(DOMAIN)}"
)
_LOOKALIKE: Final = re.compile(r"aliyun|alibaba|alicloud")


class Endpoints(msgspec.Struct, frozen=True):
    """The hosts that calls are sent to: the service's own, or the ones that an operator named."""

    override: str = ""
    sts_override: str = ""

    def ecs(self, region: str) -> str:
        """Scheme and authority for ECS in a region."""
        return self.override or f"https://{host(region)}"

    def sts(self) -> str:
        """Scheme and authority for GetCallerIdentity.

        With a named ECS endpoint it is the STS endpoint of the same kind (VPC or public). The
        emulator and private clouds serve it on the same host, unless an STS endpoint is named.
        """
        if self.sts_override or not self.override:
            return self.sts_override or STS
        found = _SERVICE_HOST.fullmatch(_name(self.override))
        if found is None:
            return self.override
        return f"https://sts-vpc.{found['region']}.{DOMAIN}" if found["vpc"] else STS

    @property
    def emulated(self) -> bool:
        """Whether every call ends on this machine."""
        return bool(self.override) and is_loopback(_name(self.override))

    @property
    def in_clear(self) -> bool:
        """Whether calls are sent without TLS, which only addresses of this machine allow."""
        return self.override.startswith("http:") or self.sts_override.startswith("http:")

    @property
    def private(self) -> tuple[str, ...]:
        """The named hosts that are neither the service's own nor this machine."""
        names = (_name(one) for one in (self.override, self.sts_override) if one)
        return tuple(
            name for name in names if not (is_loopback(name) or _SERVICE_HOST.fullmatch(name))
        )


def host(region: str) -> str:
    """Return the public host of ECS in a region. ConfigError for an impossible region name."""
    if not _REGION.fullmatch(region):
        raise ConfigError.of(
            "R0010", say("{region!r} is not a region, so it has no endpoint", region=region)
        )
    return _HOSTS.get(region, f"ecs.{region}.{DOMAIN}")


def sts_region(endpoint: str) -> tuple[str, bool]:
    """Return the region of an STS endpoint of the service and whether it is that of the VPC; no
    region for any other endpoint.
    """
    found = _SERVICE_HOST.fullmatch(_name(endpoint))
    return ("", False) if found is None else (found["region"] or "", bool(found["vpc"]))


def parse(text: str) -> Endpoints:
    """Read an endpoint of ECS to which all calls go. Errors: as of `address`."""
    return Endpoints(address(text))


def address(text: str, product: Product = "ecs", *, private: bool = False) -> str:
    """Read an endpoint: `https://HOST[:PORT]` of the service, or any port of this machine.

    Without a scheme loopback means http and everything else https. With `private` any host may be
    named that does not resemble one of the service, for the private edition of the cloud.
    Returns scheme and authority. Errors: ConfigError R0010 for http to other machines, a host of
    another product or of a tenant, another domain, a path or a password.
    """
    displayed = text if "@" not in text else "***@" + text.rpartition("@")[2]
    parts = _split(text, displayed)
    name = parts.hostname or ""
    local = is_loopback(name)
    if "@" in parts.netloc:
        raise _refused(displayed, say("a user name or password does not belong in an endpoint"))
    if parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise _refused(displayed, say("an endpoint has no path, query or fragment"))
    if parts.scheme != "https" and not (parts.scheme == "http" and local):
        raise _refused(
            displayed, say("http:// is accepted for loopback addresses only; use https://")
        )
    if not local:
        _check_name(name, displayed, product, private=private)
    return f"{parts.scheme}://{parts.netloc.lower()}"


def _check_name(name: str, displayed: str, product: Product, *, private: bool) -> None:
    """Refuse a host that may belong to another tenant. Any tenant can have a host below the
    service's domain, such as a function or a bucket, and would receive signed calls and tokens.
    """
    found = _SERVICE_HOST.fullmatch(name)
    if found is not None and found["product"] == product:
        return
    if found is not None or name.endswith(f".{DOMAIN}"):
        raise _refused(
            displayed, say("{name} is not a host of {product}", name=name, product=product.upper())
        )
    if _LOOKALIKE.search(name):
        raise _refused(
            displayed, say("{name} resembles a host of the service but is not one", name=name)
        )
    if not private:
        raise _refused(
            displayed,
            say(
                "{name} does not belong to {domain}; name a private cloud on the command line",
                name=name,
                domain=DOMAIN,
            ),
        )


def _name(endpoint: str) -> str:
    """Return the host of a parsed endpoint."""
    return urlsplit(endpoint).hostname or ""


def _split(text: str, displayed: str) -> SplitResult:
    """Split the text, adding the implied scheme."""
    try:
        parts = urlsplit(text if "://" in text else f"//{text}")
        _ = parts.port  # raises where it is no number
    except ValueError:
        raise _refused(displayed, say("not a URL")) from None
    name = parts.hostname or ""
    if not _is_host(name) or any(character.isspace() for character in text):
        raise _refused(displayed, say("no host in it"))
    if parts.scheme:
        return parts
    return parts._replace(scheme="http" if is_loopback(name) else "https")


def _is_host(name: str) -> bool:
    """Return whether a name can be resolved at all; a call to any other would count as sent."""
    return all(0 < len(label) <= _LABEL_CHARS_MAX for label in name.split("."))


def _refused(text: str, why: Wording) -> RolloutError:
    """Return the only error of this module."""
    cure = say("leave it out, or use https://HOST of the service or http://127.0.0.1:PORT")
    return ConfigError.of("R0010", say("endpoint {text!r}: {why}", text=text, why=why), help=cure)
